"""A replica set in this process, as the guard sees one: its members elect at once when they are asked.

What it may do is what the suite in ``tests/contracts`` proves of it and of a set of ``mongod`` alike.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from prodcore.errors import CommandRefused, MemberUnavailable
from prodcore.guard.decision import Pulse, Standing

LONG_AGO_SECONDS = 60.0


class MemoryGuardedSet:
    """A ``GuardedSet``. The first member is the primary; each has a vote."""

    name = "rsM"

    def __init__(self, *members: str) -> None:
        self._members = members
        self._claims = {members[0]: 1}
        """Who takes itself for primary, and in which term."""
        self._gone: set[str] = set()
        self._hung: dict[str, float] = {}
        """Since when, in monotonic seconds."""
        self._sources = dict.fromkeys(members[1:], members[0])
        self._notes = 0
        self._changes = 0
        self.behind: set[str] = set()
        """Members that get no writes."""
        self.hearing: set[str] = set()
        """Members that hear of one that nobody else hears of."""
        self.switched_off = False

    def kill(self, member: str) -> None:
        """End its process."""
        self._gone.add(member)
        self._changes += 1

    def pause(self, member: str) -> None:
        """Let it hang, and have done so for long."""
        self._hung[member] = time.monotonic() - LONG_AGO_SECONDS

    def start(self, member: str) -> None:
        """Let it run again; a former primary hears of the new one at once."""
        self._gone.discard(member)
        self._hung.pop(member, None)
        if self._claims.get(member, 0) < self._term:
            self._claims.pop(member, None)
            self._sources.setdefault(member, self._primary)
        self._changes += 1

    def members(self) -> Sequence[str]:
        return self._members

    def majority(self) -> int:
        return len(self._members) // 2 + 1

    def pulses(self) -> Mapping[str, Pulse]:
        return {member: self._pulse(member) for member in self._members}

    def wait_for_change(self, seen: int, timeout_seconds: float) -> int:
        return self._changes

    def is_listening(self, member: str) -> bool:
        return member not in self._gone

    def ask(self, member: str, about: str, timeout_seconds: float) -> Standing | None:
        if self._is_out(member):
            return None
        is_primary = member in self._claims
        return Standing(
            member,
            is_primary=is_primary,
            is_secondary=not is_primary,
            last_write=(self._term, 0 if member in self.behind else self._notes + 1, 0),
            electable=True,
            sync_source="" if is_primary else self._sources[member],
            heard_primary_seconds=LONG_AGO_SECONDS if self._is_out(about) and member not in self.hearing else 0.0,
        )

    def step_up(self, member: str) -> None:
        self._reach(member)
        alive = [m for m in self._members if not self._is_out(m)]
        if len(alive) < self.majority():
            raise CommandRefused(f"{member} got too few votes")
        self._claims = {m: term for m, term in self._claims.items() if m not in alive} | {member: self._term + 1}
        self._sources = {m: member for m in self._members if m not in self._claims}
        self._changes += 1

    def abort_catch_up(self, primary: str) -> None:
        self._reach(primary)
        raise CommandRefused(f"{primary} does not catch up")

    def follow(self, member: str, source: str) -> None:
        self._reach(member)
        if member in self._claims:
            raise CommandRefused(f"{member} is the primary")
        self._sources[member] = source

    def sync_source(self, member: str) -> str:
        standing = self.ask(member, member, 0.0)
        return standing.sync_source if standing else ""

    def write_notes(self, primary: str, count: int) -> None:
        self._reach(primary)
        self._notes += count

    def refresh_config(self, member: str, timeout_seconds: float) -> None:
        """Nothing changes here."""

    def is_switched_off(self) -> bool:
        return self.switched_off

    @property
    def _term(self) -> int:
        return max(self._claims.values())

    @property
    def _primary(self) -> str:
        return max(self._claims, key=lambda member: self._claims[member])

    def _is_out(self, member: str) -> bool:
        return member in self._gone or member in self._hung

    def _reach(self, member: str) -> None:
        if self._is_out(member):
            raise MemberUnavailable(f"{member} does not answer")

    def _pulse(self, member: str) -> Pulse:
        role = "PRIMARY" if member in self._claims else "SECONDARY"
        answered = self._hung.get(member, time.monotonic())
        if member in self._gone:
            return Pulse("Unknown", time.monotonic())
        return Pulse(role, answered, f"{self._claims[member]:06}" if member in self._claims else None)
