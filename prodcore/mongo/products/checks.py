"""One shard's documents and indexes, checked; the repair of what is derived, and the upgrade of what is stored.

A document is judged by itself: does the product model take it, and is what is derived from it as it should be? Products
that an earlier version stored get the terms and fields of this one, and their SKUs are claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from bson.min_key import MinKey
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, WriteError

from prodcore.catalog.write_errors import exists, is_not_owned
from prodcore.deadline import budget
from prodcore.errors import Conflict, InvalidInput
from prodcore.mongo.client.replica_set import Document, ReplicaSet, is_transient
from prodcore.mongo.products.document import (
    MARK,
    NO_HISTORY,
    as_deleted,
    as_document,
    as_move,
    as_product,
    keeps_place,
    keys_of,
)
from prodcore.mongo.products.map_store import VALIDATION_FAILURE, breaks_rule, keeping_keys
from prodcore.mongo.products.query import INDEXES
from prodcore.mongo.products.users_set import MongoClaimStore
from prodcore.product.fields import NAMES, SCHEMA_VERSION
from prodcore.product.model import Product, ProductDraft
from prodcore.routing import LAST
from prodcore.sharding.verify import Stored
from prodcore.support.validation import validate

INDEX_SECONDS = 3600.0

_TYPES: dict[str, type] = {
    "_id": UUID,
    "tags": list,
    "created_at": datetime,
    "updated_at": datetime,
    "updated_by": str,
    "version": int,
    "write_id": UUID,
}
"""What the product model does not check, as only we write it."""

_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading a document raises that is no product's."""


def ensure_indexes(replica_set: ReplicaSet) -> None:
    """Make the indexes that uniqueness, order and search stand on; idempotent.

    A large catalogue needs minutes for a new one, and a build that is given up begins anew.
    """
    collection = replica_set.collection("products")
    with budget(INDEX_SECONDS):
        replica_set.write(lambda _again: collection.create_indexes(list(INDEXES)))


def missing_indexes(replica_set: ReplicaSet) -> list[str]:
    """The names of those indexes that are not there."""
    found = replica_set.read(lambda: set(replica_set.collection("products").index_information()))
    return [name for index in INDEXES if (name := index.document["name"]) not in found]


def check(document: Document, shard: str) -> Stored:
    """Judge a document."""
    purge_at = document.get("purge_at")
    known = Stored(document["_id"], shard, "unreadable", purge_at=purge_at if isinstance(purge_at, datetime) else None)
    deleted = "deleted" in document
    try:
        move = as_move(document)
        if move and keeps_place(document):
            document = {**document, "_id": move.product_id}
        product = as_deleted(document, shard).product if deleted else as_product(document, shard)
    except _DAMAGED as error:
        name = document.get("name")
        fault = f"cannot be read as a product: {type(error).__name__} {error}"
        return replace(known, name=name if isinstance(name, str) else "", faults=(fault,))
    moved = move is not None and move.state == "moved"
    faults = tuple(_faults(document, product))
    known = Stored(
        id=known.id,
        shard=shard,
        state="deleted" if deleted else "place" if moved else "product",
        version=product.version,
        name=str(product.name),
        key=("", "") if faults else product.key,
        sku=product.sku,
        move=move,
        purge_at=known.purge_at,
        faults=faults,
    )
    derived = () if faults else tuple(_wrong(document, product, known))
    return replace(known, derived=derived) if derived else known


def _faults(document: Document, product: Product) -> Iterator[str]:
    content: Any = {**document, **document["deleted"]["product"]} if "deleted" in document else document
    for name, expected in _TYPES.items():
        if not isinstance(content[name], expected):
            yield f"{name.removeprefix('_')} is not a {expected.__name__}"
    try:
        validate(ProductDraft, product.content())
    except InvalidInput as refused:
        yield from (f"{problem.field}: {problem.message}" for problem in refused.problems)


def derived_of(product: Product, known: Stored) -> Document:
    """What is computed from a product and stored in its document, by the state that it is in."""
    if known.state == "deleted":
        return {"name_key": f"{LAST}{product.id}", "variant_key": "", "deleted.name_key": product.key[0]}
    derived = keys_of(product)
    if known.state == "place":
        del derived["words"], derived["long_words"]  # they have those of the SKU, and the place does not
        derived["variant_key"] += f"{MARK}{product.id}"
        if known.move and known.id != product.id:
            derived["variant_key"] += f"{MARK}{known.move.id}"
    return derived


def _wrong(document: Document, product: Product, known: Stored) -> Iterator[str]:
    stored = {**document, "deleted.name_key": document.get("deleted", {}).get("name_key")}
    return (name for name, value in derived_of(product, known).items() if stored.get(name) != value)


_OF_INDEXES = ("key", "unique", "sparse", "expireAfterSeconds", "partialFilterExpression", "hidden", "collation")
"""What makes an index the one that it should be."""


