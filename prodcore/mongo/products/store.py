"""Products of one shard in its replica set, in ``products_db.products``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from bson.min_key import MinKey
from pymongo import DESCENDING, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError, WriteError

from prodcore.catalog.stores import TRAFFIC_CATEGORY, Batch, Count, Deleted, Key, Moment, Query, Slice
from prodcore.catalog.write_errors import changed_meanwhile, exists, id_was_used, is_deleted, is_not_owned
from prodcore.errors import OutcomeUnknown, ProdError, StaleShardMap
from prodcore.mongo.client.replica_set import Document, ReplicaSet, find_at_once, is_transient
from prodcore.mongo.client.shared_reads import SharedReads
from prodcore.mongo.products.document import (
    NO_HISTORY,
    WRITES,
    as_change,
    as_deleted,
    as_document,
    as_held_update,
    as_parking,
    as_product,
    as_restoring,
    as_update,
    came_of,
    refuse,
    writes_in,
)
from prodcore.mongo.products.import_store import MongoImportStore
from prodcore.mongo.products.map_store import VALIDATION_FAILURE, breaks_rule
from prodcore.mongo.products.move_store import MongoMoveStore
from prodcore.mongo.products.query import count_matches, read_batch, read_labels, read_names
from prodcore.product.model import Change, Product
from prodcore.product.terms import category_term
from prodcore.routing import LAST

_REFUSED = {11000, VALIDATION_FAILURE}
"""The server's codes for a name or an id that is taken, and for a name that is another shard's."""
_SIZED = 500
"""So many documents are weighed."""
_NO_PRODUCTS = {
    "$or": [
        {"purge_at": {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}},
        {"move.state": {"$in": ["pending", "moved"]}},
        {"words": category_term(TRAFFIC_CATEGORY)},
    ]
}
"""The documents that do not count: those that will be removed some day, copies of a move, and records of a drill."""
_UNDER_WAY = {"move.state": {"$in": ["intended", "leaving", "pending", "entering"]}}
"""Products that are between two shards at this moment: old locations of those that have moved are not."""


class MongoProductStore:
    """A ``prodcore.catalog.stores.ProductStore`` on one replica set."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._reads = SharedReads(self._documents)
        self.imports = MongoImportStore(replica_set)
        self._count = DocumentCount(replica_set, "products")
        self.moves = MongoMoveStore(replica_set)

    @property
    def shard(self) -> str:
        """The replica set's name."""
        return self._set.name

    @property
    def _products(self) -> Collection[Document]:
        return self._set.collection("products")

    def insert(self, product: Product) -> bool:
        """Add a product; see the port."""

        def attempt(_again: bool) -> bool:
            try:
                self._products.insert_one(as_document(product))
            except WriteError as error:
                if error.code not in _REFUSED:
                    raise
                if not self._present([product]):
                    raise self._refusal(product, error.code) from None
                return False
            return True

        return self._set.write(attempt, product_id=str(product.id))

    def insert_many(self, products: Sequence[Product]) -> list[ProdError | None]:
        """Add each product on its own; see the port."""
        if not products:
            return []
        documents = [as_document(product) for product in products]

        def attempt(_again: bool) -> dict[int, ProdError]:
            try:
                self._products.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                write_errors = error.details.get("writeErrors", [])
                if is_transient(error) or any(e["code"] not in _REFUSED for e in write_errors):
                    raise
                refused = {e["index"]: e["code"] for e in write_errors}
                present = self._present([products[i] for i in refused])
                return {i: self._refusal(products[i], c) for i, c in refused.items() if products[i].id not in present}
            return {}

        try:
            refused = self._set.write(attempt)
        except OutcomeUnknown as unknown:
            return [unknown] * len(products)
        return [refused.get(i) for i in range(len(products))]

    def remove_new(self, products: Sequence[Product]) -> None:
        """Remove products that were inserted just now; see the port."""
        new = {"_id": {"$in": [p.id for p in products]}, "write_id": {"$in": [p.write_id for p in products]}}
        self._set.write(lambda _again: self._products.delete_many(new))

    def replace(self, product: Product) -> None:
        """Store a new version; see the port."""
        try:
            self._update(product, _live(product), as_update(product))
        except StaleShardMap:
            keys, update = as_held_update(product)
            if not self._update(product, _live(product) | keys, update, explain=False):
                raise

    def park(self, product: Product, until: datetime) -> None:
        """Delete a product, to be restored until then; see the port."""
        self._update(product, _live(product), as_parking(product, until))

    def restore(self, product: Product) -> None:
        """Put a deleted product back; see the port."""
        parked = {"_id": product.id, "version": product.version - 1, "deleted": {"$exists": True}}
        self._update(product, parked | {"move": {"$exists": False}}, as_restoring(product))

    def _update(self, product: Product, seen: Document, update: Document, *, explain: bool = True) -> bool:
        """Make ``product`` of the version before it, which is ``seen``; False where that is not there.

        With ``explain`` the reason is raised then, unless it is that an earlier attempt has done it.
        """

        def attempt(again: bool) -> bool:
            try:
                result = self._products.update_one(seen, update)
            except DuplicateKeyError:
                raise exists(product) from None
            except WriteError as error:
                if breaks_rule(error):
                    raise is_not_owned(product, self.shard) from None
                raise
            if not result.matched_count and (explain or again):
                self._explain_no_match(product, again)
            return explain or again or result.matched_count > 0

        return self._set.write(attempt, product_id=str(product.id))

    def replace_many(self, products: Sequence[Product]) -> list[ProdError | None]:
        """Store new versions, each on its own; see the port."""
        held = [as_held_update(product) for product in products]
        return self._update_many(products, [as_update(product) for product in products], held)

    def park_many(self, products: Sequence[Product], until: datetime) -> list[ProdError | None]:
        """Delete products, each on its own; see the port."""
        return self._update_many(products, [as_parking(product, until) for product in products])

    def _update_many(
        self, products: Sequence[Product], updates: Sequence[Document], held: Sequence[tuple[Document, Document]] = ()
    ) -> list[ProdError | None]:
        """``held`` is what is done instead where the shard does not own the name, and had the product under it."""
        if not products:
            return []
        writes = [UpdateOne(_live(product), update) for product, update in zip(products, updates, strict=True)]

        def attempt(_again: bool) -> list[ProdError | None]:
            written, refused = self._bulk_write(writes)
            if refused and held:
                others = [UpdateOne(_live(products[i]) | held[i][0], held[i][1]) for i in refused]
                written += self._bulk_write(others)[0]
            if written == len(products):
                return [None] * len(products)
            found = self._products.find({"_id": {"$in": [p.id for p in products]}}, WRITES)
            stored = {write for document in found for write in writes_in(document)}  # or went on since
            return [None if p.write_id in stored else changed_meanwhile(p) for p in products]

        try:
            return self._set.write(attempt)
        except OutcomeUnknown as unknown:
            return [unknown] * len(products)

    def _bulk_write(self, writes: Sequence[UpdateOne]) -> tuple[int, list[int]]:
        """Write each: how many found their document, and which the shard refused since it does not own the name."""
        try:
            return self._products.bulk_write(writes, ordered=False).matched_count, []
        except BulkWriteError as error:
            refused = error.details.get("writeErrors", [])
            if is_transient(error) or any(e["code"] != VALIDATION_FAILURE for e in refused):
                raise
            return error.details["nMatched"], [e["index"] for e in refused]

    def get(self, product_id: UUID) -> Product | None:
        """The product with this id; see the port."""
        document = self._reads.read(product_id)
        if document and "deleted" in document:
            raise is_deleted(as_deleted(document, self.shard))
        return as_product(document, self.shard) if document else None

    def _documents(self, product_ids: Sequence[UUID]) -> dict[UUID, Document]:
        wanted = {"_id": {"$in": product_ids}} if len(product_ids) > 1 else {"_id": product_ids[0]}
        most = len(product_ids)  # so few that one answer holds them
        found, _all = self._set.read(lambda: find_at_once(self._products, wanted, NO_HISTORY, most=most))
        return {document["_id"]: document for document in found}

    def get_many(self, product_ids: Sequence[UUID]) -> dict[UUID, Product | Deleted]:
        """The products with these ids, live or deleted."""
        documents = self._set.read(lambda: list(self._products.find({"_id": {"$in": list(product_ids)}}, NO_HISTORY)))
        return {d["_id"]: (as_deleted if "deleted" in d else as_product)(d, self.shard) for d in documents}

    def history(self, product_id: UUID) -> list[Change] | None:
        """What was done to a product, live or deleted; see the port."""
        document = self._set.read(lambda: self._products.find_one({"_id": product_id}, {"history": 1}))
        return [as_change(entry) for entry in reversed(document.get("history", ()))] if document else None

    def get_deleted(self, product_id: UUID) -> Deleted | None:
        """The deleted product with this id."""
        parked = {"_id": product_id, "deleted": {"$exists": True}}
        document = self._set.read(lambda: self._products.find_one(parked, NO_HISTORY))
        return as_deleted(document, self.shard) if document else None

    def deleted(self, before: Moment | None, limit: int, key: str | None = None) -> list[Deleted]:
        """The last deleted products; see the port."""
        parked: Document = {"deleted.at": {"$exists": True}}
        if before:
            at, product_id = before
            parked = {"$or": [{"deleted.at": {"$lt": at}}, {"deleted.at": at, "_id": {"$lt": product_id}}]}
        if key is not None:
            parked["deleted.name_key"] = key
        order = [("deleted.at", DESCENDING), ("_id", DESCENDING)]
        found = self._set.read(lambda: list(self._products.find(parked, NO_HISTORY, sort=order, limit=limit)))
        return [as_deleted(document, self.shard) for document in found]

    def find(self, keys: Sequence[Key]) -> dict[Key, Product]:
        """The products that have one of these keys."""
        if not keys:
            return {}
        wanted = set(keys)
        names = {"name_key": {"$in": sorted({name for name, _variant in wanted})}}
        documents = self._set.read(lambda: list(self._products.find(names, NO_HISTORY)))
        found = {(d["name_key"], d["variant_key"]): d for d in documents}
        return {key: as_product(d, self.shard) for key, d in found.items() if key in wanted}

    def sku_owners(self, skus: Sequence[str]) -> dict[str, UUID]:
        """The ids of the products that have one of these SKUs."""
        found = self._set.read(lambda: list(self._products.find({"sku": {"$in": list(skus)}}, {"sku": 1})))
        return {document["sku"]: document["_id"] for document in found}

    def find_skus(self, skus: Sequence[str]) -> list[Product]:
        """The products that have one of these SKUs."""
        documents = self._set.read(lambda: list(self._products.find({"sku": {"$in": list(skus)}}, NO_HISTORY)))
        return [as_product(document, self.shard) for document in documents]

    def page(self, part: Slice) -> Batch:
        """Products in the query's order; see the port."""
        return self._set.read(lambda: read_batch(self._products, part, self.shard))

    def matches(self, query: Query, most: int) -> int:
        """How many products fit a query, counted up to ``most``; see the port."""
        return self._set.read(lambda: count_matches(self._products, query, most))

    def labels(self, query: Query, most: int) -> list[tuple[str, Sequence[str]]]:
        """Category and tags of products that fit a query; see the port."""
        return self._set.read(lambda: read_labels(self._products, query, most))

    def names(self, beginning: str, most: int) -> list[str]:
        """Names of products that have a word which begins so; see the port."""
        return self._set.read(lambda: read_names(self._products, beginning, most))

    def some_keys(self, count: int) -> list[str]:
        """Name keys of about so many products, drawn at random: the server jumps to them, whatever there is."""
        shown = {"$project": {"_id": 0, "name_key": 1}}
        steps: list[Document] = [{"$sample": {"size": count}}, {"$match": {"$nor": [_NO_PRODUCTS]}}, shown]
        drawn = self._set.read(lambda: [d["name_key"] for d in self._products.aggregate(steps)])
        return [key for key in drawn if key < LAST]

    def size(self) -> int:
        """About the bytes of its products: what a server counts of all of them is wrong after a crash. See the port."""
        each = {"$group": {"_id": None, "bytes": {"$avg": {"$bsonSize": "$$ROOT"}}}}
        steps: list[Document] = [{"$sample": {"size": _SIZED}}, {"$match": {"$nor": [_NO_PRODUCTS]}}, each]
        drawn = self._set.read(lambda: list(self._products.aggregate(steps)))
        return round(drawn[0]["bytes"] * self.count().products) if drawn else 0

    def count(self) -> Count:
        """How many products the shard holds: all documents less the few that are none; see the port."""
        documents = self._count.now()
        others = self._set.read(lambda: self._products.count_documents(_NO_PRODUCTS))
        moving = self._set.read(lambda: self._products.find_one(_UNDER_WAY, {"_id": 1})) is not None
        return Count(documents.products - others, documents.approximate or moving)

    def _settle(self, product_id: UUID) -> None:
        """Wait until all that an earlier attempt may have written is on a majority, as even an empty write does.

        Before that, a majority read does not show it, and the earlier attempt would be taken for somebody else's.
        """
        self._products.update_one({"_id": product_id}, {"$set": {}})

    def _present(self, products: Sequence[Product]) -> set[UUID]:
        """The ids of those products that were inserted before, perhaps by an earlier attempt of this very insert."""
        self._settle(products[0].id)
        mine = {product.id: product for product in products}
        found = self._products.find({"_id": {"$in": list(mine)}}, WRITES)
        return {d["_id"] for d in found if came_of(d, mine[d["_id"]])}

    def _refusal(self, product: Product, code: int | None) -> ProdError:
        """Why it could not be inserted: its name is another shard's, or is taken, or its id."""
        if code == VALIDATION_FAILURE:
            return is_not_owned(product, self.shard)
        if self._products.find_one({"_id": product.id}, {"_id": 1}):
            return id_was_used(product.id)
        return exists(product)

    def _explain_no_match(self, mine: Product, again: bool) -> None:
        """Why no document matched; returns when it is because an earlier attempt had written ``mine``."""
        self._settle(mine.id)
        current = self._products.find_one({"_id": mine.id})
        if again and current and mine.write_id in writes_in(current):
            return
        if again and current and current["version"] > mine.version:
            raise OutcomeUnknown(
                "the product was edited again before the answer to this edit came: it may or may not be in between",
                product_id=str(mine.id),
            )
        refuse(current, mine, self.shard)


