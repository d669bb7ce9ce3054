"""A drill's load over time as shapes to draw: latency above, answers below, the events on the axis they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT, TOP, GAP = 1000, 120, 64, 28
FLOOR = TOP + 2 * HEIGHT + GAP

_SHOWN = ("fault", "new primary", "first acknowledged write", "old member back", "caught up")
_STEPS = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 86400)
_MOST_TICKS = 12


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the set; ``at`` in seconds from the begin, ``seconds`` from the fault."""

    at: float
    event: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Mark:
    """An event: where it stands, which row its name takes, and when it was, in seconds from the fault."""

    x: float
    row: int
    event: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Bar:
    """What ended in one slice of time."""

    x: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """One set's picture, in the units of its view box."""

    set_name: str
    slowest_seconds: float
    busiest_per_second: float
    bar_width: float
    latency: str
    bars: tuple[Bar, ...]
    failures: tuple[float, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, float], ...]
    """(x, seconds from the begin)."""


def draw(series: Mapping[str, Any], events: Iterable[Event]) -> Chart:
    """The picture of one set's series, with the events that matter on it."""
    step, rates = series["point_seconds"], [n / series["point_seconds"] for n in series["acknowledged"]]
    duration = step * max(1, len(rates))
    slowest = max((v for v in series["max_latency_seconds"] if v is not None), default=0) or 1
    busiest = max(rates, default=0) or 1

    def x(at: float) -> float:
        return round(float(at / duration * WIDTH), 1)

    shown = [e for e in events if e.event in _SHOWN]
    tick = next((s for s in _STEPS if duration / s <= _MOST_TICKS), _STEPS[-1])
    return Chart(
        set_name=series["set"],
        slowest_seconds=slowest,
        busiest_per_second=busiest,
        bar_width=round(max(0.5, WIDTH / max(1, len(rates)) - 0.3), 2),
        latency=" ".join(
            f"{x((i + 0.5) * step)},{TOP + HEIGHT - v / slowest * HEIGHT:.1f}"
            for i, v in enumerate(series["max_latency_seconds"])
            if v is not None
        ),
        bars=tuple(
            Bar(x(i * step), round(FLOOR - r / busiest * HEIGHT, 1), round(r / busiest * HEIGHT, 1))
            for i, r in enumerate(rates)
            if r
        ),
        failures=tuple(x(i * step) for i, n in enumerate(series["failed"]) if n),
        marks=tuple(Mark(x(e.at), i % 4, e.event, e.seconds) for i, e in enumerate(shown)),
        ticks=tuple((x(t), t) for t in range(0, int(duration) + 1, tick)),
    )
