"""How a product stands in MongoDB: one document with its fields, its keys for the indexes, and its history.

A **deleted** product is parked in its place: its fields lie under ``deleted.product``, out of every index, and its
``name_key`` begins with the last code point, which no name's does, so its name is free and no list meets it.

A **move** stands under ``move`` while the document is a part of one, and in ``moves`` after it. A document that keeps
an old location has U+0000 and its id behind its ``variant_key``. No key holds U+0000, so the old name is free, and the
place is right behind the one that it was.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

from bson import Timestamp
from bson.decimal128 import Decimal128

from prodcore.catalog.stores import BeingMoved, Deleted
from prodcore.catalog.write_errors import is_deleted
from prodcore.errors import ProductNotFound, VersionConflict
from prodcore.mongo.client.replica_set import Document
from prodcore.product.fields import FIELDS, STORED_DEFAULTS, names_of_kind
from prodcore.product.model import MAX_CHANGES, STORED, Author, Change, Product
from prodcore.product.move import CompletedMove, Move
from prodcore.routing import LAST

_NULLABLE = frozenset(row.name for row in FIELDS if row.nullable)
"""Left out of a document whose product has none: the indexes on them are sparse."""
_FIELDS = tuple(name for name in STORED if name not in {"id", "shard", *_NULLABLE})
_PRICES, _TAGS = names_of_kind("price"), names_of_kind("tags")
_OF_THE_VERSION = ("version", "write_id")

HELD = "held"
"""The keys of a product, as they stood when its shard took an edit of it without owning its name."""

WRITES = {"name_key": 1, "variant_key": 1, "write_id": 1, "history.write": 1}
"""The projection of somebody who looks for a write of their own."""

NO_HISTORY = {"history": 0}
"""The projection of everybody who asks for the product and not for what it was."""


def as_document(product: Product) -> Document:
    """The document of a new product."""
    entry = _entry_of(product)
    document = {"_id": product.id, **_fields(product), **keys_of(product), "history": [entry] if entry else []}
    return document | ({"move": as_sub_document(product.move)} if product.move else {})


def as_update(product: Product) -> Document:
    """The update that makes this version of the one before."""
    update: Document = {"$set": {**_fields(product), **keys_of(product)}, **_history(product)}
    update["$unset"] = {name: "" for name in _NULLABLE if getattr(product, name) is None} | {HELD: ""}
    return update


def as_held_update(product: Product) -> tuple[Document, Document]:
    """The same for a shard that does not own the name: what the document must have had before, and the update."""
    update, keys = as_update(product), dict(zip(("name_key", "variant_key"), product.key, strict=True))
    del update["$unset"][HELD]
    update["$set"][HELD] = list(product.key)
    return keys, {operator: values for operator, values in update.items() if values}


def as_new_content(product: Product) -> Document:
    """What becomes of the product by a move: the content of its next version, and the entry in its history."""
    return {"content": {**_fields(product), **keys_of(product)}, "entry": _entry_of(product)}


def as_parking(product: Product, until: datetime) -> Document:
    """The update that deletes a product; ``product`` is the version that says so."""
    content = _fields(product)
    kept = {name: content.pop(name) for name in _OF_THE_VERSION}
    change = product.change
    deleted = {"at": change and change.at, "by": change and change.by.username, "product": content}
    deleted["name_key"] = product.key[0]
    place = {"name_key": f"{LAST}{product.id}", "variant_key": ""}
    gone = dict.fromkeys([*content, *keys_of(product), HELD] - place.keys(), "")
    return {"$set": {**kept, **place, "deleted": deleted, "purge_at": until}, "$unset": gone, **_history(product)}


def as_restoring(product: Product) -> Document:
    """The update that puts a parked product back."""
    update = as_update(product)
    return {**update, "$unset": {**update.get("$unset", {}), "deleted": "", "purge_at": ""}}


def as_product(document: Document, shard: str) -> Product:
    """The product that a document holds."""
    values = {name: document[name] if name in document else STORED_DEFAULTS[name] for name in (*_FIELDS, *_NULLABLE)}
    for name in _TAGS:
        values[name] = tuple(values[name])
    for name in _PRICES:
        values[name] = values[name].to_decimal()
    return Product(id=document["_id"], shard=shard, move=as_move(document), **values)


def as_deleted(document: Document, shard: str) -> Deleted:
    """The deleted product that a document holds."""
    deleted = document["deleted"]
    kept = {name: document[name] for name in ("_id", *_OF_THE_VERSION, "move") if name in document}
    product = as_product({**deleted["product"], **kept}, shard)
    return Deleted(product, deleted["at"], deleted["by"], document["purge_at"])


def writes_in(document: Document) -> set[UUID]:
    """The last write of a document, and those that its history tells of: entries of earlier versions do not."""
    told = (entry["write"] for entry in document.get("history", ()) if "write" in entry)
    return {document["write_id"], *told}


def came_of(document: Document, product: Product) -> bool:
    """Whether it was made by inserting this product: it has its key, or went on since and its history tells so."""
    return (document["name_key"], document["variant_key"]) == product.key or product.write_id in writes_in(document)


def as_change(entry: Document) -> Change:
    """A change as it stands in the history."""
    return Change(
        version=entry["version"],
        at=entry["at"],
        by=Author(entry["by"], entry.get("request_id", ""), entry.get("import", ""), entry.get("item", "")),
        action=entry["action"],
        was={name: _plain(value) for name, value in entry["was"].items()},
        source=entry.get("from", ""),
        target=entry.get("to", ""),
    )


def _fields(product: Product) -> Document:
    """What people set and what we note of it."""
    document: Document = {name: getattr(product, name) for name in _FIELDS}
    for name in _TAGS:
        document[name] = list(document[name])
    for name in _PRICES:
        document[name] = Decimal128(document[name])
    return document | {name: value for name in _NULLABLE if (value := getattr(product, name)) is not None}


def keys_of(product: Product) -> Document:
    """What it is found, ordered and kept unique by."""
    name_key, variant_key = product.key
    terms = {"words": product.words, "long_words": product.long_words, "facets": product.facets}
    return {"name_key": name_key, "variant_key": variant_key, **terms}


def _history(product: Product) -> Document:
    if (entry := _entry_of(product)) is None:
        return {}
    return {"$push": {"history": {"$each": [entry], "$slice": -MAX_CHANGES}}}


def _entry_of(product: Product) -> Document | None:
    """What its history tells of this version; None where nothing is said of how it came to be."""
    if (change := product.change) is None:
        return None
    entry: Document = {"version": change.version, "at": change.at, "by": change.by.username, "action": change.action}
    entry["write"] = product.write_id
    entry["was"] = {name: _stored(value) for name, value in change.was.items()}
    more = {
        "from": change.source,
        "to": change.target,
        "request_id": change.by.request_id,
        "import": change.by.import_id,
        "item": change.by.item_id,
    }
    return entry | {name: value for name, value in more.items() if value}


def _stored(value: Any) -> Any:
    if isinstance(value, Decimal):
        return Decimal128(value)
    return list(value) if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal128):
        return value.to_decimal()
    return tuple(value) if isinstance(value, list) else value


MARK = "\0"

MOVES_KEPT_SECONDS = 30 * 60
"""How long a product remembers its moves: longer than a list may last, by as much as clocks may differ."""

MOVE_FIELDS = ("id", "product", "state", "source", "target", "since")


def as_sub_document(move: Move) -> Document:
    """What stands under ``move``."""
    values = (move.id, move.product_id, move.state, move.source, move.target, move.since)
    return dict(zip(MOVE_FIELDS, values, strict=True))


def as_move(document: Document) -> Move | None:
    """The move that a document is a part of."""
    found = document.get("move")
    return Move(*(found[name] for name in MOVE_FIELDS)) if found else None


def as_kept_place(stub: Document, until: datetime) -> Document:
    """The document that keeps an old location where the product comes back to its shard.

    Its id is a text, which no product's is, and it stands right behind the place that it keeps.
    """
    product_id, move_id = stub["_id"], stub["move"]["id"]
    kept = {"_id": f"{product_id}/{move_id}", "variant_key": f"{stub['variant_key']}{MARK}{move_id}"}
    return {**stub, **kept, "purge_at": until}


def as_old_place(document: Document) -> Document:
    """What a deleted product leaves where it was: its old location, as if it had moved from there before."""
    product = as_deleted(document, "").product
    place = as_document(replace(product, sku=None, move=None))
    del place["history"]
    place["variant_key"] += f"{MARK}{product.id}"
    return place | ({"moves": document["moves"]} if "moves" in document else {})


def keeps_place(document: Document) -> bool:
    """Whether it is such a document."""
    return isinstance(document["_id"], str)


def as_completed_moves(document: Document) -> tuple[CompletedMove, ...]:
    """The moves that its product made."""
    return tuple(CompletedMove(p["id"], p["source"], p["target"], as_time(p["at"])) for p in document.get("moves", ()))


def as_entry(move: Move, at: int) -> Document:
    """What stands in ``moves``."""
    return {"id": move.id, "source": move.source, "target": move.target, "at": as_timestamp(at)}


def as_time(timestamp: Timestamp) -> int:
    """A cluster time as a number."""
    return timestamp.time << 32 | timestamp.inc


def as_timestamp(time: int) -> Timestamp:
    """A cluster time as MongoDB has it."""
    return Timestamp(time >> 32, time & 0xFFFF_FFFF)


def refuse(current: Document | None, product: Product, shard: str) -> NoReturn:
    """Say why ``product`` could not be made of ``current``, the document that is there.

    Raises ProductNotFound, ProductDeleted, BeingMoved or VersionConflict.
    """
    if current is None:
        raise ProductNotFound(f"there is no product {product.id}", product_id=str(product.id))
    if "deleted" in current and not ("move" in current and current["version"] == product.version - 1):
        raise is_deleted(as_deleted(current, shard))
    hint = "Read it again, then repeat your change"
    facts = {"product_id": str(product.id), "version": current["version"]}
    if "move" in current:
        raise BeingMoved(f"{product.name!r} is being renamed just now", hint=hint, **facts)
    raise VersionConflict(f"the product is at version {current['version']} now", hint=hint, **facts)
