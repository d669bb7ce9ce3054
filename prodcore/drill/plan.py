"""What a drill is asked to do, what it must not exceed, and the steps that it reports while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

from prodcore.drill.faults import Fault

TARGET_PRIMARY = "primary"
TARGET_RANDOM = "random"


@dataclass(frozen=True, slots=True)
class DrillLimits:
    """What a drill may cost at most; None means no limit. Seconds."""

    max_write_gap: float | None = None
    max_read_gap: float | None = None
    max_p99: float | None = None
    max_failed: int | None = None
    max_lost: int = 0

    def given(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """One drill: the sets, the fault, the load, the limits."""

    sets: tuple[str, ...]
    fault: Fault = Fault.KILL
    target: str = TARGET_PRIMARY
    """``primary``, ``random``, or a member's address."""
    rounds: int = 1
    writes_per_second: float = 50.0
    """Of each set, over all its writers; as many reads come with them."""
    writers: int = 4
    baseline_seconds: float = 2.0
    """How long the load runs before the first fault, and after each recovery."""
    recovery_seconds: float = 60.0
    """How long each wait (new primary, old member back, caught up) may take."""
    limits: DrillLimits = DrillLimits()
    via: str = "driver"
    compare_guard: bool = False
    """Do each round once more with the guards disabled."""

    @property
    def interval(self) -> float:
        """Seconds between two requests of one writer."""
        return self.writers / (2 * self.writes_per_second)

    def judged(self, shards: frozenset[str]) -> frozenset[str]:
        """The sets in which a record of this drill could be: products can move to any of the ``shards``."""
        drilled = frozenset(self.sets)
        return drilled if shards.isdisjoint(drilled) else drilled | shards

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON shows it."""
        return {**asdict(self), "sets": list(self.sets), "fault": self.fault.value, "limits": self.limits.given()}


class DrillStep(StrEnum):
    """The steps of a drill."""

    PREFLIGHT = "preflight"
    RESTORED = "restored"
    """An earlier drill's damage was put back."""
    LOAD = "load"
    FAULT = "fault"
    DETECTED = "detected"
    ELECTION = "election"
    NEW_PRIMARY = "new primary"
    FIRST_WRITE = "first acknowledged write"
    FIRST_READ = "first answered read"
    RESTORE = "restore"
    BACK = "old member back"
    CAUGHT_UP = "caught up"
    OVER = "round complete"
    JUDGE = "judge"
    CLEANUP = "cleanup"


@dataclass(frozen=True, slots=True)
class Progress:
    """One step taken."""

    step: DrillStep
    text: str
    set_name: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]
