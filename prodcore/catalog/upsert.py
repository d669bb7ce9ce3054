"""Many products at once: create what is new, change what differs, leave what is the same, refuse what cannot be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any, Literal
from uuid import UUID, uuid4

from prodcore.catalog.bulk import insert_many, replace_many
from prodcore.catalog.catalog import Catalog
from prodcore.catalog.stores import Deleted, Key
from prodcore.catalog.write_errors import failure, id_was_used
from prodcore.errors import (
    Conflict,
    InvalidInput,
    Problem,
    ProdError,
    ProductExists,
    SkuTaken,
    Unavailable,
    VersionConflict,
)
from prodcore.product.fields import FIELDS, NAMES
from prodcore.product.model import Author, Product, ProductDraft, ProductPatch
from prodcore.routing import fold, name_key
from prodcore.support.validation import validate

By = Literal["name", "sku"]
"""How an item finds its product: by name and variant, or by SKU."""

Status = Literal["created", "changed", "unchanged", "refused", "unavailable", "unknown"]

_NEEDED = tuple(row.name for row in FIELDS if row.required)
"""What a product cannot be made without."""

_DEFAULTS = {name: f.default for name, f in ProductDraft.model_fields.items() if name not in _NEEDED}


@dataclass(frozen=True, slots=True)
class Item:
    """The fields to store of one product; those not given stay as they are. The same ``product_id`` again is the
    same creation."""

    changes: Mapping[str, Any]
    product_id: UUID

    @property
    def sku(self) -> str | None:
        """The SKU, where one is given."""
        sku: str | None = self.changes.get("sku")
        return sku

    @property
    def key(self) -> Key | None:
        """(name key, variant key), where a name is given."""
        name = self.changes.get("name")
        return (name_key(name), fold(self.changes.get("variant", ""))) if name is not None else None

    def content(self) -> dict[str, Any]:
        """All fields of a new product. Raises InvalidInput where something is missing."""
        missing = [Problem(f, "missing", "is required for a new product") for f in _NEEDED if f not in self.changes]
        if missing:
            raise InvalidInput(problems=missing)
        return {**_DEFAULTS, **self.changes}

    def patch(self) -> ProductPatch:
        """The change of a product that exists."""
        patch: ProductPatch = ProductPatch.model_construct(set(self.changes), **self.changes)
        return patch


def new_item(fields: Mapping[str, Any], product_id: UUID | None = None, by: By = "name") -> Item:
    """Check the fields of one product; a fresh id where none is given. Raises InvalidInput.

    ``currency: null`` says nothing; what ``by`` names must be given.
    """
    given = {name: value for name, value in fields.items() if not (name == "currency" and value is None)}
    changes = validate(ProductPatch, given).changes()
    if changes.get(by) is None:
        raise InvalidInput(problems=[Problem(by, "missing", "is required")])
    return Item(changes, product_id or uuid4())


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What became of one item. ``unavailable`` did not happen and may be repeated, ``unknown`` may have happened."""

    status: Status
    product_id: UUID | None = None
    error: ProdError | None = None
    differences: tuple[dict[str, Any], ...] = ()
    """What is changed: ``field``, ``old`` and ``new``; JSON values."""


def differences(old: Product, new: Product) -> tuple[dict[str, Any], ...]:
    """The fields that people set and that differ, in their order."""
    before, after = old.content(), new.content()
    return tuple(
        {"field": name, "old": _shown(before[name]), "new": _shown(after[name])}
        for name in NAMES
        if before[name] != after[name]
    )


