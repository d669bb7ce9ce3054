"""From the records of a file to products to store: pure, one row at a time."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self
from zlib import crc32

from prodcore.errors import UnroutableName
from prodcore.product.fields import BY_NAME, NAMES
from prodcore.routing import fold, name_key
from prodcore.tabular.cells import (
    READERS,
    CellRefused,
    Locale,
    NoValue,
    NumberForm,
    Typed,
    is_sign,
    read_price,
    read_tags,
    read_text,
)
from prodcore.tabular.columns import IGNORE, REQUIRED, Column
from prodcore.tabular.csv import CsvRecord
from prodcore.tabular.report import CellProblem, RefusedRow, in_time, refused


@dataclass(frozen=True, slots=True)
class Row:
    """A product as the file gives it: the fields of the REST API, and the cells they come from."""

    line: int
    fields: dict[str, Any]
    cells: dict[str, tuple[str, str]]
    """Field → (heading, text), to say where a problem is."""
    record: Sequence[str] = ()
    """All cells of the row, as they stand in the file."""

    def refusal(self, *problems: CellProblem, first: int | None = None) -> RefusedRow:
        """This row as a refused one; ``first`` is the earlier line that says otherwise."""
        return RefusedRow(self.line, problems, self.record, first)

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
    records: Iterable[CsvRecord | RefusedRow],
    columns: Sequence[Column],
    locale: Locale | None,
    required: Sequence[str] = REQUIRED,
    *,
    exported: bool = False,
    settle: Callable[[Column], Locale | None] = lambda _column: None,
) -> Iterator[Row | RefusedRow]:
    """Each record as a row, or why it is none. An empty cell, or one that is missing at the end, gives nothing: the
    field stays as it is stored. ``exported`` and ``settle`` are those of ``NumberForm``, by the column."""
    used = [
        (column, NumberForm(locale, exported, partial(settle, column))) for column in columns if column.target != IGNORE
    ]
    for record in in_time(records):
        if isinstance(record, RefusedRow):
            yield record
        elif any(cell.strip() for cell in record.cells[len(columns) :]):
            reason = f"has {len(record.cells)} cells, and the header only {len(columns)}"
            yield refused(record.line, "wrong_cell_count", reason, cells=record.cells)
        else:
            yield _read_row(record, used, required)


Corrections = Mapping[int, Mapping[int, str]]
"""What was typed over cells, by the line of their row and the place of their column, the first being 0."""


def corrected(records: Iterable[CsvRecord | RefusedRow], corrections: Corrections) -> Iterator[CsvRecord | RefusedRow]:
    """The records with what was typed over their cells; a row grows where a cell beyond its end was typed."""
    for record in records:
        typed = corrections.get(record.line)
        if typed and isinstance(record, CsvRecord):
            yield CsvRecord(record.line, _typed_over(record.cells, typed))
        else:
            yield record


def _typed_over(cells: Sequence[str], typed: Mapping[int, str]) -> list[str]:
    grown = [*cells, *[""] * (max(typed) + 1 - len(cells))]
    return [
        Typed(typed[i], str(cell)) if i in typed and as_typed(typed[i]) != as_typed(cell) else cell
        for i, cell in enumerate(grown)
    ]


def as_typed(text: str) -> str:
    r"""A text as a form brings it back: its ends of lines are all written one way.

    >>> as_typed("1 L\r\nbotella") == as_typed("1 L\nbotella")
    True
    """
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True, slots=True)
class Sample:
    """A cell of a column, and what would be stored of it, or why nothing would."""

    line: int
    text: str
    value: Any = None
    """As the REST API has it; None for a column that is left out."""
    currency: str = ""
    """Where the cell of a price names one."""
    problem: CellProblem | None = None


def sample_cells(
    records: Iterable[CsvRecord | RefusedRow],
    columns: Sequence[Column],
    form_of: Callable[[Column], NumberForm],
    most: int,
) -> list[list[Sample]]:
    """The first different cells of each column that are not empty, each read by itself."""
    found: list[dict[str, Sample]] = [{} for _column in columns]
    for record in in_time(records):
        if isinstance(record, RefusedRow):
            continue
        for column, samples in zip(columns, found, strict=True):
            text = record.cells[column.index] if column.index < len(record.cells) else ""
            if text.strip() and len(samples) < most and text not in samples:
                samples[text] = _sample(record.line, column, text, form_of(column))
    return [list(samples.values()) for samples in found]


def _sample(line: int, column: Column, text: str, form: NumberForm) -> Sample:
    fields: dict[str, Any] = {}
    try:
        if column.target != IGNORE:
            _read_cell(column.target, text, form, fields)
    except CellRefused as error:
        return Sample(line, text, problem=CellProblem(column.title, text, error.code, str(error)))
    value = fields.get("tags" if column.target == "tag" else column.target)
    return Sample(line, text, value, fields.get("currency", "") if column.target == "price" else "")


def _read_row(
    record: CsvRecord, columns: Sequence[tuple[Column, NumberForm]], required: Sequence[str]
) -> Row | RefusedRow:
    fields: dict[str, Any] = {}
    cells: dict[str, tuple[str, str]] = {}
    problems: list[CellProblem] = []
    for column, form in columns:
        text = record.cells[column.index] if column.index < len(record.cells) else ""
        field = "tags" if column.target == "tag" else column.target
        if not text.strip():
            cells.setdefault(field, (column.title, text))
            if field in required:
                problems.append(CellProblem(column.title, text, "missing", "is required"))
            continue
        cells[field] = column.title, text
        try:
            _read_cell(column.target, text, form, fields)
        except CellRefused as error:
            problems.append(CellProblem(column.title, text, error.code, str(error)))
    if is_sign(fields.get("currency", "EUR")):
        heading, text = cells.get("price", ("", ""))
        reason = f"{fields['currency']} may be several currencies: write a code such as EUR, or a column of currencies"
        problems.append(CellProblem(heading, text, "unclear_currency", reason))
    row = Row(record.line, fields, cells, record.cells)
    return row.refusal(*problems) if problems else row


def _read_cell(target: str, text: str, form: NumberForm, fields: dict[str, Any]) -> None:
    """Put what a cell means into the fields. Raises CellRefused."""
    if isinstance(text, NoValue) and not form.exported:
        raise CellRefused(text.code, text.reason)
    if target in ("tag", "tags"):
        fields.setdefault("tags", []).extend(read_tags(text) if target == "tags" else [read_text(text).strip()])
        return
    kind = BY_NAME[target].kind
    if kind == "price":
        fields[target], currency = read_price(text, form)
        _set_currency(fields, currency)
    elif kind == "currency":
        _set_currency(fields, READERS[kind](text, form))
    else:
        fields[target] = READERS[kind](text, form)


def _set_currency(fields: dict[str, Any], currency: str | None) -> None:
    """Note a currency; a sign that several have is the one that the rest of the row names."""
    known = fields.get("currency")
    if currency is None or (known and is_sign(currency)):
        return
    if known and known != currency and not is_sign(known):
        raise CellRefused("two_currencies", f"the row contains both {known} and {currency}")
    fields["currency"] = currency


Keep = Literal["refuse", "first", "last"]
"""Which of several rows for one product counts. With ``refuse`` it is the first, and others that differ are refused."""


def without_repeats(
    rows: Iterable[Row | RefusedRow], index: RowIndex, keep: Keep = "refuse"
) -> Iterator[Row | RefusedRow | RepeatedRow]:
    """Take out what the file says twice, so that importing it again changes nothing.

    A later row with the name and variant of an earlier one is a repetition where it says the same, or where ``keep``
    leaves it out; else it is refused. A later row with another's SKU is refused. For the ``last`` ones the index is to
    have been through the rows before: ``RowIndex.note_last``.
    """
    for row in in_time(rows):
        yield row if isinstance(row, RefusedRow) else _judge(row, index, keep)


def _judge(row: Row, index: RowIndex, keep: Keep) -> Row | RefusedRow | RepeatedRow:
    said = {name: _said(value) for name, value in row.fields.items()}
    try:
        key = _key_of(row)
    except UnroutableName:
        return row.refusal(row.problem("name", UnroutableName.code, "contains nothing to route by"))
    if key is None:
        return row
    if keep == "last" and (last := index.last(key)) and last != row.line:
        return _left_out(row, index, last)
    repeated = _said_before(row, said, index, key, keep)
    if repeated is None and key[0] == "name" and (sku := row.fields.get("sku")):
        repeated = _said_before(row, said, index, ("sku", sku), "refuse")
    return row if repeated is None else repeated


def _key_of(row: Row) -> tuple[str, ...] | None:
    """What tells rows of one product: name and variant, or the SKU where it has no name. Raises UnroutableName."""
    if "name" in row.fields:
        return "name", name_key(row.fields["name"]), fold(row.fields.get("variant", ""))
    sku = row.fields.get("sku")
    return ("sku", sku) if sku else None


_as_json = json.JSONEncoder(sort_keys=True).encode


def _said(value: Any) -> str:
    """What a field says, to be compared: a text however its accents are encoded."""
    return _as_json(unicodedata.normalize("NFC", value) if isinstance(value, str) else value)


def _left_out(row: Row, index: RowIndex, first: int) -> RepeatedRow:
    index.repeats(row.line, first)
    return RepeatedRow(row.line, first)


def _said_before(
    row: Row, said: Mapping[str, str], index: RowIndex, key: tuple[str, ...], keep: Keep
) -> RefusedRow | RepeatedRow | None:
    """What becomes of a row whose ``key`` an earlier line has; None for a new key."""
    first, others = index.first(key, said, row.line)
    if first == row.line:
        return None
    if not others or keep == "first":
        return _left_out(row, index, first)
    if key[0] == "sku":
        return row.refusal(row.problem("sku", "duplicate_in_file", f"line {first} has this SKU"), first=first)
    fields = [name for name in others if name not in ("name", "variant")]
    differing = f"with another {' and '.join(fields)}" if fields else "spelled otherwise"
    reason = f"line {first} has this name and variant, {differing}"
    return row.refusal(row.problem("name", "duplicate_in_file", reason), first=first)


class RowIndex:
    """The keys that a file has had so far, each with its line and what that line said.

    On disk, so that a long file costs no memory; the file is gone with the process.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;"
            "CREATE TABLE seen (key BLOB PRIMARY KEY, line INTEGER, says BLOB) WITHOUT ROWID;"
            "CREATE TABLE last (key BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID;"
            "CREATE TABLE same (line INTEGER PRIMARY KEY, first INTEGER);"
            "CREATE TABLE failed (line INTEGER PRIMARY KEY, outcome TEXT);"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._db.close()

    def first(self, key: tuple[str, ...], said: Mapping[str, str], line: int) -> tuple[int, list[str]]:
        """The line that had ``key`` first (this one, if it is new), and the fields of which that line says another."""
        digests = _digests(said)
        row = (_digest("\0".join(key)), line, digests)
        if self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", row).rowcount:
            return line, []
        first, before = self._db.execute("SELECT line, says FROM seen WHERE key = ?", row[:1]).fetchone()
        return first, [name for i, name in enumerate(NAMES) if _part(before, i) != _part(digests, i)]

    def note_last(self, rows: Iterable[Row | RefusedRow]) -> None:
        """Go through all rows, and remember for each product which is its last."""
        for row in rows:
            if isinstance(row, Row):
                with suppress(UnroutableName):
                    if key := _key_of(row):
                        noted = (_digest("\0".join(key)), row.line)
                        self._db.execute("INSERT OR REPLACE INTO last VALUES (?, ?)", noted)

    def last(self, key: tuple[str, ...]) -> int | None:
        """The last line that has ``key``; None where no line was noted."""
        found = self._db.execute("SELECT line FROM last WHERE key = ?", (_digest("\0".join(key)),)).fetchone()
        return found and int(found[0])

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


_PART = 4
"""Bytes for each field, its checksum: enough to see that it differs."""


def _digests(said: Mapping[str, str]) -> bytes:
    return b"".join(crc32(said[name].encode()).to_bytes(_PART) if name in said else bytes(_PART) for name in NAMES)


def _part(digests: bytes, i: int) -> bytes:
    return digests[i * _PART : (i + 1) * _PART]
