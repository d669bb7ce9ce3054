"""No election that nobody asked for, and no action of the guard, under load of the processors and on a slow network.

    python -m campaigns.soak [--minutes 10] [--busy 8] [--delay 0.1] [--jitter 0.1]

All three sets at their local settings (election timeout 1 s, heartbeat 0.25 s), the guard active, twenty writes a
second on each. First eight processes of the members' own priority do nothing but count; then every member is behind a
proxy of its own (``campaigns.proxy``). Exit status 1 when a term grew, when the guard saw a death or a silence or asked
for an election, or when a write failed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient

from campaigns.gaps import wait_for_guard
from campaigns.system import SETS, System, options, print_table, system
from prodcore.app.drills import open_drill
from prodcore.drill.ledger import Ledger, RequestOutcome
from prodcore.drill.load import LoadRate, running_load

_ACTIONS = ("died", "silent", "elected", "refused", "fenced")
_RATE = LoadRate(writers=2, interval=0.05, budget_seconds=15.0)
_PROXY_OFFSET = 100
_START_SECONDS = 30
_SUCCESSOR_SECONDS = 180.0
"""Every question of the guard, and every command that asks for it, takes its time on a slow network too."""


@dataclass(frozen=True)
class Soak:
    """What happened in one stretch."""

    what: str
    seconds: float
    elections: int
    actions: int
    refrained: int
    acknowledged: int
    failed: int
    slowest: float
    """The slowest answer, in seconds."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing happened that should not."""
        return not (self.elections or self.actions or self.failed) and self.acknowledged > 0


def soak(of: System, what: str, seconds: float) -> Soak:
    """A stretch of light load; count elections and the guard's actions in it."""
    ledger = Ledger()
    terms, counts = of.terms(), of.guard_counts()
    with ExitStack() as stack:
        parts = stack.enter_context(open_drill(of.operator, of.cluster.members))
        traffics = [parts.traffic(name) for name in SETS]
        for traffic in traffics:
            stack.callback(traffic.close)
        with running_load(traffics, ledger, _RATE):
            time.sleep(seconds)
        later_terms, later_counts = of.terms(), of.guard_counts()
        parts.settle()
        for access in parts.sets.values():
            access.remove_records(parts.run)
    done = [a for a in ledger.attempts() if a.outcome is RequestOutcome.ACKNOWLEDGED]

    def grown(*names: str) -> int:
        return sum(later_counts.get(name, 0) - counts.get(name, 0) for name in names)

    return Soak(
        what,
        seconds,
        sum(later_terms[name] - terms[name] for name in SETS),
        grown(*_ACTIONS),
        grown("refrained"),
        len(done),
        len(ledger.attempts()) - len(done),
        max((a.latency for a in done), default=0.0),
    )


@contextmanager
def busy_processors(processes: int) -> Iterator[None]:
    """So many processes count, at the priority of this one and of the members."""
    with ExitStack() as stack:
        for _ in range(processes):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


@contextmanager
def slow_network(of: System, *arguments: str) -> Iterator[None]:
    """Put every member behind a proxy; the sets know them by its address until the end."""
    ports = {m.port: m.port + _PROXY_OFFSET for m in of.cluster.plan.members}
    pairs = [f"{proxy}:{port}" for port, proxy in ports.items()]
    command = [sys.executable, "-m", "campaigns.proxy", *arguments, *pairs]
    with subprocess.Popen(  # noqa: S603  our own module
        command, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            if process.stdout is None or process.stdout.readline().strip() != "ready":
                raise RuntimeError("the proxy does not start")
            _rename_members(of, ports)
            try:
                wait_for_guard(of, _SUCCESSOR_SECONDS)
                yield
            finally:
                _rename_members(of, {proxy: port for port, proxy in ports.items()})
        finally:
            process.kill()


def _rename_members(of: System, ports: dict[int, int]) -> None:
    """Let the sets know their members by other ports."""
    for uri in of.cluster.addresses("root").values():
        with MongoClient[dict[str, Any]](uri.get_secret_value()) as client:
            config = client.admin.command("replSetGetConfig")["config"]
            for member in config["members"]:
                host, port = member["host"].split(":")
                member["host"] = f"{host}:{ports[int(port)]}"
            config["version"] += 1
            client.admin.command("replSetReconfig", config)
    of.prodctl("cluster", "status", "--wait", "healthy", "--timeout", str(_START_SECONDS), ok=(0, 6))


def show(soaks: list[Soak]) -> None:
    """The table."""
    rows: list[list[object]] = [
        [
            s.what, f"{s.seconds:.0f} s", s.elections, s.actions, s.refrained, s.acknowledged, s.failed,
            f"{s.slowest:.2f} s",
        ]
        for s in soaks
    ]  # fmt: skip
    heads = ("", "for", "elections", "guard actions", "guard refrained", "acknowledged", "failed", "slowest answer")
    print_table("Three sets, 20 writes a second on each, the guard active.", heads, rows)


def main() -> int:
    """Run and judge."""
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--busy", type=int, default=8, help="how many processes count")
    parser.add_argument("--delay", type=float, default=0.1)
    parser.add_argument("--jitter", type=float, default=0.1)
    given = parser.parse_args()
    seconds = given.minutes * 60
    with system(guard=True) as of:
        wait_for_guard(of)
        with busy_processors(given.busy):
            soaks = [soak(of, f"{given.busy} busy processes", seconds)]
        show(soaks)
        what = f"network between members late by {given.delay:g} to {given.delay + given.jitter:g} s each way"
        with slow_network(of, "--delay", str(given.delay), "--jitter", str(given.jitter)):
            soaks.append(soak(of, what, seconds))
    show(soaks)
    return 0 if all(s.is_quiet for s in soaks) else 1


if __name__ == "__main__":
    sys.exit(main())
