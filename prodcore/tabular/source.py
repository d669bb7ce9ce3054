"""What a file to import is, by its first bytes, and its rows: CSV, XLSX, or JSON objects one a line."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, cast

from prodcore.errors import InvalidInput, UnreadableInput
from prodcore.tabular.cells import Locale
from prodcore.tabular.columns import REQUIRED, count_known, map_columns, unknown_titles
from prodcore.tabular.csv import CsvText
from prodcore.tabular.ndjson import JsonLines
from prodcore.tabular.report import RefusedRow
from prodcore.tabular.rows import Row, read_rows
from prodcore.tabular.xlsx import XlsxSheet

By = Literal["name", "sku"]
"""How a row finds its product: by name and variant, or by SKU."""

Kind = Literal["CSV", "XLSX", "NDJSON"]

_BOM = b"\xef\xbb\xbf"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_PIPED_XLSX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read; what is empty is found."""

    by: By = "name"
    locale: Locale | None = None
    delimiter: str = ""
    encoding: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)

    @property
    def required(self) -> Sequence[str]:
        """The targets that every row must give."""
        return ("sku",) if self.by == "sku" else REQUIRED


@dataclass(frozen=True, slots=True)
class Source:
    """An opened file: what it is, the headings of its columns, those that nobody knows, and its rows."""

    kind: Kind
    rows: Iterator[Row | RefusedRow]
    header: Sequence[str] = ()
    unknown: Sequence[str] = ()
    csv: CsvText | None = None


def open_source(file: io.BufferedReader[Any], how: Reading) -> Source:
    """Look at the beginning of a file and get ready to read it once.

    Raises UnreadableInput for what is no file of products, InvalidInput for options that do not fit it.
    """
    kind = kind_of(file.peek(512)[:512])
    if kind == "XLSX":
        return _from_xlsx(file, how)
    if kind == "NDJSON":
        _refuse_options("NDJSON", delimiter=how.delimiter, encoding=how.encoding, locale=how.locale)
        return Source("NDJSON", JsonLines(file).rows(how.mapping, how.required))
    text = CsvText(file, count_known, how.delimiter, how.encoding)
    return _from_table("CSV", text, how, text)


def kind_of(start: bytes) -> Kind:
    """What begins like this. Raises UnreadableInput for what is no file of products."""
    start = start.removeprefix(_BOM).lstrip()
    if start.startswith(b"PK"):
        return "XLSX"
    if start.startswith(_OLD_EXCEL):
        raise UnreadableInput("this is an old or a locked Excel file", hint="save it as .xlsx or as CSV UTF-8")
    if start.startswith(b"[") and start[1:].lstrip()[:1] in (b"{", b"]"):
        raise UnreadableInput("this is one JSON list", hint="write an object a line, as jq -c '.[]' does")
    return "NDJSON" if start.startswith(b"{") else "CSV"


def _from_xlsx(file: io.BufferedReader[Any], how: Reading) -> Source:
    _refuse_options("XLSX", delimiter=how.delimiter, encoding=how.encoding)
    sheet = XlsxSheet(cast("BinaryIO", file)) if file.seekable() else XlsxSheet(_copied(file), own=True)
    return _from_table("XLSX", sheet, how)


def _from_table(kind: Kind, table: CsvText | XlsxSheet, how: Reading, csv: CsvText | None = None) -> Source:
    titles = table.header.cells
    mapped = map_columns(titles, how.mapping, how.required)
    rows = read_rows(table.records(), mapped, how.locale, how.required)
    return Source(kind, rows, titles, unknown_titles(mapped, how.mapping), csv)


def _copied(pipe: io.BufferedReader[Any]) -> BinaryIO:
    """A workbook can only be read from a place where one can go back: a file without a name."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as its rows are read
    while data := pipe.read(1 << 20):
        if copy.tell() + len(data) > _PIPED_XLSX_BYTES:
            raise UnreadableInput("the workbook is too large for a pipe", hint="give its name instead")
        copy.write(data)
    return cast("BinaryIO", copy)


def _refuse_options(kind: str, **given: str | None) -> None:
    if wrong := [name for name, value in given.items() if value]:
        raise InvalidInput(f"this is {kind}, for which --{wrong[0]} means nothing", hint=f"leave --{wrong[0]} out")
