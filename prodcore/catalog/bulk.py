"""Many products at once, each on its own: stored, edited, deleted or undone by the version that the caller saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal
from uuid import UUID

from prodcore.catalog.catalog import MOST_MAPS, Catalog
from prodcore.catalog.moves import MOST_MOVES
from prodcore.catalog.stores import Deleted, Key, ProductStore
from prodcore.catalog.write_errors import Failure, exists, failure, has_other_version, id_was_used, write_each
from prodcore.errors import (
    InvalidInput,
    Problem,
    ProdError,
    ProductDeleted,
    ProductNotFound,
    StaleShardMap,
    VersionConflict,
)
from prodcore.product.model import Author, Product
from prodcore.routing import fold

Status = Literal["changed", "deleted", "unchanged", "restored"] | Failure

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
        return replace_many(catalog, shard, [catalog.next_version(p, changes.of(p), by) for p in products])

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

    return _each(catalog, items, judge, lambda shard, products: delete_many(catalog, shard, products, by), "deleted")


def undo_change(catalog: Catalog, seen: Seen, by: Author) -> Product:
    """Undo the change that made a version, which must still be the last one; the product as it is then.

    What was edited gets its former values, what was deleted is restored, what was restored is deleted again.
    Raises VersionConflict where something was done since, ProductNotFound, and what edits and restores raise.
    """
    try:
        product = catalog.get(seen.product_id)
    except ProductDeleted:
        return catalog.restore(seen.product_id, by, seen.version)
    last = next(iter(catalog.history(seen.product_id)), None)
    if last is None or (product.version, last.version) != (seen.version, seen.version) or last.action == "created":
        raise has_other_version(product, seen.version)
    if last.action == "restored":
        return catalog.delete(seen.product_id, by, seen.version)
    return catalog.rewrite(seen.product_id, seen.version, lambda old: catalog.store_changed(old, last.was, by))


def undo_changes(catalog: Catalog, items: Sequence[Seen], by: Author) -> list[BulkOutcome]:
    """``undo_change`` for each, one after the other; the outcomes stand in the order of the items."""
    outcomes = []
    for seen in items:
        try:
            undo_change(catalog, seen, by)
        except ProdError as error:
            outcomes.append(BulkOutcome(seen, failure(error), error))
        else:
            outcomes.append(BulkOutcome(seen, "restored"))
    return outcomes


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


def insert_many(catalog: Catalog, products: Sequence[Product]) -> list[ProdError | None]:
    """Insert new products where their names belong; a refusal stands at its place, None for a success.

    Their ids are somebody else's: one that another shard is seen to have afterwards is taken back and refused.
    """
    errors: list[ProdError | None] = [None] * len(products)
    left = list(range(len(products)))
    for _ in range(MOST_MAPS):
        used, by_shard = catalog.shard_map, dict[str, list[int]]()
        for i in left:
            by_shard.setdefault(used.shard_for(products[i].key[0]), []).append(i)
        for shard, places in by_shard.items():
            found = write_each(partial(_insert_many, catalog, shard), [products[i] for i in places])
            for i, error in zip(places, found, strict=True):
                errors[i] = error
        stale = {i: error for i in left if isinstance(error := errors[i], StaleShardMap)}
        left = list(stale)
        try:
            for refused in list(stale.values())[:1]:
                catalog.current_map.renew(used, refused)
        except StaleShardMap:
            break
    return errors


def _insert_many(catalog: Catalog, shard: str, products: Sequence[Product]) -> list[ProdError | None]:
    held = _held_elsewhere(catalog, shard, products)
    new = [product for product in products if product.key not in held]
    errors = catalog.store(shard).insert_many(new)
    made = [product for product, error in zip(new, errors, strict=True) if error is None]
    if made and (twins := catalog.finder.elsewhere(made, shard)):
        catalog.store(shard).remove_new([product for product in made if product.id in twins])
        errors = [id_was_used(p.id) if p.id in twins else e for p, e in zip(new, errors, strict=True)]
    outcome = {product.id: error for product, error in zip(new, errors, strict=True)}
    return [exists(p) if p.key in held else outcome[p.id] for p in products]


def _held_elsewhere(catalog: Catalog, shard: str, products: Sequence[Product]) -> set[Key]:
    """Which of their names the other shard of a range that moves still has."""
    by_other: dict[str, list[Key]] = {}
    for key in (product.key for product in products if catalog.shard_map.moving):
        part = catalog.shard_map.range_for(key[0])
        for other in part.holders if part.other else ():
            if other != shard:
                by_other.setdefault(other, []).append(key)
    return {key for other, keys in by_other.items() for key in catalog.finder.find([other], keys)}


def delete_many(catalog: Catalog, shard: str, products: Sequence[Product], by: Author) -> list[ProdError | None]:
    """Delete a shard's products, as they were read; a refusal stands at its place."""
    gone = [catalog.next_version(product, product, by, "deleted") for product in products]
    if not gone:
        return []
    until = gone[0].updated_at + catalog.deleted_life
    return _wherever_they_are(catalog, shard, gone, lambda store, part: store.park_many(part, until))


def replace_many(catalog: Catalog, shard: str, products: Sequence[Product]) -> list[ProdError | None]:
    """Store the next versions of a shard's products, their names as they are; a refusal stands at its place."""
    return _wherever_they_are(catalog, shard, products, lambda store, part: store.replace_many(part))


def _wherever_they_are(
    catalog: Catalog,
    shard: str,
    products: Sequence[Product],
    write: Callable[[ProductStore, Sequence[Product]], list[ProdError | None]],
) -> list[ProdError | None]:
    """Write next versions of products that were read in a shard; again, where they moved as they were since."""
    errors = write(catalog.store(shard), products)
    for _ in range(MOST_MOVES):
        changed = {p.id: i for i, p in enumerate(products) if isinstance(errors[i], VersionConflict)}
        found = catalog.get_many(list(changed))[0] if changed else {}
        moved: dict[str, list[int]] = {}
        for product_id, now in found.items():
            i = changed[product_id]
            if isinstance(now, Product) and now.version == products[i].version - 1:
                moved.setdefault(now.shard, []).append(i)
        for here, places in moved.items():
            store, part = catalog.store(here), [products[i] for i in places]
            for i, error in zip(places, write_each(partial(write, store), part), strict=True):
                errors[i] = error
        if not moved:
            break
    return errors
