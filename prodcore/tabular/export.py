"""Products as cells and lines of a file that an import of it reads back as the same products.

A row is a product as the REST API shows it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prodcore.product.model import FIELDS, SHOWN
from prodcore.tabular.report import harmless

Row = Mapping[str, Any]

EXPORTED = (*FIELDS, *(name for name in SHOWN if name not in FIELDS))
"""The columns: what an import sets stands first, it passes over the rest."""

_THREE_PLACES = re.compile(r"[0-9]+\.[0-9]{3}")
_SEPARATORS = set(",;|\\")


def csv_head() -> bytes:
    """The headings."""
    return _csv([EXPORTED])


def as_csv(rows: Iterable[Row]) -> bytes:
    """Lines of CSV in UTF-8: every cell in quotes, none that a spreadsheet takes for a formula."""
    return _csv([harmless(cell) for cell in cells_of(row)] for row in rows)


def as_ndjson(rows: Iterable[Row]) -> bytes:
    """A JSON object a line."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def cells_of(row: Row) -> list[str]:
    """A product as texts, in the order of ``EXPORTED``."""
    return [_cell(name, row[name]) for name in EXPORTED]


def price_cell(price: str) -> str:
    """A price that is the same in every country: 1.234 could be a thousand, 1.2340 cannot.

    >>> price_cell("1.234"), price_cell("1.20")
    ('1.2340', '1.20')
    """
    return f"{price}0" if _THREE_PLACES.fullmatch(price) else price


def tags_cell(tags: Sequence[str]) -> str:
    r"""Several tags as one cell, with ``|`` between them; a last ``|`` says that a comma is part of a tag.

    >>> tags_cell(["bio", "sin gluten"]), tags_cell(["uno, dos"]), tags_cell(["a|b"])
    ('bio|sin gluten', 'uno, dos|', 'a\\|b|')
    """
    joined = "|".join(tag.replace("\\", "\\\\").replace("|", "\\|") for tag in tags)
    return f"{joined}|" if any(_SEPARATORS & set(tag) for tag in tags) else joined


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "tags":
        return tags_cell(value)
    return price_cell(value) if name == "price" else str(value)


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
