"""``prodctl failover-test serve``: the drill runner, which carries out what operators order in the browser."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prodctl.terminal.drill_keep import keep
from prodctl.terminal.drill_view import show_progress
from prodctl.terminal.output import visible

if TYPE_CHECKING:
    from prodcore.drill.queue import DrillOrder, LiveDrill
    from prodcore.processes.control import MemberControl
    from prodcore.settings import Settings


@click.command()
@click.option(
    "--dir", "directory", type=click.Path(file_okay=False, path_type=Path), help="Where the local cluster lives."
)
def serve(directory: Path | None) -> None:
    """Carry out the drills that operators order in the browser.

    Runs until it is stopped, on the machine that controls the members; "local up" starts it. It needs an operator's
    access, so that webapp needs none: orders and progress go through the users' set. One drill at a time. When it is
    stopped during a drill, it puts everything back first.

    \b
    Examples:
      prodctl failover-test serve
    """
    from prodcore.app.wiring import member_control, open_board
    from prodcore.drill.queue import DrillRunner, RunnerSign

    settings = _settings(directory)
    control = member_control(settings, directory)
    interrupts = _Interrupts()
    _restore(settings, control)
    with open_board(settings) as board:
        board.prepare()
        sign = RunnerSign(f"{socket.gethostname()}:{os.getpid()}", control.addresses())
        _log("Waiting for orders; stop with Ctrl-C.")
        runner = DrillRunner(board, sign, _performer(settings, control, interrupts), interrupts.ask)
        runner.run(interrupts.stop)


class _Interrupts:
    """A signal ends the drill at work, once; it then puts everything back. SIGTERM and SIGINT end the runner, too."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._busy = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        signal.signal(signal.SIGUSR1, self._interrupt)

    def ask(self) -> None:
        """End the drill that is at work, from any thread."""
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    @contextmanager
    def possible(self) -> Iterator[None]:
        """Inside the block, in the main thread, a signal raises KeyboardInterrupt."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _end(self, number: int, frame: object) -> None:
        self.stop.set()
        self._interrupt(number, frame)

    def _interrupt(self, _number: int, _frame: object) -> None:
        if self._busy:
            self._busy = False
            _log("Interrupted: putting everything back …")
            raise KeyboardInterrupt


def _settings(directory: Path | None) -> Settings:
    """The settings; a cluster that is not where this user's own one lives keeps the drills' journal with its data."""
    from prodcore.local.cluster import default_directory
    from prodcore.settings import load_settings

    settings = load_settings()
    elsewhere = directory is not None and directory != default_directory(settings)
    return settings.changed(state_dir=directory) if elsewhere else settings


def _performer(settings: Settings, control: MemberControl, interrupts: _Interrupts) -> Any:
    from prodcore.app.drills import open_drill
    from prodcore.drill.engine import run_drill

    def perform(order: DrillOrder, live: LiveDrill) -> dict[str, Any]:
        _log(f"{order.by} orders a drill: {order.plan.fault} of {order.plan.target} in {', '.join(order.plan.sets)}")
        with open_drill(settings, control) as parts, interrupts.possible():
            report = run_drill(order.plan, parts, live.note, live.ledger).as_dict()
        report["by"] = order.by
        keep(settings, report)
        return report

    return perform


def _restore(settings: Settings, control: MemberControl) -> None:
    """Put back what a killed runner has left. Where that fails, the next drill tries again before it begins."""
    from prodcore.app.drills import open_drill
    from prodcore.drill.engine import restore_leftovers
    from prodcore.errors import ProdError

    try:
        with open_drill(settings, control) as parts:
            if parts.journal.unfinished():
                with parts.journal.lock():
                    restore_leftovers(parts.journal, parts.control, parts.sets, show_progress)
    except ProdError as error:
        _log(f"Not everything could be put back: {error.message}")


def _log(text: str) -> None:
    """A line on stderr; the runner goes on when nobody reads it."""
    from prodcore.support.log_output import LogOutput

    LogOutput(sys.stderr).line(visible(text))
