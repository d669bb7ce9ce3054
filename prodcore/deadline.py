"""One deadline for all the steps of a request.

The door opens a budget, everything below asks how much is left. Work handed to another thread takes the budget along
(``run_parallel``, or ``contextvars.copy_context()``).

>>> with budget(2.0):
...     with budget(60.0):  # an inner budget never prolongs the outer one
...         remaining() <= 2.0
True
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import ContextVar, copy_context
from typing import TypeVar

T = TypeVar("T")

DEFAULT_BUDGET_SECONDS = 15.0

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class budget:  # noqa: N801  it is used as a function is
    """Give everything inside the block ``seconds`` altogether, or less where an outer budget ends earlier."""

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        ends, outer = time.monotonic() + self._seconds, _deadline.get()
        self._token = _deadline.set(ends if outer is None else min(outer, ends))

    def __exit__(self, *_error: object) -> None:
        _deadline.reset(self._token)


def remaining() -> float:
    """Seconds left, at least 0; the default budget where nobody has opened one."""
    ends = _deadline.get()
    return DEFAULT_BUDGET_SECONDS if ends is None else max(0.0, ends - time.monotonic())


_AT_ONCE = 16


def run_parallel(step: Callable[[T], None], things: Iterable[T]) -> None:
    """Do it for all of these, sixteen at a time; when all have ended, raise the first failure.

    What is alone needs no thread of its own.
    """
    things = list(things)
    if len(things) == 1:
        step(things[0])
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = [pool.submit(copy_context().run, step, thing) for thing in things]
        wait(running)
        for one in running:
            one.result()
