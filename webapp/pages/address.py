"""Addresses within the site: where to go next, and links that keep the state of a page."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

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
