"""A backup read from disk: every document of it checked, and put back into the sets of a system.

Products go where the present map sends them, whatever set they were in. What a move leaves means nothing in other
sets: old places are left out, and products that were moving are restored from the file of those alone, so that each
comes back once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from uuid import UUID

import bson
from bson.errors import BSONError
from pymongo.errors import BulkWriteError

from prodcore.backup.archive import MOVING, BackedUpFile, Backup
from prodcore.backup.sealing import DamagedChunk
from prodcore.errors import Conflict, InvalidInput, Problem
from prodcore.mongo.client.replica_set import Document, ReplicaSet, is_transient
from prodcore.mongo.products.claim_store import COLLECTION as CLAIMS
from prodcore.mongo.products.claim_store import MongoClaimStore
from prodcore.mongo.products.document import HELD, as_move
from prodcore.mongo.products.map_store import VALIDATION_FAILURE
from prodcore.mongo.snapshot import CODEC, PRODUCTS, PRODUCTS_DATABASE, OnDocuments
from prodcore.routing import ShardMap, ranges_from_documents

_BATCH = 500
_MOST_BYTES = 16 * 1024 * 1024 + 16 * 1024
_DUPLICATE_KEY = 11000
_IDENTITY = (("auth_db", "users"), ("auth_db", "service_tokens"), ("auth_db", "marks"))
"""What identity stands on. Sessions, invitations and counts of failed logins do not come back: who was logged out, or
invited and came, since the backup must not be logged in, or invited, again."""

_FORGOTTEN = ("sessions", "spent_refresh_tokens", "invitations", "attempts")
_ADDED = (("audit_db", "audit"), ("prodctl_meta", "drill_history"))
"""Records that are only ever added to: those that are there stay."""


def documents_of(file: BinaryIO) -> Iterator[Document]:
    """The documents of a file of BSON. Raises ValueError, DamagedChunk where it is none."""
    while head := file.read(4):
        if len(head) < 4 or not 5 <= (length := struct.unpack("<i", head)[0]) <= _MOST_BYTES:
            raise ValueError("a document's length is impossible")
        rest = file.read(length - 4)
        if len(rest) < length - 4:
            raise ValueError("it ends in the middle of a document")
        yield bson.decode(head + rest, CODEC)


_UNREADABLE = (BSONError, DamagedChunk, ValueError, OverflowError, RecursionError)


@dataclass
class Contents:
    """What looking at every document found."""

    problems: list[Problem] = field(default_factory=list)
    documents: int = 0
    elsewhere: int = 0
    """Products in a shard that by the stored map could not have their names."""


def check_contents(backup: Backup, on_documents: OnDocuments) -> Contents:
    """Read every document: is it BSON, are they as many as listed, and where do the products belong?"""
    found = Contents()
    manifest = backup.manifest
    shard_map = ShardMap(manifest.map_version, ranges_from_documents(list(manifest.ranges)))
    for listed in manifest.collections:
        is_shard = listed.place[1:] == (PRODUCTS_DATABASE, PRODUCTS) and listed.place[0] != MOVING
        count = 0
        try:
            with backup.reading(listed) as file:
                for document in documents_of(file):
                    count += 1
                    if is_shard and (holders := _holders(document, shard_map)):
                        found.elsewhere += listed.place[0] not in holders
                    on_documents(1)
        except InvalidInput as error:
            found.problems += error.problems
        except _UNREADABLE as error:
            found.problems.append(Problem(listed.path, "unreadable", f"document {count + 1:,} cannot be read: {error}"))
        else:
            if count != listed.documents:
                text = f"holds {count:,} documents, and held {listed.documents:,} when it was made"
                found.problems.append(Problem(listed.path, "incomplete", text))
        found.documents += count
    return found


def _holders(document: Document, shard_map: ShardMap) -> tuple[str, ...]:
    """The shards that may have a live product by its name; none for what is no live product."""
    key = document.get("name_key")
    move = as_move(document)
    if not isinstance(key, str) or "deleted" in document or (move and not move.is_here):
        return ()
    return shard_map.range_for(key).holders


def as_restored(document: Document, moving: frozenset[Any] | set[Any] = frozenset()) -> Document | None:
    """The document as it is put back; None for what is no product, or is restored from the file of ``moving`` ones.

    >>> as_restored({"_id": 1, "name_key": "a", "moves": []})
    {'_id': 1, 'name_key': 'a'}
    >>> as_restored({"_id": 1, "name_key": "a"}, {1})
    """
    move = as_move(document)
    if document["_id"] in moving or isinstance(document["_id"], str) or (move and not move.is_here):
        return None
    return settled(document)


def settled(document: Document) -> Document:
    """A product without what moves left in it: of other sets it would tell nothing."""
    return {name: value for name, value in document.items() if name not in _OF_MOVES}


_OF_MOVES = {"move", "moves", "intention", HELD}


def routing_key(document: Document) -> str:
    """The name key by which a product is routed, a deleted one by the name that it had."""
    key = document["deleted"]["name_key"] if "deleted" in document else document["name_key"]
    return str(key)


@dataclass
class Restored:
    """What was put back."""

    products: int = 0
    users: int = 0
    records: int = 0
    """Entries of the audit, of imports and of drills."""
    left_out: list[Problem] = field(default_factory=list)
    """Products whose name or id another product has."""


class Restorer:
    """Puts the documents of a backup into a system that has its map, its indexes and no products."""

    def __init__(
        self,
        backup: Backup,
        users: ReplicaSet,
        shards: Mapping[str, ReplicaSet],
        shard_map: ShardMap,
        on_documents: OnDocuments,
    ) -> None:
        self._backup = backup
        self._users = users
        self._shards = shards
        self._map = shard_map
        self._claims = MongoClaimStore(users)
        self._on_documents = on_documents
        self.restored = Restored()

    def run(self) -> Restored:
        """Put everything back. Raises Unavailable, OutcomeUnknown: begin again then."""
        for database, name in _IDENTITY:
            added = self._add(self._users, database, name)
            self.restored.users += added if name == "users" else 0
        self._restore_products()
        for shard in self._shards.values():
            self._add(shard, PRODUCTS_DATABASE, "imports")
        for database, name in _ADDED:
            self.restored.records += self._add(self._users, database, name)
        return self.restored

    def _restore_products(self) -> None:
        moving: set[UUID] = set()
        for listed in sorted(self._files(PRODUCTS_DATABASE, PRODUCTS), key=lambda file: file.place[0] != MOVING):
            is_moving = listed.place[0] == MOVING
            for batch in self._batches(listed):
                documents = [settled(d) if is_moving else as_restored(d, moving) for d in batch]
                if is_moving:
                    moving |= {document["_id"] for document in batch}
                self._insert_products([document for document in documents if document is not None])

    def _insert_products(self, documents: list[Document]) -> None:
        by_shard: dict[str, list[Document]] = {}
        for document in documents:
            by_shard.setdefault(self._map.shard_for(routing_key(document)), []).append(document)
        for shard, some in by_shard.items():
            refused = _insert(self._shards[shard], PRODUCTS_DATABASE, PRODUCTS, some)
            self.restored.left_out += [
                Problem(str(d["_id"]), "taken", f"{d.get('name', 'a deleted product')}: its name or id is taken")
                for d in some
                if d["_id"] in refused
            ]
            kept = [d for d in some if d["_id"] not in refused]
            self.restored.products += len(kept)
            self._claims.add({d["sku"]: d["_id"] for d in kept if d.get("sku")})

    def _add(self, replica_set: ReplicaSet, database: str, name: str) -> int:
        """Add the documents of a collection from all sets of the backup, each once; how many are there then."""
        count = 0
        for listed in self._files(database, name):
            for batch in self._batches(listed):
                refused = _insert(replica_set, database, name, batch)
                count += len(batch) - len(refused)
        return count

    def _files(self, database: str, name: str) -> Iterable[BackedUpFile]:
        return (file for file in self._backup.manifest.collections if file.place[1:] == (database, name))

    def _batches(self, listed: BackedUpFile) -> Iterator[list[Document]]:
        with self._backup.reading(listed) as file:
            batch: list[Document] = []
            for document in documents_of(file):
                batch.append(document)
                if len(batch) == _BATCH:
                    yield batch
                    self._on_documents(len(batch))
                    batch = []
            if batch:
                yield batch
                self._on_documents(len(batch))


def _insert(replica_set: ReplicaSet, database: str, name: str, documents: list[Document]) -> set[Any]:
    """Insert documents; the ids of those that are refused as another document has their id or key."""
    if not documents:
        return set()
    collection = replica_set.client[database][name]

    def attempt(_again: bool) -> set[Any]:
        try:
            collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            failed = error.details.get("writeErrors", [])
            if any(e["code"] == VALIDATION_FAILURE for e in failed):
                raise Conflict(
                    f"{replica_set.name} does not own the names that the shard map gives it",
                    hint="prodctl shard verify shows the difference; prodctl shard repair, then restore again",
                ) from None
            if is_transient(error) or any(e["code"] != _DUPLICATE_KEY for e in failed):
                raise
            return _others(collection, [documents[e["index"]] for e in failed])
        return set()

    return replica_set.write(attempt)


def _others(collection: Any, documents: list[Document]) -> set[Any]:
    """The ids of those that are not there as they are: an attempt before this one may have inserted them."""
    found = collection.find({"_id": {"$in": [document["_id"] for document in documents]}})
    there = {document["_id"]: document for document in found}
    return {d["_id"] for d in documents if there.get(d["_id"]) != d}


@dataclass(frozen=True)
class Held:
    """What a system holds that a restore would replace."""

    products: int
    users: int

    def __bool__(self) -> bool:
        return bool(self.products or self.users)


def held_by(users: ReplicaSet, shards: Mapping[str, ReplicaSet]) -> Held:
    """What is there now: products, deleted ones included, and users."""

    def count(replica_set: ReplicaSet, database: str, name: str) -> int:
        collection = replica_set.collection(name, database)
        return replica_set.read(lambda: collection.count_documents({}), fresh=True)

    products = sum(count(shard, PRODUCTS_DATABASE, PRODUCTS) for shard in shards.values())
    return Held(products, count(users, "auth_db", "users"))


def clear(users: ReplicaSet, shards: Mapping[str, ReplicaSet]) -> None:
    """Remove products and imports, users, logins and claims of SKUs. The audit and the history of drills stay."""
    emptied = [(s, PRODUCTS_DATABASE, name) for s in shards.values() for name in (PRODUCTS, "imports")]
    emptied += [(users, "auth_db", name) for name in ("users", "service_tokens", "marks", *_FORGOTTEN)]
    emptied.append((users, "prodctl_meta", CLAIMS))
    for replica_set, database, name in emptied:
        _empty(replica_set, database, name)


def _empty(replica_set: ReplicaSet, database: str, name: str) -> None:
    collection = replica_set.collection(name, database)
    replica_set.write(lambda _again: collection.delete_many({}))


def require_addresses(shard_map: ShardMap, shards: Mapping[str, ReplicaSet]) -> None:
    """Raise Conflict where the map sends products to a shard without an address."""
    if lacking := set(shard_map.shards) - shards.keys():
        raise Conflict(f"the shard map names {', '.join(sorted(lacking))}, and no address for it is set")
