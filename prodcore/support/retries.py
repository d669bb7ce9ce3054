"""How often a client sends a request again before it knows how it ended.

Who wants to know opens a count around the request; whoever sends something again says so.

>>> with counted() as again:
...     note_retries(2)
>>> again.count
2
>>> note_retries()  # nobody counts
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Retries:
    """A count."""

    count: int = 0
    failed: bool = False
    """Whether what was sent last failed: what is sent next is sent again."""


_counting: ContextVar[Retries | None] = ContextVar("retries", default=None)


@contextmanager
def counted() -> Iterator[Retries]:
    """Count what is sent again inside the block, by this thread."""
    retries = Retries()
    token = _counting.set(retries)
    try:
        yield retries
    finally:
        _counting.reset(token)


def note_retries(times: int = 1) -> None:
    """Something was sent again."""
    if retries := _counting.get():
        retries.count += times


def note_sent() -> None:
    """Something is sent; again, if the last failed."""
    if (retries := _counting.get()) and retries.failed:
        retries.count += 1
        retries.failed = False


def note_failed() -> None:
    """What was sent got no answer, or one that it may be sent again after."""
    if retries := _counting.get():
        retries.failed = True
