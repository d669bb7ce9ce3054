"""Clients that do everything the REST API offers with products, at random, and note what they asked and were told."""

from __future__ import annotations

import http
import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

from campaigns.consistency.history import Operation, Outcome
from campaigns.consistency.judge import FIELDS, home

ORDERS = ("name", "-name", "price", "-price", "stock", "-stock", "updated", "-updated")
LISTED = "id,name,version,price,stock,shard,updated_at"
_FIRST = "abcmñnoz7"
_SKUS = 12
_PRODUCTS = 150
"""So many are there at most, so that a whole list is read in a moment."""
_HOT = 40
"""So many of them are written: few, so that clients meet."""
_TIMEOUT_SECONDS = 60.0
_REST_SECONDS = 0.2
_TRIES = 100
_NOBODY = -1
_LONGEST_DESCRIPTION = 1_500


@dataclass(frozen=True)
class Answer:
    """What came of one request."""

    status: int
    """0 where no answer came, ``_NOBODY`` where nothing was sent."""
    body: Any
    headers: Mapping[str, str]
    began: float
    ended: float

    @property
    def outcome(self) -> Outcome:
        """Of a write."""
        if self.status in (200, 201, 204):
            return "ok"
        return "info" if self.status in (0, 500, 502, 504) else "fail"