class MongoCheckedShard:
    """A ``prodcore.sharding.verify.CheckedShard`` on one replica set."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._products = replica_set.collection("products")

    @property
    def shard(self) -> str:
        """The replica set's name."""
        return self._set.name

    def count(self) -> int:
        """About how many documents there are."""
        return self._set.read(self._products.estimated_document_count)

    def documents(self, after: Stored | None, limit: int) -> list[Stored]:
        """The next documents in the order of their ids, whatever those are."""
        first: Any = MinKey() if after is None else after.id

        def read() -> list[Document]:
            # not by $gt, which would pass over ids of other types
            found = self._products.find({}, NO_HISTORY, limit=limit + 1)
            return list(found.hint([("_id", 1)]).min([("_id", first)]))

        documents = self._set.read(read)
        if after is not None and documents and documents[0]["_id"] == after.id:
            documents = documents[1:]
        return [check(document, self.shard) for document in documents[:limit]]

    def alike(self, seen: Sequence[Stored]) -> list[Stored]:
        """The documents that have an id, a name key or a SKU of these; see the port."""
        wanted = {"_id": [stored.id for stored in seen], **_values_of(seen)}
        found = {repr(d["_id"]): d for field, values in wanted.items() for d in self._with(field, values, NO_HISTORY)}
        return [check(document, self.shard) for document in found.values()]

    def others(self, seen: Sequence[Stored]) -> list[Stored]:
        """The documents alike that are none of these; see the port. Ids tell which are worth to be read whole."""
        known = {repr(stored.id) for stored in seen if stored.shard == self.shard}
        wanted = {"_id": [stored.id for stored in seen if stored.shard != self.shard], **_values_of(seen)}
        alike = [d["_id"] for field, values in wanted.items() for d in self._with(field, values, {"_id": 1})]
        found = {repr(one): one for one in alike if repr(one) not in known}
        return [check(document, self.shard) for document in self._with("_id", list(found.values()), NO_HISTORY)]

    def _with(self, field: str, values: list[Any], shown: Document) -> list[Document]:
        if not values:
            return []
        return self._set.read(lambda: list(self._products.find({field: {"$in": values}}, shown)))

    def wrong_indexes(self) -> dict[str, str]:
        """What is wrong with the indexes; see the port."""
        there = {index["name"]: _facts(index) for index in self._set.read(lambda: list(self._products.list_indexes()))}
        return dict(_wrong_indexes(there))

    def mend_index(self, name: str) -> None:
        """Make an index as it should be; see the port."""
        index = next(model for model in INDEXES if model.document["name"] == name)
        with budget(INDEX_SECONDS):
            if self.wrong_indexes().get(name) == _DIFFERENT:
                self._set.write(lambda _again: self._drop(name))
            try:
                self._set.write(lambda _again: self._products.create_indexes([index]))
            except (DuplicateKeyError, OperationFailure) as refused:
                raise Conflict(f"{self.shard} cannot build it: {_reason(refused)}", shard=self.shard) from None

    def _drop(self, name: str) -> None:
        if name in self._products.index_information():
            self._products.drop_index(name)

    def renew(self, seen: Stored) -> bool:
        """Compute anew what is derived; see the port."""
        keys = {"name_key", "variant_key"}

        def attempt(_again: bool) -> bool:
            document = self._products.find_one({"_id": seen.id, "version": seen.version}, NO_HISTORY)
            if document is None:
                return False
            product = as_deleted(document, "").product if "deleted" in document else as_product(document, "")
            known = check(document, self.shard)
            if not known.derived:
                return True
            same = {"_id": seen.id, "version": seen.version, "move": document.get("move", {"$exists": False})}
            derived = derived_of(product, known)
            try:
                return self._products.update_one(same, {"$set": derived}).matched_count > 0
            except DuplicateKeyError:
                raise exists(product) from None
            except WriteError as error:
                if not breaks_rule(error):
                    raise
                if keys & set(known.derived):
                    raise is_not_owned(product, self.shard) from None
            others = {name: value for name, value in derived.items() if name not in keys}
            return self._products.update_one(same, keeping_keys(others)).matched_count > 0

        return self._set.write(attempt)


def _values_of(seen: Sequence[Stored]) -> dict[str, list[Any]]:
    """What no other product may have of these, by its field."""
    return {
        "name_key": sorted({stored.key[0] for stored in seen if stored.key[0]}),
        "sku": sorted({stored.sku for stored in seen if isinstance(stored.sku, str)}),
    }


_MISSING = "is missing"
_DIFFERENT = "is not as it should be"


def _wrong_indexes(there: Mapping[str, Document]) -> Iterator[tuple[str, str]]:
    for model in INDEXES:
        name = model.document["name"]
        if name not in there:
            yield name, _MISSING
        elif there[name] != _facts(model.document):
            yield name, _DIFFERENT


def _facts(index: Mapping[str, Any]) -> Document:
    """What makes it this index; the order of its fields counts."""
    facts = {name: index[name] for name in _OF_INDEXES if index.get(name) not in (None, False)}
    return {**facts, "key": list(index["key"].items())}


