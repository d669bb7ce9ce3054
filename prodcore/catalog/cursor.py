"""Opaque paging cursors: where the last page ended, bound to the query they were made for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from prodcore.catalog.ports import Key
from prodcore.errors import InvalidCursor

_MAX_LENGTH = 4_000


def encode_cursor(after: Key, words: tuple[str, ...]) -> str:
    """A cursor for the page that begins strictly after ``after``.

    >>> decode_cursor(encode_cursor(("cafe", ""), ("ca",)), ("ca",))
    ('cafe', '')
    """
    text = json.dumps([*after, _fingerprint(words)], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, words: tuple[str, ...]) -> Key:
    """The key that the page begins after. Raises InvalidCursor."""
    try:
        if len(cursor) > _MAX_LENGTH:
            raise ValueError
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        name, variant, fingerprint = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not (isinstance(name, str) and isinstance(variant, str)):
            raise TypeError
        (name + variant).encode()  # a lone surrogate cannot be asked of a server
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise InvalidCursor(hint="Start again from the first page") from None
    if fingerprint != _fingerprint(words):
        raise InvalidCursor("the cursor belongs to another search", hint="Start again from the first page")
    return name, variant


def _fingerprint(words: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(words).encode("utf-8", "surrogatepass")).hexdigest()[:8]
