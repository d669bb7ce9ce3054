"""Drills that somebody orders and somebody else carries out: what is ordered, and what became of it.

Pure. A door that may not break anything itself (the dashboard) writes an order; the drill runner, which may, takes it
and tells how it goes. What is read back is checked again: an order is input, wherever it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from prodcore.drill.plan import TARGET_PRIMARY, TARGET_RANDOM, DrillPlan, Fault, Limits
from prodcore.errors import InvalidInput, Problem

T = TypeVar("T")

ORDERABLE = (Fault.KILL, Fault.STOP, Fault.STEPDOWN, Fault.PAUSE)
TARGETS = (TARGET_PRIMARY, TARGET_RANDOM)
MOST_ROUNDS = 20
MOST_WRITES_PER_SECOND = 200.0
LONGEST_LIMIT_SECONDS = 600.0
MOST_FAILED = 1_000_000
ORDER_GOOD_SECONDS = 60.0
"""An order that nobody took for so long is refused: whoever gave it has gone."""


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
class RunStep:
    """A step of a drill that runs; ``at`` in seconds from its begin, ``since_fault`` from the fault of its round."""

    at: float
    set_name: str
    step: str
    text: str
    since_fault: float | None = None

    @property
    def member(self) -> str:
        """The member that the step is about; empty for the others."""
        last = self.text.rpartition(" ")[2]
        return last if self.set_name and ":" in last else ""


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
    """A drill runner that gave a sign of life lately."""

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


def _read_limits(values: Mapping[str, Any], problems: list[Problem]) -> Limits:
    found: dict[str, Any] = {}
    for name in ("max_write_gap", "max_read_gap", "max_p99", "max_failed"):
        if values.get(name) in (None, ""):
            continue
        most = MOST_FAILED if name == "max_failed" else LONGEST_LIMIT_SECONDS
        parse: Callable[[Any], Any] = _whole(0, MOST_FAILED) if name == "max_failed" else _number(0, most)
        found[name] = parse(values[name])
        if found[name] is None:
            problems.append(Problem(name, "out_of_range", f"must be 0 to {most:g}"))
    return Limits(**found)


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
