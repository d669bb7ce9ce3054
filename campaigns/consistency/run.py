"""Random clients against a system in which things break: is every promise kept? The judge explains what is not.

The system is one of its own, on this machine, removed at the end. With root it is in a network and a mount namespace of
its own too, so that the network around a member can be cut and its disk be full; with libfaketime (``apt-get install
faketime``) clocks jump. The history is kept as JSON, and as EDN for checkers of registers (Knossos, porcupine) and of
lists (Elle).
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from campaigns.consistency.clients import Client, Ledger
from campaigns.consistency.faults import Nemesis, nemesis
from campaigns.consistency.history import (
    Ending,
    Operation,
    as_list_append,
    as_register,
    load,
    load_ending,
    save,
    save_ending,
)
from campaigns.consistency.judge import Anomaly, judge, resolve, summary, unknown
from campaigns.consistency.machine import Machine, enter_namespaces, is_inside, missing
from campaigns.system import System, options, print_table, system
from prodcore.local import LocalPlan

_HISTORY, _ENDING = "history.jsonl", "ending.json"
_BUDGET_SECONDS = 20.0
_WELL_SECONDS = 120.0
_MOST_PAGES = 20


@contextmanager
def _working(clients: list[Client], breaking: Nemesis | None) -> Iterator[None]:
    ended = threading.Event()
    threads = [threading.Thread(target=each.work, args=(ended.is_set,), daemon=True) for each in clients]
    if breaking:
        threads.append(threading.Thread(target=breaking.work, args=(ended,), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=_WELL_SECONDS)
        if any(thread.is_alive() for thread in threads):
            raise RuntimeError("a client or the nemesis does not end")


def _wait_healthy(own: System) -> None:
    ends = time.monotonic() + _WELL_SECONDS
    while ill := [f"{p.name} {p.state} {p.role}" for p in own.cluster.status() if not p.is_healthy]:
        if time.monotonic() > ends:
            raise RuntimeError(f"the system is not whole again by itself: {', '.join(ill)}")
        time.sleep(0.5)


def _ending(clients: list[Client], ledger: Ledger) -> Ending:
    """All products that were written to, and their histories."""
    keys = list(dict.fromkeys(each.product for each in ledger.operations if each.product))
    with ThreadPoolExecutor(len(clients)) as pool:
        parts = [keys[i :: len(clients)] for i in range(len(clients))]
        read = pool.map(lambda client, part: [(key, *client.final(key)) for key in part], clients, parts)
        found = [each for part in read for each in part]
    return Ending({key: p for key, p, _history in found if p}, {key: history for key, _p, history in found})


def _verify(own: System) -> list[Anomaly]:
    """What the system's own check of its shards finds, once what is unfinished had its time."""
    done = own.prodctl("shard", "verify", ok=range(256))
    return [] if done.returncode == 0 else [Anomaly("shard verify", "", done.stdout[-2_000:] + done.stderr, ())]


