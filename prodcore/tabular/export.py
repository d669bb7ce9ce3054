"""Products as cells and lines of a file that an import of it reads back as the same products.

A row is a product as the REST API shows it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from prodcore.errors import ConfigError, InvalidInput
from prodcore.product.fields import NAMES, names_of_kind
from prodcore.product.model import SHOWN
from prodcore.tabular.report import escape_formula

Row = Mapping[str, Any]

EXPORTED = (*NAMES, *(name for name in SHOWN if name not in NAMES))
"""The columns: what an import sets stands first, it passes over the rest."""

_THREE_PLACES = re.compile(r"[0-9]+\.[0-9]{3}")
_CODES = names_of_kind("code")
_SEPARATORS = set(",;|\\")


def csv_head() -> bytes:
    """The headings."""
    return _csv([EXPORTED])


def as_csv(rows: Iterable[Row], *, raw: bool = False) -> bytes:
    """Lines of CSV in UTF-8: every cell in quotes, none that a spreadsheet takes for a formula; ``raw``: as it is."""
    if raw:
        return _csv(map(cells_of, rows))
    return _csv(
        [escape_formula(marked(name, cell)) for name, cell in zip(EXPORTED, cells_of(row), strict=True)] for row in rows
    )


def marked(name: str, cell: str) -> str:
    """A code that begins with an apostrophe has one more, for an import takes one off as a spreadsheet's mark."""
    return f"'{cell}" if name in _CODES and cell.startswith("'") else cell


def as_ndjson(rows: Iterable[Row]) -> bytes:
    """A JSON object a line."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def cells_of(row: Row) -> list[str]:
    """A product as texts, in the order of ``EXPORTED``."""
    return [cell_of(name, row[name]) for name in EXPORTED]


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


def cell_of(name: str, value: Any) -> str:
    """A field as a text that an import reads back."""
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


MAX_ROWS = 1_048_576
"""As many as a sheet holds, the headings included."""

_NUMBERS = {"stock", "version"}
_EXACT_DIGITS = 15
"""A spreadsheet keeps no more of a number: a price with more stands as text."""

_AS_ESCAPE = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")


class XlsxBook:
    """A workbook of one sheet, written row by row; needs the extra ``prodctl[xlsx]``.

    Texts are typed as texts: a spreadsheet never takes one for a formula."""

    def __init__(self) -> None:
        try:
            from openpyxl import Workbook
            from openpyxl.cell import WriteOnlyCell
        except ImportError:
            raise ConfigError(
                "writing XLSX needs openpyxl", hint="pip install 'prodctl[xlsx]', or --format csv"
            ) from None
        self._cell: Any = WriteOnlyCell
        self._book = Workbook(write_only=True)
        self._sheet: Any = self._book.create_sheet("products")
        self._sheet.freeze_panes = "A2"
        self._sheet.append(EXPORTED)
        self._rows = 1

    def add(self, rows: Iterable[Row]) -> None:
        """Append products. Raises InvalidInput when a sheet cannot hold them all."""
        for row in rows:
            self._rows += 1
            if self._rows > MAX_ROWS:
                raise InvalidInput(
                    f"a sheet holds {MAX_ROWS - 1:,} products, and there are more",
                    hint="Export as CSV or NDJSON, or narrow it with a filter",
                )
            self._sheet.append(
                [self._as_cell(name, text, row[name]) for name, text in zip(EXPORTED, cells_of(row), strict=True)]
            )

    def save(self, file: IO[bytes]) -> None:
        """Write the workbook."""
        self._book.save(file)

    def _as_cell(self, name: str, text: str, value: Any) -> Any:
        if name in _NUMBERS:
            return value
        if name == "price" and sum(map(str.isdigit, text)) <= _EXACT_DIGITS:
            cell = self._cell(self._sheet, value=float(text))
            cell.number_format = "0.00##"
            return cell
        cell = self._cell(self._sheet, value="")
        cell._value, cell.data_type = _AS_ESCAPE.sub("_x005F_", text).replace("\r", "_x000D_"), "s"
        return cell
