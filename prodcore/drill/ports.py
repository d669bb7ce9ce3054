"""What a drill needs from outside: a way to write, a view of the set, a hand on its members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from prodcore.drill.ledger import State
from prodcore.drill.verdict import Found
from prodcore.replicaset.status import SetStatus


@dataclass(slots=True)
class Record:
    """A record of the drill's own, as its one writer knows it."""

    id: UUID
    state: State


@dataclass(frozen=True, slots=True)
class Place:
    """Names that belong to one set and to one drill."""

    set_name: str
    prefix: str

    def name(self, number: int) -> str:
        """The name of record ``number``; it holds the drill's id as a word."""
        return f"{self.prefix} {number:06}"


class Traffic(Protocol):
    """Requests to one set, as a client makes them. Safe to use from many threads.

    Every request ends within a budget. Raises Unavailable when nothing happened, OutcomeUnknown when it may have.
    """

    @property
    def home(self) -> Place:
        """Names of this set."""

    @property
    def elsewhere(self) -> Place | None:
        """Names of another set, to which a record goes when it is renamed; None where there is none."""

    def create(self, record: Record) -> None:
        """Store a new record."""

    def write(self, record: Record, state: State) -> int:
        """Store another state (edit or rename) over the one it has; returns the version that was acknowledged."""

    def delete(self, record: Record) -> None:
        """Remove it."""

    def read(self, record: Record) -> None:
        """Read it."""

    def close(self) -> None:
        """Let go of the connections."""


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


@dataclass(frozen=True, slots=True)
class Election:
    """The last election, from the winner's own record; times are of the wall clock, in seconds."""

    term: int
    reason: str
    started_at: float


class Guards(Protocol):
    """The guards that make failovers short, all of them together."""

    def on_duty(self) -> bool:
        """Whether any is at work."""

    def wait_ready(self, sets: Sequence[str], seconds: float) -> None:
        """Give them some time to find a successor for each of these sets, as they have had it in daily life."""

    def send_away(self, seconds: float) -> None:
        """Take them off duty, for so long at most. Raises Unavailable when one does not hear of it."""

    def call_back(self) -> None:
        """Put them back on duty."""


class SetAccess(Protocol):
    """One set, its members asked directly."""

    @property
    def name(self) -> str:
        """The set's name."""

    def inspect(self) -> SetStatus:
        """What the members say."""

    def watch(self) -> SetWatch:
        """Start to watch."""

    def last_election(self, primary: str) -> Election | None:
        """How this primary came to be it."""

    def step_down(self, primary: str) -> None:
        """Make the primary hand over. Raises CommandRefused."""

    def follow(self, member: str, source: str) -> None:
        """Make a secondary copy from ``source``. Raises CommandRefused."""

    def allow_election(self, member: str) -> None:
        """Let a member that stepped down stand again."""

    def wait_caught_up(self, deadline: float) -> Any:
        """Wait until every member holds all that was written before now. Raises Unavailable at the deadline."""

    def read_everywhere(self, run: str, members: Sequence[str], deadline: float) -> dict[str, list[Found]]:
        """A drill's records in a majority read of every member, once each has caught up. Raises Unavailable."""

    def imports_at_work(self) -> list[str]:
        """Imports of products that go on at this moment, a few words each."""

    def remove_records(self, run: str) -> int:
        """Remove a drill's records with a majority write; returns how many there were."""
