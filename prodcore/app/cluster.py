"""The composition root of everything that goes straight to the members: inspection, lint, guard, switchover."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prodcore.app.wiring import (
    PRODUCTS,
    configured_set,
    configured_sets,
    open_desk,
    open_inspectors,
    open_replica_set,
    open_switch,
    patient,
)
from prodcore.deadline import budget
from prodcore.errors import ProdError
from prodcore.replicaset.cluster import ClusterStatus, HttpServiceProbe, inspect_cluster
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.guard.decision import GuardRules
    from prodcore.guard.guard import OnEvent, SetGuard
    from prodcore.mongo.admin.inspection import MongoSetInspector
    from prodcore.mongo.products.store import MongoProductStore
    from prodcore.processes.control import MemberControl
    from prodcore.replicaset.cluster import ServiceProbe
    from prodcore.replicaset.curves import Look
    from prodcore.replicaset.diagnostic import Diagnostic
    from prodcore.replicaset.elections import ElectionRecord
    from prodcore.replicaset.status import Member, MemberConfig, SetStatus
    from prodcore.replicaset.switchover import SwitchoverParts


def cluster_status(settings: Settings) -> ClusterStatus:
    """The whole cluster at this moment."""
    urls = {"webapp": settings.url, "authsvc": settings.auth_server_url}
    services = [HttpServiceProbe(name, url, ca_file=settings.ca_file) for name, url in urls.items()]
    return look_at(open_inspectors(settings), services)


def look_at(sets: Sequence[MongoSetInspector], services: Sequence[ServiceProbe]) -> ClusterStatus:
    """Ask these sets, of which the last keeps the shard map and the guards' heartbeats, and these services."""
    from prodcore.mongo.client.records import guard_signs

    seen = inspect_cluster(sets, services, map_set=sets[-1].name)
    return replace(seen, guards=guard_signs(sets[-1], seen.sets[-1]))


def cluster_elections(settings: Settings, only: str | None = None) -> tuple[list[ElectionRecord], dict[str, str]]:
    """Elections of every set, or of one, the newest first; and the members' names by address. Raises ShardNotFound."""
    from prodcore.mongo.client.records import election_records
    from prodcore.replicaset.elections import read_elections

    if only:
        configured_set(settings, only)  # it is one of ours
    found: list[ElectionRecord] = []
    names: dict[str, str] = {}
    for inspector in open_inspectors(settings):
        if only in (None, inspector.name):
            members = inspector.inspect().members
            names |= {m.address: m.name for m in members if m.name}
            found += read_elections(inspector.name, election_records(inspector.address, [m.address for m in members]))
    return sorted(found, key=lambda e: (e.at is not None, e.at), reverse=True), names


def lint_cluster(settings: Settings, control: MemberControl) -> list[Diagnostic]:
    """Everything risky about how the sets are set up, and about the processes that ``control`` holds."""
    from prodcore.mongo.client.records import member_setups, set_config
    from prodcore.replicaset.lint import lint_processes, lint_set

    found: list[Diagnostic] = []
    for inspector in open_inspectors(settings):
        status = inspector.inspect()
        members = [m.address for m in status.members]
        setups = member_setups(inspector.address, members)
        found += lint_set(status, setups, set_config(inspector.address, members))
        found += lint_processes(status, control)
    return found


@dataclass(frozen=True, slots=True)
class MemberExamination:
    """One member, looked at closely."""

    status: SetStatus
    member: Member
    config: MemberConfig | None
    options: Mapping[str, Any]
    """How its ``mongod`` was started; empty where it does not answer."""
    findings: tuple[Diagnostic, ...]
    """What ``prodctl doctor`` would say of it."""
    log: tuple[str, ...]
    """The last lines of its log, the newest first, in JSON."""


def examine_member(settings: Settings, set_name: str, name: str) -> MemberExamination:
    """A member by its name or address. Raises ShardNotFound, MemberNotFound."""
    from prodcore.mongo.admin.inspection import MongoSetInspector
    from prodcore.mongo.client.records import member_log, member_setups
    from prodcore.replicaset.lint import lint_set

    found = configured_set(settings, set_name)
    inspector = MongoSetInspector(found.uri, found.databases)
    status = inspector.inspect()
    member = status.required_member(name)
    asked = [member.address] if member.answers else []
    setups = member_setups(inspector.address, asked)
    findings = [d for d in lint_set(status, setups, {}) if d.subject in (member.name, member.address)]
    return MemberExamination(
        status,
        member,
        next((c for c in status.config if c.address == member.address), None),
        setups[0].options if setups else {},
        tuple(findings),
        tuple(line for address in asked for line in reversed(member_log(inspector.address, address))),
    )


