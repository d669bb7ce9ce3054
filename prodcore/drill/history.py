"""Comparing a drill with earlier ones."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Report = Mapping[str, Any]

COMPARED_WITH = 10


def alike(report: Report) -> dict[str, Any]:
    """The fields in which another drill must be equal to be compared with this one."""
    plan = {f"plan.{name}": report["plan"][name] for name in ("sets", "fault", "target", "via")}
    return {**plan, "guarded": report["guarded"]}


class DrillHistory(Protocol):
    """Past drills."""

    def add(self, report: dict[str, Any]) -> None:
        """Keep a report."""

    def last(self, count: int, equal: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The newest drills first, or those with equal values of some fields, such as ``plan.fault``."""

    def get(self, run: str) -> dict[str, Any]:
        """One drill. Raises DrillNotFound."""


def slower_than_before(report: Report, earlier: Sequence[Report], percent: float) -> str:
    """A sentence when the write gap is more than ``percent`` above the median of passed earlier drills; else empty."""
    gaps = [r["write_gap_seconds"] for r in earlier if r["outcome"] == "passed" and r["write_gap_seconds"] is not None]
    mine = report["write_gap_seconds"]
    if not gaps or mine is None:
        return ""
    median = statistics.median(gaps)
    if mine <= median * (1 + percent / 100):
        return ""
    more = f"more than {percent:g} % above the median of the last {len(gaps)}, {median:.3f} s"
    return f"the write gap was {mine:.3f} s, {more}"


def compare(a: Report, b: Report) -> list[dict[str, Any]]:
    """The figures of two drills side by side; ``change`` is in per cent."""
    rows = []
    for name, path in _FIGURES.items():
        left, right = _at(a, path), _at(b, path)
        change = round((right - left) / left * 100, 1) if left and right is not None else None
        rows.append({"figure": name, "a": left, "b": right, "change": change})
    return rows


_FIGURES = {
    "write gap (s)": ("write_gap_seconds",),
    "read gap (s)": ("read_gap_seconds",),
    "acknowledged": ("verdict", "acknowledged"),
    "failed": ("verdict", "failed"),
    "lost": ("verdict", "lost"),
    "duplicated": ("verdict", "duplicated"),
    "p50 during (s)": ("during", "p50"),
    "p99 during (s)": ("during", "p99"),
    "worst (s)": ("during", "max"),
}


def _at(report: Report, path: tuple[str, ...]) -> Any:
    if path[0] == "during":
        values = [r["latency_seconds"]["during"][path[1]] for r in report["rounds"]]
        return max((v for v in values if v is not None), default=None)
    value: Any = report
    for part in path:
        value = value[part]
    return value
