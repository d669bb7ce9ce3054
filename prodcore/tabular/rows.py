"""From the records of a file to products to store: pure, one row at a time."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from prodcore.errors import UnroutableName
from prodcore.routing import fold, name_key
from prodcore.tabular.cells import READERS, CellRefused, FormulaError, Locale, read_price, read_tags
from prodcore.tabular.columns import IGNORE, REQUIRED, Column
from prodcore.tabular.csv import Record
from prodcore.tabular.report import CellProblem, RefusedRow, refused


@dataclass(frozen=True, slots=True)
class Row:
    """A product as the file gives it: the fields of the REST API, and the cells they come from."""

    line: int
    fields: dict[str, Any]
    cells: dict[str, tuple[str, str]]
    """Field → (heading, text), to say where a problem is."""
    record: Sequence[str] = ()
    """All cells of the row, as they stand in the file."""

    def refusal(self, *problems: CellProblem) -> RefusedRow:
        """This row as a refused one."""
        return RefusedRow(self.line, problems, self.record)

    def problem(self, field: str, code: str, reason: str) -> CellProblem:
        """A problem with a field, said of the column that gives it; ``field`` may be a path such as ``tags.0``."""
        heading, text = self.cells.get(field.partition(".")[0], (field, ""))
        return CellProblem(heading, text, code, reason)


@dataclass(frozen=True, slots=True)
class RepeatedRow:
    """A row that says once more what an earlier line says."""

    line: int
    first: int


def read_rows(
    records: Iterable[Record | RefusedRow],
    columns: Sequence[Column],
    locale: Locale | None,
    required: Sequence[str] = REQUIRED,
) -> Iterator[Row | RefusedRow]:
    """Each record as a row, or why it is none. An empty cell gives nothing: the field stays as it is stored."""
    used = [column for column in columns if column.target != IGNORE]
    for record in records:
        if isinstance(record, RefusedRow):
            yield record
        elif len(record.cells) < len(columns) or any(cell.strip() for cell in record.cells[len(columns) :]):
            reason = f"has {len(record.cells)} cells, and the header {len(columns)}"
            yield refused(record.line, "wrong_cell_count", reason, cells=record.cells)
        else:
            yield _read_row(record, used, locale, required)


def _read_row(
    record: Record, columns: Sequence[Column], locale: Locale | None, required: Sequence[str]
) -> Row | RefusedRow:
    fields: dict[str, Any] = {}
    cells: dict[str, tuple[str, str]] = {}
    problems: list[CellProblem] = []
    for column in columns:
        text = record.cells[column.index]
        field = "tags" if column.target == "tag" else column.target
        if not text.strip():
            cells.setdefault(field, (column.title, text))
            if field in required:
                problems.append(CellProblem(column.title, text, "missing", "is required"))
            continue
        cells[field] = column.title, text
        try:
            _read_cell(column.target, text, locale, fields)
        except CellRefused as error:
            problems.append(CellProblem(column.title, text, error.code, str(error)))
    row = Row(record.line, fields, cells, record.cells)
    return row.refusal(*problems) if problems else row


def _read_cell(target: str, text: str, locale: Locale | None, fields: dict[str, Any]) -> None:
    """Put what a cell means into the fields. Raises CellRefused."""
    if isinstance(text, FormulaError):
        raise CellRefused("formula_error", "is the error of a formula")
    if target == "price":
        fields["price"], currency = read_price(text, locale)
        _set_currency(fields, currency)
    elif target == "currency":
        _set_currency(fields, READERS["currency"](text, locale))
    elif target in ("tag", "tags"):
        fields.setdefault("tags", []).extend(read_tags(text) if target == "tags" else [text.strip()])
    elif target in READERS:
        fields[target] = READERS[target](text, locale)
    else:
        fields[target] = str(text)


def _set_currency(fields: dict[str, Any], currency: str | None) -> None:
    if currency is not None and fields.setdefault("currency", currency) != currency:
        raise CellRefused("two_currencies", f"the row says both {fields['currency']} and {currency}")


def without_repeats(rows: Iterable[Row | RefusedRow], index: RowIndex) -> Iterator[Row | RefusedRow | RepeatedRow]:
    """Take out what the file says twice, so that importing it again changes nothing.

    A later row with the name and variant of an earlier one is a repetition where it says the same, else refused; a
    later row with another's SKU is refused.
    """
    for row in rows:
        yield row if isinstance(row, RefusedRow) else _judge(row, index)


def _judge(row: Row, index: RowIndex) -> Row | RefusedRow | RepeatedRow:
    says = json.dumps(row.fields, sort_keys=True)
    if "name" in row.fields:
        try:
            key = name_key(row.fields["name"]), fold(row.fields.get("variant", ""))
        except UnroutableName:
            return row.refusal(row.problem("name", UnroutableName.code, "holds nothing to route by"))
        said = _said_before(row, says, index, ("name", *key), "this name and variant, with other values")
        if said is not None:
            return said
    if sku := row.fields.get("sku"):
        return _said_before(row, says, index, ("sku", sku), "this SKU") or row
    return row


def _said_before(
    row: Row, says: str, index: RowIndex, key: tuple[str, ...], what: str
) -> RefusedRow | RepeatedRow | None:
    """What becomes of a row whose ``key`` an earlier line has; None for a new key."""
    first, same = index.first(key, says, row.line)
    if first == row.line:
        return None
    if same:
        index.repeats(row.line, first)
        return RepeatedRow(row.line, first)
    return row.refusal(row.problem(key[0], "duplicate_in_file", f"line {first} has {what}"))


class RowIndex:
    """The keys that a file has had so far, each with its line and what that line said.

    On disk, so that a long file costs no memory; the file is gone with the process.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;"
            "CREATE TABLE seen (key BLOB PRIMARY KEY, line INTEGER, says BLOB) WITHOUT ROWID;"
            "CREATE TABLE same (line INTEGER PRIMARY KEY, first INTEGER);"
            "CREATE TABLE failed (line INTEGER PRIMARY KEY, outcome TEXT);"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._db.close()

    def first(self, key: tuple[str, ...], says: str, line: int) -> tuple[int, bool]:
        """The line that had ``key`` first (this one, if it is new) and whether that line says the same."""
        said = _digest(says)
        row = (_digest("\0".join(key)), line, said)
        if self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", row).rowcount:
            return line, True
        first, before = self._db.execute("SELECT line, says FROM seen WHERE key = ?", row[:1]).fetchone()
        return first, before == said

    def repeats(self, line: int, first: int) -> None:
        """Note that a line only says again what ``first`` says: it shares its outcome."""
        self._db.execute("INSERT INTO same VALUES (?, ?)", (line, first))

    def failed(self, line: int, outcome: str) -> None:
        """Note that a line was not stored."""
        self._db.execute("INSERT OR REPLACE INTO failed VALUES (?, ?)", (line, outcome))

    def outcomes(self) -> Iterator[tuple[int, int, str | None]]:
        """Each repeated line with its first line and that one's outcome, None where it is stored."""
        query = "SELECT same.line, first, outcome FROM same LEFT JOIN failed ON failed.line = first"
        yield from self._db.execute(query)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