@contextmanager
def open_switchover(settings: Settings, name: str) -> Iterator[SwitchoverParts]:
    """What a switchover of that set needs. Raises ShardNotFound."""
    from prodcore.drill.load import SWITCHOVER_RATE, measured_load
    from prodcore.mongo.admin.drill_set import DRILL_RECORDS, MongoDrillSet, MongoRecordTraffic
    from prodcore.mongo.admin.guarded_set import MongoGuards
    from prodcore.mongo.admin.inspection import MongoSetInspector
    from prodcore.replicaset.switchover import SwitchoverParts

    found = configured_set(settings, name)
    inspector = MongoSetInspector(found.uri, found.databases)
    place = (PRODUCTS[0], DRILL_RECORDS[1]) if found.is_shard else DRILL_RECORDS
    run = f"switchover{secrets.token_hex(4)}"

    def traffic() -> MongoRecordTraffic:
        return MongoRecordTraffic(open_replica_set(settings, found.setting), run, place)

    with open_switch(settings) as switch:
        yield SwitchoverParts(
            MongoDrillSet(inspector, place),
            lambda: measured_load(traffic(), SWITCHOVER_RATE),
            run,
            MongoGuards(switch),
        )


def run_guards(
    settings: Settings,
    rules: GuardRules,
    on_event: OnEvent,
    stop: threading.Event,
    control: MemberControl | None = None,
) -> None:
    """Guard every set until ``stop``."""
    from prodcore.guard.guard import SetGuard
    from prodcore.mongo.admin.guarded_set import MongoGuardedSet
    from prodcore.mongo.client.replica_set import SetAddress

    with ExitStack() as stack:
        switch = stack.enter_context(open_switch(patient(settings)))
        watched = [MongoGuardedSet(SetAddress(one.uri), switch) for one in configured_sets(settings)]
        for one in watched:
            stack.callback(one.close)
            for member in one.members():  # this also opens the connections that may be needed in a hurry
                one.refresh_config(member, timeout_seconds=1.0)
        guards = {one.name: SetGuard(one, rules, on_event, control) for one in watched}
        threads = [threading.Thread(target=guard.run, args=(stop,), daemon=True) for guard in guards.values()]
        for thread in threads:
            thread.start()
        switch.follow(_identity(), lambda: {"sets": _facts(guards)}, stop)
        for thread in threads:
            thread.join(timeout=5)


_COUNT_SECONDS = 3.0
_UNHURRIED_MS = 10_000
"""Between two heartbeats of connections that are used every ten seconds: those of every half second cost more."""


def record_curves(settings: Settings, stop: threading.Event) -> None:
    """Look at the cluster again and again, and keep its curves, until ``stop``."""
    from prodcore.replicaset.curves import Recorder

    unhurried = settings.changed(heartbeat_ms=_UNHURRIED_MS)
    with open_desk(unhurried) as desk, open_look(unhurried) as look:
        Recorder(look, desk.curves).run(stop)


@contextmanager
def open_look(settings: Settings) -> Iterator[Callable[[], Look]]:
    """A way to look at the cluster again and again; closes the connections at the end."""
    from prodcore.mongo.products.store import MongoProductStore
    from prodcore.replicaset.curves import Look

    with ExitStack() as stack:
        inspectors = open_inspectors(settings, keep=True)
        stores = []
        for inspector in inspectors:
            stack.callback(inspector.close)
        for one in (found for found in configured_sets(settings) if found.is_shard):
            replica_set = open_replica_set(settings, one.setting)
            stack.callback(replica_set.close)
            stores.append(MongoProductStore(replica_set))
        yield lambda: Look(datetime.now(UTC), look_at(inspectors, []), dict(_counts(stores)))


def _counts(stores: Sequence[MongoProductStore]) -> Iterator[tuple[str, int]]:
    for store in stores:
        with suppress(ProdError), budget(_COUNT_SECONDS):
            yield store.shard, store.count().products


def _identity() -> dict[str, Any]:
    host, pid = socket.gethostname(), os.getpid()
    return {"_id": f"{host}:{pid}", "host": host, "pid": pid}


def _facts(guards: dict[str, SetGuard]) -> dict[str, Any]:
    return {
        name: {
            "primary": guard.state.primary,
            "successor": guard.state.successor,
            "active": guard.state.active,
            "counts": dict(guard.state.counts),
        }
        for name, guard in guards.items()
    }
