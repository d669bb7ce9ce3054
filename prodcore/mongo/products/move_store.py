"""One replica set's side of moves between shards."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, WriteError

from prodcore.catalog.stores import ListRow, Traces
from prodcore.catalog.write_errors import exists, is_not_owned
from prodcore.mongo.client.replica_set import Document, ReplicaSet
from prodcore.mongo.products.document import (
    MARK,
    MOVES_KEPT_SECONDS,
    as_completed_moves,
    as_entry,
    as_kept_place,
    as_move,
    as_new_content,
    as_product,
    as_sub_document,
    as_time,
    as_timestamp,
    refuse,
)
from prodcore.mongo.products.map_store import breaks_rule
from prodcore.mongo.products.query import projection, values_of
from prodcore.product.model import MAX_CHANGES, Product
from prodcore.product.move import Move


class MongoMoveStore:
    """A ``prodcore.catalog.stores.MoveStore`` on one replica set."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set

    @property
    def _products(self) -> Collection[Document]:
        return self._set.collection("products")

    def intend(self, product: Product, move: Move) -> None:
        """Note what is to become of the product; see the port."""
        seen = {"_id": product.id, "version": product.version - 1, **_FREE}
        noted = {"move": as_sub_document(move), "intention": as_new_content(product)}

        def attempt(again: bool) -> None:
            if self._products.update_one(seen, {"$set": noted}).matched_count:
                return
            document, _at = self._now(product.id)
            if not (again and document and _traces(document, 0).state_of(move)):
                refuse(document, product, self._set.name)

        self._set.write(attempt, product_id=str(product.id))

    def traces(self, product_id: UUID) -> Traces:
        """What the document tells; see the port."""
        document, at = self._set.read(lambda: self._now(product_id), fresh=True)
        return _traces(document or {}, at)

    def receive(self, parcel: Any, until: datetime) -> None:
        """Store the product, not to be seen yet; see the port."""

        def attempt(_again: bool) -> None:
            try:
                self._products.insert_one(parcel)
            except DuplicateKeyError:
                self._receive_again(parcel, until)
            except WriteError as error:
                self._refuse_foreign(parcel, error)

        self._set.write(attempt, product_id=str(parcel["_id"]))

    def _receive_again(self, parcel: Document, until: datetime) -> None:
        """Nothing where it is here already; in the place of what another move left here; else it is refused."""
        move = as_move(parcel)
        document, _at = self._now(parcel["_id"])
        if document is None or move is None:  # the name is taken
            raise exists(as_product(parcel, self._set.name))
        if _traces(document, 0).state_of(move):
            return
        if document.get("move", {}).get("state") == "moved":
            self._keep_place(as_kept_place(document, until))
        left = {"_id": parcel["_id"], "move.id": document.get("move", {}).get("id"), "move.state": {"$in": _LEFT}}
        try:
            replaced = self._products.replace_one(left, parcel).matched_count
        except DuplicateKeyError:
            replaced = 0
        except WriteError as error:
            replaced = 0
            self._refuse_foreign(parcel, error)
        if not replaced and not self._is_received(parcel["_id"], move):
            raise exists(as_product(parcel, self._set.name))

    def _refuse_foreign(self, parcel: Document, error: WriteError) -> None:
        """Raise StaleShardMap where the shard does not own the name, and did not when it was received already."""
        if not breaks_rule(error):
            raise error
        move = as_move(parcel)
        if move is None or not self._is_received(parcel["_id"], move):
            raise is_not_owned(as_product(parcel, self._set.name), self._set.name) from None

    def _is_received(self, product_id: UUID, move: Move) -> bool:
        """Whether another client that finishes the same move was quicker."""
        document, _at = self._now(product_id)
        return document is not None and _traces(document, 0).state_of(move) is not None

    def _keep_place(self, place: Document) -> None:
        """Before its document is the product again: at every instant one of the two is there."""
        with suppress(DuplicateKeyError):
            self._products.insert_one(place)

    def commit(self, move: Move) -> None:
        """Decide the move; see the port."""
        place = {"$concat": ["$variant_key", MARK, str(move.product_id)]}
        gone = ["sku", "intention", "history"]
        update: list[Document] = [{"$set": {"variant_key": place, "move.state": "moved"}}, {"$unset": gone}]
        self._step(move, "intended", update)

    def publish(self, move: Move, at: int) -> None:
        """Make the product simply this shard's; see the port."""
        since = as_timestamp(at - (MOVES_KEPT_SECONDS << 32))
        recent = {"$filter": {"input": {"$ifNull": ["$moves", []]}, "cond": {"$gt": ["$$this.at", since]}}}
        moves = {"$concatArrays": [recent, [as_entry(move, at)]]}
        self._step(move, "pending", [{"$set": {"moves": moves}}, {"$unset": "move"}])

    def retire(self, move: Move, until: datetime) -> None:
        """Let the document keep its old place until then; see the port."""
        self._step(move, "moved", {"$set": {"purge_at": until}})

    def undo(self, move: Move) -> None:
        """Take the intention back; see the port."""
        self._step(move, "intended", {"$unset": {"move": "", "intention": ""}})

    def discard(self, move: Move) -> None:
        """Remove what was received of it; see the port."""
        self._set.write(lambda _again: self._products.delete_one(_turn(move, "pending")))

    def holds(self, product_id: UUID) -> Literal["nothing", "entering", "product"]:
        """What the shard has under this id; see the port."""
        shown = {"move.state": 1}
        document = self._set.read(lambda: self._products.find_one({"_id": product_id}, shown), fresh=True)
        if document is None:
            return "nothing"
        return "entering" if document.get("move", {}).get("state") == "entering" else "product"

    def admit(self, product_id: UUID) -> bool:
        """Let the product that enters stay; see the port."""
        entering = {"_id": product_id, "move.state": "entering"}

        def attempt(_again: bool) -> bool:
            if self._products.update_one(entering, {"$unset": {"move": ""}}).matched_count:
                return True
            document, _at = self._now(product_id)
            return document is not None

        return self._set.write(attempt, product_id=str(product_id))

    def reject(self, product_id: UUID) -> None:
        """Remove the product that enters; see the port."""
        entering = {"_id": product_id, "move.state": "entering"}
        self._set.write(lambda _again: self._products.delete_one(entering), product_id=str(product_id))

    def unfinished(self, since: datetime) -> list[Move]:
        """The moves that were left unfinished; see the port."""
        left = {
            "move.state": {"$in": ["intended", "pending", "moved", "entering"]},
            "purge_at": {"$exists": False},
            "move.since": {"$lt": since},
        }
        documents = self._set.read(lambda: list(self._products.find(left, {"move": 1})))
        return [move for document in documents if (move := as_move(document))]

    def rows(self, product_ids: Sequence[UUID], fields: tuple[str, ...]) -> dict[UUID, ListRow]:
        """Products as rows; see the port."""
        wanted = {"_id": {"$in": list(product_ids)}, "deleted": {"$exists": False}}
        shown = projection(fields)
        documents = self._set.read(lambda: list(self._products.find(wanted, shown)))
        return {
            d["_id"]: ListRow(
                ("", ""), values_of(d, fields, self._set.name), d["_id"], as_move(d), as_completed_moves(d)
            )
            for d in documents
        }

    def known_time(self) -> int:
        """A cluster time of a moment ago; see the port."""
        return self._set.known_time

    def time(self) -> int:
        """The latest cluster time that is on a majority."""
        answer = self._set.read(lambda: self._set.client.admin.command("hello"), fresh=True)
        return as_time(answer["lastWrite"]["majorityOpTime"]["ts"])

    def _step(self, move: Move, state: str, update: Document | list[Document]) -> None:
        self._set.write(
            lambda _again: self._products.update_one(_turn(move, state), update), product_id=str(move.product_id)
        )

    def _now(self, product_id: UUID) -> tuple[Document | None, int]:
        """The document as no earlier write to it can change it any more, and a cluster time that is not before that.

        An empty write waits until all that was written before is on a majority; the read comes after it.
        """
        with self._set.client.start_session() as session:
            self._products.update_one({"_id": product_id}, {"$set": {}}, session=session)
            document = self._products.find_one({"_id": product_id}, session=session)
            return document, _operation_time(session)


_FREE = {"move": {"$exists": False}, "deleted": {"$exists": False}}
_LEFT = ["moved", "pending"]
"""What an earlier move may have left of the product here."""


def _turn(move: Move, state: str) -> Document:
    """The document of whose move it is this step's turn."""
    return {"_id": move.product_id, "move.id": move.id, "move.state": state}


def _traces(document: Document, at: int) -> Traces:
    move = as_move(document)
    parcel = _parcel(document, move) if move and move.state == "intended" else None
    return Traces(move, as_completed_moves(document), at, parcel)


def _parcel(document: Document, move: Move) -> Document:
    """The target's document: what is intended, and all that was done to the product."""
    intention = document["intention"]
    history = [*document.get("history", ()), intention["entry"]][-MAX_CHANGES:]
    pending = {**as_sub_document(move), "state": "pending"}
    parcel = {"_id": document["_id"], **intention["content"], "history": history, "move": pending}
    return parcel | ({"moves": document["moves"]} if "moves" in document else {})


def _operation_time(session: ClientSession) -> int:
    if session.operation_time is None:
        raise AssertionError("every answer of a replica set carries its operation time")
    return as_time(session.operation_time)
