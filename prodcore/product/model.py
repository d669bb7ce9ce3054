"""The product: what it is made of and which input is refused, field by field."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from prodcore.errors import InvalidInput, Problem
from prodcore.product.history import Change
from prodcore.product.move import Move
from prodcore.product.terms import facets_of, words_of
from prodcore.routing import fold, name_key

MAX_STOCK = 2**31 - 1
MAX_PRICE = Decimal(10) ** 12

_DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")


def _clean(text: Any, *, multiline: bool = False) -> Any:
    """Drop what nobody sees (format characters), refuse what breaks terminals and files (control characters)."""
    if not isinstance(text, str):
        return text
    if text.isprintable():  # nearly all: nothing to drop, nothing to refuse
        return text.strip()
    kept = []
    for char in text:
        category = unicodedata.category(char)
        if category == "Cf":
            continue
        if category[0] == "C" and not (multiline and char in "\n\t\r"):
            raise PydanticCustomError(
                "forbidden_character",
                "holds the character U+{code}, which names and texts cannot hold",
                {"code": f"{ord(char):04X}"},
            )
        kept.append(char)
    return "".join(kept).strip()


def _clean_multiline(text: Any) -> Any:
    return _clean(text, multiline=True)


def _routable(name: str) -> str:
    if not fold(name):
        raise PydanticCustomError("unroutable_name", "holds no letter, digit or sign to route by")
    return name


def _price(value: Any) -> Any:
    numeric = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not numeric and not (isinstance(value, str) and _DECIMAL.fullmatch(value)):
        raise PydanticCustomError("decimal_type", "must be a decimal number such as 1.20")
    return value


def _not_negative_zero(value: Decimal) -> Decimal:
    if value.is_signed():
        raise PydanticCustomError("greater_than_equal", "must not be negative")
    return value


def _currency(value: str) -> str:
    from babel.core import get_global  # only the services need it, and it is not quick to load

    if value not in get_global("all_currencies"):
        raise PydanticCustomError("unknown_currency", "is not an ISO 4217 currency code such as EUR")
    return value


def _unique_tags(tags: list[str]) -> list[str]:
    return list({fold(tag): tag for tag in reversed(tags) if fold(tag)}.values())[::-1]


_Text = BeforeValidator(_clean)
Name = Annotated[str, Field(min_length=1, max_length=200), _Text, AfterValidator(_routable)]
Variant = Annotated[str, Field(max_length=200), _Text]
Sku = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$"), _Text]
Description = Annotated[str, Field(max_length=5000), BeforeValidator(_clean_multiline)]
Category = Annotated[str, Field(max_length=100), _Text]
Tag = Annotated[str, Field(min_length=1, max_length=50), _Text]
Tags = Annotated[list[Tag], Field(max_length=20), AfterValidator(_unique_tags)]
Price = Annotated[
    Decimal,
    Field(ge=0, lt=MAX_PRICE, decimal_places=4, allow_inf_nan=False, strict=False),
    BeforeValidator(_price),
    AfterValidator(_not_negative_zero),
]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$"), AfterValidator(_currency)]
Stock = Annotated[int, Field(ge=0, le=MAX_STOCK)]


class ProductDraft(BaseModel):
    """What somebody gives to make a product."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name
    variant: Variant = ""
    sku: Sku | None = None
    description: Description = ""
    category: Category = ""
    tags: Tags = []
    price: Price
    currency: Currency | None = None
    stock: Stock = 0
    active: bool = True