@dataclass
class Ledger:
    """All that the clients did, and the products as they last saw them."""

    run: str
    operations: list[Operation] = field(default_factory=list)
    products: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """With the version that the deletion made."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    on_error: Callable[[str], None] = lambda _request_id: None
    """Is told of each request that was answered with 500, while the log still has why."""

    def add(self, operation: Operation) -> None:
        """Note one."""
        with self.lock:
            self.operations.append(operation)

    def pick(self, chance: random.Random, of: int = _HOT) -> dict[str, Any] | None:
        """Some product that is thought to be there, of the newest."""
        with self.lock:
            return dict(chance.choice(list(self.products.values())[-of:])) if self.products else None

    def pick_deleted(self, chance: random.Random) -> dict[str, Any] | None:
        """Some product that can be restored."""
        with self.lock:
            return dict(chance.choice(list(self.deleted.values())[-_HOT:])) if self.deleted else None

    def saw(self, product: Mapping[str, Any]) -> None:
        """Remember a product as it is now."""
        with self.lock:
            known = self.products.get(product["id"], {"version": 0})["version"]
            gone = self.deleted.get(product["id"], {"version": 0})["version"]
            if product["version"] >= max(known, gone):
                self.products[product["id"]] = dict(product)
                self.deleted.pop(product["id"], None)

    def gone(self, product_id: str, version: int = 0) -> None:
        """Remember that it is not there, since this version of it."""
        with self.lock:
            if old := self.products.pop(product_id, None):
                self.deleted[product_id] = old | {"version": version or old["version"] + 1}


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
        usual = {
            self.create: 3, self.create_by_key: 1, self.create_batch: 1, self.edit: 6, self.edit_many: 1,
            self.rename: 5, self.append: 3, self.give_sku: 2, self.delete: 2, self.restore: 1,
            self.read: 10, self.find: 2, self.list_all: 1, self.export: 0.2,
        }  # fmt: skip
        while not ended():
            self._chance.choices(list(usual), list(usual.values()))[0]()
            if len(self._ledger.products) > _PRODUCTS:
                self.delete(of=_PRODUCTS)

    def create(self) -> None:
        """Add a product under an id of our own."""
        product_id, fields = str(uuid4()), self._fields()
        wanted = {"version": 1, "description": "", **fields}
        self._write("create", product_id, wanted, "POST", "/products", {"id": product_id, **fields})

    def create_by_key(self) -> None:
        """Add a product under an Idempotency-Key, repeated until it is known what became of it."""
        fields = self._fields(sku=None)
        key, request, began, longest = uuid4().hex, uuid4().hex, time.monotonic(), 0.0
        while True:
            answer = self._call("POST", "/products", fields, request=request, headers={"Idempotency-Key": key})
            longest = max(longest, answer.ended - answer.began)
            if answer.status == 201:
                made = answer.body
                wanted = {"version": 1, "description": "", **fields}
                self._note("create", made["id"], answer, wanted, request=request, began=began, longest=longest)
                self._ledger.saw(made)
            if answer.outcome == "ok" or 400 <= answer.status < 500:
                return
            time.sleep(_REST_SECONDS)

    def create_batch(self) -> None:
        """Add some products at once, repeated until it is known what became of each; then what was stored once more."""
        items = [{"id": str(uuid4()), **self._fields()} for _ in range(self._chance.randint(2, 5))]
        request, began, longest, stored = uuid4().hex, time.monotonic(), 0.0, []
        open_items = {item["id"]: item for item in items}
        while open_items:
            sent = list(open_items.values())
            answer = self._call("POST", "/products/batch", {"items": sent}, request=request)
            longest = max(longest, answer.ended - answer.began)
            if answer.status != 200:
                time.sleep(_REST_SECONDS)
                continue
            for item, result in zip(sent, answer.body["results"], strict=True):
                if result["status"] in ("unavailable", "unknown"):
                    continue
                del open_items[item["id"]]
                if result["status"] == "created":
                    stored.append(item)
                wanted = {"version": 1, "description": "", **{k: v for k, v in item.items() if k != "id"}}
                outcome: Outcome = "ok" if result["status"] == "created" else "fail"
                self._note(
                    "create", item["id"], answer, wanted,
                    request=request, began=began, outcome=outcome, longest=longest,
                )  # fmt: skip
        if stored:
            self._call("POST", "/products/batch", {"items": stored}, request=request)
        for item in items:
            self._read(item["id"])

    def edit(self) -> None:
        """Change the stock, and sometimes the price."""
        fields: dict[str, Any] = {"stock": self._chance.randint(0, 10_000)}
        if self._chance.random() < 0.3:
            fields["price"] = self._price()
        self._change(lambda _old: fields)

    def edit_many(self) -> None:
        """Give several products one price, each by its version."""
        with self._ledger.lock:
            newest = list(self._ledger.products.values())[-_HOT:]
        chosen = self._chance.sample(newest, min(len(newest), self._chance.randint(2, 6)))
        if not chosen:
            return
        price, request = self._price(), uuid4().hex
        body = {"items": [{"id": p["id"], "version": p["version"]} for p in chosen], "set": {"price": price}}
        answer = self._call("POST", "/products/bulk/edit", body, request=request)
        results = answer.body["results"] if answer.status == 200 else [{"status": ""}] * len(chosen)
        outcomes: dict[str, Outcome] = {"changed": "ok", "unknown": "info", "": answer.outcome}
        for product, result in zip(chosen, results, strict=True):
            wanted = {"version": product["version"] + 1, "price": price}
            outcome = outcomes.get(result["status"], "fail")
            self._note("edit", product["id"], answer, wanted, request=request, outcome=outcome)
            self._read(product["id"])

    def rename(self) -> None:
        """Give another name, in most cases one of another shard."""
        self._change(lambda _old: {"name": self._name()})

    def append(self) -> None:
        """Append a word to the description."""
        word = uuid4().hex[:6]
        old = self._ledger.pick(self._chance)
        if old and len(old["description"]) < _LONGEST_DESCRIPTION:
            self._patch(old, {"description": f"{old['description']} {word}".strip()}, appended=word)

    def give_sku(self) -> None:
        """Give one of few SKUs, which another product may have, or take it away."""
        number = self._chance.randrange(_SKUS)
        sku = f"{self._ledger.run}-{number}" if self._chance.random() < 0.7 else None
        more = {"name": self._name()} if self._chance.random() < 0.3 else {}
        self._change(lambda _old: {"sku": sku, **more})

    def delete(self, of: int = _HOT) -> None:
        """Remove a product."""
        if old := self._ledger.pick(self._chance, of):
            wanted = {"version": old["version"] + 1}
            self._write("delete", old["id"], wanted, "DELETE", f"/products/{old['id']}", None, old)

    def restore(self) -> None:
        """Put a deleted product back."""
        if old := self._ledger.pick_deleted(self._chance):
            wanted = {**{name: old[name] for name in FIELDS}, "version": old["version"] + 1}
            self._write("restore", old["id"], wanted, "POST", f"/products/{old['id']}/restore", None, old)

    def read(self) -> None:
        """Read one by its id."""
        if old := self._ledger.pick(self._chance):
            self._read(old["id"])

    def find(self) -> None:
        """Read one by its name."""
        if (old := self._ledger.pick(self._chance)) is None:
            return
        answer = self._call("GET", f"/products/by-name?name={quote(old['name'])}")
        self._note_read("find", old["id"], answer, {"name": old["name"]})

    def list_all(self) -> None:
        """Read a whole list, page by page, in some order."""
        order, began, limit = self._chance.choice(ORDERS), time.monotonic(), self._chance.choice([7, 50, 200])
        listed: list[Mapping[str, Any]] = []
        cursor, is_doubtful, longest = "", False, 0.0
        pages: list[float] = []
        path = f"/products?search={self._ledger.run}&sort={order}&limit={limit}&fields={LISTED}"
        while True:
            answer = self._call("GET", path + (f"&cursor={quote(cursor)}" if cursor else ""))
            longest = max(longest, answer.ended - answer.began)
            pages.append(round(answer.ended - began, 3))
            if answer.status != 200:
                break
            listed += answer.body["items"]
            is_doubtful |= bool(answer.body["partial"] or answer.body["stale"])
            cursor = answer.body["next_cursor"] or ""
            if not cursor:
                break
        self._note(
            "list", "", answer, began=began, longest=longest, order=order, listed=tuple(listed), is_stale=is_doubtful,
            outcome="ok" if answer.status == 200 else "fail", wanted={"limit": limit, "pages": pages},
        )  # fmt: skip

    def export(self) -> None:
        """Read a whole list as one file."""
        order = self._chance.choice(ORDERS)
        path = f"/products/export?search={self._ledger.run}&sort={order}&format=ndjson"
        answer = self._call("GET", path, is_text=True)
        lines = [json.loads(line) for line in answer.body.splitlines()] if answer.status == 200 else []
        self._note(
            "list", "", answer, order=order, listed=tuple(lines), outcome="ok" if answer.status == 200 else "fail"
        )

    def final(self, product_id: str) -> tuple[dict[str, Any] | None, Sequence[Mapping[str, Any]]]:
        """A product and its history once all is well. Raises RuntimeError where that cannot be had."""
        found, history = (self._certain(f"/products/{product_id}{part}") for part in ("", "/history"))
        return found.body if found.status == 200 else None, history.body["items"] if history.status == 200 else ()

    def _certain(self, path: str) -> Answer:
        for _ in range(_TRIES):
            if (answer := self._call("GET", path)).status in (200, 404):
                return answer
            time.sleep(_REST_SECONDS)
        raise RuntimeError(f"the system is not well again: {path} gives {answer.status}")

    def _read(self, product_id: str) -> None:
        answer = self._call("GET", f"/products/{product_id}")
        self._note_read("read", product_id, answer)
        if answer.status == 404:
            self._ledger.gone(product_id)

    def _note_read(self, do: Any, product_id: str, answer: Answer, wanted: Mapping[str, Any] | None = None) -> None:
        seen = answer.body if answer.status == 200 else None
        self._note(
            do, seen["id"] if seen else product_id, answer, wanted or {}, seen=seen,
            is_stale="Stale-Shards" in answer.headers, outcome="ok" if answer.status in (200, 404) else "fail",
        )  # fmt: skip
        if seen:
            self._ledger.saw(seen)

    def _change(self, fields: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        if old := self._ledger.pick(self._chance):
            self._patch(old, fields(old))

    def _patch(self, old: Mapping[str, Any], new: Mapping[str, Any], **also: Any) -> None:
        if all(old[name] == value for name, value in new.items()):
            return  # such an edit makes no version
        wanted = {"version": old["version"] + 1, **new, **also}
        if "name" in new:
            wanted["stays"] = home(new["name"]) == home(old["name"])
        self._write("edit", old["id"], wanted, "PATCH", f"/products/{old['id']}", new, old)

    def _write(
        self, do: Any, key: str, wanted: Mapping[str, Any], method: str, path: str, body: Any, old: Any = None
    ) -> None:
        """Once; what it left is looked up where the answer does not say it."""
        request = uuid4().hex
        match = {"If-Match": f'"{old["version"]}"'} if old else {}
        answer = self._call(method, path, body, request=request, headers=match)
        self._note(do, key, answer, wanted, request=request)
        if answer.outcome == "ok" and do != "delete":
            self._ledger.saw(answer.body)
        elif answer.outcome == "ok":
            self._ledger.gone(key, wanted["version"])
        elif answer.outcome == "info" or answer.status in (404, 412):
            self._read(key)

    def _note(
        self, do: Any, product: str, answer: Answer, wanted: Mapping[str, Any] | None = None,
        *, began: float = 0.0, outcome: Outcome | None = None, longest: float = 0.0, **more: Any,
    ) -> None:  # fmt: skip
        self._ledger.add(
            Operation(
                self._number, do, began or answer.began, answer.ended, outcome or answer.outcome, answer.status,
                product, wanted or {}, longest=longest or answer.ended - answer.began, **more,
            )
        )  # fmt: skip

    def _fields(self, **given: Any) -> dict[str, Any]:
        sku = f"{self._ledger.run}-{self._chance.randrange(_SKUS)}" if self._chance.random() < 0.2 else None
        return {"name": self._name(), "price": self._price(), "stock": 0, "sku": sku} | given

    def _price(self) -> str:
        return f"{self._chance.randint(1, 99)}.{self._chance.randint(1, 9)}1"

    def _name(self) -> str:
        return f"{self._chance.choice(_FIRST)}{uuid4().hex[:6]} {self._ledger.run}"

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        request: str = "",
        is_text: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; where no answer came some rest after it, for nobody may be there."""
        sent_headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **(headers or {})}
        sent_headers |= {"X-Request-ID": request} if request else {}
        began = time.monotonic()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    str(self._url.hostname), self._url.port, timeout=_TIMEOUT_SECONDS
                )
            sent = None if body is None else json.dumps(body)
            self._connection.request(method, f"{self._url.path}{path}", sent, sent_headers)
            answer = self._connection.getresponse()
            text, ended = answer.read(), time.monotonic()
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            ended = time.monotonic()
            time.sleep(_REST_SECONDS)
            return Answer(_NOBODY if isinstance(error, ConnectionRefusedError) else 0, None, {}, began, ended)
        if answer.status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
            self._ledger.on_error(answer.headers["X-Request-ID"])
        shown = text.decode() if is_text else json.loads(text) if text else None
        return Answer(answer.status, shown, dict(answer.headers), began, ended)
