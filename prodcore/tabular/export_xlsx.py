"""Products as an XLSX workbook, written row by row; needs the extra ``prodctl[xlsx]``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import IO, Any

from prodcore.errors import ConfigError, InvalidInput
from prodcore.tabular.export import EXPORTED, Row, cells_of

MAX_ROWS = 1_048_576
"""As many as a sheet holds, the headings included."""

_NUMBERS = {"stock", "version"}
_EXACT_DIGITS = 15
"""A spreadsheet keeps no more of a number: a price with more stands as text."""

_AS_ESCAPE = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")


class XlsxBook:
    """One sheet of products. Texts are typed as texts: a spreadsheet never takes one for a formula."""

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
