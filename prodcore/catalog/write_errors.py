"""Why a product could not be written, as errors."""

from __future__ import annotations

from prodcore.catalog.stores import Deleted
from prodcore.errors import ProductDeleted, ProductExists, VersionConflict
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


def id_was_used(product: Product) -> ProductExists:
    """A product had its id, and was renamed or deleted since: creating it again would be another product."""
    return ProductExists(
        f"a product with the id {product.id} was created already, and renamed or deleted since",
        hint=f"Look with: prodctl product history {product.id}",
        product_id=str(product.id),
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


def changed_meanwhile(product: Product) -> VersionConflict:
    """Somebody else wrote it between our reading and our writing."""
    return VersionConflict(
        f"{product.name!r} was changed by somebody else meanwhile", product_id=str(product.id), version=product.version
    )
