"""The product: what it is made of, which input is refused, field by field, and what its history tells.

Which fields there are, and the limits of each, is in ``prodcore.product.fields``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from prodcore.product.fields import (
    FIELDS,
    IN_BULK,
    MAX_PRICE,
    MAX_PRICE_DECIMALS,
    MAX_STOCK,
    MAX_TAG_LENGTH,
    MAX_TAGS,
    NAMES,
    SEARCHED,
    FieldRefused,
    Kind,
    names_of_kind,
)
from prodcore.product.fields import Field as FieldRow
from prodcore.product.move import Move
from prodcore.product.terms import facets_of, long_words_of, words_of
from prodcore.routing import fold, name_key

Action = Literal["created", "edited", "renamed", "moved", "deleted", "restored"]
"""``renamed`` within its shard, ``moved`` by a new name into another one."""

MAX_CHANGES = 500
"""How many changes a product remembers: the last ones."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a change, in answer to which request, and as a part of which import."""

    username: str
    request_id: str = ""
    import_id: str = ""
    item_id: str = ""
    """Of the item of a batch that changed a product: what was given with it, so that it is recognised when repeated."""


@dataclass(frozen=True, slots=True)
class Change:
    """How a version came to be; the time in UTC.

    It stands in the product's own document and is written by the very write that makes the version, so it holds exactly
    what happened, whoever is killed when.
    """

    version: int
    at: datetime
    by: Author
    action: Action
    was: Mapping[str, Any] = field(default_factory=dict)
    """The former values of the fields that it changed."""
    source: str = ""
    target: str = ""
    """The shards that a move led from and to."""


_MAX_EXPONENT = 20
_DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")

_KEPT_FORMATS = frozenset("\u200c\u200d\u200e\u200f\u061c\u180e") | frozenset(
    map(chr, (*range(0x0600, 0x0606), 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD))
)
"""Format characters that change what people see: joiners and their opposite, which emoji, Persian and Hindi need, the
marks of a direction, and signs that stand around Arabic and Kaithi numbers. The others, which hide or reorder what is
there, are dropped."""

_EDGES = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200e\u200f\u061c"
"""White space, and the marks of a direction, which have nothing to keep apart at the ends of a text."""

_FLAG, _FLAG_TAGS = "\U0001f3f4", frozenset(map(chr, range(0xE0020, 0xE0080)))
"""The flags of Scotland and others are a black flag and letters that nobody sees."""


def clean_text(text: Any, *, multiline: bool = False) -> Any:
    """Drop what nobody sees (format characters), refuse what breaks terminals and files (control characters)."""
    if not isinstance(text, str):
        return text
    if text.isprintable():  # nearly all: nothing to drop, nothing to refuse
        return text.strip()
    kept = []
    in_flag = False
    for char in text:
        category = unicodedata.category(char)
        in_flag = char == _FLAG or (in_flag and char in _FLAG_TAGS)
        if category == "Cf" and not (char in _KEPT_FORMATS or in_flag):
            continue
        if category[0] == "C" and category != "Cf" and not (multiline and char in "\n\t\r"):
            raise PydanticCustomError(
                "forbidden_character",
                "holds the character U+{code}, which names and texts must not contain",
                {"code": f"{ord(char):04X}"},
            )
        kept.append(char)
    cleaned = "".join(kept).strip(_EDGES)
    return "" if all(char in _KEPT_FORMATS or char.isspace() for char in cleaned) else cleaned


def _clean_paragraphs(text: Any) -> Any:
    return clean_text(text, multiline=True)


def _price(value: Any) -> Any:
    """Judge how a number is written before anything is made of it: a scale without end takes memory without end."""
    numeric = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not numeric and not (isinstance(value, str) and _DECIMAL.fullmatch(value)):
        raise PydanticCustomError("decimal_type", "must be a decimal number such as 1.20")
    if isinstance(value, str):
        decimals = len(value.partition(".")[2])
    else:
        exponent = value.as_tuple().exponent if isinstance(value, Decimal) else 0
        decimals = -exponent if isinstance(exponent, int) else 0
    if decimals > MAX_PRICE_DECIMALS:
        raise PydanticCustomError(
            "decimal_max_places", "must have no more than {most} decimals", {"most": MAX_PRICE_DECIMALS}
        )
    if decimals < -_MAX_EXPONENT:
        raise PydanticCustomError("less_than", "must be less than {most}", {"most": str(MAX_PRICE)})
    return value


def _not_negative_zero(value: Decimal) -> Decimal:
    if value.is_signed():
        raise PydanticCustomError("greater_than_equal", "must not be negative")
    return value


def _currency(value: str) -> str:
    from babel.core import get_global  # not quick to load

    if value not in get_global("all_currencies"):
        raise PydanticCustomError("unknown_currency", "is not an ISO 4217 currency code such as EUR")
    return value


def _unique_tags(tags: list[str]) -> list[str]:
    return list({fold(tag): tag for tag in reversed(tags) if fold(tag)}.values())[::-1]


