"""Whether a drill may begin: everything that speaks against it, before anything is touched."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from prodcore.drill.plan import TARGET_PRIMARY, TARGET_RANDOM, DrillPlan, Fault
from prodcore.replicaset.diagnostic import ProblemLine, problem_line
from prodcore.replicaset.status import SECONDARY, SetStatus

MAX_LAG_SECONDS = 5.0
MIN_FREE_DISK_BYTES = 500_000_000


def objections(plan: DrillPlan, sets: Sequence[SetStatus], controlled: Collection[str]) -> list[ProblemLine]:
    """Why this drill must not begin now, a sentence each; empty when it may.

    ``controlled`` are the addresses of the members whose processes can be broken and put back.
    """
    found = [line for status in sets for line in _set_objections(status)]
    found += _target_objections(plan, sets)
    if plan.fault is not Fault.STEPDOWN and not found:
        found += [
            problem_line("not_controlled", member=m.address)
            for s in sets
            for m in s.members
            if m.address not in controlled
        ]
    return found


def _set_objections(status: SetStatus) -> list[ProblemLine]:
    if status.primary is None:
        return [problem_line("set_without_primary", set=status.name)]
    found = list(status.problems)
    secondaries = [m for m in status.members if m.role == SECONDARY]
    working = len(secondaries) + 1
    if working < status.majority + 1:
        found.append(problem_line("majority_at_stake", set=status.name, working=working, needed=status.majority))
    for member in secondaries:
        lag = status.lag_seconds(member)
        if lag is not None and lag > MAX_LAG_SECONDS:
            found.append(problem_line("lag", set=status.name, member=member.address, seconds=lag))
    found += [
        problem_line("little_disk", set=status.name, member=m.address, megabytes=m.free_disk_bytes / 1e6)
        for m in status.members
        if m.free_disk_bytes is not None and m.free_disk_bytes < MIN_FREE_DISK_BYTES
    ]
    return list(dict.fromkeys(found))


def _target_objections(plan: DrillPlan, sets: Sequence[SetStatus]) -> list[ProblemLine]:
    if plan.target in (TARGET_PRIMARY, TARGET_RANDOM):
        steps_down_anybody = plan.fault is Fault.STEPDOWN and plan.target == TARGET_RANDOM
        return [problem_line("only_primary_steps_down")] if steps_down_anybody else []
    holders = [s for s in sets if s.member(plan.target)]
    if not holders:
        return [problem_line("not_a_member", member=plan.target, sets=", ".join(s.name for s in sets))]
    primary = holders[0].primary
    if plan.fault is Fault.STEPDOWN and primary and primary.address != plan.target:
        return [problem_line("another_is_primary", primary=primary.address)]
    return []
