"""Many products at once: create what is new, change what differs, leave what is the same, refuse what cannot be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID, uuid4

from prodcore.catalog.catalog import Catalog
from prodcore.catalog.ports import Key, ProductStore
from prodcore.errors import InvalidInput, OutcomeUnknown, Problem, ProdError, SkuTaken, Unavailable
from prodcore.product import Product, ProductDraft
from prodcore.routing import fold, name_key

Status = Literal["created", "changed", "unchanged", "refused", "unavailable", "unknown"]

MAX_ITEMS = 500


@dataclass(frozen=True, slots=True)
class Item:
    """One product to store. The same ``product_id`` again is the same creation."""

    draft: ProductDraft
    product_id: UUID

    @property
    def key(self) -> Key:
        """(name key, variant key)."""
        return name_key(self.draft.name), fold(self.draft.variant)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item. ``unavailable`` did not happen and may be repeated, ``unknown`` may have happened."""

    status: Status
    product_id: UUID | None = None
    error: ProdError | None = None


def upsert(catalog: Catalog, items: Sequence[Item], by: str) -> list[Outcome]:
    """Store each item under its (name, variant), on its own; the outcomes stand in the order of the items.

    A product that exists keeps every field that its item does not give. Of two items with the same name and variant
    the second is ``unchanged`` where it says the same, else ``refused``.
    """
    outcomes: dict[int, Outcome] = {}
    firsts: dict[Key, int] = {}
    by_shard: dict[str, dict[int, Item]] = defaultdict(dict)
    for i, item in enumerate(items):
        first = firsts.setdefault(item.key, i)
        if first != i:
            outcomes[i] = _repeated(items[first].draft, item.draft)
        else:
            by_shard[catalog.shard_map.shard_for(item.key[0])][i] = item
    for shard, part in by_shard.items():
        try:
            outcomes |= _upsert_in_shard(catalog, catalog.store(shard), part, by)
        except Unavailable as error:
            outcomes |= {i: Outcome("unavailable", error=error) for i in part}
    return [outcomes[i] for i in range(len(items))]


def _repeated(first: ProductDraft, again: ProductDraft) -> Outcome:
    if first == again:
        return Outcome("unchanged")
    problem = Problem("name", "duplicate_in_batch", "another item has this name and variant, with other values")
    return Outcome("refused", error=InvalidInput(problems=[problem]))


def _upsert_in_shard(catalog: Catalog, store: ProductStore, part: dict[int, Item], by: str) -> dict[int, Outcome]:
    existing = store.find([item.key for item in part.values()])
    outcomes: dict[int, Outcome] = {}
    new: dict[int, Product] = {}
    changed: dict[int, Product] = {}
    for i, item in part.items():
        old = existing.get(item.key)
        if old is None:
            new[i] = catalog.draft(item.draft, by, item.product_id)
        elif (edited := replace(old, **_given(item.draft))) != old:
            changed[i] = catalog.next_version(old, edited, by)
        else:
            # An earlier attempt of this very item made it: the one who asks again created it.
            outcomes[i] = Outcome("created" if old.id == item.product_id else "unchanged", old.id)
    outcomes |= _refuse_taken_skus(catalog, new, changed)
    outcomes |= _outcomes("created", new, store.insert_many(list(new.values())))
    outcomes |= _outcomes("changed", changed, store.replace_many(list(changed.values())))
    return outcomes


def _given(draft: ProductDraft) -> dict[str, Any]:
    given = {name: getattr(draft, name) for name in draft.model_fields_set}
    if "tags" in given:
        given["tags"] = tuple(given["tags"])
    if given.get("currency", "") is None:
        del given["currency"]
    return given


def _refuse_taken_skus(catalog: Catalog, new: dict[int, Product], changed: dict[int, Product]) -> dict[int, Outcome]:
    """Take the products whose SKU belongs to another one out of ``new`` and ``changed``."""
    wanted = {i: p for i, p in (new | changed).items() if p.sku is not None}
    owners = catalog.sku_owners([p.sku for p in wanted.values() if p.sku])
    refused: dict[int, Outcome] = {}
    for i, product in wanted.items():
        assert product.sku is not None  # noqa: S101  for the type checker; filtered above
        if owners.setdefault(product.sku, product.id) != product.id:
            refused[i] = Outcome("refused", error=SkuTaken(f"another product has the SKU {product.sku!r}"))
            new.pop(i, None)
            changed.pop(i, None)
    return refused


def _outcomes(done: Status, products: dict[int, Product], errors: Sequence[ProdError | None]) -> dict[int, Outcome]:
    return {
        i: Outcome(done, product.id) if error is None else Outcome(_failed(error), product.id, error)
        for (i, product), error in zip(products.items(), errors, strict=True)
    }


def _failed(error: ProdError) -> Status:
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    return "unavailable" if isinstance(error, Unavailable) else "refused"


def new_item(draft: ProductDraft, product_id: UUID | None = None) -> Item:
    """An item with a fresh id where none is given."""
    return Item(draft, product_id or uuid4())
