"""What a drill found, held against its limits: a value that every report is made from; and drills compared.

What is known of a drill that runs has the same form, and comes from the same functions.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from prodcore.drill.ledger import (
    Attempt,
    Gap,
    Ledger,
    LoadCurve,
    Percentiles,
    RequestOutcome,
    by_stream,
    first_acknowledged,
    latencies,
    longest_gaps,
    percentiles,
)
from prodcore.drill.plan import DrillLimits, DrillPlan, DrillStep, Progress
from prodcore.drill.round import RoundResult, TimedStep
from prodcore.drill.verdict import Verdict

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round on one set, with its figures; times in seconds."""

    result: RoundResult
    steps: tuple[TimedStep, ...]
    gaps: Mapping[str, Gap]
    """The longest one of ``writes`` and of ``reads``, where there is one."""
    before: Percentiles
    during: Percentiles
    after: Percentiles

    @property
    def write_gap(self) -> Gap | None:
        """The longest time without an acknowledged write."""
        return self.gaps.get("writes")

    @property
    def read_gap(self) -> Gap | None:
        """The longest time without an answered read."""
        return self.gaps.get("reads")

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
            "series": self._series(),
        }

    def _series(self) -> list[dict[str, Any]]:
        curve = LoadCurve(self.started)
        curve.add(self.attempts)
        return [
            curve.series(name, [r.gaps for r in self.rounds if r.result.set_name == name]) for name in self.plan.sets
        ]


def report_round(result: RoundResult, attempts: Sequence[Attempt], plan: DrillPlan) -> RoundReport:
    """Measure one round: the load of its set alone, before, during and after."""
    mine = [a for a in attempts if a.set_name == result.set_name and not a.crosses]
    fault, end = result.fault_at, result.ended

    def measure(start: float, until: float) -> Percentiles:
        return percentiles(latencies(mine, start, until, plan.interval))

    return RoundReport(
        result,
        with_first_answers(result.steps, mine),
        longest_gaps(mine, fault, end),
        measure(fault - plan.baseline_seconds, fault),
        measure(fault, end),
        measure(end, end + plan.baseline_seconds),
    )


def with_first_answers(steps: Sequence[TimedStep], attempts: Sequence[Attempt]) -> tuple[TimedStep, ...]:
    """The steps of a round, and the first request of each kind that succeeded after the election, in their order."""
    found = list(steps)
    elected = next((s.at for s in steps if s.step is DrillStep.NEW_PRIMARY), None)
    if elected is not None:
        streams = by_stream(attempts)
        for step, name in ((DrillStep.FIRST_WRITE, "writes"), (DrillStep.FIRST_READ, "reads")):
            at = first_acknowledged(streams[name], elected)
            found += [] if at is None else [TimedStep(at, step)]
    return tuple(sorted(found, key=lambda s: s.at))


def _longest(gaps: Iterable[Gap | None]) -> float | None:
    return max((gap.seconds for gap in gaps if gap), default=None)


def _seconds(gap: Gap | None) -> float | None:
    return None if gap is None else gap.seconds


@dataclass(frozen=True, slots=True)
class RunStep:
    """A step of a drill that runs; ``at`` in seconds from its begin, ``since_fault`` from the fault of its round."""

    at: float
    set_name: str
    step: str
    text: str
    since_fault: float | None = None

    @property
    def member(self) -> str:
        """The member that the step is about; empty for the others."""
        last = self.text.rpartition(" ")[2]
        return last if self.set_name and ":" in last else ""


@dataclass(slots=True)
class _LiveRound:
    """A round on one set that has begun."""

    steps: list[TimedStep] = field(default_factory=list)
    shown: tuple[TimedStep, ...] = ()
    gaps: Mapping[str, Gap] = field(default_factory=dict)
    is_closed: bool = False
    """The next one has begun: nothing of this one changes any more."""

    def moment(self, step: DrillStep) -> float | None:
        """When a step was taken; None when it was not."""
        return next((s.at for s in self.steps if s.step is step), None)

    def measure(self, attempts: Sequence[Attempt]) -> None:
        """Find the gaps and the first answers so far."""
        fault, over = self.moment(DrillStep.FAULT), self.moment(DrillStep.OVER)
        self.shown = with_first_answers(self.steps, attempts)
        if fault is not None:
            self.gaps = longest_gaps(attempts, fault, time.monotonic() if over is None else over)


