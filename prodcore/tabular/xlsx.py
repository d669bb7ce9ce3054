"""The first sheet of an XLSX workbook as records, row by row; one made to burst memory is refused unread."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

from prodcore.errors import ConfigError, UnreadableInput
from prodcore.tabular.cells import FormulaError, PlainNumber
from prodcore.tabular.csv import MAX_LINE, Record
from prodcore.tabular.report import RefusedRow, refused

MAX_ROWS = 1_048_576
"""As many as a spreadsheet can hold."""
MAX_COLUMNS = 256
MAX_UNPACKED_BYTES = 1 << 30
MAX_TEXTS_BYTES = 16 << 20
"""Of the workbook's table of texts, which is held in memory."""
MAX_RATIO = 100
"""Honest sheets pack ten to thirty times smaller."""
_RATIO_FROM_BYTES = 10 << 20
_ESCAPED = re.compile(r"_x(000[9ADad]|005[Ff])_")
"""How a workbook writes TAB, LF, CR where XML would not keep them, and the sign that begins such an escape."""
_SIGNIFICANT_DIGITS = 15
"""As many as a spreadsheet keeps of a number and shows."""


class XlsxSheet:
    """The first visible sheet. Raises UnreadableInput for a file that is damaged, dangerous or has no header.

    ``file`` is closed with the last row where it is ``own``: a copy that nobody else has.
    """

    def __init__(self, file: BinaryIO, *, own: bool = False) -> None:
        self._file = file
        self._own = own
        self._rows = self._read_rows()
        header = next((record for record in self._rows if isinstance(record, RefusedRow) or any(record.cells)), None)
        if header is None:
            raise UnreadableInput("the first sheet is empty: there is not even a header")
        if isinstance(header, RefusedRow):
            raise UnreadableInput(f"the header cannot be read: {header.problems[0].reason}")
        self.header = header

    def records(self) -> Iterator[Record | RefusedRow]:
        """The rows after the header; blank ones are left out, short ones are filled with empty cells."""
        width = len(self.header.cells)
        for row in self._rows:
            if isinstance(row, RefusedRow):
                yield row
            elif any(cell.strip() for cell in row.cells):
                yield Record(row.line, [*row.cells, *[""] * (width - len(row.cells))])

    def _read_rows(self) -> Iterator[Record | RefusedRow]:
        load_workbook, formula_errors, damages = _openpyxl()
        try:
            refuse_bombs(self._file)
            with warnings.catch_warnings(action="ignore"):  # of styles and extensions that do not concern products
                book = load_workbook(self._file, read_only=True, data_only=True, keep_links=False)
            sheet = next((s for s in book.worksheets if s.sheet_state == "visible"), None)
            if sheet is None:
                raise UnreadableInput("the workbook has no visible sheet")
            sheet.reset_dimensions()  # what it says of its size need not be true
            for line, values in enumerate(sheet.iter_rows(max_row=MAX_ROWS, values_only=True), start=1):
                yield _record(line, values, formula_errors)
        except damages as error:
            raise UnreadableInput(f"the XLSX file is damaged ({type(error).__name__})") from None
        finally:
            if self._own:
                self._file.close()


def refuse_bombs(file: BinaryIO) -> None:
    """Raises UnreadableInput for a workbook that would unfold to more than a sheet of products can need."""
    file.seek(0)
    with ZipFile(file) as archive:  # which never unfolds a part beyond the size that its directory says
        parts = archive.infolist()
    whole = sum(part.file_size for part in parts)
    texts = sum(part.file_size for part in parts if part.filename.endswith("sharedStrings.xml"))
    if whole > MAX_UNPACKED_BYTES or any(
        part.file_size > max(_RATIO_FROM_BYTES, MAX_RATIO * part.compress_size) for part in parts
    ):
        raise UnreadableInput("the XLSX file would unfold to far more than a sheet of products: it is not read")
    if texts > MAX_TEXTS_BYTES:
        raise UnreadableInput(
            f"the workbook holds {texts >> 20} MiB of different texts, more than is held in memory",
            hint="save the sheet as CSV UTF-8: that may have any size",
        )


def _openpyxl() -> tuple[Any, frozenset[str], tuple[type[Exception], ...]]:
    """What is needed of it: its opener, the errors of formulas, the exceptions that a damaged file raises."""
    import zlib
    from xml.etree.ElementTree import ParseError

    try:
        from defusedxml.common import DefusedXmlException
        from openpyxl import load_workbook
        from openpyxl.cell.cell import ERROR_CODES
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise ConfigError("reading XLSX needs openpyxl", hint="pip install 'prodctl[xlsx]', or save as CSV") from None
    unpacking = (BadZipFile, InvalidFileException, ParseError, DefusedXmlException, zlib.error)
    careless = (KeyError, ValueError, TypeError, IndexError, AttributeError)  # openpyxl's, where parts are missing
    return load_workbook, frozenset(ERROR_CODES), (*unpacking, *careless)


def _record(line: int, values: tuple[Any, ...], formula_errors: frozenset[str]) -> Record | RefusedRow:
    cells = [_text(value, formula_errors) for value in values]
    while cells and not cells[-1]:
        cells.pop()
    if len(cells) > MAX_COLUMNS:
        return refused(line, "too_many_cells", f"has more than {MAX_COLUMNS} cells")
    if sum(map(len, cells)) > MAX_LINE:
        return refused(line, "line_too_long", f"holds more than {MAX_LINE} characters")
    return Record(line, cells)


def _text(value: Any, formula_errors: frozenset[str]) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return PlainNumber(value if isinstance(value, int) else format_number(value))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), str(value))
    return FormulaError(text) if text in formula_errors else text


def format_number(value: float) -> str:
    """A number as a spreadsheet shows it in full.

    >>> format_number(0.1 + 0.2), format_number(8480000100128.0), format_number(1e-7)
    ('0.3', '8480000100128', '0.0000001')
    """
    from decimal import Decimal

    return format(Decimal(f"{value:.{_SIGNIFICANT_DIGITS}g}"), "f")
