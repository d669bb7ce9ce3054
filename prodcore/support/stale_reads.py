"""Reading what is left of a replica set that has lost its majority, and saying so.

Such a set has no primary, and its members cannot tell whether they have the last of what was acknowledged. Who shows
products to people or programs may want them all the same, and says that they may be out of date; who will write must
not, so nobody gets them unasked. Work handed to another thread takes the permission along, as it does the deadline.

>>> with stale_reads() as stale:
...     note_stale("rsB")
>>> stale
{'rsB'}
>>> note_stale("rsB")  # nobody asked
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_stale: ContextVar[set[str] | None] = ContextVar("stale", default=None)


@contextmanager
def stale_reads() -> Iterator[set[str]]:
    """Be content inside the block with what may be out of date; the names of the sets that were read so."""
    sets: set[str] = set()
    with _content_with(sets):
        yield sets


@contextmanager
def fresh_reads() -> Iterator[None]:
    """Take nothing inside the block that may be out of date, whatever is allowed around it."""
    with _content_with(None):
        yield


@contextmanager
def _content_with(sets: set[str] | None) -> Iterator[None]:
    token = _stale.set(sets)
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
