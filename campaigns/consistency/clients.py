"""Clients that do everything the REST API offers with products, at random, and note what they asked and were told."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

from campaigns.consistency.history import Operation, Outcome

ORDERS = ("name", "-name", "price", "-price", "stock", "-updated")
_FIRST = "abcmñnoz7"
_BORDER = "n"
_TIMEOUT_SECONDS = 60.0


@dataclass
class Ledger:
    """All that the clients did, and the products as they last saw them."""

    run: str
    operations: list[Operation] = field(default_factory=list)
    products: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, operation: Operation) -> None:
        """Note one."""
        with self.lock:
            self.operations.append(operation)

    def pick(self, chance: random.Random) -> dict[str, Any] | None:
        """Some product that is thought to be there: few of them, so that clients meet."""
        with self.lock:
            return dict(chance.choice(list(self.products.values())[-40:])) if self.products else None

    def saw(self, product: Mapping[str, Any] | None, product_id: str = "") -> None:
        """Remember a product as it is now; that it is gone where there is none."""
        with self.lock:
            if product is None:
                self.products.pop(product_id, None)
            elif product["version"] >= self.products.get(product["id"], {"version": 0})["version"]:
                self.products[product["id"]] = dict(product)


class Client:
    """One of them, with a connection of its own."""

    def __init__(self, number: int, url: str, token: str, ledger: Ledger, seed: int) -> None:
        self._number = number
        self._url = urlsplit(url)
        self._token = token
        self._ledger = ledger
        self._chance = random.Random(f"{seed} {number}")  # noqa: S311  to be repeatable
        self._connection: http.client.HTTPConnection | None = None

    def work(self, ended: Callable[[], bool]) -> None:
        """Do one thing after the other until it is over."""
        while not ended():
            do = self._chance.choices(
                [self.create, self.edit, self.rename, self.append, self.read, self.delete, self.list_all],
                [4, 6, 5, 3, 10, 1, 1],
            )[0]
            do()

    def create(self) -> None:
        """Add a product under an id of our own, now and then with an SKU."""
        product_id, sku = str(uuid4()), (f"S-{uuid4().hex[:8]}" if self._chance.random() < 0.3 else None)
        fields = {"name": self._name(), "price": str(self._chance.randint(1, 99)), "stock": 0, "sku": sku}
        wanted = {"version": 1, **fields, "description": ""}
        self._write("create", product_id, wanted, "POST", "/products", {"id": product_id, **fields})

    def edit(self) -> None:
        """Change the stock, and sometimes the price."""
        fields: dict[str, Any] = {"stock": self._chance.randint(0, 10_000)}
        if self._chance.random() < 0.3:
            fields["price"] = str(self._chance.randint(1, 99))
        self._change(lambda _old: fields)

    def rename(self) -> None:
        """Give another name, in most cases one of another shard."""
        self._change(lambda _old: {"name": self._name()})

    def append(self) -> None:
        """Append a word to the description."""
        word = uuid4().hex[:6]
        self._change(lambda old: {"description": f"{old['description']} {word}".strip()}, appended=word)

    def delete(self) -> None:
        """Remove a product."""
        if old := self._ledger.pick(self._chance):
            version = old["version"] + 1
            self._write("delete", old["id"], {"version": version}, "DELETE", f"/products/{old['id']}", None, old)

    def read(self) -> None:
        """Read one by its id."""
        if (old := self._ledger.pick(self._chance)) is None:
            return
        began = time.monotonic()
        status, body, headers = self._call("GET", f"/products/{old['id']}")
        answered = status in (200, 404)
        self._ledger.add(
            Operation(
                self._number,
                "read",
                began,
                time.monotonic(),
                "ok" if answered else "fail",
                status,
                old["id"],
                seen=body if status == 200 else None,
                is_stale="Stale-Shards" in headers,
            )
        )
        if answered:
            self._ledger.saw(body if status == 200 else None, old["id"])

    def list_all(self) -> None:
        """Read a whole list, page by page, in some order."""
        order, began, limit = self._chance.choice(ORDERS), time.monotonic(), self._chance.choice([7, 50, 200])
        listed: list[Mapping[str, Any]] = []
        cursor, doubtful = "", False
        while True:
            path = f"/products?search={self._ledger.run}&sort={order}&limit={limit}&fields=id,name,version"
            status, body, _headers = self._call("GET", path + (f"&cursor={quote(cursor)}" if cursor else ""))
            if status != 200:
                outcome: Outcome = "fail"
                break
            listed += body["items"]
            doubtful |= bool(body["partial"] or body["stale"])
            cursor, outcome = body["next_cursor"] or "", "ok"
            if not cursor:
                break
        ended = time.monotonic()
        self._ledger.add(
            Operation(
                self._number,
                "list",
                began,
                ended,
                outcome,
                status,
                order=order,
                listed=tuple(listed),
                is_stale=doubtful,
            )
        )

    def _change(self, fields: Callable[[Mapping[str, Any]], Mapping[str, Any]], **also: Any) -> None:
        if old := self._ledger.pick(self._chance):
            new = dict(fields(old))
            wanted = {"version": old["version"] + 1, **new, **also}
            if "name" in new:
                wanted["stays"] = (new["name"] < _BORDER) == (old["name"] < _BORDER) or old["name"][0] == "7"
            self._write("edit", old["id"], wanted, "PATCH", f"/products/{old['id']}", new, old)

    def _write(
        self, do: Any, key: str, wanted: Mapping[str, Any], method: str, path: str, body: Any, old: Any = None
    ) -> None:
        began = time.monotonic()
        status, answer, _headers = self._call(method, path, body, f'"{old["version"]}"' if old else "")
        done: Outcome = "ok" if status in (200, 201, 204) else "info" if status in (0, 500, 502, 504) else "fail"
        self._ledger.add(Operation(self._number, do, began, time.monotonic(), done, status, key, wanted))
        if done == "ok":
            self._ledger.saw(answer if do != "delete" else None, key)
        elif status in (404, 412):
            self._ledger.saw(None, key)

    def _name(self) -> str:
        first = self._chance.choice(_FIRST)
        return f"{first}{uuid4().hex[:6]} {self._ledger.run}"

    def _call(self, method: str, path: str, body: Any = None, seen: str = "") -> tuple[int, Any, Mapping[str, str]]:
        """The status, 0 where no answer came; the body; the headers."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        headers |= {"If-Match": seen} if seen else {}
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    str(self._url.hostname), self._url.port, timeout=_TIMEOUT_SECONDS
                )
            sent = None if body is None else json.dumps(body)
            self._connection.request(method, f"{self._url.path}{path}", sent, headers)
            answer = self._connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None, dict(answer.headers)
        except (OSError, http.client.HTTPException):
            self._connection = None
            return 0, None, {}


def everything(client: Client, ledger: Ledger) -> dict[str, dict[str, Any]]:
    """What is there once all is well: each product of the ledger that can be read, by id."""
    found = {}
    for key in dict.fromkeys(each.product for each in ledger.operations if each.product):
        status, body, _headers = client._call("GET", f"/products/{key}")
        if status == 200:
            found[key] = body
        elif status != 404:
            raise RuntimeError(f"the system is not well again: GET {key} is answered with {status}")
    return found
