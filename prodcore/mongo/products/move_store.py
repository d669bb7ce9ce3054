"""One replica set's side of moves between shards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, WriteError

from prodcore.catalog.stores import ListRow, Traces
from prodcore.catalog.write_errors import exists, is_not_owned
from prodcore.errors import ProdError
from prodcore.mongo.client.replica_set import Document, ReplicaSet, is_transient
from prodcore.mongo.products.document import (
    HELD,
    MARK,
    MOVES_KEPT_SECONDS,
    as_completed_moves,
    as_deleted,
    as_entry,
    as_kept_place,
    as_move,
    as_new_content,
    as_old_place,
    as_product,
    as_sub_document,
    as_time,
    as_timestamp,
    refuse,
)
from prodcore.mongo.products.map_store import HOLD, VALIDATION_FAILURE, breaks_rule
from prodcore.mongo.products.query import projection, values_of
from prodcore.product.model import MAX_CHANGES, Product
from prodcore.product.move import Move, State
from prodcore.routing import LAST, Range

Write = InsertOne[Document] | ReplaceOne[Document] | UpdateOne


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
            document = self._one(product.id)
            if not (again and document and _traces(document, 0).state_of(move)):
                refuse(document, product, self._set.name)

        self._set.write(attempt, product_id=str(product.id))

    def leave(self, move: Move, product_ids: Sequence[UUID]) -> dict[UUID, Traces]:
        """Note that products are to go as they are; see the port."""
        these = {"_id": {"$in": list(product_ids)}}
        free, going = {**these, "move": {"$exists": False}}, {**these, "move.id": move.id}
        noted = as_sub_document(move) | {"product": "$_id"}

        def attempt(_again: bool) -> dict[UUID, Traces]:
            with self._set.client.start_session() as session:  # in which the read sees the write
                self._products.update_many(free, [{"$set": {"move": noted}}], session=session, hint=_BY_ID)
                documents = list(self._products.find(going, session=session, hint=_BY_ID))
                at = _operation_time(session)
            return {document["_id"]: _traces(document, at) for document in documents}

        return self._set.write(attempt)

    def staying(self, part: Range, after: str, limit: int) -> list[tuple[str, UUID, Move | None]]:
        """What a range still has here; see the port."""
        keys = {"$gte": part.lower, "$lt": part.upper or LAST}
        here: Document = {"name_key": keys | {"$gte": max(part.lower, after)}, "move.state": {"$ne": "moved"}}
        parked: Document = {"deleted.at": {"$exists": True}, "deleted.name_key": keys}
        shown = {"name_key": 1, "move": 1}

        def read() -> list[Document]:
            found = list(self._products.find(here, shown, sort=[("name_key", 1)], limit=limit))
            return found or list(self._products.find(parked, shown, limit=limit))

        return [(d["name_key"], d["_id"], as_move(d)) for d in self._set.read(read, fresh=True)]

    def keeps_places(self, part: Range) -> bool:
        """Whether anything of a range is here; see the port."""
        keys = {"$gte": part.lower, "$lt": part.upper or LAST}
        anything: Document = {"$or": [{"name_key": keys}, {"deleted.at": {"$exists": True}, "deleted.name_key": keys}]}
        return self._set.read(lambda: self._products.find_one(anything, {"_id": 1}), fresh=True) is not None

    def count(self, part: Range) -> int:
        """How many products, live, have names in a range here."""
        here = {"name_key": {"$gte": part.lower, "$lt": part.upper or LAST}, "move.state": {"$ne": "moved"}}
        return self._set.read(lambda: self._products.count_documents(here))

    def traces(self, product_ids: Sequence[UUID]) -> dict[UUID, Traces]:
        """What the products' documents tell; see the port."""
        documents, at = self._set.read(lambda: self._now(product_ids), fresh=True)
        return {product_id: _traces(documents.get(product_id, {}), at) for product_id in product_ids}

    def receive(self, parcels: Sequence[Any], until: datetime) -> dict[UUID, ProdError]:
        """Store products, not to be seen yet; see the port."""

        def attempt(_again: bool) -> dict[UUID, ProdError]:
            codes = self._bulk([InsertOne(parcel) for parcel in parcels], _REFUSED)
            return self._refusals([(parcels[n], code) for n, code in codes.items()], until) if codes else {}

        return self._set.write(attempt)

    def _refusals(self, refused: Sequence[tuple[Document, int]], until: datetime) -> dict[UUID, ProdError]:
        """Why products cannot be received: those that are here now all the same are left out."""
        documents, _at = self._now([parcel["_id"] for parcel, _code in refused])
        found: dict[UUID, ProdError] = {}
        again: list[Document] = []
        for parcel, code in refused:
            document = documents.get(parcel["_id"])
            if _is_received(document, parcel):
                continue
            if code == VALIDATION_FAILURE or document is None:  # without a document here it is the name that is taken
                found[parcel["_id"]] = self._refusal(parcel, code)
            else:
                again.append(parcel)
        return found | (self._receive_again(again, documents, until) if again else {})

    def _receive_again(
        self, parcels: Sequence[Document], documents: Mapping[UUID, Document], until: datetime
    ) -> dict[UUID, ProdError]:
        """Store them in the places of what other moves left here; why not, for those that are refused."""
        left = [(parcel, documents[parcel["_id"]].get("move", {})) for parcel in parcels]
        places = [as_kept_place(documents[p["_id"]], until) for p, move in left if move.get("state") == "moved"]
        if places:  # before its document is the product again: at every instant one of the two is there
            self._bulk([InsertOne(place) for place in places], {_DUPLICATE})
        codes = self._bulk(
            [
                ReplaceOne({"_id": p["_id"], "move.id": move.get("id"), "move.state": {"$in": _LEFT}}, p, hint=_BY_ID)
                for p, move in left
            ],
            _REFUSED,
        )
        now, _at = self._now([parcel["_id"] for parcel in parcels])
        return {
            parcel["_id"]: self._refusal(parcel, codes.get(number, _DUPLICATE))
            for number, parcel in enumerate(parcels)
            if not _is_received(now.get(parcel["_id"]), parcel)  # perhaps by another client that finishes the same move
        }

    def _bulk(self, writes: Sequence[Write], expected: Set[int]) -> dict[int, int]:
        """The server's codes for those that it refused, by their place. Raises BulkWriteError for other codes."""
        try:
            self._products.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            codes = {e["index"]: e["code"] for e in error.details.get("writeErrors", [])}
            if is_transient(error) or set(codes.values()) - expected:
                raise
            return codes
        return {}

    def _refusal(self, parcel: Document, code: int) -> ProdError:
        product = as_parcelled(parcel, self._set.name)
        return is_not_owned(product, self._set.name) if code == VALIDATION_FAILURE else exists(product)

    def commit(self, move: Move, product_ids: Sequence[UUID]) -> int | None:
        """Decide moves; see the port."""
        live, gone = {"deleted": {"$exists": False}}, ["sku", "intention", "history", HELD]

        def attempt(_again: bool) -> int | None:
            parking = _turns(move, product_ids, "leaving") | {"deleted.at": {"$exists": True}}
            parked = list(self._products.find(parking, hint=_BY_ID))
            moved = [as_sub_document(replace(move, state="moved", product_id=d["_id"])) for d in parked]
            writes: list[Write] = [
                ReplaceOne(_turns(move, [d["_id"]], "leaving"), as_old_place(d) | {"move": how}, hint=_BY_ID)
                for d, how in zip(parked, moved, strict=True)
            ]
            for product_id in product_ids:
                place = {"$concat": ["$variant_key", MARK, str(product_id)]}
                steps: list[Document] = [{"$set": {"variant_key": place, "move.state": "moved"}}, {"$unset": gone}]
                writes.append(UpdateOne(_turns(move, [product_id], *_UNDECIDED) | live, steps, hint=_BY_ID))
            with self._set.client.start_session() as session:
                decided = self._products.bulk_write(writes, ordered=False, session=session).matched_count
                return _operation_time(session) if decided == len(product_ids) else None

        return self._set.write(attempt, product_id=str(product_ids[0]))

    def publish(self, move: Move, product_ids: Sequence[UUID], at: int) -> None:
        """Make the products simply this shard's; see the port."""
        since = as_timestamp(at - (MOVES_KEPT_SECONDS << 32))
        recent = {"$filter": {"input": {"$ifNull": ["$moves", []]}, "cond": {"$gt": ["$$this.at", since]}}}
        moves = {"$concatArrays": [recent, [as_entry(move, at)]]}
        self._step(_turns(move, product_ids, "pending"), [{"$set": {"moves": moves}}, {"$unset": "move"}])

    def retire(self, move: Move, product_ids: Sequence[UUID], until: datetime) -> None:
        """Let the documents keep their old locations until then; see the port."""
        self._step(_turns(move, product_ids, "moved"), [{"$set": {"purge_at": until}}])

    def undo(self, move: Move) -> None:
        """Take the intention back; see the port."""
        self._step(_turns(move, [move.product_id], *_UNDECIDED), [{"$unset": ["move", "intention"]}])

    def discard(self, move: Move) -> None:
        """Remove what was received of it; see the port."""
        self._set.write(lambda _again: self._products.delete_one(_turns(move, [move.product_id], "pending")))

    def _step(self, turn: Document, steps: list[Document]) -> None:
        """Take a step for those whose turn it is. It changes no key, so a shard takes it whatever it owns now."""

        def attempt(_again: bool) -> int:
            try:
                return self._products.update_many(turn, steps, hint=_BY_ID).matched_count
            except WriteError as error:
                if not breaks_rule(error):
                    raise
                return self._products.update_many(turn, [*steps, HOLD], hint=_BY_ID).matched_count

        self._set.write(attempt)

    def holds(self, product_id: UUID) -> Literal["nothing", "entering", "product"]:
        """What the shard has under this id; see the port."""
        shown = {"move.state": 1}
        document = self._set.read(lambda: self._products.find_one({"_id": product_id}, shown), fresh=True)
        if document is None:
            return "nothing"
        return "entering" if document.get("move", {}).get("state") == "entering" else "product"

    def admit(self, product_id: UUID) -> bool:
        """Let the product that enters stay; see the port."""
        self._step({"_id": product_id, "move.state": "entering"}, [{"$unset": "move"}])
        return self._set.read(lambda: self._one(product_id), fresh=True) is not None

    def reject(self, product_id: UUID) -> None:
        """Remove the product that enters; see the port."""
        entering = {"_id": product_id, "move.state": "entering"}
        self._set.write(lambda _again: self._products.delete_one(entering), product_id=str(product_id))

    def unfinished(self, since: datetime) -> list[Move]:
        """The moves that were left unfinished; see the port."""
        left = {
            "$or": [
                {"move.state": {"$in": [*_UNDECIDED, "pending", "entering"]}},
                {"move.state": "moved", "purge_at": {"$exists": False}},
            ],
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

    def served(self) -> tuple[int, int]:
        """How many reads and writes of products the primary has answered since it started, all clients' together."""
        [stored] = self._set.read(lambda: list(self._products.aggregate([{"$collStats": {"latencyStats": {}}}])))
        kinds = stored["latencyStats"]
        return int(kinds["reads"]["ops"]), int(kinds["writes"]["ops"])

    def answer_seconds(self) -> float:
        """How long a small write takes until it is on a majority; see ``prodcore.sharding.mover.Probed``."""
        marks, began = self._set.collection("marks"), time.monotonic()
        self._set.write(lambda _again: marks.update_one(_PROBE, {"$inc": {"probes": 1}}, upsert=True))
        return time.monotonic() - began

    def lag_seconds(self) -> float:
        """By how much the slowest of its healthy secondaries lags."""
        status = self._set.read(lambda: self._set.client.admin.command("replSetGetStatus"))
        written = {m["stateStr"]: m["optimeDate"] for m in status["members"] if m["stateStr"] == "PRIMARY"}
        seen = [m["optimeDate"] for m in status["members"] if m["stateStr"] == "SECONDARY"]
        return max([(written["PRIMARY"] - at).total_seconds() for at in seen if written], default=0.0)

    def _one(self, product_id: UUID) -> Document | None:
        return self._now([product_id])[0].get(product_id)

    def _now(self, product_ids: Sequence[UUID]) -> tuple[dict[UUID, Document], int]:
        """The documents as no earlier write to them can change them any more, and a cluster time not before that.

        An empty write waits until all that was written before is on a majority; the read comes after it.
        """
        wanted = {"_id": {"$in": list(product_ids)}}
        with self._set.client.start_session() as session:
            self._products.update_one(wanted, {"$set": {}}, session=session)
            documents = list(self._products.find(wanted, session=session))
            return {document["_id"]: document for document in documents}, _operation_time(session)


_BY_ID = {"_id": 1}
"""The index for steps of given products: that of states holds every place that a moving range has left so far."""
_PROBE = {"_id": "probe"}
_FREE = {"move": {"$exists": False}, "deleted": {"$exists": False}}
_DUPLICATE = 11000
_REFUSED = {_DUPLICATE, VALIDATION_FAILURE}
_LEFT = ["moved", "pending"]
"""What an earlier move may have left of the product here."""


_UNDECIDED: tuple[State, ...] = ("intended", "leaving")


def _turns(move: Move, product_ids: Sequence[UUID], *states: State) -> Document:
    """The documents of these products whose step of the move it is."""
    ids = product_ids[0] if len(product_ids) == 1 else {"$in": list(product_ids)}
    return {"_id": ids, "move.id": move.id, "move.state": {"$in": list(states)}}


def _is_received(document: Document | None, parcel: Document) -> bool:
    move = as_move(parcel)
    return document is not None and move is not None and _traces(document, 0).state_of(move) is not None


def _traces(document: Document, at: int) -> Traces:
    move = as_move(document)
    parcel = _parcel(document, move) if move and move.state in _UNDECIDED else None
    return Traces(move, as_completed_moves(document), at, parcel)


def _parcel(document: Document, move: Move) -> Document:
    """The target's document: what is intended, or what there is, and all that was done to the product."""
    pending = {**as_sub_document(move), "state": "pending"}
    if move.state == "leaving":
        return {name: value for name, value in document.items() if name != HELD} | {"move": pending}
    intention = document["intention"]
    history = [*document.get("history", ()), intention["entry"]][-MAX_CHANGES:]
    parcel = {"_id": document["_id"], **intention["content"], "history": history, "move": pending}
    return parcel | ({"moves": document["moves"]} if "moves" in document else {})


def as_parcelled(parcel: Document, shard: str) -> Product:
    """The product that a parcel brings."""
    return as_deleted(parcel, shard).product if "deleted" in parcel else as_product(parcel, shard)


def _operation_time(session: ClientSession) -> int:
    if session.operation_time is None:
        raise AssertionError("every answer of a replica set carries its operation time")
    return as_time(session.operation_time)
