"""Holding a drill's figures against its limits and the promises. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from prodcore.drill.plan import Limits
from prodcore.drill.report import RoundReport
from prodcore.drill.verdict import Verdict


def missed_limits(limits: Limits, verdict: Verdict, rounds: Sequence[RoundReport]) -> list[str]:
    """What must not have happened, a sentence each."""
    troubled = [r.result for r in rounds if r.result.problem and not r.result.is_vacuous]
    missed = [f"round {r.number}, {r.set_name}: {r.problem}" for r in troubled]
    counts = (
        (verdict.lost, limits.max_lost, "acknowledged writes are lost"),
        (verdict.duplicated, 0, "records are there more than once"),
        (verdict.wrong, 0, "records do not hold what was written last"),
        (verdict.contradicted, 0, "records are there although their request was refused"),
        (verdict.failed, limits.max_failed, "requests failed"),
    )
    for count, limit, what in counts:
        if limit is not None and count > limit:
            missed.append(f"{count} {what}" + (f", allowed are {limit}" if limit else ""))
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
