"""A backup read from disk: every document of it checked, and put back into the sets of a system.

Products go where the present map sends them, whatever set they were in. What a move leaves means nothing in other
sets: old locations are left out, and products that were moving are restored from the file of those alone, so that each
comes back once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO, Literal
from uuid import UUID

import bson
from bson.errors import BSONError
from pymongo.errors import BulkWriteError, DuplicateKeyError

from prodcore.backup.archive import MOVING, BackedUpFile, Backup
from prodcore.backup.sealing import DamagedChunk
from prodcore.catalog import Catalog
from prodcore.catalog.stores import Deleted
from prodcore.catalog.write_errors import exists
from prodcore.errors import Conflict, InvalidInput, NotFound, Problem
from prodcore.identity.users import fold_username
from prodcore.mongo.client.replica_set import Document, ReplicaSet, is_transient
from prodcore.mongo.products.document import HELD, as_move, as_product
from prodcore.mongo.products.map_store import VALIDATION_FAILURE
from prodcore.mongo.products.users_set import CLAIMS, VIEWS, MongoClaimStore
from prodcore.mongo.snapshot import CODEC, PRODUCTS, PRODUCTS_DATABASE, OnDocuments
from prodcore.product.model import Author, Product
from prodcore.routing import ShardMap, fold, ranges_from_documents

_BATCH = 500
_MOST_BYTES = 16 * 1024 * 1024 + 16 * 1024
_DUPLICATE_KEY = 11000
_IDENTITY = (
    *(("auth_db", "users"), ("auth_db", "service_tokens"), ("auth_db", "marks")),
    ("prodctl_meta", VIEWS),
)
"""What identity stands on, and the views that users have saved. Sessions, invitations and counts of failed logins do
not come back: who was logged out, or invited and came, since the backup must not be logged in, or invited, again."""

REPLACED_BY_SHARD = ((PRODUCTS_DATABASE, PRODUCTS), (PRODUCTS_DATABASE, "imports"))
REPLACED_OF_USERS = (
    *_IDENTITY,
    *(("auth_db", name) for name in ("sessions", "spent_refresh_tokens", "invitations", "attempts")),
    ("prodctl_meta", CLAIMS),
)
"""What there is of these goes before everything is restored."""

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


def products_in(backup: Backup, on_documents: OnDocuments) -> Iterator[list[Document]]:
    """Every product once, live or deleted, some at a time."""
    moving: set[UUID] = set()
    for listed in sorted(_files(backup, PRODUCTS_DATABASE, PRODUCTS), key=lambda file: file.place[0] != MOVING):
        is_moving = listed.place[0] == MOVING
        for batch in _batches(backup, listed, on_documents):
            documents = [settled(d) if is_moving else as_restored(d, moving) for d in batch]
            if is_moving:
                moving |= {document["_id"] for document in batch}
            yield [document for document in documents if document is not None]


def _files(backup: Backup, database: str, name: str) -> Iterable[BackedUpFile]:
    return (file for file in backup.manifest.collections if file.place[1:] == (database, name))


def _batches(backup: Backup, listed: BackedUpFile, on_documents: OnDocuments) -> Iterator[list[Document]]:
    with backup.reading(listed) as file:
        documents = documents_of(file)
        while batch := list(islice(documents, _BATCH)):
            yield batch
            on_documents(len(batch))


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
        for products in products_in(self._backup, self._on_documents):
            self._insert_products(products)
        for shard in self._shards.values():
            self._add(shard, PRODUCTS_DATABASE, "imports")
        for database, name in _ADDED:
            self.restored.records += self._add(self._users, database, name)
        return self.restored

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
        for listed in _files(self._backup, database, name):
            for batch in _batches(self._backup, listed, self._on_documents):
                refused = _insert(replica_set, database, name, batch)
                count += len(batch) - len(refused)
        return count


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
class Selection:
    """What is to be restored: products by name or id, or by category, and users by name; all as people write them."""

    products: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    def products_of(self, backup: Backup, on_documents: OnDocuments) -> Iterator[Document]:
        """The live products of the backup that are meant."""
        names, categories = {fold(text) for text in self.products}, {fold(text) for text in self.categories}
        ids = {text.strip().lower() for text in self.products}
        if not (names or categories):
            return
        for documents in products_in(backup, on_documents):
            for d in documents:
                if "deleted" not in d and (
                    d["name_key"] in names or str(d["_id"]) in ids or fold(d.get("category", "")) in categories
                ):
                    yield d

    def users_of(self, backup: Backup, on_documents: OnDocuments) -> Iterator[Document]:
        """The users of the backup that are meant."""
        wanted = {fold_username(name) for name in self.users}
        for listed in _files(backup, "auth_db", "users") if wanted else ():
            for documents in _batches(backup, listed, on_documents):
                yield from (d for d in documents if not d.get("removed_at") and d["name_key"] in wanted)


Outcome = Literal["restored", "replaced", "unchanged", "left_out"]


@dataclass(frozen=True, slots=True)
class RestoredItem:
    """What became of one product or user; ``reason`` why it was left out."""

    kind: Literal["product", "user"]
    id: str
    name: str
    outcome: Outcome
    reason: str = ""

    def as_dict(self) -> dict[str, str]:
        """As rows show it."""
        return {"kind": self.kind, "id": self.id, "name": self.name, "outcome": self.outcome, "reason": self.reason}


class SelectiveRestorer:
    """Puts some products and users back among those that are there, while people work.

    A product that is there is given what it had by an edit, with an entry in its history, and only with ``replace``.
    """

    def __init__(self, catalog: Catalog, users: ReplicaSet, shards: Mapping[str, ReplicaSet], *, replace: bool) -> None:
        self._catalog = catalog
        self._users = users
        self._shards = shards
        self._replace = replace

    def product(self, document: Document) -> RestoredItem:
        """Put one product back. Raises Unavailable, OutcomeUnknown: repeat it then."""
        product = as_product(document, self._catalog.where(document["name"]).shard)
        try:
            outcome, reason = self._put(product, document)
        except (Conflict, NotFound) as refused:
            outcome, reason = "left_out", refused.message
        return RestoredItem("product", str(product.id), product.name, outcome, reason)

    def _put(self, product: Product, document: Document) -> tuple[Outcome, str]:
        found, unreachable = self._catalog.get_many([product.id])
        present = found.get(product.id)
        if unreachable and present is None:
            raise unreachable
        if present is None:
            self._insert(product, document)
            return "restored", ""
        if isinstance(present, Deleted):
            restored = self._catalog.restore(product.id, _AUTHOR, present.product.version)
            self._change(restored, product)
            return "restored", ""
        if present.content() == product.content():
            return "unchanged", ""
        if not self._replace:
            return "left_out", "it exists and differs: --replace restores its values"
        self._change(present, product)
        return "replaced", ""

    def _change(self, present: Product, product: Product) -> None:
        content = {**product.content(), "tags": product.tags}
        self._catalog.rewrite(
            present.id, present.version, lambda old: self._catalog.store_changed(old, content, _AUTHOR)
        )

    def _insert(self, product: Product, document: Document) -> None:
        part = self._catalog.shard_map.range_for(product.key[0])
        with self._catalog.claims.of(product):
            self._catalog.refuse_taken_name(product, part.holders)
            if _insert(self._shards[part.shard], PRODUCTS_DATABASE, PRODUCTS, [document]):
                raise exists(product)

    def user(self, document: Document, now: datetime) -> RestoredItem:
        """Put one user back. Raises Unavailable, OutcomeUnknown: repeat it then."""
        users = self._users.collection("users", "auth_db")
        present = self._users.read(lambda: users.find_one({"_id": document["_id"]}), fresh=True)
        item = RestoredItem("user", str(document["_id"]), document["username"], "left_out")
        if present is None:
            taken = _insert(self._users, "auth_db", "users", [document])
            reason = "another user has this name" if taken else ""
            return replace(item, outcome="left_out" if taken else "restored", reason=reason)
        if all(present.get(name) == value for name, value in document.items() if name not in _OF_THE_VERSION):
            return replace(item, outcome="unchanged")
        if not self._replace:
            return replace(item, reason="it exists and differs: --replace restores its values")
        return self._replace_user(item, document, present, now)

    def _replace_user(self, item: RestoredItem, document: Document, present: Document, now: datetime) -> RestoredItem:
        users = self._users.collection("users", "auth_db")
        others = {"role": "admin", "disabled": False, "removed_at": None, "_id": {"$ne": document["_id"]}}
        is_admin = document["role"] == "admin" and not document["disabled"]
        if not is_admin and self._users.read(lambda: users.find_one(others), fresh=True) is None:
            return replace(item, reason="it is the only admin, and was not an admin then")
        stamp = {"version": present["version"] + 1, "epoch": present["epoch"] + 1, "changed_at": now}
        seen = {"_id": document["_id"], "version": present["version"]}
        try:
            done = self._users.write(lambda _again: users.replace_one(seen, document | stamp).matched_count)
        except DuplicateKeyError:
            return replace(item, reason="another user has this name")
        return replace(item, outcome="replaced") if done else replace(item, reason="it was changed meanwhile")


_AUTHOR = Author("prodctl backup restore")
_OF_THE_VERSION = {"version", "epoch", "changed_at", "last_login_at", "notices"}
