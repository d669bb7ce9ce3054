"""How far a long piece of work is: a bar on a terminal, a line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prodctl.terminal.output import message

_SECONDS_BETWEEN_LINES = 5.0

Tell = Callable[[int], None]
"""Told how many rows are done so far."""


@contextmanager
def row_progress(position: Callable[[], int], total: int | None) -> Iterator[Tell]:
    """Show rows as they get done. ``position`` out of ``total`` says how far the input is read; None: no end known."""
    if sys.stderr.isatty():
        with _bar(position, total) as tell:
            yield tell
    else:
        yield _lines(position, total)


@contextmanager
def _bar(position: Callable[[], int], total: int | None) -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    shown = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*shown, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("import", total=total, rows=0, rate=0)

        def tell(rows: int) -> None:
            rate = rows / max(time.monotonic() - started, 0.001)
            progress.update(task, completed=position(), rows=rows, rate=rate)

        yield tell


def _lines(position: Callable[[], int], total: int | None) -> Tell:
    started = told = time.monotonic()

    def tell(rows: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _SECONDS_BETWEEN_LINES:
            told = now
            share = f"{position() / total:.0%}, " if total else ""
            message(f"{share}{rows:,} rows, {rows / (now - started):,.0f} a second")

    return tell
