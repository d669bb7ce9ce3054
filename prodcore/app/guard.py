"""The composition root of the guard, and of switchovers, which it must not disturb."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from prodcore.app.cluster import PRODUCTS, open_inspectors, set_addresses
from prodcore.errors import ShardNotFound
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.guard.decision import GuardRules
    from prodcore.guard.guard import OnEvent, SetGuard
    from prodcore.mongo.admin.switch import GuardSwitch
    from prodcore.processes.control import MemberControl
    from prodcore.replicaset.switchover import SwitchoverParts


@contextmanager
def open_switch(settings: Settings) -> Iterator[GuardSwitch]:
    """The switch of all guards; closes its connections at the end."""
    from prodcore.app.wiring import open_replica_set
    from prodcore.mongo.admin.switch import GuardSwitch

    replica_set = open_replica_set(settings, "db3_url")
    try:
        yield GuardSwitch(replica_set)
    finally:
        replica_set.close()


@contextmanager
def open_switchover(settings: Settings, name: str) -> Iterator[SwitchoverParts]:
    """What a switchover of that set needs. Raises ShardNotFound."""
    from prodcore.app.wiring import open_replica_set
    from prodcore.mongo.admin.drill_guards import MongoGuards
    from prodcore.mongo.admin.drill_set import MongoDrillSet
    from prodcore.mongo.admin.drill_traffic import DRILL_RECORDS, MongoRecordTraffic
    from prodcore.replicaset.switchover import SwitchoverParts

    by_setting = zip(set_addresses(settings), open_inspectors(settings), strict=True)
    found = {inspector.name: (setting, inspector) for setting, inspector in by_setting}
    if name not in found:
        raise ShardNotFound(f"there is no set {name}; there are {', '.join(found)}", shard=name)
    setting, inspector = found[name]
    place = DRILL_RECORDS if setting == "db3_url" else (PRODUCTS[0], DRILL_RECORDS[1])
    run = f"switchover{secrets.token_hex(4)}"
    with open_switch(settings) as switch:
        yield SwitchoverParts(
            MongoDrillSet(inspector, place),
            lambda: MongoRecordTraffic(open_replica_set(settings, setting), run, place),
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
        watched = [MongoGuardedSet(SetAddress(uri), switch) for uri in set_addresses(settings).values()]
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
            "on_duty": guard.state.on_duty,
            "counts": dict(guard.state.counts),
        }
        for name, guard in guards.items()
    }
