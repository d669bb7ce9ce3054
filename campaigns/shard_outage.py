"""A whole shard is killed, and hangs, under load: the other one's requests are as quick as before, and none fails.

    python -m campaigns.shard_outage [--seconds 20]

A hundred requests a second for products of rsA and ten for those of rsB, each an edit or a reading through the REST
API, and a list over both every second. Exit status 1 when a request for rsA failed, when its p99 was more than twice
that of the quiet time before, when rsB was answered otherwise than with 503, its name and ``Retry-After`` once it was
known to be out, or when a list was not marked.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import requests

from campaigns.system import System, options, print_table, system

_CLIENTS = {"rsA": 10, "rsB": 1}
_NAMES = {"rsA": "Aval", "rsB": "Zeta"}
_PAUSE_SECONDS = 0.1
_KNOWN_SECONDS = 3.0
"""After so long everybody knows that a shard is out."""
_TIMES_SLOWER = 2.0
_TIMEOUT_SECONDS = 30.0
_PATIENCE_SECONDS = 3.0
"""What was under way when the shard went away is answered when its budget ends: these clients do not wait for it."""


@dataclass
class Run:
    """What the clients share."""

    of: System
    token: str
    phase: str = "before"
    known: bool = False
    over: threading.Event = field(default_factory=threading.Event)
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    """By phase and shard: what requests took."""
    wrong: list[str] = field(default_factory=list)

    def work(self, shard: str, number: int) -> None:
        """A client: it makes a product, then reads and edits it in turn."""
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.token}"
        body = {"name": f"{_NAMES[shard]} {number}", "price": "1"}
        answer = session.post(f"{self.of.url}/products", json=body, timeout=_TIMEOUT_SECONDS)
        answer.raise_for_status()
        path, seen = f"{self.of.url}/products/{answer.json()['id']}", 0
        due = time.monotonic()
        for turn in itertools.count():
            due = max(due + _PAUSE_SECONDS, time.monotonic())
            if self.over.wait(max(0.0, due - time.monotonic())):
                return
            phase, known, begun = self.phase, self.known, time.monotonic()
            method, change, headers = "GET", None, {}
            if seen:  # each version is read, then edited: of an edit that failed nobody knows whether it was made
                method, change, headers = "PATCH", {"stock": turn}, {"If-Match": f'"{seen}"'}
            try:
                answer = session.request(method, path, json=change, headers=headers, timeout=_PATIENCE_SECONDS)
            except requests.Timeout:
                seen = 0
                if known and phase == self.phase:
                    self.wrong.append(f"{phase}, {shard}: no answer in {_PATIENCE_SECONDS:.0f} s")
                continue
            if phase == self.phase and known == self.known:
                self.judge(shard, phase, known, answer, time.monotonic() - begun)
            seen = answer.json()["version"] if answer.ok and not seen else 0

    def judge(self, shard: str, phase: str, known: bool, answer: requests.Response, seconds: float) -> None:
        """Note what one request took and whether it was answered as promised."""
        out = shard == "rsB" and phase in ("killed", "hanging")
        if out and not known:
            return
        self.seconds[phase, shard].append(seconds)
        promised = answer.status_code == 503 if out else answer.ok
        if out and promised:
            promised = answer.json().get("shard") == "rsB" and "Retry-After" in answer.headers
        if not promised and phase != "between":
            self.wrong.append(f"{phase}, {shard}: {answer.status_code} {answer.text[:200]}")

    def look(self) -> None:
        """Somebody who lists everything."""
        while not self.over.wait(1.0):
            phase, known = self.phase, self.known
            headers = {"Authorization": f"Bearer {self.token}"}
            answer = requests.get(f"{self.of.url}/products?limit=20", headers=headers, timeout=_TIMEOUT_SECONDS)
            if not known or phase != self.phase or phase == "between":
                continue
            partial = answer.json().get("unavailable") == ["rsB"] if answer.ok else None
            if partial != (phase in ("killed", "hanging")):
                self.wrong.append(f"{phase}: a list was answered with {answer.status_code} {answer.text[-200:]}")


@contextmanager
def _clients(run: Run) -> Iterator[None]:
    threads = [
        threading.Thread(target=run.work, args=(shard, n), daemon=True)
        for shard, count in _CLIENTS.items()
        for n in range(count)
    ]
    threads.append(threading.Thread(target=run.look, daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        run.over.set()
        for thread in threads:
            thread.join(_TIMEOUT_SECONDS)


def _phase(run: Run, name: str, seconds: float) -> None:
    run.known, run.phase = False, name
    time.sleep(_KNOWN_SECONDS)
    run.known = True
    time.sleep(seconds)
    run.known, run.phase = False, "between"


def outage(of: System, token: str, seconds: float) -> Run:
    """Load, with the shard well, killed, well again and hanging."""
    members = [member.address for member in of.cluster.plan.members_of("rsB")]
    control = of.cluster.members
    run = Run(of, token)
    with _clients(run):
        _phase(run, "before", seconds)
        for address in members:
            control.kill(address)
        _phase(run, "killed", seconds)
        of.cluster.up()
        time.sleep(_KNOWN_SECONDS)
        _phase(run, "again", seconds)
        with ExitStack() as resumed:
            for address in members:
                control.pause(address)
                resumed.callback(control.resume, address)
            _phase(run, "hanging", seconds)
    return run


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


def main() -> int:
    """Run and judge."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each phase")
    given = parser.parse_args()
    with system(guard=True, services=True) as of:
        run = outage(of, of.log_in(), given.seconds)
    quiet = max(_p99(run.seconds[phase, "rsA"]) for phase in ("before", "again"))
    rows = []
    for (phase, shard), values in run.seconds.items():
        if phase != "between":
            rows.append((phase, shard, len(values), f"{statistics.median(values):.3f} s", f"{_p99(values):.3f} s"))
        if shard == "rsA" and phase in ("killed", "hanging") and _p99(values) > _TIMES_SLOWER * quiet:
            run.wrong.append(f"{phase}: the p99 of rsA was {_p99(values):.3f} s instead of {quiet:.3f} s")
    print_table("rsB is out.", ("rsB is", "requests for", "requests", "median", "p99"), rows)
    for line in run.wrong:
        print(f"WRONG: {line}", flush=True)
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
