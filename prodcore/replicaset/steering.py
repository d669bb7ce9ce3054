"""Steering the members of a set: which member each copies from, who is primary; and what that needs from outside.

A switchover and the guard both do it, and each must know that the other does: two secondaries that are told to copy
from each other copy from nobody, and no write has its majority meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prodcore.replicaset.status import SetStatus

_NOTES = 30


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the driver published of a set at one moment (monotonic seconds)."""

    at: float
    primary: str
    """Empty while there is none."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """By member; ``Unknown`` for one that does not answer."""


class SetWatch(Protocol):
    """The driver's own events about one set; nothing is polled."""

    def sightings(self, since: float = 0.0) -> Sequence[Sighting]:
        """What was seen from ``since`` on, in order; the last one before it stands first."""

    def wait_for_new_primary(self, old: str, since: float, deadline: float) -> Sighting | None:
        """The first sighting after ``since`` of a primary that is not ``old``; None at the deadline."""

    def wait_for_role(self, member: str, roles: Sequence[str], since: float, deadline: float) -> Sighting | None:
        """The first sighting after ``since`` of the member in one of these roles; None at the deadline."""

    def abort(self) -> None:
        """End every wait, now and from now on, as if its deadline had come."""

    def close(self) -> None:
        """Stop watching."""


class Guards(Protocol):
    """The guards that make failovers short, all of them together."""

    def any_active(self) -> bool:
        """Whether any is at work."""

    def wait_ready(self, sets: Sequence[str], seconds: float) -> None:
        """Give them some time to find a successor for each of these sets, as they have had it in daily life."""

    def disable(self, seconds: float) -> None:
        """Have them do nothing, for so long at most. Raises Unavailable when one does not hear of it."""

    def enable(self) -> None:
        """Let them work again."""


class SyncSources(Protocol):
    """What changing a member's sync source takes."""

    def follow(self, member: str, source: str) -> None:
        """Make a secondary copy from ``source``. Raises CommandRefused."""

    def write_notes(self, primary: str, count: int) -> None:
        """Write that many entries that change nothing to the oplog, one right after the other."""

    def sync_source(self, member: str) -> str:
        """Which member it copies from; empty when from none, or when it gives no answer."""


class Steerable(SyncSources, Protocol):
    """One set, its members asked directly."""

    @property
    def name(self) -> str:
        """The set's name."""

    def inspect(self) -> SetStatus:
        """What the members report."""

    def watch(self) -> SetWatch:
        """Start to watch."""

    def step_down(self, primary: str) -> None:
        """Make the primary hand over. Raises CommandRefused."""

    def step_up(self, member: str) -> None:
        """Make a secondary run for election. Raises CommandRefused."""

    def allow_election(self, member: str) -> None:
        """Let a member that stepped down run again."""

    def wait_caught_up(self, deadline: float) -> object:
        """Wait until every member holds all that was written before now. Raises Unavailable at the deadline."""

    def remove_records(self, run: str) -> int:
        """Remove a drill's or a switchover's records with a majority write; returns how many there were."""


def change_sync_source(
    sources: SyncSources,
    member: str,
    source: str,
    primary: str,
    ends: float,
    goes_on: Callable[[], bool] = lambda: True,
) -> bool:
    """Make ``member`` copy from ``source``; whether it does at ``ends`` (monotonic), or when it ``goes_on`` no more.

    It changes over only at a moment when its new source is ahead of it: it stops at the first new entry, and the
    further ones reach the source while it connects. An idle set has no entries, so some that mean nothing are
    written, for as long as it takes: what comes by way of another member comes late.
    """
    sources.follow(member, source)
    while time.monotonic() < ends and goes_on():
        sources.write_notes(primary, _NOTES)
        if sources.sync_source(member) == source:
            return True
    return False
