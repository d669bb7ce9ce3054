"""Why a document was not the one that a write was for."""

from __future__ import annotations

from typing import NoReturn

from prodcore.catalog.stores import BeingMoved
from prodcore.catalog.write_errors import is_deleted
from prodcore.errors import ProductNotFound, VersionConflict
from prodcore.mongo.client.address import Document
from prodcore.mongo.products.document import as_deleted
from prodcore.product.model import Product


def refuse(current: Document | None, product: Product, shard: str) -> NoReturn:
    """Say why ``product`` could not be made of ``current``, the document that is there.

    Raises ProductNotFound, ProductDeleted, BeingMoved or VersionConflict.
    """
    if current is None:
        raise ProductNotFound(f"there is no product {product.id}", product_id=str(product.id))
    if "deleted" in current:
        raise is_deleted(as_deleted(current, shard))
    hint = "Read it again, then repeat your change"
    facts = {"product_id": str(product.id), "version": current["version"]}
    if "move" in current:
        raise BeingMoved(f"{product.name!r} is being renamed just now", hint=hint, **facts)
    raise VersionConflict(f"the product is at version {current['version']} now", hint=hint, **facts)
