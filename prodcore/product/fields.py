"""The fields of a product that people set: one table, one row a field.

The model, stored documents, files, forms, labels, limits, the REST API, the options of the commands, the columns of
lists and bulk edits follow from it. What a kind of field is (a price, a text, a code …) is known to each of them; what
one field is, only to its row. Light to import: the help of the commands is written from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from prodcore.routing import fold

Kind = Literal["text", "paragraphs", "code", "tags", "price", "currency", "count", "flag"]
"""``code``: printable ASCII without spaces that identifies it; ``count``: a whole number; ``flag``: yes or no."""

SCHEMA_VERSION = 6
"""Raise it when stored products need a renewal: other terms or keys, or a new field that is not nullable."""

MAX_TAGS = 20
MAX_TAG_LENGTH = 50
MAX_STOCK = 2**31 - 1
MAX_PRICE = 10**12
MAX_PRICE_DECIMALS = 4


def N_(text: str) -> str:  # noqa: N802  the name that gettext gives it
    """A text of the pages, marked for translation here and translated where it is shown."""
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One row."""

    name: str
    kind: Kind
    label: str
    """What people call it; pages show the translation."""
    headings: tuple[str, ...]
    """What columns of files are called that give it, in English and Spanish; its name is one of them."""
    example: Any
    """A value, as the REST API shows it."""
    required: bool = False
    default: Any = ""
    """Of a new product that does not give it, and of a stored one that an earlier version wrote without it."""
    nullable: bool = False
    """A product may have none: then it is None, and not stored."""
    min_length: int = 0
    max_length: int | None = None
    check: Callable[[str], None] | None = None
    """Raises ``FieldRefused`` for a text that it cannot hold."""
    searched: bool = False
    """Products are found by its words."""
    filtered: bool = False
    """Lists can be filtered by its exact value; a sparse index serves that."""
    same: Callable[[str], tuple[str, ...]] = lambda text: (text,)
    """All spellings that a filter for a text finds."""
    in_bulk: bool = False
    """Can get one value in many products at once."""
    listed: bool = False
    """A column that lists of the browser can show."""
    narrow: bool = False
    """A column of the table that commands print; the others are in ``-o wide``."""
    short: str = ""
    """The heading of that column, where the label is too long."""
    help: str = ""
    """What the option of the commands says; empty where it needs no word."""


