"""The longest time without an acknowledged write: MongoDB's defaults, ours without the guard, ours with it.

    python -m campaigns.gaps [--rounds 10] [--idle-seconds 60]

One replica set a variant, each in a system of its own, one after the other in the same run; the load goes straight
through the driver. *MongoDB's defaults* are those of the set (election timeout 10 s, heartbeat 2 s), of mongod (it
takes 15 s to leave after SIGTERM, a secondary waits 5 s longer for a hung source) and of the driver (a heartbeat in
10 s, 20 s to connect). Requests may take a minute there, so that the gap can be seen at all.

Beside them more systems with the guard are idle, and take their turns after each idle minute: two never measure at
the same time.

Exit status 1 when a write was lost or doubled, or when the guard's gaps are longer than is asked of them.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pymongo import MongoClient

from campaigns.system import System, options, print_table, system

SET = "rsA"
FAULTS = ("kill", "stop", "stepdown", "pause")
EVENTS = (*FAULTS, "switchover")
_DEFAULT_MS = 10_000
_DRIVER = {
    "PRODCTL_HEARTBEAT_MS": "10000",
    "PRODCTL_CONNECT_TIMEOUT_MS": "20000",
    "PRODCTL_REQUEST_BUDGET_SECONDS": "60",
}
_GUARD_SECONDS = 40.0
_YIELD_SECONDS = 0.1
"""A lock goes to whoever asks next, not to who has waited longest."""

DEFAULTS, OURS, GUARDED, DEFAULTS_GUARDED = "MongoDB's defaults", "ours", "ours and guard", "defaults and guard"
VARIANTS = {DEFAULTS: FAULTS, OURS: EVENTS, GUARDED: EVENTS, DEFAULTS_GUARDED: ("kill", "pause")}
"""And the events of each."""
IDLE_EVENTS = ("kill", "stop", "pause", "switchover")
"""Of which it is asked how long they take on an idle set."""
ASKED = {
    (OURS, "kill"): 2.3,
    (OURS, "pause"): 5.0,
    (GUARDED, "kill"): 0.3,
    (GUARDED, "stop"): 0.3,
    (GUARDED, "switchover"): 0.2,
    (GUARDED, "pause"): 3.0,
}
"""Seconds, worst of ten; the same where the set was idle before."""


def idle(event: str) -> str:
    """What an event is called when the set was idle before it."""
    return f"{event}, idle before"


@dataclass
class Gaps:
    """What was measured of one variant."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    """By event."""
    acknowledged: int = 0
    failed: int = 0
    broken: int = 0
    """Lost, duplicated or wrong."""

    def add(self, event: str, report: dict[str, Any]) -> None:
        """A drill."""
        verdict = report["verdict"]
        self.seconds.setdefault(event, []).extend(r["write_gap_seconds"] for r in report["rounds"])
        self.acknowledged += verdict["acknowledged"]
        self.failed += verdict["failed"]
        self.broken += sum(verdict[name] for name in ("lost", "duplicated", "wrong", "contradicted"))

    def merge(self, other: Gaps) -> None:
        """What another system has shown of the same variant."""
        self.seconds |= other.seconds
        self.acknowledged += other.acknowledged
        self.failed += other.failed
        self.broken += other.broken


@dataclass
class Bench:
    """One run: how often, how long an idle set is idle, and whose turn it is to measure."""

    rounds: int
    idle_seconds: float
    turn: threading.Lock = field(default_factory=threading.Lock)
    given_up: threading.Event = field(default_factory=threading.Event)

    def run(self, variant: str, events: Sequence[str], *, idle_before: bool = False) -> Gaps:
        """In a system of its own."""
        default, guard = variant in (DEFAULTS, DEFAULTS_GUARDED), variant in (GUARDED, DEFAULTS_GUARDED)
        with ExitStack() as stack:
            with self.turn:  # it takes free ports, and the processors
                timeout = _DEFAULT_MS if default else 1_000
                of = stack.enter_context(system(guard=guard, election_timeout_ms=timeout))
                if variant == DEFAULTS:
                    restore_defaults(of)
            return self.measure(of, variant, events, idle_before=idle_before)

    def measure(self, of: System, variant: str, events: Sequence[str], *, idle_before: bool = False) -> Gaps:
        """Every event so many times."""
        gaps = Gaps()
        for event in events:
            name = idle(event) if idle_before else event
            for _ in range(self.rounds):
                if variant in (GUARDED, DEFAULTS_GUARDED):
                    wait_for_guard(of)
                if idle_before and self.given_up.wait(self.idle_seconds):
                    return gaps
                with self.turn:
                    once(of, event, name, gaps, _DRIVER if variant == DEFAULTS else {})
                self.given_up.wait(_YIELD_SECONDS)
            print(f"{variant}, {name}: {gaps.seconds[name]}", flush=True)
        return gaps


def once(of: System, event: str, name: str, gaps: Gaps, client: dict[str, str]) -> None:
    """One switchover, or one drill of one round."""
    if event == "switchover":
        done = of.prodctl("cluster", "switchover", SET, "--yes", "-o", "json", environment=client)
        gaps.seconds.setdefault(name, []).append(json.loads(done.stdout)["write_gap_seconds"])
    else:
        gaps.add(name, of.drill(SET, "--fault", event, "--via", "driver", environment=client))


def restore_defaults(of: System) -> None:
    """Give the members of the set what mongod has by itself where ours is another value."""
    for member in of.cluster.plan.members_of(SET):
        path = of.cluster.plan.member_config(member)
        config = json.loads(path.read_text())
        for name in ("shutdownTimeoutMillisForSignaledShutdown", "oplogNetworkTimeoutBufferSeconds"):
            del config["setParameter"][name]
        path.write_text(json.dumps(config))
        of.cluster.stop(member.name)
        of.cluster.start(member.name)
    address = of.cluster.addresses("root")["db1_url"].get_secret_value()
    with MongoClient[dict[str, Any]](address) as client:
        config = client.admin.command("replSetGetConfig")["config"]
        config["version"] += 1
        config["settings"]["heartbeatIntervalMillis"] = 2_000
        client.admin.command("replSetReconfig", config)
    of.prodctl("cluster", "status", "--wait", "healthy", "--timeout", "40", ok=(0, 6))


def wait_for_guard(of: System, seconds: float = _GUARD_SECONDS) -> None:
    """Until it is active and has found its successors, as in daily life."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        guards = json.loads(of.prodctl("cluster", "status", "-o", "json", ok=(0, 6)).stdout)["guards"]
        pid = next(p.pid for p in of.cluster.status() if p.name == "guard")  # not one that was killed a moment ago
        if any(g["name"].endswith(f":{pid}") and g["active"] and g["successors"].get(SET) for g in guards):
            return
        time.sleep(0.5)
    raise RuntimeError("the guard has no successor")


