"""One line of the doctor's page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it stands with one thing."""

    OK = "ok"
    NOTE = "note"
    """To be known, not to be mended: what the chosen layout does not survive."""
    WARNING = "warning"
    """A risk that one may live with for a while."""
    PROBLEM = "problem"
    """To be mended; the doctor's exit status tells of these alone."""
    SKIPPED = "skipped"
    """It does not apply, or cannot be seen from here; the text says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    group: str
    subject: str
    state: State
    text: str
    fix: str = ""


def count(checks: Iterable[Check], state: State) -> int:
    """How many are in this state."""
    return sum(c.state is state for c in checks)
