"""Random clients against a system in which things die: is every promise kept? The judge explains what is not.

The system is one of its own, on this machine, removed at the end. The history is kept as JSON, and as EDN for checkers
of registers (Knossos, porcupine) and of lists (Elle).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from campaigns.consistency.clients import Client, Ledger, everything
from campaigns.consistency.history import as_list_append, as_register, save
from campaigns.consistency.judge import judge, summary
from campaigns.system import SETS, System, options, print_table, system

_BUDGET_SECONDS = 20.0
_CALM_SECONDS = (2.0, 6.0)
_HANG_SECONDS = (1.0, 8.0)
_WELL_SECONDS = 120.0


class Nemesis:
    """Breaks one thing after the other, and puts it back."""

    def __init__(self, own: System, seed: int) -> None:
        self._own = own
        self._chance = random.Random(seed)  # noqa: S311  to be repeatable
        self.faults: Counter[str] = Counter()
        cluster = own.cluster
        self._members = {name: [m.address for m in cluster.plan.members_of(name)] for name in SETS}
        self._services = [s.name for s in cluster.status() if s.name in ("webapp", "authsvc", "guard")]

    def work(self, ended: threading.Event) -> None:
        """One fault after the other, with calm in between."""
        faults: list[Callable[[], None]] = [
            self.kill_member,
            self.stop_member,
            self.hang_member,
            self.lose_majority,
            self.lose_set,
            self.lose_all_members,
            self.kill_service,
            self.hang_service,
            self.kill_worker,
        ]
        while not ended.wait(self._chance.uniform(*_CALM_SECONDS)):
            fault = self._chance.choice(faults)
            self.faults[fault.__name__] += 1
            fault()

    def kill_member(self) -> None:
        """SIGKILL of any member."""
        self._down([self._any()], self._own.cluster.members.kill)

    def stop_member(self) -> None:
        """SIGTERM of any member."""
        self._down([self._any()], self._own.cluster.members.stop)

    def hang_member(self) -> None:
        """SIGSTOP of any member for some seconds."""
        address = self._any()
        self._own.cluster.members.pause(address)
        time.sleep(self._chance.uniform(*_HANG_SECONDS))
        self._own.cluster.members.resume(address)

    def lose_majority(self) -> None:
        """Two of three members killed."""
        self._down(self._members[self._chance.choice(SETS)][:2], self._own.cluster.members.kill)

    def lose_set(self) -> None:
        """A whole set killed."""
        self._down(self._members[self._chance.choice(SETS)], self._own.cluster.members.kill)

    def lose_all_members(self) -> None:
        """All members of all sets killed, as when the power goes."""
        self._down([a for members in self._members.values() for a in members], self._own.cluster.members.kill)

    def kill_service(self) -> None:
        """SIGKILL of a service's parent."""
        self._signal(signal.SIGKILL)

    def hang_service(self) -> None:
        """SIGSTOP of a service's parent for some seconds."""
        if pid := self._signal(signal.SIGSTOP):
            time.sleep(self._chance.uniform(*_HANG_SECONDS))
            _send(pid, signal.SIGCONT)

    def kill_worker(self) -> None:
        """SIGKILL of a worker process of webapp."""
        pid = self._pid("webapp")
        children = Path(f"/proc/{pid}/task/{pid}/children")
        if pid and children.exists() and (workers := children.read_text().split()):
            _send(int(self._chance.choice(workers)), signal.SIGKILL)

    def _down(self, addresses: list[str], how: Callable[[str], None]) -> None:
        for address in addresses:
            how(address)
        time.sleep(self._chance.uniform(*_HANG_SECONDS))
        for address in addresses:
            self._own.cluster.members.start(address)

    def _any(self) -> str:
        return self._chance.choice([a for members in self._members.values() for a in members])

    def _pid(self, name: str) -> int | None:
        return next((s.pid for s in self._own.cluster.status() if s.name == name), None)

    def _signal(self, kind: signal.Signals) -> int | None:
        pid = self._pid(self._chance.choice(self._services)) if self._services else None
        if pid:
            _send(pid, kind)
        return pid


def _send(pid: int, kind: signal.Signals) -> None:
    try:
        os.kill(pid, kind)
    except ProcessLookupError:
        return


@contextmanager
def _working(clients: list[Client], nemesis: Nemesis | None) -> Iterator[None]:
    ended = threading.Event()
    threads = [threading.Thread(target=each.work, args=(ended.is_set,), daemon=True) for each in clients]
    if nemesis:
        threads.append(threading.Thread(target=nemesis.work, args=(ended,), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=_WELL_SECONDS)


def _wait_well(own: System) -> None:
    ends = time.monotonic() + _WELL_SECONDS
    while not all(program.is_well for program in own.cluster.status()):
        if time.monotonic() > ends:
            raise RuntimeError("the system is not well again by itself")
        time.sleep(0.5)


def main() -> int:
    """Exit status 1 when a promise was broken."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long the clients work")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the faults and of what clients do")
    parser.add_argument("--no-faults", action="store_true", help="let nothing die")
    parser.add_argument("--keep", type=Path, default=Path("consistency"), help="folder of the history")
    given = parser.parse_args()
    with system(guard=True, services=True) as own:
        token, ledger = own.log_in(), Ledger(f"c{uuid4().hex[:6]}")
        clients = [Client(i, own.url, token, ledger, given.seed) for i in range(given.clients)]
        nemesis = None if given.no_faults else Nemesis(own, given.seed)
        with _working(clients, nemesis):
            time.sleep(given.seconds)
        _wait_well(own)
        final = everything(clients[0], ledger)
        clients[0].list_all()
    given.keep.mkdir(parents=True, exist_ok=True)
    save(ledger.operations, given.keep / "history.jsonl")
    (given.keep / "register.edn").write_text("\n".join(as_register(ledger.operations)), "utf-8")
    (given.keep / "list-append.edn").write_text("\n".join(as_list_append(ledger.operations)), "utf-8")
    anomalies = judge(ledger.operations, final, _BUDGET_SECONDS)
    for anomaly in anomalies[:20]:
        print(anomaly.page(), end="\n\n", file=sys.stderr)
    _report(ledger, nemesis, summary(anomalies))
    return 1 if anomalies else 0


def _report(ledger: Ledger, nemesis: Nemesis | None, broken: dict[str, int]) -> None:
    done = Counter((each.do, each.outcome) for each in ledger.operations)
    rows = [(do, *(done[do, outcome] for outcome in ("ok", "fail", "info"))) for do in sorted({d for d, _o in done})]
    print_table("Operations.", ["", "acknowledged", "refused", "unknown"], rows)
    print_table("Faults.", ["", "times"], sorted((nemesis.faults if nemesis else {}).items()))
    print_table("Broken promises.", ["", "times"], sorted(broken.items()) or [("none", 0)])


if __name__ == "__main__":
    sys.exit(main())
