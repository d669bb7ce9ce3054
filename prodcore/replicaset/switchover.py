"""A planned change of primary, under a light load that measures what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from prodcore.errors import CommandRefused, NoPrimary, Unavailable
from prodcore.replicaset.status import SECONDARY, Health, Member, SetStatus
from prodcore.replicaset.steering import Guards, Steerable, change_sync_source

MAX_LAG_SECONDS = 2.0
_WARM_UP_WRITES = 60
"""Some three quarters of a second: what the load itself takes to connect and log in is no cost of the switchover."""
_WRITES_AFTER = 10
_GATHER_SECONDS = 12.0
_CHANGE_SECONDS = 1.5
"""How long a member may take to change its source: it sleeps for a second after a try that failed."""
_CANDIDACY_SECONDS = 5.0
"""For how long a member that the others do not vote for runs again."""
_GUARDS_DISABLED_SECONDS = 120.0
"""Longer than a switchover can take; they are enabled again by themselves if its process dies."""


class Load(Protocol):
    """A light load on the set, which shows what the switchover costs."""

    def wait_for_writes(self, count: int, since: float, deadline: float) -> bool:
        """Wait until ``count`` writes that began after ``since`` have been acknowledged; False at ``deadline``."""

    def write_gap(self, since: float, until: float) -> float | None:
        """The longest time without an acknowledged write between the two, in seconds; also after the load has ended."""


@dataclass(frozen=True, slots=True)
class SwitchoverParts:
    """What one switchover needs."""

    access: Steerable
    load: Callable[[], AbstractContextManager[Load]]
    """Keeps the load that measures running inside its block."""
    run: str
    """The id that its records carry, one word."""
    guards: Guards


@dataclass(frozen=True, slots=True)
class SwitchoverReport:
    """What a switchover did."""

    set_name: str
    old_primary: str
    new_primary: str
    term: int
    write_gap_seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


def choose_successor(status: SetStatus, to: str = "") -> Member:
    """The secondary that takes over: ``to`` (a name or an address), else the first in the set's order that keeps up.

    That is whom a primary that steps down hands over to, and whom the guard has the others follow. A few milliseconds
    of lag do not count: the primary waits for them. Raises MemberNotFound, and Unavailable with the reason why nobody
    can, before anything changes.
    """
    chosen = status.required_member(to) if to else None
    if status.primary is None:
        raise NoPrimary(f"{status.name} has no primary", shard=status.name)
    if status.health is not Health.HEALTHY:
        raise Unavailable(f"{status.name} is not healthy: " + "; ".join(status.problems))
    electable = {c.address for c in status.config if c.priority > 0 and c.votes and not c.hidden}
    if chosen and chosen == status.primary:
        raise Unavailable(f"{to} is already the primary")
    if chosen and chosen.address not in electable:
        raise Unavailable(f"{to} cannot become primary: its priority is 0, or it has no vote")
    candidates = [
        m
        for m in status.members
        if m.role == SECONDARY and m.address in electable and chosen in (None, m)
        if (status.lag_seconds(m) or 0.0) <= MAX_LAG_SECONDS
    ]
    if not candidates:
        raise Unavailable(f"no secondary{f' {to}' if to else ''} is within {MAX_LAG_SECONDS:g} s of the primary")
    return candidates[0]


def plan_switchover(parts: SwitchoverParts, to: str = "") -> tuple[Member, Member]:
    """The primary now, and who would take over; changes nothing. Raises as ``choose_successor`` does."""
    status = parts.access.inspect()
    successor = choose_successor(status, to)
    if status.primary is None:
        raise NoPrimary(f"{status.name} has no primary", shard=status.name)
    return status.primary, successor


def switch_over(parts: SwitchoverParts, to: str = "") -> SwitchoverReport:
    """Hand over, wait until the chosen one is primary and the old one follows. Removes what the measuring wrote."""
    status = parts.access.inspect()
    successor = choose_successor(status, to).address
    with _guards_agree(parts.guards, successor == _first_secondary(status)):
        return _switch_over(parts, status, successor)


@contextmanager
def _guards_agree(guards: Guards, already: bool) -> Iterator[None]:
    """Without guards, where they keep another successor: both would change the secondaries' sync sources."""
    if already or not guards.any_active():
        yield
        return
    guards.disable(_GUARDS_DISABLED_SECONDS)
    try:
        yield
    finally:
        guards.enable()


