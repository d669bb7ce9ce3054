"""The ledger: every attempt of the load and how it ended, kept outside the system that is drilled.

And what follows from it without more: gaps, percentiles, and the load over time. A drill that runs and its report are
measured by the same functions, so their figures are the same.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any
from uuid import UUID

STREAMS = ("writes", "reads")


class Operation(StrEnum):
    """What was attempted."""

    CREATE = "create"
    EDIT = "edit"
    RENAME = "rename"
    MOVE = "move"
    """A rename to another set."""
    DELETE = "delete"
    READ = "read"


class RequestOutcome(StrEnum):
    """How an attempt ended, as its client was told."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """Told that nothing happened."""
    UNKNOWN = "unknown"
    """Told that it may have happened."""


@dataclass(frozen=True, slots=True)
class State:
    """What a record holds, and where: all that the load changes."""

    name: str
    value: int
    version: int
    set_name: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request; times are of the monotonic clock, in seconds."""

    set_name: str
    """Where the record was before."""
    operation: Operation
    record: UUID
    state: State | None
    """What the record holds if it succeeded; None after a delete, and for reads."""
    begun: float
    ended: float
    outcome: RequestOutcome
    error: str = ""
    retries: int = 0
    """How often the client sent it again before it knew how it ended."""

    @property
    def latency(self) -> float:
        """Seconds from request to answer."""
        return self.ended - self.begun

    @property
    def is_write(self) -> bool:
        """Whether it would change something."""
        return self.operation is not Operation.READ

    @property
    def stream(self) -> str:
        """``writes`` or ``reads``."""
        return "writes" if self.is_write else "reads"

    @property
    def crosses(self) -> bool:
        """Whether it needs two sets, so that its time is neither one's own."""
        return self.operation is Operation.MOVE


class Ledger:
    """All attempts, in the order they ended; safe to use from many threads."""

    def __init__(self) -> None:
        self._attempts: list[Attempt] = []
        self._changed = threading.Condition()
        self._aborted = False
        self.started: float | None = None
        """When the drill's clock was started, in monotonic seconds; None before."""

    def start(self) -> float:
        """Start the drill's clock; returns when."""
        self.started = time.monotonic()
        return self.started

    def add(self, attempt: Attempt) -> None:
        """Note an attempt, and wake whoever waits for one."""
        with self._changed:
            self._attempts.append(attempt)
            self._changed.notify_all()

    def attempts(self) -> Sequence[Attempt]:
        """Everything so far."""
        with self._changed:
            return tuple(self._attempts)

    def attempts_after(self, count: int) -> Sequence[Attempt]:
        """Everything but the first so many."""
        with self._changed:
            return tuple(self._attempts[count:])

    def wait_for_acknowledged(self, set_name: str, count: int, after: float, deadline: float) -> bool:
        """Wait until ``count`` writes that began after ``after`` have been acknowledged; False at ``deadline``."""

        def enough() -> bool:
            found = 0
            for attempt in reversed(self._attempts):
                if attempt.ended < after:
                    return False
                if (
                    attempt.set_name == set_name
                    and attempt.is_write
                    and attempt.outcome is RequestOutcome.ACKNOWLEDGED
                    and attempt.begun >= after
                ):
                    found += 1
                    if found >= count:
                        return True
            return False

        with self._changed:
            self._changed.wait_for(lambda: self._aborted or enough(), timeout=max(0.0, deadline - time.monotonic()))
            return not self._aborted and enough()

    def abort(self) -> None:
        """End every wait, now and from now on, as if its deadline had come."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nothing was acknowledged; monotonic seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length, to a tenth of a millisecond."""
        return round(self.end - self.start, 4)


def longest_gaps(attempts: Iterable[Attempt], start: float, end: float) -> dict[str, Gap]:
    """The longest gap of ``writes`` and of ``reads``, where there is one."""
    streams = by_stream(attempts)
    gaps = {name: longest_gap(mine, start, end) for name, mine in streams.items()}
    return {name: gap for name, gap in gaps.items() if gap}


