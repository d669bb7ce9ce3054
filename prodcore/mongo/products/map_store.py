"""Where the shard map and the shards' copies of it are kept."""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError

from prodcore.mongo.client.replica_set import ReplicaSet
from prodcore.routing import Range, ShardMap, ranges_as_documents, ranges_from_documents

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
    """A shard's copy of what it owns, in ``products_db.owned_ranges``."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._copies = replica_set.collection("owned_ranges")

    def load(self) -> tuple[int, tuple[Range, ...]] | None:
        """The map version of the copy, and the ranges; None before there is one."""
        document = self._set.read(lambda: self._copies.find_one({"_id": _MAP_ID}))
        return (document["map_version"], ranges_from_documents(document["ranges"])) if document else None

    def save(self, version: int, ranges: tuple[Range, ...]) -> None:
        """Store the copy, unless a newer one is there."""

        def attempt(_again: bool) -> None:
            copy = {"map_version": version, "ranges": ranges_as_documents(ranges)}
            older = {"_id": _MAP_ID, "map_version": {"$lte": version}}
            try:
                self._copies.replace_one(older, copy, upsert=True)
            except DuplicateKeyError:
                return  # a newer copy is there: the filter did not match it, so the upsert collided with it

        self._set.write(attempt)
