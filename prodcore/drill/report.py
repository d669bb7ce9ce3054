"""What a drill found, as a value that every report is made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prodcore.drill.events import Step
from prodcore.drill.ledger import Attempt, Outcome
from prodcore.drill.plan import DrillPlan
from prodcore.drill.round import RoundResult, TimedStep
from prodcore.drill.series import series_by_set
from prodcore.drill.timeline import Gap, Percentiles, latencies, longest_gap, percentiles
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
    elected = next((s.at for s in result.steps if s.step is Step.NEW_PRIMARY), None)
    steps = list(result.steps)
    if elected is not None:
        for step, attempts in ((Step.FIRST_WRITE, writes), (Step.FIRST_READ, reads)):
            ended = [a.ended for a in attempts if a.outcome is Outcome.ACKNOWLEDGED and a.ended >= elected]
            steps += [TimedStep(min(ended), step)] if ended else []
    return tuple(sorted(steps, key=lambda s: s.at))


def _longest(gaps: Iterable[Gap | None]) -> float | None:
    return max((gap.seconds for gap in gaps if gap), default=None)


def _seconds(gap: Gap | None) -> float | None:
    return None if gap is None else gap.seconds
