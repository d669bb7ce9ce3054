"""kill -9 of a random process of the system, again and again, under load through the REST API.

    python -m campaigns.processes [--kills 200] [--minutes 60]

Every program is a victim: each mongod, authsvc and webapp (the process above the workers, and a worker), the guard,
the drill runner, supervisord. Clients of its own create products and change them, and hold every answer against what
is there: acknowledged is there, refused is not, and only what got no answer, or "it is not known", may be either.
Exit status 1 when an answer was wrong, or the system was not whole again within a minute: by itself, and after
`prodctl local up` where supervisord was the victim.
"""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psutil
import requests

from campaigns.system import System, options, print_table, system

_PAUSE = 0.05
_ANSWER_SECONDS = 30.0
_WHOLE_SECONDS = 60.0
_TOLD = 20
"""After so many kills one line."""
_UNKNOWN = (503, 504)
"""503 says that nothing happened, 504 that it may have."""
_FIRST = ("Aval", "Zeta")


@dataclass
class Client:
    """Makes products of one shard and changes them, and knows what each may hold."""

    url: str
    token: str
    first: str
    answers: Counter[str] = field(default_factory=Counter)
    allowed: dict[str, set[int | None]] = field(default_factory=dict)
    """By product: the stock that it may have; None where it may be missing."""
    wrong: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until ``stop``."""
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.token}"
        for number in itertools.count():
            product = str(uuid4())
            body = {"id": product, "name": f"{self.first} {product} {number}", "price": "1", "stock": 0}
            self.allowed[product] = {None}
            if not self._write(session, product, "POST", "/products", body, 0):
                if self._stop.wait(_PAUSE):  # nobody may be there
                    return
                continue
            for version, stock in enumerate((1, 2, 3), start=1):
                if self._stop.wait(_PAUSE):
                    return
                if not self._write(session, product, "PATCH", f"/products/{product}", {"stock": stock}, version):
                    break

    def stop(self) -> None:
        """After the request that is under way."""
        self._stop.set()

    def check(self) -> None:
        """Read every product, and note what is not as it was acknowledged."""
        for product, allowed in self.allowed.items():
            answer = requests.get(
                f"{self.url}/products/{product}",
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=_ANSWER_SECONDS,
            )
            found = answer.json().get("stock") if answer.ok else None
            if answer.status_code not in (200, 404) or found not in allowed:
                self.wrong.append(f"{product}: {answer.status_code}, stock {found} instead of {allowed}")

    def _write(
        self, session: requests.Session, product: str, method: str, path: str, body: dict[str, Any], version: int
    ) -> bool:
        """Make one request, once; False when what became of it is not known, or nothing did."""
        headers = {"If-Match": f'"{version}"'} if version else {}
        try:
            answer = session.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=_ANSWER_SECONDS)
        except requests.RequestException as error:
            self.answers[type(error).__name__] += 1
            self.allowed[product].add(body["stock"])
            return False
        self.answers[str(answer.status_code)] += 1
        if answer.ok:
            self.allowed[product] = {body["stock"]}
        elif answer.status_code == 504:
            self.allowed[product].add(body["stock"])
        elif answer.status_code not in _UNKNOWN:
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer.ok


@contextmanager
def clients(of: System, token: str) -> Iterator[list[Client]]:
    """Two a shard at work inside the block."""
    made = [Client(of.url, token, first) for first in _FIRST for _ in range(2)]
    threads = [threading.Thread(target=client.run, daemon=True) for client in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for client in made:
            client.stop()
        for thread in threads:
            thread.join(2 * _ANSWER_SECONDS)


def victims(of: System) -> dict[str, int]:
    """Every process that may fall, by what it is."""
    pids = {p.name: p.pid for p in of.cluster.status() if p.pid}
    found = dict(pids)
    for service in ("webapp", "authsvc"):
        found |= {f"{service} worker": child.pid for child in psutil.Process(pids[service]).children()}
    supervisor = psutil.Process(pids["webapp"]).parent()
    return found | ({"supervisord": supervisor.pid} if supervisor else {})


def kind(name: str) -> str:
    """``mongod`` for a member."""
    return "mongod" if name.startswith("rs") else name


def kill_one(of: System, chooser: random.Random) -> tuple[str, float]:
    """Kill a victim of a random kind; what it was, and how long the system was not whole. Raises TimeoutError."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    pids = victims(of)
    for name in pids:
        by_kind[kind(name)].append(name)
    victim = chooser.choice(by_kind[chooser.choice(sorted(by_kind))])
    began = time.monotonic()
    psutil.Process(pids[victim]).kill()
    if victim == "supervisord":
        of.cluster.up()
    while not (all(p.is_healthy for p in of.cluster.status()) and victims(of).get(victim) not in (None, pids[victim])):
        if time.monotonic() - began > _WHOLE_SECONDS:
            left = [f"{p.name} {p.state} {p.role}" for p in of.cluster.status() if not p.is_healthy]
            raise TimeoutError(
                f"{victim} was killed, and after {_WHOLE_SECONDS:.0f} s: {', '.join(left) or 'no other'}"
            )
        threading.Event().wait(_PAUSE)
    return victim, time.monotonic() - began


def main() -> int:
    """Run and judge."""
    parser = options(__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0, help="end after so long, with fewer kills")
    given = parser.parse_args()
    chooser = random.Random(given.seed)  # noqa: S311  who falls is no secret
    seconds: dict[str, list[float]] = defaultdict(list)
    wrong: list[str] = []
    with system(guard=True, services=True) as of:
        token = of.log_in()
        ends = time.monotonic() + 60 * given.minutes
        with clients(of, token) as made:
            for number in range(given.kills):
                if time.monotonic() > ends:
                    break
                try:
                    victim, took = kill_one(of, chooser)
                except TimeoutError as late:
                    wrong.append(str(late))
                    break
                seconds[kind(victim)].append(took)
                if not (number + 1) % _TOLD:
                    print(f"{number + 1} kills", flush=True)
        for client in made:
            client.check()
            wrong += client.wrong
    rows = [(what, len(t), f"{sorted(t)[len(t) // 2]:.1f} s", f"{max(t):.1f} s") for what, t in sorted(seconds.items())]
    print_table("kill -9 of a random process under load.", ("process", "kills", "whole again, median", "longest"), rows)
    answers = sum((client.answers for client in made), Counter())
    products = sum(len(client.allowed) for client in made)
    print(f"{sum(map(len, seconds.values()))} kills; {products} products; answers {dict(answers)}; wrong {len(wrong)}")
    for line in wrong:
        print(f"WRONG: {line}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
