"""The composition root of the guard."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from prodcore.bootstrap_cluster import set_addresses
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.guard.decision import GuardRules
    from prodcore.guard.guard import OnEvent, SetGuard
    from prodcore.mongo.switch import GuardSwitch
    from prodcore.nodes.control import MemberControl


@contextmanager
def open_switch(settings: Settings) -> Iterator[GuardSwitch]:
    """The switch of all guards; closes its connections at the end."""
    from prodcore.bootstrap import open_replica_set
    from prodcore.mongo.switch import GuardSwitch

    replica_set = open_replica_set(settings, "db3_url")
    try:
        yield GuardSwitch(replica_set)
    finally:
        replica_set.close()


def run_guards(
    settings: Settings,
    rules: GuardRules,
    on_event: OnEvent,
    stop: threading.Event,
    control: MemberControl | None = None,
) -> None:
    """Guard every set until ``stop``."""
    from prodcore.guard.guard import SetGuard
    from prodcore.mongo.address import SetAddress
    from prodcore.mongo.guarded_set import MongoGuardedSet

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
