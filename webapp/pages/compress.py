"""Compress pages on the way out, without letting the compressed size tell what stands in them.

A page holds a secret (the form token) beside what a visitor typed (the search); an attacker who sees the compressed
lengths could guess the one through the other (BREACH). Random bytes in the gzip header's file name hide the length,
as Django does it.
"""

from __future__ import annotations

import gzip
import io
import secrets

from flask import Response, request

_WORTHWHILE_BYTES = 1_000
_MAX_PADDING_BYTES = 100
_LEVEL = 6


def compress(response: Response) -> Response:
    """Gzip a page for a browser that takes it."""
    if response.mimetype != "text/html":
        return response
    response.vary.add("Accept-Encoding")
    if (
        response.is_streamed
        or response.direct_passthrough
        or response.content_encoding
        or not request.accept_encodings["gzip"] > 0
    ):
        return response
    page = response.get_data()
    if len(page) >= _WORTHWHILE_BYTES:
        response.set_data(_gzip(page))
        response.content_encoding = "gzip"
    return response


def _gzip(page: bytes) -> bytes:
    padding = "x" * secrets.randbelow(_MAX_PADDING_BYTES)
    packed = io.BytesIO()
    with gzip.GzipFile(filename=padding, mode="wb", compresslevel=_LEVEL, fileobj=packed, mtime=0) as file:
        file.write(page)
    return packed.getvalue()
