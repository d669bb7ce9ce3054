"""The product form: what was typed, what that means, and what is wrong with it. The rules are the core's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from prodcore.product.model import FIELDS, Product
from webapp.pages.locale import read_price, write_price

_WHOLE = re.compile(r"[0-9]{1,12}", re.ASCII)
_EMPTY = dict.fromkeys(FIELDS, "") | {"stock": "0", "active": "on"}

Values = dict[str, str]
"""The fields as texts, the way a form holds them; a box that is not ticked is empty."""


def blank_values(currency: str) -> Values:
    """A new product's form."""
    return {**_EMPTY, "currency": currency}


def values_of(product: Product) -> Values:
    """A stored product's form."""
    return {
        "name": product.name,
        "variant": product.variant,
        "sku": product.sku or "",
        "description": product.description,
        "category": product.category,
        "tags": ", ".join(product.tags),
        "price": write_price(product.price),
        "currency": product.currency,
        "stock": str(product.stock),
        "active": "on" if product.active else "",
    }


def typed_values(form: Mapping[str, str]) -> Values:
    """What somebody typed; line ends as they are stored."""
    return {name: form.get(name, "").replace("\r\n", "\n").strip() for name in FIELDS}


def as_input(values: Values) -> dict[str, Any]:
    """What the typed texts mean, for the core to judge; what is no number becomes what the core refuses."""
    return {
        **values,
        "sku": values["sku"] or None,
        "tags": [tag.strip() for tag in values["tags"].split(",") if tag.strip()],
        "price": read_price(values["price"]),
        "currency": values["currency"].upper(),
        "stock": read_whole(values["stock"]),
        "active": bool(values["active"]),
    }


def read_whole(text: str) -> int | str:
    """A whole number; what is none stays a text, which the core refuses."""
    return int(text) if _WHOLE.fullmatch(text) else text


def example_price() -> str:
    """How a price is written in this language."""
    return write_price(Decimal("1.20"))
