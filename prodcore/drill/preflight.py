"""Whether a drill may begin: everything that speaks against it, before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence

from prodcore.drill.plan import TARGET_PRIMARY, TARGET_RANDOM, DrillPlan, Fault
from prodcore.nodes.control import MemberControl
from prodcore.replica_set import SECONDARY, SetStatus

MAX_LAG_SECONDS = 5.0
MIN_FREE_DISK_BYTES = 500_000_000


def objections(plan: DrillPlan, sets: Sequence[SetStatus], control: MemberControl) -> list[str]:
    """Why this drill must not begin now, a sentence each; empty when it may."""
    found = [line for status in sets for line in _set_objections(status)]
    found += _target_objections(plan, sets)
    if plan.fault is not Fault.STEPDOWN and not found:
        held = set(control.addresses())
        found += [
            f"{m.address} is not under control of this machine"
            for s in sets
            for m in s.members
            if m.address not in held
        ]
    if plan.fault is Fault.PARTITION and (why := control.cannot_isolate()):
        found.append(why)
    return found


def _set_objections(status: SetStatus) -> list[str]:
    if status.primary is None:
        return [f"{status.name} has no primary"]
    found = list(status.problems)
    secondaries = [m for m in status.members if m.role == SECONDARY]
    if len(secondaries) + 1 < status.majority + 1:
        found.append(
            f"{status.name} would lose its majority: {len(secondaries) + 1} members work, {status.majority} must stay"
        )
    for member in secondaries:
        lag = status.lag_seconds(member)
        if lag is not None and lag > MAX_LAG_SECONDS:
            found.append(f"{status.name}: {member.address} is {lag:.1f} s behind the primary")
    found += [
        f"{status.name}: {m.address} has only {m.free_disk_bytes / 1e6:.0f} MB of free disk"
        for m in status.members
        if m.free_disk_bytes is not None and m.free_disk_bytes < MIN_FREE_DISK_BYTES
    ]
    return list(dict.fromkeys(found))


def _target_objections(plan: DrillPlan, sets: Sequence[SetStatus]) -> list[str]:
    if plan.target in (TARGET_PRIMARY, TARGET_RANDOM):
        if plan.fault is Fault.STEPDOWN and plan.target == TARGET_RANDOM:
            return ["only a primary can step down"]
        return []
    holders = [s for s in sets if s.member(plan.target)]
    if not holders:
        return [f"{plan.target} is not a member of {', '.join(s.name for s in sets)}"]
    primary = holders[0].primary
    if plan.fault is Fault.STEPDOWN and primary and primary.address != plan.target:
        return [f"only a primary can step down; that is {primary.address}"]
    return []
