"""What requests bring: addresses to go back to, hidden fields. Whoever sends something else than our pages gets 400."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import re
import zlib
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import request
from werkzeug.exceptions import BadRequest

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_./?=&%+~-]*", re.ASCII)
_MAX_LENGTH = 2_000


def safe_next(target: str | None, otherwise: str = "/") -> str:
    r"""The path to go to after a form, if it is a plain path of this site.

    >>> safe_next("/products?search=caf%C3%A9")
    '/products?search=caf%C3%A9'
    >>> [safe_next(evil) for evil in ("//evil.example", "/\\evil", "/\t/evil", "https://evil.example", "/a\r\nX: y")]
    ['/', '/', '/', '/', '/']
    """
    if not target or len(target) > _MAX_LENGTH or target.startswith("//") or not _PLAIN_PATH.fullmatch(target):
        return otherwise
    return target


def with_query(path: str, **query: Any) -> str:
    """``path`` with the parameters that are not empty; a list repeats its parameter.

    >>> with_query("/products", search="café", cursor="")
    '/products?search=caf%C3%A9'
    >>> with_query("/products", tag=["bio", "new"])
    '/products?tag=bio&tag=new'
    """
    given = {name: value for name, value in query.items() if value not in (None, "", [])}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


MAX_UNPACKED_BYTES = 12_000_000


def posted_number(name: str) -> int:
    """A whole number. Raises BadRequest."""
    text = request.form.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise BadRequest
    return int(text)


def posted_uuid(name: str) -> UUID:
    """An id. Raises BadRequest."""
    try:
        return UUID(request.form.get(name, ""))
    except ValueError:
        raise BadRequest from None


def pack(content: bytes) -> str:
    """Bytes as a form carries them."""
    return base64.urlsafe_b64encode(gzip.compress(content, 6, mtime=0)).decode()


def unpack(text: str) -> bytes:
    """Raises BadRequest; what would unfold to more than any form may hold is refused, not unfolded."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(base64.urlsafe_b64decode(text))) as file:
            content = file.read(MAX_UNPACKED_BYTES + 1)
    except (binascii.Error, ValueError, OSError, EOFError, zlib.error):
        raise BadRequest from None
    if len(content) > MAX_UNPACKED_BYTES:
        raise BadRequest
    return content


def pack_json(value: Any) -> str:
    """JSON values as a form carries them."""
    return pack(json.dumps(value, ensure_ascii=False).encode())


def unpack_json(text: str) -> Any:
    """Not to be trusted. Raises BadRequest."""
    try:
        return json.loads(unpack(text))
    except (ValueError, RecursionError):
        raise BadRequest from None


def is_partial() -> bool:
    """Whether a script asks for a part of a page (htmx)."""
    return request.headers.get("HX-Request") == "true"
