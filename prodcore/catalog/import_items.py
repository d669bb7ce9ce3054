"""Products to store as an import gives them, field by field, and what becomes of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

from prodcore.catalog.stores import Key
from prodcore.errors import InvalidInput, Problem, ProdError
from prodcore.product.model import FIELDS, Product, ProductDraft, ProductPatch, validate
from prodcore.routing import fold, name_key

By = Literal["name", "sku"]
"""How an item finds its product: by name and variant, or by SKU."""

Status = Literal["created", "changed", "unchanged", "refused", "unavailable", "unknown"]

_NEEDED = ("name", "price")
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
        return ProductPatch.model_construct(set(self.changes), **self.changes)


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
class Outcome:
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
        for name in FIELDS
        if before[name] != after[name]
    )


def _shown(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value
