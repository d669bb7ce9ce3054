"""What is noted along a request: which sets were read that may be out of date, and how often something was sent again.

A replica set that has lost its majority has no primary, and its members cannot tell whether they have the last of what
was acknowledged. Who shows products to people or programs may want them all the same, and says that they may be out of
date; who will write must not, so nobody gets them unasked. Work handed to another thread takes the permission along, as
it does the deadline.

>>> with stale_reads() as stale:
...     note_stale("rsB")
>>> stale
{'rsB'}
>>> note_stale("rsB")  # nobody asked

Who wants to know how often a client sends a request again, before it knows how it ended, opens a count around it;
whoever sends something again says so.

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

_stale: ContextVar[set[str] | None] = ContextVar("stale", default=None)


class stale_reads:  # noqa: N801  it is used as a function is
    """Be content inside the block with what may be out of date; the names of the sets that were read so."""

    __slots__ = ("_token",)

    def __enter__(self) -> set[str]:
        sets: set[str] = set()
        self._token = _stale.set(sets)
        return sets

    def __exit__(self, *_error: object) -> None:
        _stale.reset(self._token)


@contextmanager
def fresh_reads() -> Iterator[None]:
    """Take nothing inside the block that may be out of date, whatever is allowed around it."""
    token = _stale.set(None)
    try:
        yield
    finally:
        _stale.reset(token)


def may_be_stale() -> bool:
    """Whether whoever asks is content with that."""
    return _stale.get() is not None


def stale_sets() -> list[str]:
    """The sets that were read without their majority, by whoever is content with that."""
    return sorted(_stale.get() or ())


def note_stale(name: str) -> None:
    """A set was read without its majority."""
    if (sets := _stale.get()) is not None:
        sets.add(name)


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