def missed(found: dict[str, Gaps]) -> list[str]:
    """What is longer than is asked, and what must never be."""
    late = [
        f"{variant}, {name}: {max(found[variant].seconds[name]):.3f} s, asked are {asked:g} s"
        for (variant, event), asked in ASKED.items()
        for name in (event, idle(event))
        if variant in found and name in found[variant].seconds and max(found[variant].seconds[name]) > asked
    ]
    return late + [
        f"{variant}: {gaps.broken} writes lost, doubled or wrong" for variant, gaps in found.items() if gaps.broken
    ]


def show(found: dict[str, Gaps], rounds: int) -> None:
    """The table."""
    events = list(dict.fromkeys(event for gaps in found.values() for event in gaps.seconds))
    rows: list[list[object]] = [
        [event, *(_cell(gaps.seconds.get(event, [])) for gaps in found.values())] for event in events
    ]
    rows.append(["acknowledged", *(gaps.acknowledged for gaps in found.values())])
    rows.append(["failed", *(gaps.failed for gaps in found.values())])
    rows.append(["lost, doubled or wrong", *(gaps.broken for gaps in found.values())])
    title = f"Longest time without an acknowledged write in seconds, worst of {rounds} (median), 50 writes a second."
    print_table(title, ("", *found), rows)


def _cell(seconds: list[float]) -> str:
    return f"**{max(seconds):.2f}** ({median(seconds):.2f})" if seconds else "–"


def main() -> int:
    """Run and judge."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--idle-seconds", type=float, default=60)
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--events", nargs="+", choices=EVENTS, default=EVENTS)
    parser.add_argument("--idle-systems", type=int, default=2, help="at the same time")
    given = parser.parse_args()
    bench = Bench(given.rounds, given.idle_seconds)
    found: dict[str, Gaps] = {}
    with ThreadPoolExecutor(given.idle_systems) as pool:
        idle_events = [event for event in IDLE_EVENTS if event in given.events]
        beside = [pool.submit(bench.run, GUARDED, [event], idle_before=True) for event in idle_events]
        try:
            for variant in given.variants:
                found[variant] = bench.run(variant, [e for e in VARIANTS[variant] if e in given.events])
            for one in beside:
                found.setdefault(GUARDED, Gaps()).merge(one.result())
        except BaseException:
            bench.given_up.set()
            raise
    show(found, given.rounds)
    wrong = missed(found)
    for line in wrong:
        print(f"MISSED: {line}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
