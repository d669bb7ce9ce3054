"""The drill runner: a process of its own that carries out what is ordered, one drill at a time, and tells how it goes.

It is the only one that needs a hand on the members and an operator's access; who orders needs neither.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from prodcore.deadline import budget
from prodcore.drill.live import LiveDrill
from prodcore.drill.order import ORDER_GOOD_SECONDS, DrillOrder, DrillRun, RunnerSign, RunState
from prodcore.errors import ProdError

_LOOK_SECONDS = 0.5
_SIGN_SECONDS = 2.0
"""A sign of life is a write on a majority of the members: one for each look would be the most that an idle set does."""
_WRITE_SECONDS = 3.0
_LAST_WRITE_SECONDS = 60.0

Perform = Callable[[DrillOrder, LiveDrill], dict[str, Any]]
"""Carries out a drill, keeps its report and returns it. Raises ProdError when it did not begin."""


class DrillBoard(Protocol):
    """Where orders are given, and where what becomes of them is written. Calls raise Unavailable."""

    def waiting(self) -> list[DrillOrder | DrillRun]:
        """Orders that nobody has answered, the oldest first; as a refused run where the order cannot be read."""

    def is_to_stop(self, order_id: str) -> bool:
        """Whether somebody wants this drill to end now."""

    def publish(self, run: DrillRun) -> None:
        """Write what became of an order so far."""

    def break_off_running(self, reason: str) -> None:
        """Note that drills which still count as running are not: their runner has died."""

    def sign(self, runner: RunnerSign) -> None:
        """Give a sign of life."""


class DrillRunner:
    """Looks for orders until it is told to stop. ``interrupt`` ends the drill that ``perform`` is busy with."""

    def __init__(self, board: DrillBoard, sign: RunnerSign, perform: Perform, interrupt: Callable[[], None]) -> None:
        self._board = board
        self._sign = sign
        self._perform = perform
        self._interrupt = interrupt
        self._told = False
        """Whether what an earlier runner left as running has been told to be over."""
        self._next_sign = 0.0

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``. While the board is silent nothing is taken."""
        while not stop.is_set():
            order = None
            with suppress(ProdError), budget(_WRITE_SECONDS):
                if not self._told:
                    self._board.break_off_running("the drill runner was cut off; what it had broken is put back")
                    self._told = True
                self._give_sign()
                order = self._next()
            if order:
                self._carry_out(order)
            stop.wait(_LOOK_SECONDS)

    def _give_sign(self) -> None:
        if time.monotonic() >= self._next_sign:
            self._board.sign(self._sign)
            self._next_sign = time.monotonic() + _SIGN_SECONDS

    def _next(self) -> DrillOrder | None:
        """The oldest order that is still good; what is too old or cannot be read is refused."""
        for waiting in self._board.waiting():
            if isinstance(waiting, DrillRun):
                self._board.publish(waiting)
            elif datetime.now(UTC) - waiting.at > timedelta(seconds=ORDER_GOOD_SECONDS):
                self._refuse(waiting, "nobody took the order in time: no drill runner was on duty")
            else:
                return waiting
        return None

    def _carry_out(self, order: DrillOrder) -> None:
        live, over = LiveDrill(), threading.Event()
        teller = threading.Thread(target=self._tell, args=(order, live, over), name="drill-teller", daemon=True)
        teller.start()
        try:
            end = self._end_of(order, live)
        finally:
            over.set()
            teller.join()
        try:
            with budget(_LAST_WRITE_SECONDS):
                self._board.publish(self._so_far(order, live, **end))
        except ProdError:
            self._told = False

    def _end_of(self, order: DrillOrder, live: LiveDrill) -> dict[str, Any]:
        """Carry it out; how it ended."""
        try:
            report = self._perform(order, live)
        except KeyboardInterrupt:
            return {"state": RunState.BROKEN_OFF, "reason": "it was stopped"}
        except ProdError as error:
            began = bool(live.ledger.attempts_after(0))
            return {"state": RunState.BROKEN_OFF if began else RunState.REFUSED, "reason": error.message}
        return {"state": RunState.DONE, "run": report["run"], "outcome": report["outcome"]}

    def _tell(self, order: DrillOrder, live: LiveDrill, over: threading.Event) -> None:
        """While the drill runs: how it goes; that no second one begins; whether somebody wants it to end."""
        asked = False
        while not over.is_set():
            with suppress(ProdError), budget(_WRITE_SECONDS):
                self._board.publish(self._so_far(order, live, state=RunState.RUNNING))
                self._give_sign()
                for other in self._board.waiting():
                    if isinstance(other, DrillOrder) and other.id != order.id:
                        self._refuse(other, f"another drill is at work, ordered by {order.by}")
                if not asked and self._board.is_to_stop(order.id):
                    asked = True
                    self._interrupt()
            over.wait(_LOOK_SECONDS)

    def _refuse(self, order: DrillOrder, reason: str) -> None:
        self._board.publish(DrillRun(order, RunState.REFUSED, reason=reason))

    def _so_far(self, order: DrillOrder, live: LiveDrill, **how: Any) -> DrillRun:
        return DrillRun(order, seconds=live.seconds, steps=live.steps(), series=live.series(), **how)
