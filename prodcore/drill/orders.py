"""Drills that one process orders and another carries out: the order, how it goes, and the drill runner.

A door that may not break anything itself (the dashboard) writes an order. The drill runner, a process of its own and
the only one that needs to control the members and an operator's access, takes one order at a time and reports how it
goes. What is read back is checked again: an order is input, wherever it comes from.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from prodcore.deadline import budget
from prodcore.drill.faults import ORDERABLE, Fault
from prodcore.drill.plan import TARGET_PRIMARY, TARGET_RANDOM, DrillLimits, DrillPlan
from prodcore.drill.report import LiveDrill, RunStep
from prodcore.errors import InvalidInput, Problem, ProdError

T = TypeVar("T")

TARGETS = (TARGET_PRIMARY, TARGET_RANDOM)
MOST_ROUNDS = 20
MOST_WRITES_PER_SECOND = 200.0
LONGEST_LIMIT_SECONDS = 600.0
MOST_FAILED = 1_000_000
ORDER_GOOD_SECONDS = 60.0
"""An order that nobody took for so long is refused: whoever gave it has gone."""

_LOOK_SECONDS = 1.0
_TELL_SECONDS = 0.5
_SIGN_SECONDS = 4.0
"""A heartbeat is a write on a majority of the members: one for each look would be the most that an idle set does."""
_WRITE_SECONDS = 3.0
_LAST_WRITE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class DrillOrder:
    """What somebody wants to be drilled."""

    id: str
    by: str
    at: datetime
    plan: DrillPlan


class RunState(StrEnum):
    """How far an order is."""

    WAITING = "waiting"
    """Nobody has taken it yet."""
    RUNNING = "running"
    DONE = "done"
    """There is a report."""
    REFUSED = "refused"
    """It did not begin; nothing was touched."""
    BROKEN_OFF = "broken off"
    """It began and did not end by itself; what it broke is put back."""


@dataclass(frozen=True, slots=True)
class DrillRun:
    """What became of an order."""

    order: DrillOrder
    state: RunState = RunState.WAITING
    run: str = ""
    """The drill's id, under which its report is kept."""
    outcome: str = ""
    reason: str = ""
    """Why it was refused or broken off."""
    seconds: float = 0.0
    steps: tuple[RunStep, ...] = ()
    series: tuple[Mapping[str, Any], ...] = ()
    """Load over time, a set each, as in a report."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What is known so far, under the names that the report has for it."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in (RunState.WAITING, RunState.RUNNING)

    def is_at_work(self, now: datetime) -> bool:
        """Whether another drill has to wait for it. An order that nobody took in time holds up nobody."""
        fresh = now - self.order.at < timedelta(seconds=ORDER_GOOD_SECONDS)
        return self.state is RunState.RUNNING or (self.state is RunState.WAITING and fresh)


@dataclass(frozen=True, slots=True)
class RunnerSign:
    """A drill runner that has had a heartbeat lately."""

    name: str
    members: tuple[str, ...] = field(default=())
    """The members that it can break and put back."""


def read_plan(values: Mapping[str, Any], known_sets: Sequence[str]) -> DrillPlan:
    """The plan that these values describe, as ``DrillPlan.as_dict`` writes them; what is missing has its default.

    Raises InvalidInput with every field that is out of bounds.
    """
    problems: list[Problem] = []

    def read(name: str, parse: Callable[[Any], T | None], otherwise: T, code: str, reason: str) -> T:
        if values.get(name) in (None, ""):
            return otherwise
        found = parse(values[name])
        if found is None:
            problems.append(Problem(name, code, reason))
        return otherwise if found is None else found

    sets = tuple(dict.fromkeys(str(name) for name in values.get("sets") or ()))
    if not sets or not set(sets) <= set(known_sets):
        problems.append(Problem("sets", "unknown", f"must be some of {', '.join(known_sets)}"))
    plan = DrillPlan(
        sets,
        read("fault", _one_of(ORDERABLE), Fault.KILL, "unknown", f"must be one of {', '.join(ORDERABLE)}"),
        target=read("target", _one_of(TARGETS), TARGET_PRIMARY, "unknown", f"must be one of {', '.join(TARGETS)}"),
        rounds=read("rounds", _whole(1, MOST_ROUNDS), 1, "out_of_range", f"must be 1 to {MOST_ROUNDS}"),
        writes_per_second=read(
            "writes_per_second",
            _number(1, MOST_WRITES_PER_SECOND),
            50.0,
            "out_of_range",
            f"must be 1 to {MOST_WRITES_PER_SECOND:g}",
        ),
        limits=_read_limits(values.get("limits") or {}, problems),
    )
    if problems:
        raise InvalidInput(problems=problems)
    return plan


def _read_limits(values: Mapping[str, Any], problems: list[Problem]) -> DrillLimits:
    found: dict[str, Any] = {}
    for name in ("max_write_gap", "max_read_gap", "max_p99", "max_failed"):
        if values.get(name) in (None, ""):
            continue
        most = MOST_FAILED if name == "max_failed" else LONGEST_LIMIT_SECONDS
        parse: Callable[[Any], Any] = _whole(0, MOST_FAILED) if name == "max_failed" else _number(0, most)
        found[name] = parse(values[name])
        if found[name] is None:
            problems.append(Problem(name, "out_of_range", f"must be 0 to {most:g}"))
    return DrillLimits(**found)


def _one_of(known: Sequence[T]) -> Callable[[Any], T | None]:
    return lambda value: next((k for k in known if k == value), None)


def _number(least: float, most: float) -> Callable[[Any], float | None]:
    def parse(value: Any) -> float | None:
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None
        return number if least <= number <= most else None

    return parse


def _whole(least: int, most: int) -> Callable[[Any], int | None]:
    def parse(value: Any) -> int | None:
        number = _number(least, most)(value)
        return int(number) if number is not None and number.is_integer() else None

    return parse


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
        """Store a heartbeat."""


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
                    self._board.break_off_running("the drill runner was interrupted; what it had stopped was restored")
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
                self._refuse(waiting, "no active drill runner took the order in time")
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
                        self._refuse(other, f"another drill is running, ordered by {order.by}")
                if not asked and self._board.is_to_stop(order.id):
                    asked = True
                    self._interrupt()
            over.wait(_TELL_SECONDS)

    def _refuse(self, order: DrillOrder, reason: str) -> None:
        self._board.publish(DrillRun(order, RunState.REFUSED, reason=reason))

    def _so_far(self, order: DrillOrder, live: LiveDrill, **how: Any) -> DrillRun:
        return DrillRun(order, **live.so_far(order.plan.sets), **how)