class FieldRefused(Exception):
    """A value that a field cannot hold; ``code`` is stable, the text says what is wrong."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


SENTENCES = {
    "unroutable_name": N_("Use at least one letter, digit or symbol."),
    "not_a_barcode": N_("Enter the 8, 12, 13 or 14 digits of an EAN, UPC or GTIN."),
    "wrong_check_digit": N_("The check digit does not match: one of the digits is wrong."),
}
"""What pages say of a value that a check refused, by its code."""


def _routable(name: str) -> None:
    if not fold(name):
        raise FieldRefused("unroutable_name", "contains no letter, digit or symbol to route by")


_BARCODE_LENGTHS = (8, 12, 13, 14)
"""EAN-8, UPC-A, EAN-13 and GTIN-14."""


def _barcode(text: str) -> None:
    if not text.isdigit() or len(text) not in _BARCODE_LENGTHS:
        raise FieldRefused("not_a_barcode", "must be the 8, 12, 13 or 14 digits of an EAN, UPC or GTIN")
    weighed = sum(int(digit) * (3, 1)[i % 2] for i, digit in enumerate(reversed(text[:-1])))
    if (expected := -weighed % 10) != int(text[-1]):
        raise FieldRefused("wrong_check_digit", f"ends with {text[-1]} but its check digit should be {expected}")


def _same_barcode(text: str) -> tuple[str, ...]:
    """A code is the same with zeros before it: the UPC-A 012345678905 is the EAN-13 0012345678905."""
    digits = text.lstrip("0")
    return tuple(dict.fromkeys([text, *(digits.zfill(n) for n in _BARCODE_LENGTHS if n >= len(digits))]))


FIELDS = (
    Field(
        name="name",
        kind="text",
        label=N_("Name"),
        headings=("name", "product", "product name", "nombre", "producto", "nombre del producto", "artículo"),
        example="Aceite de oliva",
        required=True,
        min_length=1,
        max_length=200,
        check=_routable,
        searched=True,
        narrow=True,
    ),
    Field(
        name="variant",
        kind="text",
        label=N_("Presentation"),
        headings=("variant", "presentation", "format", "size", "presentación", "variante", "formato", "tamaño"),
        example="Botella 1 L",
        max_length=200,
        searched=True,
        narrow=True,
        short="Variant",
    ),
    Field(
        name="sku",
        kind="code",
        label="SKU",
        headings=("sku", "code", "product code", "reference", "ref", "código", "referencia", "código de producto"),
        example="ACE-1",
        nullable=True,
        default=None,
        min_length=1,
        max_length=64,
        searched=True,
        filtered=True,
        listed=True,
        help="Your own article number; unique.",
    ),
    Field(
        name="barcode",
        kind="code",
        label=N_("Barcode"),
        headings=(
            *("barcode", "ean", "ean 13", "ean13", "ean 8", "ean8", "upc", "upc a", "gtin", "gtin 13", "gtin 14"),
            *("código de barras", "código ean", "cód barras", "código barras"),
        ),
        example="8410010123453",
        nullable=True,
        default=None,
        min_length=1,
        max_length=14,
        check=_barcode,
        searched=True,
        filtered=True,
        same=_same_barcode,
        listed=True,
        help="EAN-8, UPC-A, EAN-13 or GTIN-14; packs may share one.",
    ),
    Field(
        name="description",
        kind="paragraphs",
        label=N_("Description"),
        headings=("description", "details", "descripción", "detalle", "detalles"),
        example="",
        max_length=5000,
        in_bulk=True,
    ),
    Field(
        name="category",
        kind="text",
        label=N_("Category"),
        headings=("category", "department", "categoría", "familia", "sección"),
        example="Aceite y especias",
        max_length=100,
        in_bulk=True,
        listed=True,
    ),
    Field(
        name="tags",
        kind="tags",
        label=N_("Tags"),
        headings=("tags", "labels", "etiquetas"),
        example=["oliva"],
        default=(),
        listed=True,
        help="May be given several times.",
    ),
    Field(
        name="price",
        kind="price",
        label=N_("Price"),
        headings=("price", "unit price", "precio", "pvp", "precio unitario", "precio de venta"),
        example="8.95",
        required=True,
        in_bulk=True,
        listed=True,
        narrow=True,
        help="A decimal number such as 1.20.",
    ),
    Field(
        name="currency",
        kind="currency",
        label=N_("Currency"),
        headings=("currency", "moneda", "divisa"),
        example="EUR",
        default=None,  # the currency of the settings
        max_length=3,
        in_bulk=True,
        narrow=True,
        short="Cur",
        help="ISO 4217, such as EUR.",
    ),
    Field(
        name="stock",
        kind="count",
        label=N_("Stock"),
        headings=("stock", "quantity", "qty", "inventory", "existencias", "cantidad", "unidades", "inventario"),
        example=40,
        default=0,
        in_bulk=True,
        listed=True,
        narrow=True,
        help="How many there are.",
    ),
    Field(
        name="active",
        kind="flag",
        label=N_("State"),
        headings=("active", "enabled", "activo", "activa", "a la venta"),
        example=True,
        default=True,
        in_bulk=True,
        listed=True,
        short="Active",
        help="Whether it is for sale.",
    ),
)
"""In the order in which they are shown and exported."""

BY_NAME = {field.name: field for field in FIELDS}
NAMES = tuple(BY_NAME)
SEARCHED = tuple(field.name for field in FIELDS if field.searched)
FILTERED = tuple(field for field in FIELDS if field.filtered)
LISTED = tuple(field for field in FIELDS if field.listed)
IN_BULK = tuple(field for field in FIELDS if field.in_bulk)

STORED_DEFAULTS = {f.name: f.default for f in FIELDS if not f.required and (f.nullable or f.default is not None)}
"""What a stored product has in a field that its document lacks."""


def names_of_kind(*kinds: Kind) -> frozenset[str]:
    """The fields of some kinds."""
    return frozenset(field.name for field in FIELDS if field.kind in kinds)
