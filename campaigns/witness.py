"""An independent check: clients and a reading of their own, which share nothing with the drill and its ledger."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import requests
from pymongo import MongoClient, ReadPreference
from pymongo.read_concern import ReadConcern

from campaigns.system import System

_FIRST = {"rsA": "Aval", "rsB": "Zeta"}
_PAUSE = 0.05
_SECONDS = 30.0


@dataclass
class Witness:
    """Two clients a shard: they make products and change their stock; one renames each of them over the border."""

    system: System
    token: str
    word: str = field(default_factory=lambda: f"witness{uuid4().hex[:8]}")
    expected: dict[UUID, tuple[str, str, int, int]] = field(default_factory=dict)
    """By id: shard, name, stock, version, as they were acknowledged last."""
    moments: dict[str, list[float]] = field(default_factory=lambda: {shard: [] for shard in _FIRST})
    """When each shard acknowledged a write of the client that has no business with the other one."""
    failures: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What ``judge`` found."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Witness:
        self._threads = [
            threading.Thread(target=self._work, args=(shard, moves), daemon=True)
            for shard in _FIRST
            for moves in (False, True)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_SECONDS)

    def longest_gap(self, shard: str, start: float, end: float) -> float:
        """The longest time between two acknowledged writes of a shard that overlaps ``start … end``."""
        return max(self._gaps(shard, start, end), default=end - start)

    def usual_gap(self, shard: str, start: float, end: float) -> float:
        """What nine of ten times between two acknowledged writes do not exceed: it is one client, and has to queue."""
        return statistics.quantiles(self._gaps(shard, start, end), n=10)[-1]

    def _gaps(self, shard: str, start: float, end: float) -> list[float]:
        pairs = itertools.pairwise(self.moments[shard])
        return [b - a for a, b in pairs if b > start and a < end]

    def judge(self) -> list[str]:
        """Hold every member of both shards, asked directly, against what was acknowledged; a line for each fault."""
        self.wrong = wrong = list(self.failures)
        found: dict[UUID, set[tuple[str, str, int, int]]] = {product: set() for product in self.expected}
        for shard in _FIRST:
            for address, documents in self._read(shard).items():
                seen = {d["_id"]: (shard, d["name"], d["stock"], d["version"]) for d in documents}
                for product, state in seen.items():
                    found.setdefault(product, set()).add(state)
                missing = [p for p, state in self.expected.items() if state[0] == shard and p not in seen]
                wrong += [f"{product} is not on {address}" for product in missing]
        for product, states in found.items():
            if states != {self.expected.get(product)}:
                wrong.append(f"{product}: {sorted(states)} instead of {self.expected.get(product)}")
        return wrong

    def _work(self, shard: str, moves: bool) -> None:
        other = next(name for name in _FIRST if name != shard)
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.token}"
        for number in itertools.count():
            if self._stop.wait(_PAUSE):
                return
            product, name = uuid4(), f"{_FIRST[shard]} {self.word} {number}{'m' * moves}"
            body: dict[str, Any] = {"id": str(product), "name": name, "price": "1", "stock": 0}
            steps: list[tuple[str, str, str, dict[str, Any]]] = [(shard, "POST", "/products", body)]
            steps.append((shard, "PATCH", f"/products/{product}", {"stock": 7}))
            if moves:
                there = f"{_FIRST[other]} {self.word} {number} of {shard}"
                steps.append((other, "PATCH", f"/products/{product}", {"name": there}))
            for version, (place, method, path, change) in enumerate(steps, start=1):
                body |= change
                if not self._send(session, method, path, change, version - 1):
                    break  # what became of it is not known
                self.expected[product] = (place, body["name"], body["stock"], version)
                if not moves:
                    self.moments[shard].append(time.monotonic())

    def _send(self, session: requests.Session, method: str, path: str, body: dict[str, Any], seen: int) -> bool:
        headers = {"If-Match": f'"{seen}"'} if method == "PATCH" else {}
        url = f"{self.system.url}{path}"
        try:
            answer = session.request(method, url, json=body, headers=headers, timeout=_SECONDS)
        except requests.RequestException as error:
            self.failures.append(f"{method} {path}: {type(error).__name__}")
            return False
        if not answer.ok:
            self.failures.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer.ok

    def _read(self, shard: str) -> dict[str, list[dict[str, Any]]]:
        setting = {"rsA": "db1_url", "rsB": "db2_url"}[shard]
        uri = self.system.cluster.addresses("root")[setting].get_secret_value()
        login = uri.split("//")[1].split("@")[0]
        shown = {"name": {"$regex": self.word}, "move.state": {"$nin": ["pending", "moved"]}}
        read: dict[str, list[dict[str, Any]]] = {}
        for member in self.system.cluster.plan.members_of(shard):
            address = f"mongodb://{login}@{member.address}/?directConnection=true&authSource=admin"
            with MongoClient[dict[str, Any]](address, uuidRepresentation="standard") as client:
                products = client["products_db"].get_collection(
                    "products", read_concern=ReadConcern("majority"), read_preference=ReadPreference.NEAREST
                )
                read[member.address] = list(products.find(shown))
        return read
