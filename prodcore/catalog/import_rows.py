"""From the records of a file to products to store: pure, one row at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prodcore.catalog.import_cells import READERS, CellRefused, Locale, read_price, read_tags
from prodcore.catalog.import_columns import IGNORE, REQUIRED, Column
from prodcore.catalog.import_report import CellProblem, RefusedRow, refused
from prodcore.catalog.import_seen import Seen
from prodcore.catalog.import_text import Record
from prodcore.errors import UnroutableName
from prodcore.routing import fold, name_key


@dataclass(frozen=True, slots=True)
class Row:
    """A product as the file gives it: the fields of the REST API, and the cells they come from."""

    line: int
    fields: dict[str, Any]
    cells: dict[str, tuple[str, str]]
    """Field → (heading, text), to say where a problem is."""

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
    records: Iterable[Record | RefusedRow], columns: Sequence[Column], locale: Locale
) -> Iterator[Row | RefusedRow]:
    """Each record as a row, or why it is none. An empty cell gives nothing: the field stays as it is stored."""
    used = [column for column in columns if column.target != IGNORE]
    for record in records:
        if isinstance(record, RefusedRow):
            yield record
        elif len(record.cells) < len(columns) or any(cell.strip() for cell in record.cells[len(columns) :]):
            reason = f"has {len(record.cells)} cells, and the header {len(columns)}"
            yield refused(record.line, "wrong_cell_count", reason)
        else:
            yield _read_row(record, used, locale)


def _read_row(record: Record, columns: Sequence[Column], locale: Locale) -> Row | RefusedRow:
    fields: dict[str, Any] = {}
    cells: dict[str, tuple[str, str]] = {}
    problems: list[CellProblem] = []
    for column in columns:
        text = record.cells[column.index]
        if not text.strip():
            if column.target in REQUIRED:
                problems.append(CellProblem(column.title, text, "missing", "is required"))
            continue
        cells["tags" if column.target == "tag" else column.target] = column.title, text
        try:
            _read_cell(column.target, text, locale, fields)
        except CellRefused as error:
            problems.append(CellProblem(column.title, text, error.code, str(error)))
    return RefusedRow(record.line, tuple(problems)) if problems else Row(record.line, fields, cells)


def _read_cell(target: str, text: str, locale: Locale, fields: dict[str, Any]) -> None:
    """Put what a cell means into the fields. Raises CellRefused."""
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
        fields[target] = text


def _set_currency(fields: dict[str, Any], currency: str | None) -> None:
    if currency is not None and fields.setdefault("currency", currency) != currency:
        raise CellRefused("two_currencies", f"the row says both {fields['currency']} and {currency}")


def without_repeats(rows: Iterable[Row | RefusedRow], seen: Seen) -> Iterator[Row | RefusedRow | RepeatedRow]:
    """Take out what the file says twice, so that importing it again changes nothing.

    A later row with the name and variant of an earlier one is a repetition where it says the same, else refused; a
    later row with another's SKU is refused.
    """
    for row in rows:
        yield row if isinstance(row, RefusedRow) else _judge(row, seen)


def _judge(row: Row, seen: Seen) -> Row | RefusedRow | RepeatedRow:
    try:
        key = name_key(row.fields["name"]), fold(row.fields.get("variant", ""))
    except UnroutableName:
        return RefusedRow(row.line, (row.problem("name", UnroutableName.code, "holds nothing to route by"),))
    says = json.dumps(row.fields, sort_keys=True)
    first, same = seen.first(("name", *key), says, row.line)
    if first != row.line:
        if same:
            seen.repeats(row.line, first)
            return RepeatedRow(row.line, first)
        reason = f"line {first} has this name and variant, with other values"
        return RefusedRow(row.line, (row.problem("name", "duplicate_in_file", reason),))
    if sku := row.fields.get("sku"):
        first, _same = seen.first(("sku", sku), says, row.line)
        if first != row.line:
            reason = f"line {first} has this SKU"
            return RefusedRow(row.line, (row.problem("sku", "duplicate_in_file", reason),))
    return row
