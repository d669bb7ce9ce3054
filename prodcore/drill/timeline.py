"""Gaps, percentiles and events on one clock. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from prodcore.drill.ledger import Attempt, Outcome


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nothing was acknowledged; monotonic seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length, to a tenth of a millisecond."""
        return round(self.end - self.start, 4)


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
    ended = sorted(a.ended for a in attempts if a.outcome is Outcome.ACKNOWLEDGED)
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
    >>> blocked = Request(outcome=Outcome.ACKNOWLEDGED, begun=0.0, latency=1.0)
    >>> latencies([blocked], 0, 9, interval=0.25)
    [1.0, 0.75, 0.5, 0.25]
    """
    found = []
    for attempt in attempts:
        if attempt.outcome is Outcome.ACKNOWLEDGED and start <= attempt.begun < end:
            found += [attempt.latency - i * interval for i in range(max(1, int(attempt.latency / interval)))]
    return found