def by_stream(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """The ``writes`` and the ``reads``, without those whose time is not their set's own."""
    streams: dict[str, list[Attempt]] = {name: [] for name in STREAMS}
    for attempt in attempts:
        if not attempt.crosses:
            streams[attempt.stream].append(attempt)
    return streams


def first_acknowledged(attempts: Iterable[Attempt], since: float) -> float | None:
    """When the first answer after ``since`` came; None where there is none."""
    answers = (a.ended for a in attempts if a.outcome is RequestOutcome.ACKNOWLEDGED and a.ended >= since)
    return min(answers, default=None)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latencies of acknowledged requests, in seconds; None where there were none."""

    count: int
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


def longest_gap(attempts: Iterable[Attempt], start: float, end: float) -> Gap | None:
    """The longest time between two acknowledgements that overlaps ``start … end``; None without any in it.

    Counted from the last acknowledgement before ``start``, and to ``end`` when nothing was acknowledged any more.
    """
    ended = sorted(a.ended for a in attempts if a.outcome is RequestOutcome.ACKNOWLEDGED)
    before = [t for t in ended if t <= start]
    inside = [t for t in ended if start < t < end]
    after = [t for t in ended if t >= end]
    marks = [*before[-1:], *inside, *(after[:1] or [end])]
    gaps = [Gap(a, b) for a, b in pairwise(marks)]
    return max(gaps, key=lambda gap: gap.seconds, default=None)


def percentiles(latencies: Iterable[float]) -> Percentiles:
    """Nearest-rank percentiles.

    >>> percentiles([3.0, 1.0, 2.0]).p50
    2.0
    """
    ordered = sorted(latencies)
    if not ordered:
        return Percentiles(0)
    return Percentiles(len(ordered), _rank(ordered, 50), _rank(ordered, 95), _rank(ordered, 99), ordered[-1])


def _rank(ordered: Sequence[float], percent: float) -> float:
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def latencies(attempts: Iterable[Attempt], start: float, end: float, interval: float) -> list[float]:
    """Latencies of the acknowledged attempts that began in ``start … end``, and of those they kept from beginning.

    A client that is blocked for a second makes no requests in it; at one every ``interval`` seconds it would have made
    some, each kept waiting a little less. Without them an outage would hardly show in a percentile.

    >>> from types import SimpleNamespace as Request
    >>> blocked = Request(outcome=RequestOutcome.ACKNOWLEDGED, begun=0.0, latency=1.0)
    >>> latencies([blocked], 0, 9, interval=0.25)
    [1.0, 0.75, 0.5, 0.25]
    """
    found = []
    for attempt in attempts:
        if attempt.outcome is RequestOutcome.ACKNOWLEDGED and start <= attempt.begun < end:
            found += [attempt.latency - i * interval for i in range(max(1, int(attempt.latency / interval)))]
    return found


_SHORTEST_SECONDS = 0.1
_MOST_POINTS = 400


@dataclass(slots=True)
class _Point:
    acknowledged: int = 0
    failed: int = 0
    slowest: float | None = None

    def add(self, other: _Point) -> None:
        self.acknowledged += other.acknowledged
        self.failed += other.failed
        self.slowest = max((s for s in (self.slowest, other.slowest) if s is not None), default=None)


class LoadCurve:
    """The load over time, counted as it comes; points become wider as the drill becomes longer."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._width = _SHORTEST_SECONDS
        self._points: dict[tuple[str, str], list[_Point]] = defaultdict(list)

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Count these, each where it ended."""
        for attempt in attempts:
            if not attempt.crosses:
                self._count(attempt)

    def _count(self, attempt: Attempt) -> None:
        while (place := max(0, int((attempt.ended - self._started) / self._width))) >= _MOST_POINTS:
            self._halve()
        points = self._points[attempt.set_name, attempt.stream]
        points.extend(_Point() for _ in range(place + 1 - len(points)))
        done = attempt.outcome is RequestOutcome.ACKNOWLEDGED
        points[place].add(_Point(int(done), int(not done), round(attempt.latency, 4) if done else None))

    def _halve(self) -> None:
        self._width *= 2
        for points in self._points.values():
            for first, second in zip(points[::2], points[1::2], strict=False):
                first.add(second)
            del points[1::2]

    def series(self, set_name: str, gaps: Iterable[Mapping[str, Gap]]) -> dict[str, Any]:
        """One set's load, ``writes`` and ``reads`` apart, and the gaps of its rounds.

        ``point_seconds`` is the width of a point; ``acknowledged`` and ``failed`` are how many requests ended in each,
        ``max_latency_seconds`` is None where nothing was acknowledged. A gap's ``at`` counts from the drill's begin.
        """
        length = max((len(points) for points in self._points.values()), default=0)
        found = list(gaps)
        return {
            "set": set_name,
            "point_seconds": self._width,
            **{name: self._stream(set_name, name, length, [g[name] for g in found if name in g]) for name in STREAMS},
        }

    def _stream(self, set_name: str, stream: str, length: int, gaps: Iterable[Gap]) -> dict[str, Any]:
        points = self._points[set_name, stream]
        points.extend(_Point() for _ in range(length - len(points)))
        return {
            "acknowledged": [p.acknowledged for p in points],
            "failed": [p.failed for p in points],
            "max_latency_seconds": [p.slowest for p in points],
            "gaps": [{"at": round(gap.start - self._started, 4), "seconds": gap.seconds} for gap in gaps],
        }


def streams(series: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The ``writes`` and the ``reads`` of a set's series; ``all`` of them in a report from before they were apart."""
    return {name: series[name] for name in STREAMS if name in series} or {"all": series}