class ProductPatch(BaseModel):
    """What somebody gives to change a product (a JSON merge patch): fields not given stay as they are."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name = ""
    variant: Variant = ""
    sku: Sku | None = None
    description: Description = ""
    category: Category = ""
    tags: Tags = []
    price: Price = Decimal(0)
    currency: Currency = ""
    stock: Stock = 0
    active: bool = True

    def changes(self) -> dict[str, Any]:
        """The fields that were given, with their new values."""
        return {name: getattr(self, name) for name in self.model_fields_set}


FIELDS = tuple(ProductDraft.model_fields)
"""The fields that people set, in the order they are shown."""


@dataclass(frozen=True, slots=True)
class Product:
    """A product as it is stored; times in UTC with milliseconds."""

    id: UUID
    name: str
    variant: str
    sku: str | None
    description: str
    category: str
    tags: tuple[str, ...]
    price: Decimal
    currency: str
    stock: int
    active: bool
    created_at: datetime
    updated_at: datetime
    updated_by: str
    version: int
    write_id: UUID
    """Made by whoever made the last write, so that a repeated write can recognise itself."""
    shard: str = ""
    """The shard it was read from; not stored."""
    change: Change | None = field(default=None, compare=False, repr=False)
    """What made this version, to be stored with it; a product that was read does not bring its history."""
    move: Move | None = field(default=None, compare=False, repr=False)
    """The move that the document it was read from is a part of; not stored with a product."""

    @property
    def key(self) -> tuple[str, str]:
        """(name key, variant key): unique over all shards."""
        return name_key(self.name), fold(self.variant)

    @property
    def words(self) -> list[str]:
        """All terms it is found by, sorted; see ``prodcore.product.terms``."""
        return words_of(self.name, self.variant, category=self.category, tags=self.tags, active=self.active)

    @property
    def facets(self) -> list[str]:
        """The terms that the orders by price and stock are indexed with, sorted."""
        return facets_of(category=self.category, tags=self.tags, active=self.active)

    def content(self) -> dict[str, Any]:
        """The fields that people set."""
        return {name: list(self.tags) if name == "tags" else getattr(self, name) for name in FIELDS}

    def as_dict(self) -> dict[str, Any]:
        """The product as the REST API and ``-o json`` show it."""
        return show_fields({name: getattr(self, name) for name in SHOWN})


STORED = tuple(f.name for f in fields(Product) if f.name not in {"change", "move"})
"""All fields of a product but what made it and how it moves."""

SHOWN = ("id", *FIELDS, "shard", "version", "created_at", "updated_at", "updated_by")
"""The fields that the REST API shows, in this order."""


def show_change(change: Change) -> dict[str, Any]:
    """A change as the API shows it, JSON values only: what does not apply is left out."""
    shown: dict[str, Any] = {
        "version": change.version,
        "at": show_time(change.at),
        "by": change.by.username,
        "action": change.action,
        "was": show_fields(change.was),
    }
    more = {
        "from": change.source,
        "to": change.target,
        "request_id": change.by.request_id,
        "import": change.by.import_id,
    }
    return shown | {name: value for name, value in more.items() if value}


def show_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the shown fields that are there, as JSON values: prices as decimal strings."""
    shown = {name: values[name] for name in SHOWN if name in values}
    for name, show in _SHOW.items():
        if name in shown:
            shown[name] = show(shown[name])
    return shown


@lru_cache(maxsize=10_000)
def show_time(moment: datetime) -> str:
    """A time as the API shows it: ISO 8601, UTC, milliseconds. What was imported together has the same.

    >>> show_time(datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC))
    '2026-01-02T03:04:05.678Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


_SHOW: Mapping[str, Callable[[Any], Any]] = {
    "id": str,
    "tags": list,
    "price": "{:f}".format,
    "created_at": show_time,
    "updated_at": show_time,
}
"""How the fields are shown whose values JSON does not know."""


M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], data: Any) -> M:
    """Read input into a model. Raises InvalidInput that lists every problem with its field."""
    if not isinstance(data, Mapping):
        raise InvalidInput(problems=[Problem("", "object_type", "must be an object with named fields")])
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise InvalidInput(problems=problems_of(error)) from None


def problems_of(error: ValidationError) -> list[Problem]:
    """What a model found wrong, field by field, in our words."""
    return [_problem(e) for e in error.errors(include_url=False, include_context=False)]


def _problem(error: Any) -> Problem:
    path = ".".join(str(part) for part in error["loc"])
    message = {"extra_forbidden": "is not a known field", "missing": "is required"}.get(
        error["type"], error["msg"][:1].lower() + error["msg"][1:]
    )
    return Problem(path, error["type"], message, error.get("input"))
