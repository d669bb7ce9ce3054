"""Where the shard map, its copies and moves of ranges are kept, and the rule by which a shard takes only its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from uuid import UUID

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError, WriteError

from prodcore.errors import Conflict
from prodcore.mongo.client.replica_set import Document, ReplicaSet
from prodcore.mongo.products.document import HELD
from prodcore.routing import Range, ShardMap, joined, ranges_as_documents, ranges_from_documents
from prodcore.sharding.mover import HEARTBEAT, Bounds, MoveOrder, Wanted

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

    def oldest_map(self) -> int:
        """The oldest map version by which the shard may be read; see the port."""
        document = self._set.read(lambda: self._copies.find_one({"_id": _MAP_ID}, {"oldest_map": 1}))
        return int((document or {}).get("oldest_map", 0))

    def save(self, version: int, ranges: tuple[Range, ...], oldest_map: int | None = None) -> None:
        """Store the copy, unless a newer one is there, and the rule that follows from it; see the port."""

        def attempt(_again: bool) -> None:
            copy: Document = {"map_version": version, "ranges": ranges_as_documents(ranges)}
            older = {"_id": _MAP_ID, "$or": [{"map_version": {"$lt": version}}, dict(copy)]}
            copy["oldest_map"] = version if oldest_map is None else oldest_map
            try:
                self._copies.replace_one(older, copy, upsert=True)
            except DuplicateKeyError:
                return  # a newer or another copy is there: the filter did not match it, so the upsert collided with it

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
_STRICTNESS = {"validationLevel": "strict", "validationAction": "error"}
"""Strict: a product whose name the shard does not own any more must not get another such name here."""

_KEYS = ["$name_key", "$variant_key"]

_UNAUTHORIZED = 13
VALIDATION_FAILURE = 121
"""The server's code for a document that breaks the rule."""


_ACTIVE = {"carried_at": None}
"""What only one order may be: an index sees to it."""


class MongoMoveOrders:
    """``prodcore.sharding.mover.MoveOrders``, in ``prodctl_meta.range_moves`` of rsU."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._orders = replica_set.collection("range_moves", "prodctl_meta")

    def add(self, order: MoveOrder) -> None:
        """Store a new order; see the port."""
        document = {
            "_id": order.id,
            "lower": order.bounds.lower,
            "upper": order.bounds.upper,
            **{name: getattr(order, name) for name in _ORDER_FIELDS},
        }
        one = IndexModel([("carried_at", 1)], name="one_at_a_time", unique=True, partialFilterExpression=_ACTIVE)

        def attempt(_again: bool) -> None:
            self._orders.create_indexes([one])
            try:
                self._orders.insert_one(document)
            except DuplicateKeyError:
                if self.get(order.id) is None:
                    raise Conflict(
                        "another range is being moved",
                        hint="prodctl shard status shows it: wait for it, resume it, or abort it",
                    ) from None

        self._set.write(attempt)

    def get(self, order_id: UUID) -> MoveOrder | None:
        """An order."""
        document = self._set.read(lambda: self._orders.find_one({"_id": order_id}))
        return _as_order(document) if document else None

    def open(self) -> list[MoveOrder]:
        """Those that are not closed; see the port."""
        found = self._set.read(lambda: list(self._orders.find({"closed_at": None}, sort=[("begun_at", 1)])))
        return [_as_order(document) for document in found]

    def latest(self, limit: int) -> list[MoveOrder]:
        """The last ones; see the port."""
        found = self._set.read(lambda: list(self._orders.find(sort=[("begun_at", -1)], limit=limit)))
        return [_as_order(document) for document in found]

    def want(self, order_id: UUID, wanted: Wanted) -> None:
        """Note what somebody wants; see the port."""
        self._update(order_id, {"$set": {"wanted": wanted, "trouble": ""}})

    def pause(self, order_id: UUID, trouble: str) -> None:
        """Note that it cannot go on; see the port."""
        self._update(order_id, {"$set": {"wanted": "pause", "trouble": trouble}})

    def claim(self, order_id: UUID, worker: str) -> bool:
        """Note who carries it out; see the port. By the server's clock."""
        long_ago = {"$lt": ["$seen_at", {"$subtract": ["$$NOW", int(HEARTBEAT.total_seconds() * 1000)]}]}
        free: Document = {"_id": order_id, "$or": [{"worker": {"$in": ["", worker, None]}}, {"$expr": long_ago}]}
        taken = {"$set": {"worker": worker}, "$currentDate": {"seen_at": True}}
        return self._set.write(lambda _again: self._orders.update_one(free, taken)).matched_count > 0

    def release(self, order_id: UUID, worker: str) -> None:
        """Note that this one carries it out no more."""
        own = {"_id": order_id, "worker": worker}
        self._set.write(lambda _again: self._orders.update_one(own, {"$set": {"worker": ""}}))

    def note(self, order_id: UUID, worker: str, carried: int = 0, seconds: float = 0.0) -> bool:
        """Note a heartbeat; see the port."""
        update = {"$inc": {"carried": carried, "seconds": seconds}, "$currentDate": {"seen_at": True}}
        own = {"_id": order_id, "worker": worker}
        return self._set.write(lambda _again: self._orders.update_one(own, update)).matched_count > 0

    def end(self, order_id: UUID, *, closed: bool = False) -> None:
        """Note how far it is; see the port."""
        self._update(order_id, {"$currentDate": {"closed_at" if closed else "carried_at": True}})

    def _update(self, order_id: UUID, update: Document) -> None:
        self._set.write(lambda _again: self._orders.update_one({"_id": order_id}, update))


_ORDER_FIELDS = tuple(field.name for field in fields(MoveOrder) if field.name not in ("id", "bounds"))


def _as_order(document: Document) -> MoveOrder:
    return MoveOrder(
        id=document["_id"],
        bounds=Bounds(document["lower"], document["upper"]),
        **{name: document[name] for name in _ORDER_FIELDS if name in document},
    )


def _rule(ranges: Sequence[Range]) -> Document:
    """What a document must be like to be stored: a product of an owned name, or one of those that take no name.

    These are deleted ones, those that are leaving, old locations, and those that keep the keys that they had here. A
    product that is received by a move counts as one here already.
    """
    owned = [{"name_key": {"$gte": r.lower} | ({} if r.upper is None else {"$lt": r.upper})} for r in joined(ranges)]
    nameless = [{"deleted": {"$exists": True}}, {"move.state": {"$in": ["intended", "leaving", "moved"]}}]
    return {"$or": [*owned, *nameless, {"$expr": {"$eq": [f"${HELD}", _KEYS]}}]}


HOLD: Document = {"$set": {HELD: _KEYS}}
"""The last step of an update that leaves a product's keys as they are, for a shard that does not own its name."""


def keeping_keys(values: Document) -> list[Document]:
    """The update that sets fields other than the keys, for a shard that does not own the product's name."""
    return [{"$set": {name: {"$literal": value} for name, value in values.items()}}, HOLD]


def breaks_rule(error: PyMongoError) -> bool:
    """Whether a shard refused a single write since it does not own the product's name."""
    return isinstance(error, WriteError) and error.code == VALIDATION_FAILURE
