"""Products that an earlier version stored: give them the terms and fields of this one, and claim their SKUs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from prodcore.mongo.client.replica_set import Document, ReplicaSet, is_transient
from prodcore.mongo.products.claim_store import MongoClaimStore
from prodcore.mongo.products.document import NO_HISTORY, as_document, as_product
from prodcore.mongo.products.map_store import VALIDATION_FAILURE, keeping_keys
from prodcore.product.fields import NAMES, SCHEMA_VERSION
from prodcore.routing import LAST

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
        renewed = {"words": stored["words"], "facets": stored["facets"], **lacking}
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
