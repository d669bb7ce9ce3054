"""Why a product could not be written: as errors, and as the outcome of one of many writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal
from uuid import UUID

from prodcore.catalog.stores import Deleted
from prodcore.errors import (
    OutcomeUnknown,
    ProdError,
    ProductDeleted,
    ProductExists,
    StaleShardMap,
    Unavailable,
    VersionConflict,
)
from prodcore.product.model import Product


def exists(product: Product) -> ProductExists:
    """Another product has its name and variant."""
    described = f"{product.name} ({product.variant})" if product.variant else product.name
    return ProductExists(
        f"a product {described!r} exists already",
        hint="Edit that one, or give this one another name or variant",
        name=product.name,
        variant=product.variant,
    )


def id_was_used(product_id: UUID) -> ProductExists:
    """Another product has or had its id: under another name, or renamed or deleted since."""
    return ProductExists(
        f"a product with the id {product_id} was already created: under another name, or renamed or deleted since",
        hint=f"See prodctl product history {product_id}",
        product_id=str(product_id),
    )


def is_deleted(parked: Deleted) -> ProductDeleted:
    """It was deleted, and can be restored."""
    product = parked.product
    return ProductDeleted(
        f"{product.name!r} was deleted on {parked.at:%Y-%m-%d}",
        hint=f"It can be restored until {parked.until:%Y-%m-%d}: prodctl product restore {product.id}",
        product_id=str(product.id),
        version=product.version,
        shard=product.shard,
    )


def has_other_version(product: Product, seen: int) -> VersionConflict:
    """It is not at the version that the caller saw."""
    return VersionConflict(
        f"the product is at version {product.version} now, you saw version {seen}",
        hint="Read it again, then repeat your change",
        product_id=str(product.id),
        version=product.version,
    )


def is_not_owned(product: Product, shard: str) -> StaleShardMap:
    """The shard refuses it, since its name belongs to another one."""
    return StaleShardMap(
        f"{shard} does not own the name {product.name!r}: nothing was written",
        hint="Try again in a moment; if the error persists, run prodctl shard verify",
        shard=shard,
        name=product.name,
    )


def changed_meanwhile(product: Product) -> VersionConflict:
    """Somebody else wrote it between our reading and our writing."""
    return VersionConflict(
        f"{product.name!r} was changed by another user meanwhile", product_id=str(product.id), version=product.version
    )


Failure = Literal["refused", "unavailable", "unknown"]
"""``unavailable`` did not happen and may be repeated, ``unknown`` may have happened."""


def failure(error: ProdError) -> Failure:
    """What an error says of the write that it ended."""
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    return "unavailable" if isinstance(error, Unavailable) else "refused"


def write_each(
    write: Callable[[Sequence[Product]], Sequence[ProdError | None]], products: Sequence[Product]
) -> Sequence[ProdError | None]:
    """Write the products of one shard: an error or None for each; the same for all where the shard is out."""
    try:
        return write(products)
    except Unavailable as error:
        return [error] * len(products)
