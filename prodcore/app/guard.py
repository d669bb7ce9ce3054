"""The composition root of the guard, and of switchovers, which it must not disturb."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from prodcore.app.wiring import PRODUCTS, configured_set, configured_sets, open_replica_set, open_switch
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.guard.decision import GuardRules
    from prodcore.guard.guard import OnEvent, SetGuard
    from prodcore.processes.control import MemberControl
    from prodcore.replicaset.switchover import SwitchoverParts


@contextmanager
def open_switchover(settings: Settings, name: str) -> Iterator[SwitchoverParts]:
    """What a switchover of that set needs. Raises ShardNotFound."""
    from prodcore.drill.load import SWITCHOVER_RATE, measured_load
    from prodcore.mongo.admin.drill_set import DRILL_RECORDS, MongoDrillSet, MongoRecordTraffic
    from prodcore.mongo.admin.guard_switch import MongoGuards
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
        switch = stack.enter_context(open_switch(settings))
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
