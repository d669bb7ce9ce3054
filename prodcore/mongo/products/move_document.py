"""How a move stands in the documents of its product: ``move`` while a document is a part of one, ``moves`` after it.

A document that keeps an old place has U+0000 and its id behind its ``variant_key``. No key holds U+0000, so the old
name is free, and the place is right behind the one that it was.
"""

from __future__ import annotations

from bson import Timestamp

from prodcore.mongo.client.address import Document
from prodcore.product.move import Move, Passage

MARK = "\0"

REMEMBERED = 20
"""How many moves a product remembers; lists look at those of some minutes."""

FIELDS = ("id", "product", "state", "source", "target", "since")


def as_sub_document(move: Move) -> Document:
    """What stands under ``move``."""
    values = (move.id, move.product_id, move.state, move.source, move.target, move.since)
    return dict(zip(FIELDS, values, strict=True))


def as_move(document: Document) -> Move | None:
    """The move that a document is a part of."""
    found = document.get("move")
    return Move(*(found[name] for name in FIELDS)) if found else None


def as_passages(document: Document) -> tuple[Passage, ...]:
    """The moves that its product made."""
    return tuple(Passage(p["id"], p["source"], p["target"], as_time(p["at"])) for p in document.get("moves", ()))


def as_entry(move: Move, at: int) -> Document:
    """What stands in ``moves``."""
    return {"id": move.id, "source": move.source, "target": move.target, "at": as_timestamp(at)}


def as_time(timestamp: Timestamp) -> int:
    """A cluster time as a number."""
    return timestamp.time << 32 | timestamp.inc


def as_timestamp(time: int) -> Timestamp:
    """A cluster time as MongoDB has it."""
    return Timestamp(time >> 32, time & 0xFFFF_FFFF)
