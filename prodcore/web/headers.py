"""Headers that every answer has."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Response


def add_missing(response: Response, headers: Iterable[tuple[str, str]]) -> None:
    """Add those that the answer does not have: ``setdefault`` for all of them in one look at what is there."""
    present = {name.lower() for name, _value in response.headers}
    for name, value in headers:
        if name.lower() not in present:
            response.headers.add(name, value)