def _switch_over(parts: SwitchoverParts, status: SetStatus, successor: str) -> SwitchoverReport:
    access = parts.access
    old = status.primary.address if status.primary else ""
    watch = access.watch()
    try:
        with parts.load() as load:
            started = time.monotonic()
            load.wait_for_writes(_WARM_UP_WRITES, started, started + 10)
            _gather_behind(access, old, successor)
            asked = time.monotonic()
            _hand_over(access, status, old, successor)
            if watch.wait_for_new_primary(old, asked, asked + 30) is None:
                raise Unavailable(f"{access.name}: no new primary within 30 s", hint="prodctl cluster status")
            if watch.wait_for_role(old, (SECONDARY,), asked, time.monotonic() + 30) is None:
                raise Unavailable(f"{access.name}: {old} has not rejoined within 30 s", hint="prodctl cluster status")
            load.wait_for_writes(_WRITES_AFTER, time.monotonic(), time.monotonic() + 15)
            ended = time.monotonic()
    finally:
        watch.close()
        access.remove_records(parts.run)
    now = access.inspect().primary
    if now is None or now.address != successor:
        raise Unavailable(f"{access.name}: {now.address if now else 'no member'} became primary, not {successor}")
    return SwitchoverReport(access.name, old, successor, now.term or 0, load.write_gap(asked, ended))


def _gather_behind(access: Steerable, primary: str, successor: str) -> None:
    """Make the other secondaries copy from the successor beforehand, as the guard does.

    Else they look for a new source for a second after the change, and no write has its majority in that second.
    The successor itself has to copy from the primary: one of the others that it copies from cannot follow it.
    It goes without as well.
    """
    others = [m.address for m in access.inspect().members if m.address not in (primary, successor)]
    ends = time.monotonic() + _GATHER_SECONDS
    with suppress(Unavailable, CommandRefused):
        _gather(access, [successor], primary, primary, ends)
        _gather(access, others, successor, primary, ends)


def _gather(access: Steerable, members: Sequence[str], source: str, primary: str, ends: float) -> None:
    """Make them copy from ``source``, or try it until ``ends``."""
    while elsewhere := [member for member in members if not _follows(access, member, source)]:
        for member in elsewhere:
            change_sync_source(access, member, source, primary, time.monotonic() + _CHANGE_SECONDS)
        if time.monotonic() > ends:
            return


def _follows(access: Steerable, member: str, source: str) -> bool:
    """Whether it copies from the source and goes on doing so.

    A member whose change of source has failed, or that was told twice, names the source and sleeps for a second.
    """
    if access.sync_source(member) != source:
        return False
    access.wait_caught_up(time.monotonic() + _GATHER_SECONDS)
    return access.sync_source(member) == source


def _hand_over(access: Steerable, status: SetStatus, old: str, successor: str) -> None:
    """Let the primary step down where it will choose the successor itself, the first in the set's order.

    It waits until that one has caught up. Another one must run against it, and may have to try again: a candidacy
    that comes just before the last write has arrived is refused by those who have the write.
    """
    if successor == _first_secondary(status):
        access.step_down(old)
        with suppress(Unavailable):  # else its ban ends by itself
            access.allow_election(old)
        return
    ends = time.monotonic() + _CANDIDACY_SECONDS
    while True:
        try:
            access.step_up(successor)
        except CommandRefused:
            if time.monotonic() > ends:
                raise
            with suppress(Unavailable):
                access.wait_caught_up(ends)
        else:
            return


def _first_secondary(status: SetStatus) -> str:
    return next(m.address for m in status.members if m.role == SECONDARY)
