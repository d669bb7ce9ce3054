"""What one document of a shard is, judged by itself.

Does the product model take it, and is what is derived from it as it should be?
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from prodcore.errors import InvalidInput
from prodcore.mongo.client.address import Document
from prodcore.mongo.products.document import as_deleted, as_product, keys_of
from prodcore.mongo.products.move_document import MARK, as_move
from prodcore.product.model import Product, ProductDraft, validate
from prodcore.routing import LAST
from prodcore.sharding.findings import Stored

_TYPES: dict[str, type] = {
    "_id": UUID,
    "tags": list,
    "created_at": datetime,
    "updated_at": datetime,
    "updated_by": str,
    "version": int,
    "write_id": UUID,
}
"""What the product model does not check, as only we write it."""

_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading a document raises that is no product's."""


def check(document: Document, shard: str) -> Stored:
    """Judge a document."""
    purge_at = document.get("purge_at")
    known = Stored(document["_id"], shard, "unreadable", purge_at=purge_at if isinstance(purge_at, datetime) else None)
    deleted = "deleted" in document
    try:
        product = as_deleted(document, shard).product if deleted else as_product(document, shard)
        move = as_move(document)
    except _DAMAGED as error:
        name = document.get("name")
        fault = f"cannot be read as a product: {type(error).__name__} {error}"
        return replace(known, name=name if isinstance(name, str) else "", faults=(fault,))
    moved = move is not None and move.state == "moved"
    known = replace(known, state="deleted" if deleted else "place" if moved else "product", move=move)
    known = replace(known, version=product.version, name=str(product.name), sku=product.sku)
    if faults := tuple(_faults(document, product)):
        return replace(known, faults=faults)
    return replace(known, key=product.key, derived=tuple(_wrong(document, product, known)))


def _faults(document: Document, product: Product) -> Iterator[str]:
    content: Any = {**document, **document["deleted"]["product"]} if "deleted" in document else document
    for name, expected in _TYPES.items():
        if not isinstance(content[name], expected):
            yield f"{name.removeprefix('_')} is not a {expected.__name__}"
    try:
        validate(ProductDraft, product.content())
    except InvalidInput as refused:
        yield from (f"{problem.field}: {problem.message}" for problem in refused.problems)


def derived_of(product: Product, known: Stored) -> Document:
    """What is computed from a product and stored in its document, by the state that it is in."""
    if known.state == "deleted":
        return {"name_key": f"{LAST}{product.id}", "variant_key": "", "deleted.name_key": product.key[0]}
    derived = keys_of(product)
    if known.state == "place":
        derived["variant_key"] += f"{MARK}{product.id}"
    return derived


def _wrong(document: Document, product: Product, known: Stored) -> Iterator[str]:
    stored = {**document, "deleted.name_key": document.get("deleted", {}).get("name_key")}
    return (name for name, value in derived_of(product, known).items() if stored.get(name) != value)
