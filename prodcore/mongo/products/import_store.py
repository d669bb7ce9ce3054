"""What a shard remembers of imports: ``products_db.imports``, and the histories of its products."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pymongo import DESCENDING

from prodcore.catalog.stores import ImportRecord, Touched
from prodcore.mongo.client.replica_set import Document, ReplicaSet
from prodcore.mongo.products.document import as_change, as_deleted, as_product


class MongoImportStore:
    """A ``prodcore.catalog.stores.ImportStore`` on one replica set."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._imports = replica_set.collection("imports")
        self._products = replica_set.collection("products")

    def note(self, record: ImportRecord) -> None:
        """Register an import; see the port."""
        always: Document = {"source": record.source}
        if record.finished_at:
            always |= {"finished_at": record.finished_at, "counts": dict(record.counts)}
        update = {"$set": always, "$setOnInsert": {"by": record.by, "started_at": record.started_at}}
        self._set.write(lambda _again: self._imports.update_one({"_id": record.import_id}, update, upsert=True))

    def undone(self, import_id: UUID, at: datetime) -> bool:
        """Note that it was taken back; see the port."""
        noted = {"$set": {"undone_at": at}}
        done = self._set.write(lambda _again: self._imports.update_one({"_id": import_id}, noted))
        return done.matched_count > 0

    def recent(self, limit: int) -> list[ImportRecord]:
        """The last ones, the newest first."""
        order = [("started_at", DESCENDING), ("_id", DESCENDING)]
        found = self._set.read(lambda: list(self._imports.find(sort=order, limit=limit)))
        return [_as_record(document) for document in found]

    def repeated(self, item_ids: Sequence[UUID]) -> dict[UUID, UUID]:
        """Which items have changed a product before; see the port."""
        items = {str(item_id): item_id for item_id in item_ids}
        # named, as $in alone does not say that there is one
        asked = {"history.item": {"$in": list(items), "$exists": True}}
        found = self._set.read(lambda: list(self._products.find(asked, {"history.item": 1})))
        done = ((items.get(entry.get("item")), d["_id"]) for d in found for entry in d["history"])
        return {item: product_id for item, product_id in done if item is not None}

    def touched(self, import_id: UUID, after: UUID | None, limit: int) -> list[Touched]:
        """Products that it made or changed; see the port."""
        query: dict[str, Any] = {"history.import": str(import_id)}
        if after is not None:
            query["_id"] = {"$gt": after}
        found = self._set.read(lambda: list(self._products.find(query, sort=[("_id", 1)], limit=limit)))
        return [self._as_touched(document) for document in found]

    def _as_touched(self, document: Document) -> Touched:
        deleted = "deleted" in document
        product = as_deleted(document, self._set.name).product if deleted else as_product(document, self._set.name)
        return Touched(product, deleted, [as_change(entry) for entry in document["history"]])


def _as_record(document: Document) -> ImportRecord:
    return ImportRecord(
        document["_id"],
        document["source"],
        document["by"],
        document["started_at"],
        document.get("finished_at"),
        document.get("counts", {}),
        document.get("undone_at"),
    )
