"""Products that an earlier version stored: give them the terms that this one looks for."""

from __future__ import annotations

from collections.abc import Iterator

from pymongo import UpdateOne

from prodcore.mongo.client.replica_set import Document, ReplicaSet
from prodcore.mongo.products.document import NO_HISTORY, as_product, keys_of
from prodcore.product.terms import TERMS_VERSION
from prodcore.routing import LAST

_BATCH = 500
_MARK = {"_id": "terms", "version": TERMS_VERSION}


def upgrade_products(replica_set: ReplicaSet) -> int:
    """Renew the terms of all products, once for each version of the terms; how many were renewed.

    A product keeps its version: nothing that anybody sees changes. Of one that is edited meanwhile the edit wins, which
    writes the terms of its own. Cut short it begins again. Raises Unavailable or OutcomeUnknown.
    """
    if is_upgraded(replica_set):
        return 0
    renewed = sum(_renew(replica_set, batch) for batch in _batches(replica_set))
    marks = replica_set.collection("marks")
    replica_set.write(lambda _again: marks.replace_one({"_id": "terms"}, _MARK, upsert=True))
    return renewed


def is_upgraded(replica_set: ReplicaSet) -> bool:
    """Whether all products have the terms of this version."""
    marks = replica_set.collection("marks")
    return replica_set.read(lambda: marks.find_one(_MARK)) is not None


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
        terms = {name: value for name, value in keys_of(as_product(document, "")).items() if not name.endswith("_key")}
        writes.append(UpdateOne({"_id": document["_id"], "version": document["version"]}, {"$set": terms}))
    return replica_set.write(lambda _again: products.bulk_write(writes, ordered=False)).matched_count
