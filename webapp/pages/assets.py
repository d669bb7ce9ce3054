"""The files that pages load, and how pages are compressed on their way out.

Style sheet and script are put together, compressed and named by their content once, when the app starts: one of each a
page, each with the hash of its content in its name, so that a browser may keep them for ever. Everything comes from
this package and from the wheel Bootstrap-Flask; nothing from elsewhere.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from apiflask import APIBlueprint
from flask import Response, abort, request, url_for

blueprint = APIBlueprint("assets", __name__, enable_openapi=False)


_STATIC = Path(__file__).parent.parent / "static"
_FOR_EVER = "public, max-age=31536000, immutable"
_SOON_STALE = "public, max-age=60"

_WORTHWHILE_BYTES = 1_000
_MAX_PADDING_BYTES = 100
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    name: str
    content: bytes
    compressed: bytes
    content_type: str
    digest: str

    @property
    def hashed_name(self) -> str:
        """The name with the content's hash in it: ``app.0123456789ab.css``."""
        stem, dot, suffix = self.name.rpartition(".")
        return f"{stem}.{self.digest}{dot}{suffix}"


def _bootstrap_css() -> str:
    """Bootstrap from its wheel, without the pictures in ``data:`` URLs, which our content policy forbids."""
    css = (files("flask_bootstrap") / "static/bootstrap5/css/bootstrap.min.css").read_text("utf-8")
    without_pictures = re.sub(r'url\("data:[^"]*"\)', "none", css)
    return re.sub(r"/\*# sourceMappingURL=.*?\*/", "", without_pictures)


def _own(*names: str) -> str:
    return "\n".join((_STATIC / name).read_text("utf-8") for name in names)


_STYLES = tuple(f"css/{name}.css" for name in ("theme", "layout", "parts", "products", "cluster", "home"))

_SOURCES: dict[str, tuple[str, Callable[[], str]]] = {
    "app.css": (
        "text/css; charset=utf-8",
        lambda: _bootstrap_css() + _own(*_STYLES),
    ),
    "app.js": (
        "text/javascript; charset=utf-8",
        lambda: _own("vendor/htmx-4.0.1.min.js", "js/app.js", "js/live.js", "js/pictures.js", "js/products.js"),
    ),
    "favicon.svg": ("image/svg+xml", lambda: _own("favicon.svg")),
}


def standalone_style() -> str:
    """The style of a page that is kept as one file: ours, without Bootstrap's."""
    return _own(*_STYLES)


@cache
def asset(name: str) -> Asset:
    """The asset with this plain name, made when first asked for. Raises KeyError."""
    content_type, read = _SOURCES[name]
    content = read().encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(name, content, gzip.compress(content, 9, mtime=0), content_type, digest)


def asset_url(name: str) -> str:
    """Where a page finds the asset."""
    return url_for("pages.assets.serve", name=asset(name).hashed_name)


@blueprint.get("/assets/<name>")
def serve(name: str) -> Response:
    """An asset by its hashed name; an old hash, from before a deployment, gets today's content for a moment."""
    plain = re.sub(r"\.[0-9a-f]{12}(?=\.\w+$)", "", name)
    if plain not in _SOURCES:
        abort(404)
    found = asset(plain)
    packed = request.accept_encodings["gzip"] > 0
    response = Response(found.compressed if packed else found.content, content_type=found.content_type)
    response.headers["Cache-Control"] = _FOR_EVER if name == found.hashed_name else _SOON_STALE
    response.headers["Vary"] = "Accept-Encoding"
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    return response


def compress(response: Response) -> Response:
    """Gzip a page for a browser that takes it, without letting the compressed size tell what stands in it.

    A page holds a secret (the form token) beside what a visitor typed (the search); an attacker who sees the compressed
    lengths could guess the one through the other (BREACH). Random bytes in the gzip header's file name hide the length,
    as Django does it.
    """
    if not (response.content_type or "").startswith("text/html"):
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
