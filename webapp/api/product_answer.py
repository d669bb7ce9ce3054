"""How the API answers with a product, and reads the headers that make a write safe to repeat."""

from __future__ import annotations

import re

from flask import Response, request

from prodcore.errors import PreconditionRequired, UnreadableInput
from prodcore.product.model import Product
from prodcore.web import json_response

_VERSION = re.compile(r'"([0-9]{1,15})"')
_KEY = re.compile(r"[!-~]{1,255}")


def product_answer(product: Product, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The product, with its version as ETag; 304 for a version that the caller has."""
    response = json_response(product.as_dict(), status, {"ETag": f'"{product.version}"', **(headers or {})})
    if request.method == "GET" and "HTTP_IF_NONE_MATCH" in request.environ:
        response.make_conditional(request)
    return response


def idempotency_key() -> str | None:
    """The Idempotency-Key, where one is given. Raises UnreadableInput for one that cannot be a key."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise UnreadableInput("Idempotency-Key must be 1 to 255 printable ASCII characters, such as a UUID")
    return key


def seen_version() -> int:
    """The version in If-Match. Raises PreconditionRequired without one, UnreadableInput for one not of ours."""
    header = request.headers.get("If-Match")
    if header is None:
        raise PreconditionRequired(hint='Read the product and send its ETag back: If-Match: "3"')
    match = _VERSION.fullmatch(header.strip())
    if not match:
        raise UnreadableInput('If-Match is not a version of ours, such as "3"')
    return int(match[1])
