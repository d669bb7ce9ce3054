"""All sets read for a backup: each as it was at one cluster time, and every product of every shard at least once.

A set is read at one instant (``readConcern: snapshot``) that is not before any write acknowledged when the backup
began. The sets' instants lie milliseconds apart, and no common one can be had, as they know nothing of each other. So a
product that moves in between may be in two shards, or in none: in the source after it left, in the target before it
came. Both can be told from what moves leave, and such products are read once more, as they are now:

- a document that is a part of an unfinished move;
- an old location whose product the target did not have at its instant;
- a product that came by a move that ended after its source's instant.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Any, TypeVar, cast
from uuid import UUID

import bson
from bson import json_util
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from prodcore.backup.archive import MOVING, BackupWriter, OpenFile
from prodcore.errors import Forbidden, Unavailable
from prodcore.mongo.client.replica_set import Document, ReplicaSet
from prodcore.mongo.products.document import as_move, as_time

PRODUCTS = "products"
PRODUCTS_DATABASE = "products_db"
SHARD_DATABASES = (PRODUCTS_DATABASE,)
USERS_DATABASES = ("auth_db", "audit_db", "prodctl_meta")
CODEC: CodecOptions[Document] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD, tz_aware=True)
_EPHEMERAL = {"guards", "drill_records", "drill_orders"}
"""Who is at work at this moment."""
_BATCH = 1_000
_MOST_READINGS = 10
_MOVES_FIELD = b"\x04moves\x00"
_SNAPSHOT_GONE = {239, 246}
_UNAUTHORIZED = 13

T = TypeVar("T")

OnDocuments = Callable[[int], None]
"""Told how many more documents were read."""


class SetSnapshot:
    """One replica set at one instant. Its session is for one thread at a time."""

    def __init__(self, replica_set: ReplicaSet, *, is_shard: bool) -> None:
        self.set = replica_set
        self.name = replica_set.name
        self.is_shard = is_shard
        self._session: ClientSession | None = None
        self._collections: list[tuple[str, Document]] = []
        self.at = 0
        """A cluster time that is not after the instant, and not before any write acknowledged until ``fix``."""

    def find_collections(self) -> None:
        """Look what there is. Raises Forbidden for a database user who may not."""
        databases = SHARD_DATABASES if self.is_shard else USERS_DATABASES

        def look() -> list[tuple[str, Document]]:
            return [
                (database, dict(found))
                for database in databases
                for found in self.set.client[database].list_collections(filter={"type": "collection"})
                if not found["name"].startswith("system.") and found["name"] not in _EPHEMERAL
            ]

        self._collections = self._allowed(look)

    def fix(self) -> None:
        """Choose the instant: now."""
        self.at = cluster_time(self.set)

        def first_read() -> ClientSession:
            session = self.set.client.start_session(snapshot=True)
            self._collection(PRODUCTS_DATABASE if self.is_shard else "auth_db", "marks").find_one({}, session=session)
            return session

        self._session = self._allowed(first_read)

    def close(self) -> None:
        """End the session."""
        if self._session:
            self._session.end_session()

    def each_product(self, wanted: Document, shown: Document, look: Callable[[list[Document]], int]) -> int:
        """Show products as they were, some at a time; the sum of what ``look`` returns.

        All of them again where a primary dies meanwhile.
        """
        products = self._collection(PRODUCTS_DATABASE, PRODUCTS)

        def read() -> int:
            return sum(look(some) for some in _chunks(products.find(wanted, shown, session=self._session)))

        return int(self._allowed(read))

    def copy(self, writer: BackupWriter, on_batch: Callable[[bytes], None], on_documents: OnDocuments) -> None:
        """Write every collection; ``on_batch`` is handed the products as they are read."""
        for database, found in self._collections:
            name = found["name"]
            with writer.file(self.name, database, f"{name}.metadata.json") as file:
                file.add(self._metadata(database, found))
            looks = on_batch if (database, name) == (PRODUCTS_DATABASE, PRODUCTS) else _look_away
            self._allowed(partial(self._copy, writer, database, name, looks, on_documents))

    def _copy(
        self, writer: BackupWriter, database: str, name: str, look: Callable[[bytes], None], on_documents: OnDocuments
    ) -> None:
        """Begun anew where a primary dies meanwhile: the next one shows the same instant."""
        with writer.file(self.name, database, f"{name}.bson") as file:
            file.documents = 0
            found = self._collection(database, name).find_raw_batches(batch_size=_BATCH, session=self._session)
            for batch in cast("Iterable[bytes]", found):
                file.add(batch)
                count = count_documents(batch)
                file.documents += count
                look(batch)
                on_documents(count)

    def _metadata(self, database: str, found: Document) -> bytes:
        """What mongorestore makes the collection and its indexes from."""
        indexes = self._allowed(lambda: list(self.set.client[database][found["name"]].list_indexes()))
        metadata = {"indexes": indexes, "collectionName": found["name"], "type": "collection"}
        return json_util.dumps(metadata | {"options": found["options"]}).encode()

    def _collection(self, database: str, name: str) -> Collection[Document]:
        return self.set.client[database].get_collection(name, read_concern=ReadConcern("snapshot"))

    def _allowed(self, operation: Callable[[], Any]) -> Any:
        """A read, whose refusals become ours."""

        def attempt() -> Any:
            try:
                return operation()
            except OperationFailure as refused:
                if refused.code == _UNAUTHORIZED:
                    raise _not_allowed(self.name) from None
                if self._session and refused.code in _SNAPSHOT_GONE:
                    raise _gone(self.name) from None
                raise

        return self.set.read(attempt, fresh=True)


def _look_away(_batch: bytes) -> None:
    """Nothing moves in other collections."""


def _not_allowed(name: str) -> Forbidden:
    return Forbidden(
        f"the database user of {name}'s address is not allowed to read or write everything that a backup contains",
        hint="run it where the system was set up, or give addresses (DB1_URL …) of a user with the role root",
    )


def _gone(name: str) -> Unavailable:
    return Unavailable(
        f"{name} no longer keeps its state at the instant of the backup: nothing was written",
        hint="an index was created meanwhile, or reading took longer than minSnapshotHistoryWindowInSeconds (300): "
        "repeat it, or raise that parameter on each member",
        shard=name,
    )


def cluster_time(replica_set: ReplicaSet) -> int:
    """Now: all that was acknowledged before is not after it. An empty write waits until that is on a majority."""

    def attempt(_again: bool) -> int:
        with replica_set.client.start_session() as session:
            replica_set.collection("marks").update_one({"_id": None}, {"$set": {}}, session=session)
            if session.operation_time is None:
                raise AssertionError("every answer of a replica set carries its operation time")
            return as_time(session.operation_time)

    return replica_set.write(attempt)


class Snapshots:
    """All sets of a system: the shards, and the users' set."""

    def __init__(self, users: ReplicaSet, shards: Mapping[str, ReplicaSet]) -> None:
        self.shards = {name: SetSnapshot(replica_set, is_shard=True) for name, replica_set in shards.items()}
        self.all = [*self.shards.values(), SetSnapshot(users, is_shard=False)]
        self._moving: set[UUID] = set()
        self.old_places = 0
        """Documents that are no products of their shard: what moves left, or have not published."""
        self._stack = ExitStack()

    def fix(self, on_instant: Callable[[str], None]) -> None:
        """Choose all instants, one right after the other, the users' last. Raises Unavailable, Forbidden."""
        for one in self.all:
            one.find_collections()
        for one in self.all:
            one.fix()
            self._stack.callback(one.close)
            on_instant(one.name)

    def close(self) -> None:
        """End all sessions."""
        self._stack.close()

    def note_unfinished(self) -> None:
        """Find the products that were moving, from what moves leave."""
        for shard in self.shards.values():
            self.old_places += shard.each_product({"move.state": {"$exists": True}}, {"move": 1}, self._note_moves)

    def _note_moves(self, documents: list[Document]) -> int:
        """How many of them are no products of their shard."""
        by_target: dict[str, set[UUID]] = {}
        for move in filter(None, map(as_move, documents)):
            if move.state == "moved":
                by_target.setdefault(move.target, set()).add(move.product_id)
            else:
                self._moving.add(move.product_id)
        for target, ids in by_target.items():
            self._moving |= ids - self._present(target, ids)
        return sum(document["move"]["state"] in ("moved", "pending") for document in documents)

    def _present(self, shard: str, ids: set[UUID]) -> set[UUID]:
        """Those that the shard had, and not only the old location of."""
        present: set[UUID] = set()

        def note(documents: list[Document]) -> int:
            present.update(d["_id"] for d in documents if d.get("move", {}).get("state") != "moved")
            return len(documents)

        if shard in self.shards:
            self.shards[shard].each_product({"_id": {"$in": list(ids)}}, {"move.state": 1}, note)
        return present

    def note_arrived(self, batch: bytes) -> None:
        """Find products that came by a move that its source may not have known of at its instant."""
        if _MOVES_FIELD not in batch:
            return
        for raw in documents_in(batch):
            if _MOVES_FIELD in raw:
                document = bson.decode(raw, CODEC)
                if any(_is_later(move, self.shards) for move in document.get("moves", ())):
                    self._moving.add(document["_id"])

    def write_moving(self, writer: BackupWriter) -> tuple[str, ...]:
        """Write the products that were moving, as they are now; the ids of those that no shard has."""
        unresolved: list[UUID] = []
        with writer.file(MOVING, PRODUCTS_DATABASE, f"{PRODUCTS}.bson") as file:
            file.documents = 0
            for some in _chunks(sorted(self._moving, key=str)):
                unresolved += self._write_some(set(some), file)
        return tuple(map(str, unresolved))

    def _write_some(self, ids: set[UUID], file: OpenFile) -> set[UUID]:
        """Read products in all shards, one after the other, until each was seen where it is, or nowhere at all."""
        for _reading in range(_MOST_READINGS):
            found = {name: _read_now(shard.set, ids) for name, shard in self.shards.items()}
            for product_id in sorted(ids, key=str):
                there = {name: documents[product_id] for name, documents in found.items() if product_id in documents}
                document = current_document(there)
                if document is not None:
                    file.add(bson.encode(document, codec_options=CODEC))
                    file.documents = (file.documents or 0) + 1
                if document is not None or not there:
                    ids.discard(product_id)
            if not ids:
                break
        return ids


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    there = iter(items)
    return iter(lambda: list(islice(there, _BATCH)), [])