def _shown(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value


MAX_ITEMS = 1000

Items = dict[int, Item]
"""Items by their place in the batch."""


@dataclass(slots=True)
class _Plan:
    """What is to be done, by the items' places."""

    old: dict[int, Product] = field(default_factory=dict)
    """The products that exist."""
    new: dict[int, Product] = field(default_factory=dict)
    """What each is to be: another one where ``old`` has none."""
    outcomes: dict[int, ItemOutcome] = field(default_factory=dict)
    """Those for which nothing is left to do."""

    def refuse(self, i: int, error: ProdError) -> None:
        """Do nothing for an item."""
        self.new.pop(i, None)
        self.outcomes[i] = _failed(error)


def upsert(
    catalog: Catalog, items: Sequence[Item], by: Author, *, found_by: By = "name", dry_run: bool = False
) -> list[ItemOutcome]:
    """Store each item in its product, on its own; the outcomes stand in the order of the items.

    A product that exists keeps every field that its item does not give. Of two items with the same name and variant
    the second is ``unchanged`` where it says the same, else ``refused``. With ``dry_run`` nothing is written, and the
    outcomes say what would become of the items.
    """
    plan = _Plan()
    firsts = _without_repeated(items, found_by, plan)
    _find_old(catalog, firsts, found_by, plan)
    _recognise(catalog, firsts, plan, [i for i in firsts if i not in plan.outcomes])
    for i, item in firsts.items():
        if i not in plan.outcomes:
            _plan_item(catalog, i, item, by, found_by, plan)
    if dry_run:
        _refuse_taken_skus(catalog, plan)
        plan.outcomes |= {i: _would_be(plan.old.get(i), new) for i, new in plan.new.items()}
    else:
        _store(catalog, plan, items, by)
    return [plan.outcomes[i] for i in range(len(items))]


def _without_repeated(items: Sequence[Item], found_by: By, plan: _Plan) -> Items:
    firsts: dict[Key | str | None, int] = {}
    kept: Items = {}
    for i, item in enumerate(items):
        first = firsts.setdefault(item.sku if found_by == "sku" else item.key, i)
        if first == i:
            kept[i] = item
        elif items[first].changes == item.changes:
            plan.outcomes[i] = ItemOutcome("unchanged")
        else:
            what = "this SKU" if found_by == "sku" else "this name and variant"
            problem = Problem(found_by, "duplicate_in_batch", f"another item has {what}, with other values")
            plan.refuse(i, InvalidInput(problems=[problem]))
    return kept


def _find_old(catalog: Catalog, items: Items, found_by: By, plan: _Plan) -> None:
    """Put the products that exist into the plan; whose shard does not answer is unavailable."""
    if found_by == "sku":
        skus = {item.sku: i for i, item in items.items() if item.sku is not None}
        found, unreachable = catalog.find_skus(list(skus))
        plan.old = {skus[sku]: products[0] for sku, products in found.items()}
        for sku, products in found.items():
            if len(products) > 1:
                plan.refuse(skus[sku], _is_ambiguous(sku, products))
        if unreachable:
            plan.outcomes |= {i: ItemOutcome("unavailable", error=unreachable) for i in items if i not in plan.old}
    asked = {i: item.key for i, item in items.items() if i not in plan.old and i not in plan.outcomes and item.key}
    named, unknown = catalog.find_keys(list(asked.values()))
    plan.outcomes |= {i: ItemOutcome("unavailable", error=unknown[key]) for i, key in asked.items() if key in unknown}
    plan.old |= {i: named[key] for i, key in asked.items() if key in named}


def _recognise(catalog: Catalog, items: Items, plan: _Plan, asked: Sequence[int]) -> None:
    """Let what an item did before stand: repeated it is the same write, whatever became of the product since."""
    item_ids = {items[i].product_id: i for i in asked}
    answered, _silent = catalog.ask_all(
        lambda store: (store.get_many(list(item_ids)), store.imports.repeated(list(item_ids)))
    )
    for created, changed in answered.values():
        plan.outcomes |= {item_ids[id_]: ItemOutcome("changed", product_id) for id_, product_id in changed.items()}
        for product_id, product in created.items():
            i = item_ids[product_id]
            is_other = isinstance(product, Product) and product.version == 1 and product.key != items[i].key
            if is_other or isinstance(product, Deleted):
                plan.refuse(i, id_was_used(product_id))
            else:
                plan.outcomes[i] = ItemOutcome("created", product_id)


def _plan_item(catalog: Catalog, i: int, item: Item, by: Author, found_by: By, plan: _Plan) -> None:
    old = plan.old.get(i)
    try:
        if old is None:
            plan.new[i] = catalog.first_version(item.content(), by, item.product_id)
            return
        if found_by == "sku" and old.sku not in (None, item.sku):
            raise ProductExists(f"a product {old.name!r} exists already, with the SKU {old.sku!r}")
    except ProdError as error:
        plan.refuse(i, error)
        return
    if (new := replace(old, **_as_stored(item.changes))) != old:
        plan.new[i] = new
    else:
        plan.outcomes[i] = ItemOutcome("unchanged", old.id)


def _as_stored(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if name == "tags" else value for name, value in changes.items()}


def _is_ambiguous(sku: str, products: Sequence[Product]) -> Conflict:
    ids = ", ".join(str(product.id) for product in products)
    return Conflict(f"{len(products)} products have the SKU {sku!r}: {ids}", hint="Give all but one another SKU")


def _refuse_taken_skus(catalog: Catalog, plan: _Plan) -> None:
    """Refuse what would give a product the SKU of another one."""
    wanted = {i: p for i, p in plan.new.items() if p.sku is not None}
    owners = catalog.sku_owners([p.sku for p in wanted.values() if p.sku is not None])
    for i, product in wanted.items():
        if product.sku is not None and owners.setdefault(product.sku, product.id) != product.id:
            plan.refuse(i, SkuTaken(f"another product has the SKU {product.sku!r}"))


def _would_be(old: Product | None, new: Product) -> ItemOutcome:
    return ItemOutcome("changed", old.id, differences=differences(old, new)) if old else ItemOutcome("created")


def _store(catalog: Catalog, plan: _Plan, items: Sequence[Item], by: Author) -> None:
    """Carry the plan out: one insert and one bulk of replacements a shard, and the renames one by one."""
    created: dict[int, Product] = {}
    changed: dict[str, dict[int, Product]] = defaultdict(dict)
    claiming, write = _claiming(plan), uuid4()
    refused = catalog.claims.take(list(claiming.values()), write)
    for i in [i for i, product in claiming.items() if product.id in refused]:
        plan.refuse(i, refused[claiming.pop(i).id])
    for i, new in plan.new.items():
        old = plan.old.get(i)
        if old is None:
            created[i] = new
        elif old.key == new.key:
            changed[old.shard][i] = catalog.next_version(old, new, _author(by, items[i]))
        else:
            plan.outcomes[i] = _renamed(catalog, old, items[i], _author(by, items[i]))
    plan.outcomes |= _written("created", created, partial(insert_many, catalog))
    for shard, part in changed.items():
        plan.outcomes |= _written("changed", part, partial(replace_many, catalog, shard))
    lost = [i for i, o in plan.outcomes.items() if isinstance(o.error, VersionConflict | ProductExists)]
    _recognise(catalog, dict(enumerate(items)), plan, lost)  # perhaps to an earlier attempt that had not ended
    catalog.claims.done([p for i, p in claiming.items() if plan.outcomes[i].status != "unknown"], write)


def _author(by: Author, item: Item) -> Author:
    return replace(by, item_id=str(item.product_id))


def _claiming(plan: _Plan) -> dict[int, Product]:
    """What gets an SKU by this batch. A rename claims its own."""
    olds = plan.old
    return {
        i: new
        for i, new in plan.new.items()
        if new.sku is not None and (i not in olds or (olds[i].sku != new.sku and olds[i].key == new.key))
    }


def _renamed(catalog: Catalog, old: Product, item: Item, by: Author) -> ItemOutcome:
    """A change of name or variant, which may lead into another shard."""
    try:
        catalog.edit(old.id, item.patch(), by, old.version)
    except ProdError as error:
        return _failed(error, old.id)
    return ItemOutcome("changed", old.id)


def _written(
    done: Status, products: dict[int, Product], write: Callable[[Sequence[Product]], list[ProdError | None]]
) -> dict[int, ItemOutcome]:
    try:
        errors = write(list(products.values()))
    except Unavailable as error:
        return {i: _failed(error) for i in products}
    return {
        i: ItemOutcome(done, product.id) if error is None else _failed(error, product.id)
        for (i, product), error in zip(products.items(), errors, strict=True)
    }


def _failed(error: ProdError, product_id: UUID | None = None) -> ItemOutcome:
    return ItemOutcome(failure(error), product_id, error)