def main() -> int:
    """Exit status 1 when a promise was broken."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long the clients work")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the faults and of what clients do")
    parser.add_argument("--no-faults", action="store_true", help="let nothing break")
    parser.add_argument("--keep", type=Path, default=Path("consistency"), help="folder of the history")
    parser.add_argument("--judge", type=Path, metavar="FOLDER", help="only judge a kept history")
    given = parser.parse_args()
    if given.judge:
        return _judged(load(given.judge / _HISTORY), load_ending(given.judge / _ENDING), [])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs are started without
    given.keep.mkdir(parents=True, exist_ok=True)
    if not missing():
        enter_namespaces("campaigns.consistency.run", sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="machine-") as directory, _stage(Path(directory), given.seed) as stage:
        own, breaking = stage
        ledger = Ledger(f"c{uuid4().hex[:6]}", on_error=_keeper_of_errors(own, given.keep / "errors.log"))
        token = own.log_in()
        clients = [Client(i, own.url, token, ledger, given.seed) for i in range(given.clients)]
        with _working(clients, None if given.no_faults else breaking), suppress(KeyboardInterrupt):
            time.sleep(given.seconds)  # Ctrl-C ends it early
        save(ledger.operations, given.keep / _HISTORY)
        _wait_healthy(own)
        clients[0].list_all()
        ending = _ending(clients, ledger)
        found = _verify(own)
    found += [Anomaly("not put back", "", failure, ()) for failure in breaking.failures]
    _keep(ledger.operations, ending, given.keep)
    lines = [f"{began:.3f} {ended:.3f} {fault}\n" for began, ended, fault in breaking.times]
    (given.keep / "faults.txt").write_text("".join(lines), "utf-8")
    left_out = "".join(f"; left out: {fault} ({why})" for fault, why in breaking.left_out.items())
    print_table(f"Faults{left_out}.", ["", "times"], sorted(breaking.faults.items()))
    return _judged(ledger.operations, ending, found)


@contextmanager
def _stage(directory: Path, seed: int) -> Iterator[tuple[System, Nemesis]]:
    """A system that works, and what breaks it."""
    machines: list[Machine] = []

    def mongod(plan: LocalPlan) -> Path:
        with_clock = random.Random(seed).choice(plan.members)  # noqa: S311  to be repeatable
        machines.append(Machine(directory, plan.members, with_clock))
        return machines[0].mongod

    with (
        system(guard=True, services=True, mongod=mongod if is_inside() else None) as own,
        nemesis(own, machines[0] if machines else None, seed) as breaking,
    ):
        _wait_healthy(own)
        yield own, breaking


def _keeper_of_errors(own: System, kept: Path) -> Callable[[str], None]:
    """Keeps what webapp's log says of a request: the log is bounded, and removed at the end."""
    log = own.cluster.plan.directory / "logs/webapp.log"

    def keep(request_id: str) -> None:
        lines = log.read_text("utf-8", "replace").splitlines(keepends=True)
        with kept.open("a", encoding="utf-8") as file:
            file.writelines(line for line in lines if request_id in line)

    return keep


def _judged(history: list[Operation], ending: Ending, found: list[Anomaly]) -> int:
    found = [*found, *judge(history, ending, _BUDGET_SECONDS)]
    for anomaly in found[:_MOST_PAGES]:
        print(anomaly.page(), end="\n\n", file=sys.stderr)
    _report(history, ending, summary(found))
    return 1 if found else 0


def _keep(history: list[Operation], ending: Ending, folder: Path) -> None:
    save(history, folder / _HISTORY)
    save_ending(ending, folder / _ENDING)
    (folder / "register.edn").write_text("\n".join(as_register(history)), "utf-8")
    (folder / "list-append.edn").write_text("\n".join(as_list_append(history)), "utf-8")


def _report(history: list[Operation], ending: Ending, broken: dict[str, int]) -> None:
    done: Counter[tuple[str, str]] = Counter((each.do, each.outcome) for each in history)
    slowest = {do: max(each.longest for each in history if each.do == do) for do, _o in done}
    outcomes = ("ok", "fail", "info")
    rows = [(do, *(done[do, outcome] for outcome in outcomes), f"{slowest[do]:.1f} s") for do in sorted(slowest)]
    print_table("Operations.", ["", "answered", "refused", "unknown", "slowest answer"], rows)
    happened = len(unknown(resolve(history, ending)[0]))
    figures = [
        ("operations", len(history)),
        ("unknown outcomes; of them done, not done", f"{(n := len(unknown(history)))}; {happened}, {n - happened}"),
        ("products of lists looked at", sum(len(each.listed) for each in history)),
        ("slowest answer", f"{max(slowest.values()):.1f} s"),
    ]
    print_table("In all.", ["", "figure"], figures)
    print_table("Broken promises.", ["", "times"], sorted(broken.items()) or [("none", 0)])


if __name__ == "__main__":
    sys.exit(main())
