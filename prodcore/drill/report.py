"""What a drill found, held against its limits: a value that every report is made from; and drills compared."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from prodcore.drill.ledger import Attempt, Gap, Percentiles, RequestOutcome, latencies, longest_gap, percentiles
from prodcore.drill.plan import DrillLimits, DrillPlan, DrillStep
from prodcore.drill.round import RoundResult, TimedStep
from prodcore.drill.verdict import Verdict

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round on one set, with its figures; times in seconds."""

    result: RoundResult
    steps: tuple[TimedStep, ...]
    write_gap: Gap | None
    read_gap: Gap | None
    before: Percentiles
    during: Percentiles
    after: Percentiles

    def as_dict(self, started: float) -> dict[str, Any]:
        """As JSON shows it: ``seconds`` count from the fault, ``at`` from ``started``, the begin of the drill."""
        r = self.result
        return {
            "number": r.number,
            "set": r.set_name,
            "member": r.member,
            "old_primary": r.old_primary,
            "new_primary": r.new_primary or None,
            "term_before": r.term_before,
            "term_after": r.term_after,
            "election_reason": r.election_reason or None,
            "guarded": r.guarded,
            "extra": r.extra,
            "vacuous": r.is_vacuous,
            "problem": r.problem or None,
            "write_gap_seconds": _seconds(self.write_gap),
            "read_gap_seconds": _seconds(self.read_gap),
            "latency_seconds": {
                "before": self.before.as_dict(),
                "during": self.during.as_dict(),
                "after": self.after.as_dict(),
            },
            "timeline": [
                {
                    "seconds": round(s.at - r.fault_at, 4),
                    "at": round(s.at - started, 4),
                    "event": s.step.value,
                    "detail": s.detail,
                }
                for s in self.steps
            ],
        }


@dataclass(frozen=True, slots=True)
class DrillReport:
    """One drill."""

    run: str
    started_at: datetime
    started: float
    """The same moment on the monotonic clock, which all other times are on."""
    ended: float
    plan: DrillPlan
    rounds: tuple[RoundReport, ...]
    verdict: Verdict
    missed: tuple[str, ...]
    """Limits that were missed, and promises that were broken, a sentence each."""
    attempts: Sequence[Attempt]

    @property
    def is_vacuous(self) -> bool:
        """Whether any round proved nothing."""
        return not self.rounds or any(r.result.is_vacuous for r in self.rounds)

    @property
    def outcome(self) -> str:
        """``failed``, ``vacuous`` or ``passed``; a broken promise outweighs a vacuous round."""
        return "failed" if self.missed else "vacuous" if self.is_vacuous else "passed"

    def write_gap(self, *, extra: bool = False) -> float | None:
        """The longest write gap of all rounds, or of the extra ones without a guard, in seconds."""
        return _longest(r.write_gap for r in self.rounds if r.result.extra == extra)

    def read_gap(self, *, extra: bool = False) -> float | None:
        """The longest read gap of all rounds, or of the extra ones without a guard, in seconds."""
        return _longest(r.read_gap for r in self.rounds if r.result.extra == extra)

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "run": self.run,
            "outcome": self.outcome,
            "started_at": self.started_at.isoformat(timespec="milliseconds"),
            "duration_seconds": round(self.ended - self.started, 3),
            "plan": self.plan.as_dict(),
            "guarded": any(r.result.guarded for r in self.rounds),
            "write_gap_seconds": self.write_gap(),
            "read_gap_seconds": self.read_gap(),
            "write_gap_without_guard_seconds": self.write_gap(extra=True),
            "read_gap_without_guard_seconds": self.read_gap(extra=True),
            "verdict": self.verdict.as_dict(),
            "missed": list(self.missed),
            "rounds": [r.as_dict(self.started) for r in self.rounds],
            "series": series_by_set(self.attempts, self.plan.sets, self.started, self.ended),
        }


def report_round(result: RoundResult, attempts: Sequence[Attempt], plan: DrillPlan) -> RoundReport:
    """Measure one round: the load of its set alone, before, during and after."""
    mine = [a for a in attempts if a.set_name == result.set_name and not a.crosses]
    writes, reads = [a for a in mine if a.is_write], [a for a in mine if not a.is_write]
    fault, end = result.fault_at, result.ended

    def measure(start: float, until: float) -> Percentiles:
        return percentiles(latencies(mine, start, until, plan.interval))

    return RoundReport(
        result,
        _with_first_answers(result, writes, reads),
        longest_gap(writes, fault, end),
        longest_gap(reads, fault, end),
        measure(fault - plan.baseline_seconds, fault),
        measure(fault, end),
        measure(end, end + plan.baseline_seconds),
    )


def _with_first_answers(
    result: RoundResult, writes: Sequence[Attempt], reads: Sequence[Attempt]
) -> tuple[TimedStep, ...]:
    """The steps, and the first request of each kind that succeeded after the election."""
    elected = next((s.at for s in result.steps if s.step is DrillStep.NEW_PRIMARY), None)
    steps = list(result.steps)
    if elected is not None:
        for step, attempts in ((DrillStep.FIRST_WRITE, writes), (DrillStep.FIRST_READ, reads)):
            ended = [a.ended for a in attempts if a.outcome is RequestOutcome.ACKNOWLEDGED and a.ended >= elected]
            steps += [TimedStep(min(ended), step)] if ended else []
    return tuple(sorted(steps, key=lambda s: s.at))


def _longest(gaps: Iterable[Gap | None]) -> float | None:
    return max((gap.seconds for gap in gaps if gap), default=None)


def _seconds(gap: Gap | None) -> float | None:
    return None if gap is None else gap.seconds


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
        if attempt.outcome is RequestOutcome.ACKNOWLEDGED:
            acknowledged[point] += 1
            slowest[point] = round(max(slowest[point] or 0.0, attempt.latency), 4)
        else:
            failed[point] += 1
    return {"acknowledged": acknowledged, "failed": failed, "max_latency_seconds": slowest}


def missed_limits(limits: DrillLimits, verdict: Verdict, rounds: Sequence[RoundReport]) -> list[str]:
    """What must not have happened, a sentence each."""
    troubled = [r.result for r in rounds if r.result.problem and not r.result.is_vacuous]
    missed = [f"round {r.number}, {r.set_name}: {r.problem}" for r in troubled]
    counts = (
        (verdict.lost, limits.max_lost, "acknowledged writes lost"),
        (verdict.duplicated, 0, "records stored more than once"),
        (verdict.wrong, 0, "records that lack their last write"),
        (verdict.contradicted, 0, "records stored although their request was refused"),
        (verdict.failed, limits.max_failed, "requests failed"),
    )
    for count, limit, what in counts:
        if limit is not None and count > limit:
            missed.append(f"{what}: {count}" + (f", allowed: {limit}" if limit else ""))
    usual = [r for r in rounds if not r.result.extra]
    gaps = (
        ("write gap", limits.max_write_gap, [r.write_gap.seconds for r in usual if r.write_gap]),
        ("read gap", limits.max_read_gap, [r.read_gap.seconds for r in usual if r.read_gap]),
        ("p99 during the fault", limits.max_p99, [r.during.p99 for r in usual if r.during.p99 is not None]),
    )
    for what, longest, values in gaps:
        if longest is not None and values and max(values) > longest:
            missed.append(f"the {what} was {max(values):.3f} s, allowed are {longest:g} s")
    return missed


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
