"""The form that changes many products at once: which fields are to get which value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prodcore.catalog.bulk import Changes
from prodcore.errors import InvalidInput, Problem
from prodcore.product.model import Product, ProductPatch, validate
from webapp.pages.locale import read_price
from webapp.pages.product_form import read_whole

FIELDS = ("price", "currency", "stock", "category", "description", "active")
"""The fields that can get the same value in every product."""
_MAY_BE_EMPTIED = ("category", "description")


@dataclass(frozen=True, slots=True)
class BulkValues:
    """What somebody typed. An empty field leaves the products' own, unless it is to be emptied."""

    texts: Mapping[str, str]
    emptied: frozenset[str]

    def changes(self) -> Changes:
        """What that means. Raises InvalidInput, also where nothing is to be changed."""
        fields = validate(ProductPatch, self._fields()).changes()
        add, take = (validate(ProductPatch, {"tags": self._tags(name)}).tags for name in ("add_tags", "remove_tags"))
        if not (fields or add or take):
            raise InvalidInput(problems=[Problem("", "missing", "nothing to change is given")])
        return Changes(fields, tuple(add), tuple(take))

    def _fields(self) -> dict[str, Any]:
        given: dict[str, Any] = dict.fromkeys(self.emptied, "")
        given |= {name: self.texts[name] for name in FIELDS if self.texts[name]}
        if "price" in given:
            given["price"] = read_price(given["price"])
        if "stock" in given:
            given["stock"] = read_whole(given["stock"])
        if "currency" in given:
            given["currency"] = given["currency"].upper()
        if "active" in given:
            given["active"] = given["active"] == "yes"
        return given

    def _tags(self, name: str) -> list[str]:
        return [tag.strip() for tag in self.texts[name].split(",") if tag.strip()]


TEXTS = (*FIELDS, "add_tags", "remove_tags")
BOXES = tuple(f"empty_{name}" for name in _MAY_BE_EMPTIED)


def read_bulk_values(form: Mapping[str, str]) -> BulkValues:
    """What a form brings."""
    texts = {name: form.get(name, "").replace("\r\n", "\n").strip() for name in TEXTS}
    emptied = frozenset(name for name in _MAY_BE_EMPTIED if form.get(f"empty_{name}") and not texts[name])
    return BulkValues(texts, emptied)


def differences(product: Product, changes: Changes) -> list[tuple[str, Any, Any]]:
    """What would change in a product: field, old and new value."""
    new = changes.of(product)
    names = (*FIELDS, "tags")
    return [(n, getattr(product, n), getattr(new, n)) for n in names if getattr(product, n) != getattr(new, n)]