_MOST_STEPS = 400


class LiveDrill:
    """What is known of a drill so far. Steps come from its threads, the rest is asked from another one."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._around: list[tuple[float, RunStep]] = []
        self._rounds: dict[str, list[_LiveRound]] = defaultdict(list)
        self._curve: LoadCurve | None = None
        self._recent: dict[str, list[Attempt]] = defaultdict(list)
        self._outcomes: Counter[RequestOutcome] = Counter()
        self._retries = self._counted = 0

    def note(self, progress: Progress) -> None:
        """A step was taken: an ``OnProgress``."""
        moment = progress.facts.get("moment")
        with self._lock:
            rounds = self._rounds[progress.set_name]
            if progress.step is DrillStep.FAULT:
                rounds.append(_LiveRound())
            if rounds and moment is not None:
                rounds[-1].steps.append(TimedStep(moment, progress.step, progress.text))
            else:
                step = RunStep(0.0, progress.set_name, progress.step.value, progress.text)
                self._around.append((time.monotonic(), step))

    def so_far(self, sets: Sequence[str]) -> dict[str, Any]:
        """The fields of a ``DrillRun`` that tell how it goes on these sets."""
        self._count()
        with self._lock:
            for name, rounds in self._rounds.items():
                self._measure(name, rounds)
            gaps = {name: [r.gaps for r in rounds] for name, rounds in self._rounds.items()}
            steps = self._steps()
        return {
            "seconds": round(time.monotonic() - self._begun, 3),
            "steps": steps,
            "series": tuple(self._curve.series(name, gaps.get(name, ())) for name in sets) if self._curve else (),
            "figures": {
                "write_gap_seconds": _longest(g.get("writes") for of in gaps.values() for g in of),
                "read_gap_seconds": _longest(g.get("reads") for of in gaps.values() for g in of),
                "acknowledged": self._outcomes[RequestOutcome.ACKNOWLEDGED],
                "failed": self._outcomes[RequestOutcome.REFUSED] + self._outcomes[RequestOutcome.UNKNOWN],
                "retries": self._retries,
            },
        }

    def _count(self) -> None:
        if self.ledger.started is None:
            return
        self._curve = self._curve or LoadCurve(self.ledger.started)
        new = self.ledger.attempts_after(self._counted)
        self._counted += len(new)
        self._curve.add(new)
        for attempt in new:
            self._outcomes[attempt.outcome] += 1
            self._retries += attempt.retries
            self._recent[attempt.set_name].append(attempt)

    def _measure(self, name: str, rounds: Sequence[_LiveRound]) -> None:
        """Measure what may have changed, and forget the requests that no round needs any more."""
        for each in rounds:
            if not each.is_closed:
                each.measure(self._recent[name])
        for each in rounds[:-1]:
            if not each.is_closed:
                each.is_closed, over = True, each.moment(DrillStep.OVER) or 0.0
                self._recent[name] = [a for a in self._recent[name] if a.ended >= over]

    def _steps(self) -> tuple[RunStep, ...]:
        """In their order; those before the load began have a time below zero."""
        zero = self.ledger.started or self._begun
        found = list(self._around)
        for name, rounds in self._rounds.items():
            for each in rounds:
                fault = each.moment(DrillStep.FAULT) or 0.0
                found += [
                    (s.at, RunStep(0.0, name, s.step.value, s.detail, round(s.at - fault, 4))) for s in each.shown
                ]
        ordered = sorted(found, key=lambda one: one[0])[-_MOST_STEPS:]
        return tuple(replace(step, at=round(at - zero, 4)) for at, step in ordered)


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
