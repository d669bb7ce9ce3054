"""Where the shard map and the shards' copies of it are kept, and the rule by which a shard takes only its own."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError, WriteError

from prodcore.errors import Conflict
from prodcore.mongo.client.replica_set import Document, ReplicaSet
from prodcore.routing import Range, ShardMap, joined, ranges_as_documents, ranges_from_documents

_MAP_ID = "products"


class MongoMapStore:
    """The whole map, in ``prodctl_meta.shard_map`` of rsU; a ``prodcore.sharding.trust.MapStore``."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._maps = replica_set.collection("shard_map", "prodctl_meta")

    def load(self) -> ShardMap | None:
        """The stored map, None before there is one."""
        document = self._set.read(lambda: self._maps.find_one({"_id": _MAP_ID}))
        return ShardMap.from_document(document) if document else None

    def swap(self, expected_version: int, new: ShardMap) -> bool:
        """Replace the map if it still has ``expected_version``; False when somebody was faster."""

        def attempt(again: bool) -> bool:
            if expected_version == 0:
                try:
                    self._maps.insert_one({"_id": _MAP_ID, **new.as_document()})
                except DuplicateKeyError:
                    return again and self.load() == new
                return True
            seen = {"_id": _MAP_ID, "version": expected_version}
            if self._maps.replace_one(seen, new.as_document()).matched_count:
                return True
            return again and self.load() == new

        return self._set.write(attempt, shard_map_version=new.version)


class MongoOwnedRangesStore:
    """A shard's copy of what it owns, in ``products_db.owned_ranges``, and the rule that follows from it."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._copies = replica_set.collection("owned_ranges")

    def load(self) -> tuple[int, tuple[Range, ...]] | None:
        """The map version of the copy, and the ranges; None before there is one."""
        document = self._set.read(lambda: self._copies.find_one({"_id": _MAP_ID}))
        return (document["map_version"], ranges_from_documents(document["ranges"])) if document else None

    def save(self, version: int, ranges: tuple[Range, ...]) -> None:
        """Store the copy, unless a newer one is there, and have the shard refuse what is not in the stored one."""

        def attempt(_again: bool) -> None:
            copy = {"map_version": version, "ranges": ranges_as_documents(ranges)}
            older = {"_id": _MAP_ID, "map_version": {"$lte": version}}
            try:
                self._copies.replace_one(older, copy, upsert=True)
            except DuplicateKeyError:
                return  # a newer copy is there: the filter did not match it, so the upsert collided with it

        self._set.write(attempt)
        while not self.is_enforced():  # until what is stored and what is enforced agree, whoever else changes both
            self._enforce()

    def is_enforced(self) -> bool:
        """Whether the shard refuses products of names that are not in its copy; see the port."""
        copy = self.load()
        return copy is not None and self._set.read(self._enforced) == {"validator": _rule(copy[1]), **_STRICTNESS}

    def _enforced(self) -> Document:
        found = list(self._copies.database.list_collections(filter={"name": _PRODUCTS}))
        options = found[0]["options"] if found else {}
        return {name: options.get(name) for name in ("validator", *_STRICTNESS)}

    def _enforce(self) -> None:
        copy = self.load()
        rule: Document = {"validator": _rule(copy[1] if copy else ()), **_STRICTNESS}
        command = {"collMod": _PRODUCTS, **rule, "writeConcern": {"w": "majority", "j": True}}

        try:
            self._set.write(lambda _again: self._copies.database.command(command))
        except OperationFailure as refused:
            if refused.code != _UNAUTHORIZED:
                raise
            raise Conflict(
                f"{self._set.name} was set up by an earlier version: its operator may not set its rule yet",
                hint="prodctl local up, or prodctl deploy apply, gives the right; then repeat this",
                shard=self._set.name,
            ) from None


_PRODUCTS = "products"
_STRICTNESS = {"validationLevel": "moderate", "validationAction": "error"}
"""Moderate: what a shard holds and does not own, perhaps from before there was a rule, can be edited and moved."""

_UNAUTHORIZED = 13
VALIDATION_FAILURE = 121
"""The server's code for a document that breaks the rule."""


def _rule(ranges: Sequence[Range]) -> Document:
    """What a document must be like to be stored: a product of an owned name, a deleted one, or an old place.

    A product that is received by a move counts as one here already.
    """
    owned = [{"name_key": {"$gte": r.lower} | ({} if r.upper is None else {"$lt": r.upper})} for r in joined(ranges)]
    return {"$or": [*owned, {"deleted": {"$exists": True}}, {"move.state": "moved"}]}


def breaks_rule(error: PyMongoError) -> bool:
    """Whether a shard refused a single write since it does not own the product's name."""
    return isinstance(error, WriteError) and error.code == VALIDATION_FAILURE
