"""What a drill tells while it runs. The core emits; the door shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Step(StrEnum):
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
    JUDGE = "judge"
    CLEANUP = "cleanup"


@dataclass(frozen=True, slots=True)
class Progress:
    """One step taken."""

    step: Step
    text: str
    set_name: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]
