"""What the guard may do, as rules over what it sees. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any


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


@dataclass(frozen=True, slots=True)
class GuardRules:
    """The guard's settings; seconds."""

    silence_seconds: float = 1.5
    """A primary that has answered nobody for so long is taken for hung. More than the set's heartbeat interval."""
    cooldown_seconds: float = 5.0
    """After it has asked for an election it leaves the set alone for so long."""
    check_seconds: float = 2.0
    """How often it looks whether the successor is still followed."""
    fence_seconds: float | None = None
    """Stop the process of a former primary that stays silent for so long; None leaves it alone."""


def believed_primary(pulses: Mapping[str, Pulse]) -> str:
    """The member that last believed it was primary in the newest term; empty when nobody does."""
    claims = [(p.term_order, address) for address, p in pulses.items() if p.role == "PRIMARY"]
    return max(claims, key=lambda c: str(c[0]), default=(None, ""))[1]


def is_silent(pulse: Pulse, now: float, rules: GuardRules) -> bool:
    """Whether it has not answered for too long."""
    return now - pulse.answered > rules.silence_seconds


def may_elect(primary: str, standings: Sequence[Standing], majority: int, silence: float | None) -> str:
    """Why no election must be asked for; empty when it may.

    ``silence`` is the limit for witnesses when the primary is silent; None when its process is gone for certain.
    """
    if taken := next((s.address for s in standings if s.is_primary), ""):
        return f"{taken} is already primary"
    if len([s for s in standings if s.is_secondary]) < majority:
        return "no majority can be reached"
    if silence is not None:
        heard = [s for s in standings if s.heard_primary_seconds is None or s.heard_primary_seconds <= silence]
        if heard:
            return f"{heard[0].address} has learnt of {primary} meanwhile"
    return ""


def candidates(standings: Iterable[Standing], successor: str) -> list[str]:
    """Who should stand, best first: the freshest; of equals the successor, then in the set's order: guards agree."""
    able = [s for s in standings if s.is_secondary and s.electable]
    ordered = sorted(able, key=lambda s: s.address != successor)
    return [s.address for s in sorted(ordered, key=lambda s: s.last_write, reverse=True)]


def left_behind(standings: Sequence[Standing], reached: tuple[int, int, int]) -> frozenset[str]:
    """Who has not got so far as the primary was at the last look, a second or two ago."""
    return frozenset(s.address for s in standings if s.last_write < reached)


def choose_successor(standings: Sequence[Standing], behind: Set[str] = frozenset()) -> tuple[str, list[str]]:
    """Who is to be followed, and who does not follow it yet; nobody, and who has to follow the primary again.

    The first in the set's order: a primary that steps down hands over to the very same one when all have caught up.
    Nobody follows those who are left ``behind``: whoever does gets no more than they have, so that no write has its
    majority. They themselves are left in peace until they have caught up, since being told costs them a second.
    """
    fit = [s.address for s in standings if s.is_secondary and s.electable and s.address not in behind]
    captive = [s.address for s in standings if s.sync_source in behind]
    if len(fit) < 2:
        return "", captive
    successor = fit[0]
    free = [s.address for s in standings if s.address not in behind and s.sync_source != successor]
    return successor, [s.address for s in standings if s.address in {*captive, *free} - {successor}]
