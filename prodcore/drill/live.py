"""A drill as it runs: its steps, and the load over time in few enough points to send again and again."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from prodcore.drill.events import Progress
from prodcore.drill.ledger import Attempt, Ledger, Outcome
from prodcore.drill.order import RunStep

_MOST_POINTS = 400
_SHORTEST_SECONDS = 0.25
_MOST_STEPS = 400


@dataclass(slots=True)
class _Point:
    acknowledged: int = 0
    failed: int = 0
    slowest: float | None = None

    def add(self, other: _Point) -> None:
        self.acknowledged += other.acknowledged
        self.failed += other.failed
        self.slowest = max((s for s in (self.slowest, other.slowest) if s is not None), default=None)


@dataclass(slots=True)
class LiveDrill:
    """What is known of a drill so far. Steps come from its threads, the rest is asked from another one."""

    ledger: Ledger = field(default_factory=Ledger)
    started: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _steps: list[RunStep] = field(default_factory=list)
    _points: dict[str, list[_Point]] = field(default_factory=lambda: defaultdict(list))
    _width: float = _SHORTEST_SECONDS
    _counted: int = 0

    def note(self, progress: Progress) -> None:
        """A step was taken: an ``OnProgress``."""
        since = progress.facts.get("seconds_since_fault")
        step = RunStep(self.seconds, progress.set_name, progress.step.value, progress.text, since)
        with self._lock:
            self._steps = [*self._steps, step][-_MOST_STEPS:]

    @property
    def seconds(self) -> float:
        """Since the begin."""
        return round(time.monotonic() - self.started, 3)

    def steps(self) -> tuple[RunStep, ...]:
        """The steps so far."""
        with self._lock:
            return tuple(self._steps)

    def series(self) -> tuple[dict[str, Any], ...]:
        """Load over time, a set each, in the form of a report's; points become wider as the drill becomes longer."""
        new = self.ledger.attempts_after(self._counted)
        self._counted += len(new)
        for attempt in new:
            self._count(attempt)
        length = max((len(points) for points in self._points.values()), default=0)
        return tuple(
            {
                "set": name,
                "point_seconds": self._width,
                "acknowledged": [p.acknowledged for p in padded],
                "failed": [p.failed for p in padded],
                "max_latency_seconds": [p.slowest for p in padded],
            }
            for name, points in self._points.items()
            for padded in [points + [_Point()] * (length - len(points))]
        )

    def _count(self, attempt: Attempt) -> None:
        while (place := int((attempt.ended - self.started) / self._width)) >= _MOST_POINTS:
            self._halve()
        points = self._points[attempt.set_name]
        points.extend(_Point() for _ in range(place + 1 - len(points)))
        done = attempt.outcome is Outcome.ACKNOWLEDGED
        latency = round(attempt.latency, 4) if done else None
        points[max(0, place)].add(_Point(int(done), int(not done), latency))

    def _halve(self) -> None:
        self._width *= 2
        for name, points in self._points.items():
            for first, second in zip(points[::2], points[1::2], strict=False):
                first.add(second)
            self._points[name] = points[::2]