def _reason(refused: OperationFailure) -> str:
    return "two products have the same" if isinstance(refused, DuplicateKeyError) else f"error {refused.code}"


_BATCH = 500
_MARK = {"_id": "terms", "version": SCHEMA_VERSION}
"""Under the name that the first versions gave it: an older version that writes here in between takes it away."""

_CLAIMED = {"_id": "sku_claims"}


def upgrade_products(shards: Sequence[ReplicaSet]) -> int:
    """Renew the terms of all products, and add the fields they lack, once a schema version; how many were renewed.

    A product keeps its version: nothing that anybody sees changes. Of one that is edited meanwhile the edit wins, which
    writes the terms of its own. Cut short it begins again. Raises Unavailable or OutcomeUnknown.
    """
    if all(map(is_upgraded, shards)):
        return 0
    renewed = sum(_renew(shard, batch) for shard in _to_and_fro(shards) for batch in _batches(shard))
    for shard in shards:
        _mark(shard, _MARK)
    return renewed


def _to_and_fro(shards: Sequence[ReplicaSet]) -> Iterable[ReplicaSet]:
    """All shards, and back again: what moves from one to another meanwhile, in either direction, is met."""
    return *shards, *shards[-2::-1]


def _mark(shard: ReplicaSet, mark: Document) -> None:
    marks = shard.collection("marks")
    shard.write(lambda _again: marks.replace_one({"_id": mark["_id"]}, mark, upsert=True))


def is_upgraded(replica_set: ReplicaSet) -> bool:
    """Whether all products are as this version stores them."""
    marks = replica_set.collection("marks")
    return replica_set.read(lambda: marks.find_one(_MARK)) is not None


def forget_upgrade(replica_set: ReplicaSet) -> None:
    """Note that products may be as another version stored them."""
    marks = replica_set.collection("marks")
    replica_set.write(lambda _again: marks.delete_one({"_id": "terms"}))


def claim_stored_skus(shards: Sequence[ReplicaSet], claims: MongoClaimStore) -> None:
    """Claim the SKUs that products have, once. Of two products with one SKU the first one met keeps it."""
    if all(map(has_claimed_skus, shards)):
        return
    for shard in _to_and_fro(shards):
        _claim_skus(shard, claims)
    for shard in shards:
        _mark(shard, _CLAIMED)


def _claim_skus(replica_set: ReplicaSet, claims: MongoClaimStore) -> None:
    products, last = replica_set.collection("products"), ""

    def read() -> list[Document]:
        return list(products.find({"sku": {"$gt": last}}, {"sku": 1}).sort("sku", 1).limit(_BATCH))

    while batch := replica_set.read(read):
        claims.add({document["sku"]: document["_id"] for document in batch})
        last = batch[-1]["sku"]


def has_claimed_skus(replica_set: ReplicaSet) -> bool:
    """Whether the SKUs of all products are claimed."""
    marks = replica_set.collection("marks")
    return replica_set.read(lambda: marks.find_one(_CLAIMED)) is not None


def _batches(replica_set: ReplicaSet) -> Iterator[list[Document]]:
    """All that lists may show, in name order."""
    products = replica_set.collection("products")
    after: tuple[str, str] = ("", "")

    def read() -> list[Document]:
        name, variant = after
        beyond = {"$or": [{"name_key": {"$gt": name}}, {"name_key": name, "variant_key": {"$gt": variant}}]}
        wanted = {"$and": [{"name_key": {"$gte": name, "$lt": LAST}}, beyond]}
        return list(products.find(wanted, NO_HISTORY).sort([("name_key", 1), ("variant_key", 1)]).limit(_BATCH))

    while batch := replica_set.read(read):
        yield batch
        after = batch[-1]["name_key"], batch[-1]["variant_key"]


def _renew(replica_set: ReplicaSet, batch: list[Document]) -> int:
    products = replica_set.collection("products")
    writes = []
    for document in batch:
        stored = as_document(as_product(document, ""))
        lacking = {name: stored[name] for name in NAMES if name in stored and name not in document}
        renewed = {name: stored[name] for name in ("words", "long_words", "facets")} | lacking
        if any(document.get(name) != value for name, value in renewed.items()):
            writes.append(({"_id": document["_id"], "version": document["version"]}, renewed))

    def attempt(_again: bool) -> int:
        try:
            return products.bulk_write([UpdateOne(d, {"$set": new}) for d, new in writes], ordered=False).matched_count
        except BulkWriteError as error:
            refused = error.details["writeErrors"]
            if is_transient(error) or any(e["code"] != VALIDATION_FAILURE for e in refused):
                raise
            held = [UpdateOne(d, keeping_keys(new)) for d, new in (writes[e["index"]] for e in refused)]
            return int(error.details["nMatched"]) + products.bulk_write(held, ordered=False).matched_count

    return replica_set.write(attempt) if writes else 0