def _checked(row: FieldRow) -> Any:
    """The row's own check, as a validator."""

    def check(value: str) -> str:
        if row.check:
            try:
                row.check(value)
            except FieldRefused as refused:
                raise PydanticCustomError(refused.code, "{reason}", {"reason": str(refused)}) from None
        return value

    return AfterValidator(check)


Price = Annotated[
    Decimal,
    Field(ge=0, lt=Decimal(MAX_PRICE), decimal_places=MAX_PRICE_DECIMALS, allow_inf_nan=False, strict=False),
    BeforeValidator(_price),
    AfterValidator(_not_negative_zero),
]
Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG_LENGTH), BeforeValidator(clean_text)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS), AfterValidator(_unique_tags)]


def type_of(row: FieldRow) -> Any:
    """What pydantic makes of a row's values."""
    limits: dict[str, Any] = {"min_length": row.min_length or None, "max_length": row.max_length}
    types: dict[Kind, Any] = {
        "text": Annotated[str, Field(**limits), BeforeValidator(clean_text), _checked(row)],
        "paragraphs": Annotated[str, Field(**limits), BeforeValidator(_clean_paragraphs), _checked(row)],
        "code": Annotated[str, Field(**limits, pattern=r"^[!-~]+$"), BeforeValidator(clean_text), _checked(row)],
        "tags": Tags,
        "price": Price,
        "currency": Annotated[str, Field(json_schema_extra={"pattern": "^[A-Z]{3}$"}), AfterValidator(_currency)],
        "count": Annotated[int, Field(ge=0, le=MAX_STOCK)],
        "flag": bool,
    }
    return types[row.kind]


_PLACEHOLDERS: dict[Kind, Any] = {"tags": [], "price": Decimal(0), "count": 0, "flag": True}
"""What stands in a patch for a field that is not given, where it is no empty text."""


def _draft_field(row: FieldRow) -> Any:
    kind = type_of(row)
    if row.required:
        return kind, ...
    return kind | None if row.default is None else kind, [] if row.kind == "tags" else row.default


def _patch_field(row: FieldRow) -> Any:
    kind = type_of(row)
    return (kind | None, None) if row.nullable else (kind, _PLACEHOLDERS.get(row.kind, ""))


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _input(shape: Callable[[FieldRow], Any], rows: Iterable[FieldRow]) -> Any:
    return create_model("_Fields", __base__=_Input, **{row.name: shape(row) for row in rows})


class ProductDraft(_input(_draft_field, FIELDS)):  # type: ignore[misc]  # made of the table
    """What somebody gives to make a product."""


class ProductPatch(_input(_patch_field, FIELDS)):  # type: ignore[misc]  # made of the table
    """What somebody gives to change a product (a JSON merge patch): fields not given stay as they are."""

    def changes(self) -> dict[str, Any]:
        """The fields that were given, with their new values."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class BulkPatch(_input(_patch_field, IN_BULK)):  # type: ignore[misc]  # made of the table
    """Fields that get the same value in every product; those not given stay as they are."""


@dataclass(frozen=True, slots=True)
class Product:
    """A product as it is stored; times in UTC with milliseconds.

    The fields that people set are those of ``prodcore.product.fields``, said once more for the type checker.
    """

    id: UUID
    name: str
    variant: str
    sku: str | None
    barcode: str | None
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
        return words_of(*self._searched(), category=self.category, tags=self.tags, active=self.active)

    @property
    def long_words(self) -> list[str]:
        """The words of which ``words`` has only the beginnings, sorted."""
        return long_words_of(*self._searched())

    def _searched(self) -> list[str]:
        return [text for name in SEARCHED if (text := getattr(self, name))]

    @property
    def facets(self) -> list[str]:
        """The terms that the orders by price and stock are indexed with, sorted."""
        return facets_of(category=self.category, tags=self.tags, active=self.active)

    def content(self) -> dict[str, Any]:
        """The fields that people set."""
        return {name: list(self.tags) if name == "tags" else getattr(self, name) for name in NAMES}

    def as_dict(self) -> dict[str, Any]:
        """The product as the REST API and ``-o json`` show it."""
        return show_fields({name: getattr(self, name) for name in SHOWN})


def at_version(product: Product, history: Iterable[Change], version: int) -> Product:
    """A product with the fields that it had in an earlier version; ``history`` has the last change first."""
    fields_then: dict[str, Any] = {}
    for change in history:
        if change.version > version:
            fields_then |= change.was
    return replace(product, **fields_then)


STORED = tuple(f.name for f in fields(Product) if f.name not in {"change", "move"})
"""All fields of a product but what made it and how it moves."""

SHOWN = ("id", *NAMES, "shard", "version", "created_at", "updated_at", "updated_by")
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
    **dict.fromkeys(names_of_kind("tags"), list),
    **dict.fromkeys(names_of_kind("price"), "{:f}".format),
    "created_at": show_time,
    "updated_at": show_time,
}
"""How the fields are shown whose values JSON does not know."""