def _is_later(move: Document, shards: Mapping[str, SetSnapshot]) -> bool:
    source = shards.get(move["source"])
    return source is not None and as_time(move["at"]) > source.at


def _read_now(replica_set: ReplicaSet, ids: set[UUID]) -> dict[UUID, Document]:
    products = replica_set.collection(PRODUCTS)
    documents = replica_set.read(lambda: list(products.find({"_id": {"$in": list(ids)}})), fresh=True)
    return {document["_id"]: document for document in documents}


def current_document(there: Mapping[str, Document]) -> Document | None:
    """Of a product's documents by shard, read one after the other, the one that is the product; None in between.

    What it receives by a move is the product once the source says ``moved``; of two that were seen, as it moved
    meanwhile, the later version is.
    """
    here = []
    for document in there.values():
        move = as_move(document)
        if move is None or move.is_here:
            here.append(document)
        elif move.state == "pending":
            left = as_move(there.get(move.source, {}))
            if left and (left.id, left.state) == (move.id, "moved"):
                here.append(document)
    return max(here, key=lambda document: document["version"], default=None)


def documents_in(batch: bytes) -> Iterator[bytes]:
    """The documents that stand one after the other."""
    start = 0
    while start < len(batch):
        (length,) = struct.unpack_from("<i", batch, start)
        yield batch[start : start + length]
        start += length


def count_documents(batch: bytes) -> int:
    """How many stand there."""
    count = start = 0
    while start < len(batch):
        start += struct.unpack_from("<i", batch, start)[0]
        count += 1
    return count
