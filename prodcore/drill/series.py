"""Latency and throughput over time, in few enough points to keep and to draw. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prodcore.drill.ledger import Attempt, Outcome

_MAX_POINTS = 600
_SHORTEST_SECONDS = 0.1


def series_by_set(attempts: Sequence[Attempt], sets: Sequence[str], start: float, end: float) -> list[dict[str, Any]]:
    """For each of these sets: the width of a point in seconds, and for each point what ended in it.

    ``acknowledged`` and ``failed`` are counts, ``max_latency_seconds`` is None where nothing was acknowledged.
    """
    width = max(_SHORTEST_SECONDS, (end - start) / _MAX_POINTS)
    points = int((end - start) / width) + 1
    by_set: dict[str, list[Attempt]] = {name: [] for name in sets}
    for attempt in attempts:
        if attempt.set_name in by_set and not attempt.crosses:
            by_set[attempt.set_name].append(attempt)
    return [
        {"set": name, "point_seconds": width, **_count(mine, start, width, points)} for name, mine in by_set.items()
    ]


def _count(attempts: Sequence[Attempt], start: float, width: float, points: int) -> dict[str, Any]:
    acknowledged, failed = [0] * points, [0] * points
    slowest: list[float | None] = [None] * points
    for attempt in attempts:
        point = int((attempt.ended - start) / width)
        if not 0 <= point < points:
            continue
        if attempt.outcome is Outcome.ACKNOWLEDGED:
            acknowledged[point] += 1
            slowest[point] = round(max(slowest[point] or 0.0, attempt.latency), 4)
        else:
            failed[point] += 1
    return {"acknowledged": acknowledged, "failed": failed, "max_latency_seconds": slowest}
