"""What the guard needs of one replica set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the guard last heard of one member; monotonic seconds."""

    role: str
    """PRIMARY, SECONDARY, OTHER; Unknown after a failed heartbeat."""
    answered: float
    """When it last answered; 0 for never."""
    term_order: Any = None
    """The election id of a primary: the greatest is the newest."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a member says when it is asked directly, now."""

    address: str
    is_primary: bool
    is_secondary: bool
    last_write: tuple[int, int, int]
    """Term, seconds and increment of its newest oplog entry: the greatest is the freshest."""
    electable: bool
    sync_source: str
    heard_primary_seconds: float | None
    """How long ago it had a heartbeat from or to the member it was asked about; None when it cannot say."""


class GuardedSet(Protocol):
    """One set, watched and asked. Calls raise MemberUnavailable or CommandRefused, and end within seconds."""

    @property
    def name(self) -> str:
        """The set's name."""

    def members(self) -> Sequence[str]:
        """The members of the configuration that was last seen, in its order."""

    def majority(self) -> int:
        """How many votes make a majority; each member counts for one."""

    def pulses(self) -> Mapping[str, Pulse]:
        """What was last heard of every member."""

    def wait_for_change(self, seen: int, timeout_seconds: float) -> int:
        """Wait until a pulse changes its role, or the time is up; returns the count of changes so far."""

    def is_listening(self, member: str) -> bool:
        """Whether its process takes a connection: False only when it is refused."""

    def ask(self, member: str, about: str, timeout_seconds: float) -> Standing | None:
        """Ask it directly, also for when it last heard of ``about``; None when it gives no answer in time."""

    def step_up(self, member: str) -> None:
        """Ask it to stand for election."""

    def abort_catch_up(self, primary: str) -> None:
        """Make a newly elected primary take writes at once, instead of waiting to hear from every member."""

    def follow(self, member: str, source: str) -> None:
        """Make it copy from ``source``."""

    def write_notes(self, primary: str, count: int) -> None:
        """Write that many entries that change nothing to the oplog."""

    def refresh_config(self, member: str, timeout_seconds: float) -> None:
        """Ask a member who may vote and who may become primary; what is known stays when it gives no answer."""

    def is_switched_off(self) -> bool:
        """Whether an operator has switched guards off for now."""
