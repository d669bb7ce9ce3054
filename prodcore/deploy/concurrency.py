"""The same step for several things at the same time."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

_AT_ONCE = 16


def each(step: Callable[[T], None], things: Iterable[T]) -> None:
    """Do it for all of these; when all have ended, raise the first failure."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = [pool.submit(contextvars.copy_context().run, step, thing) for thing in things]
        wait(running)
        for one in running:
            one.result()
