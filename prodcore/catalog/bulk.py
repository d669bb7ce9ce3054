"""Edit or delete many products, each by the version that the caller saw and on its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal
from uuid import UUID

from prodcore.catalog.catalog import Catalog
from prodcore.catalog.stores import Deleted
from prodcore.catalog.write_errors import Failure, failure, write_each
from prodcore.errors import (
    InvalidInput,
    Problem,
    ProdError,
    ProductNotFound,
    VersionConflict,
)
from prodcore.product.model import Author, Product
from prodcore.routing import fold

Status = Literal["changed", "deleted", "unchanged"] | Failure

MAX_BULK = 500
"""Products a call."""

MAX_TAGS = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """A product, and the version of it that the caller saw."""

    product_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What became of one product."""

    seen: Seen
    status: Status
    error: ProdError | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be changed in every product."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()

    def of(self, product: Product) -> Product:
        """The product as it is to be."""
        taken = {fold(tag) for tag in self.remove_tags}
        kept = {fold(tag): tag for tag in product.tags if fold(tag) not in taken}
        tags = tuple((kept | {fold(tag): tag for tag in self.add_tags if fold(tag) not in kept}).values())
        return replace(product, **self.fields, tags=tags)


def bulk_edit(catalog: Catalog, items: Sequence[Seen], changes: Changes, by: Author) -> list[BulkOutcome]:
    """Change each product; the outcomes stand in the order of the items.

    Asked again for the same, it says ``unchanged`` of a product that is as it is to be, whatever its version.
    """

    def judge(seen: Seen, product: Product | Deleted | None) -> Product | BulkOutcome:
        if not isinstance(product, Product):
            return _gone(seen)
        new = changes.of(product)
        if len(new.tags) > MAX_TAGS:
            problem = Problem("add_tags", "too_long", f"a product has at most {MAX_TAGS} tags")
            return BulkOutcome(seen, "refused", InvalidInput(problems=[problem]))
        if new == product:
            return BulkOutcome(seen, "unchanged")
        return product if product.version == seen.version else _stale(seen, product)

    def write(shard: str, products: Sequence[Product]) -> Sequence[ProdError | None]:
        return catalog.store(shard).replace_many([catalog.next_version(p, changes.of(p), by) for p in products])

    return _each(catalog, items, judge, write, "changed")


def bulk_delete(catalog: Catalog, items: Sequence[Seen], by: Author) -> list[BulkOutcome]:
    """Delete each product; the outcomes stand in the order of the items.

    Asked again for the same, it says ``deleted`` of a product whose seen version was the last before its deletion.
    """

    def judge(seen: Seen, product: Product | Deleted | None) -> Product | BulkOutcome:
        if isinstance(product, Deleted) and product.product.version == seen.version + 1:
            return BulkOutcome(seen, "deleted")
        if not isinstance(product, Product):
            return _gone(seen)
        return product if product.version == seen.version else _stale(seen, product)

    return _each(catalog, items, judge, lambda shard, products: catalog.delete_many(shard, products, by), "deleted")


def _each(
    catalog: Catalog,
    items: Sequence[Seen],
    judge: Callable[[Seen, Product | Deleted | None], Product | BulkOutcome],
    write: Callable[[str, Sequence[Product]], Sequence[ProdError | None]],
    done: Status,
) -> list[BulkOutcome]:
    """Read the products, ``judge`` each, and ``write`` a shard's at once."""
    found, unreachable = catalog.get_many([seen.product_id for seen in items])
    outcomes: dict[UUID, BulkOutcome] = {}
    to_write: dict[str, list[Product]] = {}
    by_id = {seen.product_id: seen for seen in items}
    for product_id, seen in by_id.items():
        if product_id not in found and unreachable:
            outcomes[product_id] = BulkOutcome(seen, "unavailable", unreachable)
            continue
        judged = judge(seen, found.get(product_id))
        if isinstance(judged, BulkOutcome):
            outcomes[product_id] = judged
        else:
            to_write.setdefault(judged.shard, []).append(judged)
    for shard, products in to_write.items():
        for product, error in zip(products, write_each(partial(write, shard), products), strict=True):
            outcomes[product.id] = BulkOutcome(by_id[product.id], failure(error) if error else done, error)
    return [outcomes[seen.product_id] for seen in items]


def _gone(seen: Seen) -> BulkOutcome:
    return BulkOutcome(seen, "refused", ProductNotFound(f"there is no product {seen.product_id} any more"))


def _stale(seen: Seen, product: Product) -> BulkOutcome:
    message = f"{product.name!r} is at version {product.version} now, you saw version {seen.version}"
    return BulkOutcome(seen, "refused", VersionConflict(message, version=product.version))
