"""What hidden fields of our forms bring back. Whoever sends something else gets 400."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import zlib
from typing import Any
from uuid import UUID

from flask import request
from werkzeug.exceptions import BadRequest

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
