"""Everything that apply would do, from what is wanted and what was seen. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prodcore.deploy.change import Change
from prodcore.deploy.host_plan import HostPlan, plan_host
from prodcore.deploy.incus_plan import IncusPlan, plan_incus
from prodcore.deploy.layout import Layout
from prodcore.deploy.seen import Seen
from prodcore.deploy.spec import HostWish
from prodcore.installation.sets import REPLICA_SETS


@dataclass(frozen=True, slots=True)
class Plan:
    """All differences."""

    incus: IncusPlan
    hosts: Mapping[str, HostPlan]
    changes: tuple[Change, ...]
    lacking_sets: frozenset[str]
    """Replica sets that something has to be done about, by administrative commands."""
    is_prepared: bool
    """Whether shard map and indexes are there."""


def make_plan(layout: Layout, wishes: Mapping[str, HostWish], secrets_mark: str, seen: Seen) -> Plan:
    """Compare everything. Raises Conflict when something is there that is not ours and stands in the way."""
    incus = plan_incus(layout, secrets_mark, seen)
    hosts = {name: plan_host(wish, seen.inside(name)) for name, wish in wishes.items()}
    sets = [Change(name, *lack) for name in REPLICA_SETS for lack in seen.replica_set(name).lacks]
    preparation = [Change("cluster", *lack) for lack in seen.unprepared]
    return Plan(
        incus=incus,
        hosts=hosts,
        changes=(*incus.changes, *(c for plan in hosts.values() for c in plan.changes), *sets, *preparation),
        lacking_sets=frozenset(name for name in REPLICA_SETS if seen.replica_set(name).lacks),
        is_prepared=not seen.unprepared,
    )
