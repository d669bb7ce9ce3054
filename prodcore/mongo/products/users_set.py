"""What the users' set keeps of the catalogue, in ``prodctl_meta``: claims of SKUs, and saved views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID, uuid4

from pymongo import DeleteOne, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from prodcore.catalog.claims import PATIENCE, Claim
from prodcore.catalog.views import Shelf, View, Views
from prodcore.mongo.client.replica_set import Document, ReplicaSet, is_transient

CLAIMS = "sku_claims"
VIEWS = "saved_views"
_DATABASE = "prodctl_meta"
_DUPLICATE_KEY = 11000

_SHOWN = {
    "product": 1,
    "at": 1,
    "at_work": {
        "$and": [
            {"$ne": ["$writes", []]},
            {"$gt": ["$at", {"$subtract": ["$$NOW", int(PATIENCE.total_seconds() * 1000)]}]},
        ]
    },
}
"""``at`` is the server's own time, as what it is compared with."""


class MongoClaimStore:
    """A ``prodcore.catalog.claims.ClaimStore`` on one replica set."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set

    @property
    def _claims(self) -> Collection[Document]:
        return self._set.collection(CLAIMS, _DATABASE)

    def claim(self, wanted: Mapping[str, UUID], write: UUID) -> dict[str, Claim]:
        """Note what a write is at work for; see the port."""
        at_work = {"$addToSet": {"writes": write}, "$currentDate": {"at": True}}
        writes = [UpdateOne({"_id": sku, "product": owner}, at_work, upsert=True) for sku, owner in wanted.items()]

        def attempt(_again: bool) -> list[str]:
            try:
                self._claims.bulk_write(writes, ordered=False)
            except BulkWriteError as error:
                refused = error.details.get("writeErrors", [])
                if is_transient(error) or any(e["code"] != _DUPLICATE_KEY for e in refused):
                    raise
                skus = list(wanted)
                return [skus[e["index"]] for e in refused]
            return []

        refused = self._set.write(attempt) if writes else []
        found = self.read(refused) if refused else {}
        # freed meanwhile, or claimed for the same product by another write at the same instant
        again = {s: wanted[s] for s in refused if s not in found or found[s].product_id == wanted[s]}
        against = {sku: claim for sku, claim in found.items() if sku not in again}
        return against | (self.claim(again, write) if again else {})

    def done(self, skus: Sequence[str], write: UUID) -> None:
        """Note that a write is not at work any more: nothing is wrong where that is lost, so nobody waits for it."""
        claims = self._claims.with_options(write_concern=WriteConcern(w=1, j=False))
        ended = {"_id": {"$in": list(skus)}, "writes": write}
        self._set.write(lambda _again: claims.update_many(ended, {"$pull": {"writes": write}}))

    def free(self, claims: Sequence[Claim]) -> None:
        """Remove claims that are as they were read; see the port."""
        seen = [DeleteOne({"_id": c.sku, "product": c.product_id, "at": c.at}) for c in claims]
        self._set.write(lambda _again: self._claims.bulk_write(seen, ordered=False))

    def add(self, owners: Mapping[str, UUID]) -> None:
        """Claim SKUs that products have; those that are claimed stay as they are."""
        new = {"$setOnInsert": {"writes": []}, "$currentDate": {"at": True}}
        writes = [UpdateOne({"_id": sku, "product": owner}, new, upsert=True) for sku, owner in owners.items()]

        def attempt(_again: bool) -> None:
            try:
                self._claims.bulk_write(writes, ordered=False)
            except BulkWriteError as error:
                if is_transient(error) or any(e["code"] != _DUPLICATE_KEY for e in error.details["writeErrors"]):
                    raise

        if writes:
            self._set.write(attempt)

    def read(self, skus: Sequence[str]) -> dict[str, Claim]:
        """The claims of these SKUs."""
        return {claim.sku: claim for claim in self._find([{"$match": {"_id": {"$in": list(skus)}}}])}

    def after(self, sku: str, limit: int) -> list[Claim]:
        """The next claims in the order of their SKUs."""
        return self._find([{"$match": {"_id": {"$gt": sku}}}, {"$sort": {"_id": 1}}, {"$limit": limit}])

    def _find(self, steps: list[dict[str, Any]]) -> list[Claim]:
        # the primary's own latest: what forbids a claim may not be on a majority yet
        latest = ReadConcern("local")

        def read() -> list[Document]:
            claims = self._claims.with_options(read_concern=latest)
            return list(claims.aggregate([*steps, {"$project": _SHOWN}]))

        found = self._set.read(read, fresh=True)
        return [Claim(d["_id"], d["product"], d["at"], d["at_work"]) for d in found]


class MongoViewStore:
    """A ``prodcore.catalog.views.ViewStore``, a document for each owner."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._views = replica_set.collection(VIEWS, _DATABASE)

    def load(self, owners: Sequence[str]) -> dict[str, Shelf]:
        """What these owners have, from the primary alone: nothing stale is written over."""
        wanted = {"_id": {"$in": list(owners)}}
        found = self._set.read(lambda: list(self._views.find(wanted)), fresh=True)
        return {d["_id"]: Shelf(tuple(View(**view) for view in d["views"]), d["version"]) for d in found}

    def replace(self, owner: str, seen: int, views: Views) -> bool:
        """Store the views of an owner over a version; see the port."""
        mark = uuid4()
        document = {"views": [asdict(view) for view in views], "version": seen + 1, "write": mark}

        def attempt(again: bool) -> bool:
            try:
                # where nothing is stored yet there is no version 0 to be found, so it is inserted
                done = self._views.replace_one({"_id": owner, "version": seen}, document, upsert=seen == 0)
            except DuplicateKeyError:
                done = None
            stored = done is not None and (done.matched_count > 0 or done.upserted_id is not None)
            return stored or (again and self._views.find_one({"_id": owner, "write": mark}) is not None)

        return self._set.write(attempt)