def _live(product: Product) -> Document:
    """The version before ``product``, neither deleted nor part of a move."""
    absent = {"$exists": False}
    return {"_id": product.id, "version": product.version - 1, "deleted": absent, "move": absent}


_UNSETTLED_SECONDS = 30.0
"""How long a difference serves, at least, that was taken while others wrote, and so may be off by what they wrote."""

_UNDER_WAY_SECONDS = 0.05
"""The primary's number holds what is just being written, too, before it is the last operation or is given up: longer
than such a write takes, so that it is noticed."""

_SHARE = 50
"""So many times as long as the counting took it serves: counting never takes more than a small share of the time."""


@dataclass(frozen=True, slots=True)
class _Primary:
    """Who answers for which collection. A member is another one after a restart, and after a term of somebody else.

    ``processId``: https://www.mongodb.com/docs/manual/reference/command/hello/
    """

    address: str
    process: object
    term: int
    collection: object
    """Its UUID: what restores a backup may drop it and make it anew."""


@dataclass(frozen=True, slots=True)
class _Difference:
    """By how much a primary's own number is wrong, for as long as it stays the one that it is."""

    primary: _Primary
    documents: int
    approximate: bool
    good_until: float


class DocumentCount:
    """How many documents a collection holds: no scan for each question, and right after a crash too.

    A primary keeps a number of its own, and one that was killed comes back with an old one, for good. So documents are
    counted once after each election, along the index of ids, and what the primary's number differs by is remembered:
    later questions cost nothing. It is right when nothing at all was written while it was taken, by the primary's own
    last operation; else it is approximate, and taken again before long.

    After a crash a primary's number may be below zero: it says 0 then, which tells nothing of what it differs by.
    """

    def __init__(self, replica_set: ReplicaSet, name: str) -> None:
        self._set = replica_set
        self._name = name
        self._pause = time.sleep
        self._difference: _Difference | None = None

    def now(self) -> Count:
        """The number of documents. Raises Unavailable."""
        known, own = self._difference, self._estimated()
        primary, _ = self._last_written()  # asked after its number, which no later primary has given then
        if not own or known is None or known.primary != primary or time.monotonic() >= known.good_until:
            known, own = self._compared()
            self._difference = known if own else None
        return Count(own + known.documents, known.approximate)

    def _compared(self) -> tuple[_Difference, int]:
        """By how much the primary's own number is wrong, and that number."""
        began, before = time.monotonic(), self._last_written()
        own, counted = self._estimated(), self._counted()
        if own:  # else the difference is not kept
            self._pause(_UNDER_WAY_SECONDS)
        ended, after = time.monotonic(), self._last_written()
        if before == after and own == self._estimated():
            return _Difference(after[0], counted - own, approximate=False, good_until=float("inf")), own
        serves = max(_UNSETTLED_SECONDS, _SHARE * (ended - began))
        return _Difference(after[0], counted - own, approximate=True, good_until=ended + serves), own

    def _last_written(self) -> tuple[_Primary, Any]:
        """Who answers, and the last operation that it has written."""
        answer = self._ask("hello", 1)
        last, listed = answer["lastWrite"]["opTime"], self._ask("listCollections", 1, filter={"name": self._name})
        collection = next((c["info"]["uuid"] for c in listed["cursor"]["firstBatch"]), None)
        return _Primary(answer["me"], answer["topologyVersion"]["processId"], last["t"], collection), last["ts"]

    def _estimated(self) -> int:
        return int(self._ask("count", self._name)["n"])

    def _counted(self) -> int:
        """Counted by the server along the index of ids, at about a million a second.

        By what it has itself, as its own number is: what a majority has may lag behind that.
        """
        return int(self._ask("count", self._name, query={"_id": {"$gte": MinKey()}}, hint={"_id": 1})["n"])

    def _ask(self, command: str, value: Any, **arguments: Any) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            documents = self._set.collection(self._name)
            database, preference = documents.database, documents.read_preference
            return database.command(command, value, read_preference=preference, **arguments)

        return self._set.read(ask)
