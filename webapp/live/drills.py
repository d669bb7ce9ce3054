"""Where this worker process orders drills and reads how they go; it carries none out and could not."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from flask import current_app

from prodcore.app.wiring import open_board, open_history
from prodcore.deadline import budget
from prodcore.drill.history import DrillHistory
from prodcore.drill.queue import DrillRun, RunnerSign
from prodcore.errors import Unavailable
from prodcore.settings import Settings
from webapp.live.watched import Watched

if TYPE_CHECKING:
    from prodcore.mongo.admin.drill_board import MongoDrillBoard

_EVERY_SECONDS = 0.5
_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class DeskState:
    """Who could carry out a drill, and the last one that was ordered."""

    runners: tuple[RunnerSign, ...] = ()
    latest: DrillRun | None = None
    is_old: bool = False
    """The users' set does not answer just now: this is what it said last."""

    @property
    def at_work(self) -> DrillRun | None:
        """The drill that another one would have to wait for."""
        latest = self.latest
        return latest if latest and latest.is_at_work(datetime.now(UTC)) else None

    @property
    def controlled(self) -> frozenset[str]:
        """The members that a runner can break and put back."""
        return frozenset(member for runner in self.runners for member in runner.members)


class DrillDesk:
    """The board and the history, opened when first needed, so after forking."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._resources = ExitStack()
        self._board: MongoDrillBoard | None = None
        self._history: DrillHistory | None = None
        self._last: DeskState | None = None
        self.state = Watched(self._look, _EVERY_SECONDS)

    def board(self) -> MongoDrillBoard:
        """Where drills are ordered. Its calls raise Unavailable."""
        with self._lock:
            if self._board is None:
                self._board = self._resources.enter_context(open_board(self._settings))
            return self._board

    def history(self) -> DrillHistory:
        """Drills that were. Its calls raise Unavailable."""
        with self._lock:
            if self._history is None:
                self._history = self._resources.enter_context(open_history(self._settings))
            return self._history

    def run(self, order_id: str) -> DrillRun | None:
        """What became of an order; None when there is none."""
        latest = self.state.get().latest
        return latest if latest and latest.order.id == order_id else self.board().get(order_id)

    def _look(self) -> DeskState:
        board = self.board()
        try:
            with budget(_LOOK_SECONDS):
                self._last = DeskState(tuple(board.runners()), board.latest())
        except Unavailable:
            if self._last is None:
                raise
            return replace(self._last, is_old=True)
        return self._last


def current_desk() -> DrillDesk:
    """The desk of the running app."""
    return cast("DrillDesk", current_app.extensions["drill_desk"])
