"""Walking from the inside out, one hop after the other, up to the first that is broken. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What became of one hop."""

    OK = "ok"
    BROKEN = "broken"
    SKIPPED = "skipped"
    """It does not apply here."""
    NOT_TRIED = "not tried"
    """It stands behind the broken one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at one hop found; ``fix`` says what to do where it is not ``well``."""

    well: bool
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One hop to look at. With ``skip``, the reason why it does not apply, it is not looked at."""

    name: str
    where: str
    look: Callable[[], Seen]
    skip: str = ""


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop and its outcome."""

    name: str
    where: str
    outcome: Outcome
    text: str
    fix: str = ""


def walk(steps: Iterable[Step]) -> list[Hop]:
    """Look at each hop in order; behind the first broken one no more is tried, since its answer would mean nothing."""
    hops: list[Hop] = []
    broken = ""
    for step in steps:
        if step.skip:
            hops.append(Hop(step.name, step.where, Outcome.SKIPPED, step.skip))
        elif broken:
            hops.append(Hop(step.name, step.where, Outcome.NOT_TRIED, f"behind {broken}"))
        else:
            seen = step.look()
            broken = "" if seen.well else step.name
            hops.append(Hop(step.name, step.where, Outcome.OK if seen.well else Outcome.BROKEN, seen.text, seen.fix))
    return hops


def first_broken(hops: Iterable[Hop]) -> Hop | None:
    """The hop to mend."""
    return next((hop for hop in hops if hop.outcome is Outcome.BROKEN), None)
