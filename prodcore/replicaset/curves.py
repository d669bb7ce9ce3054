"""What the cluster was like over the last hour, day and month: a few small records, kept in the users' set.

One process looks every ten seconds. Three looks become a record of the hour, its records become those of the day, and
these those of the month; each is kept for as long as its curve reaches back, so all of them together stay small. A
record is stored under the time that it stands for: whoever stores it again changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Protocol

from prodcore.deadline import budget
from prodcore.errors import OutcomeUnknown, ProdError, Unavailable
from prodcore.replicaset.cluster import ClusterStatus
from prodcore.replicaset.status import DOWN, SECONDARY, UNRESPONSIVE, Operations, SetStatus

LOOK_SECONDS = 10.0
_STORE_SECONDS = 5.0
_MOST_UNSTORED = 120
"""Records that wait for a users' set which takes no writes: an hour of them."""

_WORST = (DOWN, UNRESPONSIVE, "ROLLBACK", "RECOVERING", "STARTUP", "STARTUP2")
"""What is remembered of a stretch of time in which a member was several things: the first of these, else the last."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """How fine a curve is, and how far it reaches back."""

    name: str
    step: timedelta
    reach: timedelta

    def slot(self, at: datetime) -> datetime:
        """When the stretch of time began that a moment lies in.

        >>> HOUR.slot(datetime(2026, 5, 4, 12, 0, 59, tzinfo=UTC)).time().isoformat()
        '12:00:30'
        """
        step = int(self.step.total_seconds())
        return datetime.fromtimestamp(int(at.timestamp()) // step * step, UTC)

    def slots(self, now: datetime) -> Iterator[datetime]:
        """The stretches of time of the whole curve, the oldest first; the one that has not ended is not among them."""
        ends = self.slot(now)
        at = ends - self.reach
        while at < ends:
            yield at
            at += self.step


HOUR = Resolution("hour", timedelta(seconds=30), timedelta(hours=1))
DAY = Resolution("day", timedelta(minutes=10), timedelta(days=1))
MONTH = Resolution("month", timedelta(hours=4), timedelta(days=30))
RESOLUTIONS = {each.name: each for each in (HOUR, DAY, MONTH)}
_ROLLED_UP = ((HOUR, DAY), (DAY, MONTH))


@dataclass(frozen=True, slots=True)
class SetPoint:
    """One replica set in a stretch of time; None for what is not known."""

    roles: Mapping[str, str] = field(default_factory=dict)
    """By the members' addresses."""
    lag_seconds: float | None = None
    """Of the secondary that was furthest behind."""
    reads_per_second: float | None = None
    writes_per_second: float | None = None
    read_ms: float | None = None
    """How long an answer took, on average."""
    write_ms: float | None = None
    products: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: an ``election`` that ``member`` won, or an act of the ``guard``."""

    at: datetime
    kind: str
    set_name: str
    member: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """The cluster in the stretch of time that begins ``at``."""

    at: datetime
    sets: Mapping[str, SetPoint]
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """The cluster at one moment."""

    at: datetime
    status: ClusterStatus
    products: Mapping[str, int] = field(default_factory=dict)
    """By shard, of those that answered."""


class CurveStore(Protocol):
    """Where points are kept. Calls raise Unavailable or OutcomeUnknown; each may be repeated."""

    def add(self, resolution: Resolution, point: Point) -> None:
        """Keep a point for as long as its curve reaches back."""

    def points(self, resolution: Resolution, since: datetime, until: datetime) -> list[Point]:
        """The points from ``since`` on and before ``until``, the oldest first."""


def point_of(before: Look | None, now: Look) -> Point:
    """What a look says, with what has changed since the look before it."""
    former = {} if before is None else {s.name: s for s in before.status.sets}
    seconds = (now.at - before.at).total_seconds() if before else 0.0
    sets = {s.name: _set_point(former.get(s.name), s, seconds, now.products.get(s.name)) for s in now.status.sets}
    marks = [mark for s in now.status.sets if s.name in former for mark in _elections(former[s.name], s, now.at)]
    if before:
        marks += _guard_acts(before, now)
    return Point(now.at, sets, tuple(marks))


def _set_point(before: SetStatus | None, now: SetStatus, seconds: float, products: int | None) -> SetPoint:
    lags = [lag for m in now.members if m.role == SECONDARY and (lag := now.lag_seconds(m)) is not None]
    done = _done_since(before, now) if before and seconds > 0 else None
    return SetPoint(
        {m.address: m.role for m in now.members},
        max(lags, default=None),
        None if done is None else round(done.queries / seconds, 3),
        None if done is None else round(done.changes / seconds, 3),
        None if done is None else _milliseconds(done.read_micros, done.reads),
        None if done is None else _milliseconds(done.write_micros, done.writes),
        products,
    )


def _done_since(before: SetStatus, now: SetStatus) -> Operations | None:
    """What all members together have done; one that has started again meanwhile is left out."""
    former = {m.address: m.operations for m in before.members}
    done = [m.operations.since(former.get(m.address)) for m in now.members if m.operations]
    known = [each for each in done if each]
    return Operations.total(known) if known else None


def _milliseconds(micros: int, count: int) -> float | None:
    return round(micros / count / 1000, 3) if count else None


def _elections(before: SetStatus, now: SetStatus, at: datetime) -> Iterator[Mark]:
    was, primary = before.primary, now.primary
    if was and primary and (was.address, was.term) != (primary.address, primary.term):
        yield Mark(at, "election", now.name, primary.address)


def _guard_acts(before: Look, now: Look) -> Iterator[Mark]:
    former, present = _elected(before), _elected(now)
    for (guard, name), count in present.items():
        if count > former.get((guard, name), count):
            yield Mark(now.at, "guard", name)


def _elected(look: Look) -> dict[tuple[str, str], int]:
    """How often which guard has asked a member of which set to run for election."""
    return {(g.name, name): counts.get("elected", 0) for g in look.status.guards for name, counts in g.counts.items()}


def merged(at: datetime, points: Sequence[Point]) -> Point:
    """One point for many: of lags the longest, of rates and times the mean, of products the last number."""
    names = dict.fromkeys(name for point in points for name in point.sets)
    sets = {name: _merged_set([point.sets[name] for point in points if name in point.sets]) for name in names}
    return Point(at, sets, tuple(mark for point in points for mark in point.marks))


def _merged_set(points: Sequence[SetPoint]) -> SetPoint:
    addresses = dict.fromkeys(address for point in points for address in point.roles)
    return SetPoint(
        {address: _merged_role([p.roles[address] for p in points if address in p.roles]) for address in addresses},
        max(_known(p.lag_seconds for p in points), default=None),
        _mean(p.reads_per_second for p in points),
        _mean(p.writes_per_second for p in points),
        _mean(p.read_ms for p in points),
        _mean(p.write_ms for p in points),
        next((p.products for p in reversed(points) if p.products is not None), None),
    )


def _merged_role(roles: Sequence[str]) -> str:
    return next((role for role in _WORST if role in roles), roles[-1])


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return round(fmean(known), 3) if known else None


class Recorder:
    """Looks again and again, and stores what it has seen. ``look`` is bounded in time."""

    def __init__(self, look: Callable[[], Look], store: CurveStore) -> None:
        self._look = look
        self._store = store
        self._before: Look | None = None
        self._seen: list[Point] = []
        """Of the stretch of time that has not ended."""
        self._unstored: deque[Point] = deque(maxlen=_MOST_UNSTORED)
        self._rolled_up: set[tuple[str, datetime]] = set()

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``."""
        while not stop.is_set():
            began = time.monotonic()
            with suppress(ProdError):
                self.look()
            stop.wait(max(0.0, began + LOOK_SECONDS - time.monotonic()))

    def look(self) -> None:
        """Look once, and store what is complete. What cannot be stored now is stored later."""
        now = self._look()
        slot = HOUR.slot(now.at)
        if self._seen and HOUR.slot(self._seen[0].at) != slot:
            self._unstored.append(merged(HOUR.slot(self._seen[0].at), self._seen))
            self._seen = []
        self._seen.append(point_of(self._before, now))
        self._before = now
        with suppress(Unavailable, OutcomeUnknown), budget(_STORE_SECONDS):
            self._save(now.at)

    def _save(self, now: datetime) -> None:
        while self._unstored:
            self._store.add(HOUR, self._unstored[0])
            self._unstored.popleft()
        for fine, coarse in _ROLLED_UP:
            self._roll_up(fine, coarse, now)

    def _roll_up(self, fine: Resolution, coarse: Resolution, now: datetime) -> None:
        """Make the points of the coarse curve whose finer ones are still there: also those that a restart left out."""
        for at in coarse.slots(now):
            if (coarse.name, at) in self._rolled_up or at < now - fine.reach:
                continue
            if points := self._store.points(fine, at, at + coarse.step):
                self._store.add(coarse, merged(at, points))
            self._rolled_up.add((coarse.name, at))
        reached = now - coarse.reach - coarse.step
        self._rolled_up = {(name, at) for name, at in self._rolled_up if name != coarse.name or at > reached}
