"""What the preview of an import shows: how each column is read, what would happen, and the rows to be corrected.

A refused row is shown with its cells to be typed over. What was typed travels with the form beside the file, which
stays as it is, so a cell can be corrected again, and nothing typed is lost when the file is read another way.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flask_babel import gettext

from prodcore.catalog import Catalog
from prodcore.catalog.upsert import ItemOutcome, new_item, upsert
from prodcore.errors import InvalidInput, ProductExists, SkuTaken
from prodcore.product.model import Author
from prodcore.tabular.cells import Typed, is_numeric
from prodcore.tabular.columns import IGNORE, Column
from prodcore.tabular.report import CellProblem, RefusedRow
from prodcore.tabular.rows import Sample
from webapp.pages.upload import Judged, Upload, cell_name

_BATCH = 1_000
MOST_ROWS = 5_000
"""Rows that are looked at: more would keep the visitor waiting."""
_SHOWN_CHANGES = 10
_SHOWN_REFUSED = 20
_BROKEN = frozenset({"bad_quotes", "unclosed_quote", "line_too_long", "bad_encoding"})
"""Of rows that could not be cut into cells: only the file itself can be corrected."""


@dataclass(slots=True)
class Forecast:
    """What would become of the first rows."""

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    changes: list[tuple[dict[str, Any], tuple[dict[str, Any], ...]]] = field(default_factory=list)
    """The first rows that would change a product: their fields, and what they change."""
    refused: list[RefusedRow] = field(default_factory=list)
    """The first rows that would be refused; their problems name fields."""


def forecast(catalog: Catalog, judged: Judged, by: Author) -> Forecast:
    """Ask what would become of the rows; nothing is stored."""
    seen = Forecast()
    rows = judged.good[:MOST_ROWS]
    for i in range(0, len(rows), _BATCH):
        batch = rows[i : i + _BATCH]
        items = [new_item(fields, by=judged.by) for _line, fields, _cells in batch]
        outcomes = upsert(catalog, items, by, found_by=judged.by, dry_run=True)
        for (line, fields, cells), outcome in zip(batch, outcomes, strict=True):
            seen.rows += 1
            seen.counts[outcome.status] += 1
            if outcome.differences and len(seen.changes) < _SHOWN_CHANGES:
                seen.changes.append((fields, outcome.differences))
            if outcome.error is not None and len(seen.refused) < _SHOWN_REFUSED:
                seen.refused.append(RefusedRow(line, problems_of(outcome), cells))
    return seen


_FIELD_OF = {SkuTaken.code: "sku", ProductExists.code: "name"}
"""The field to correct, by the code of an error that names none."""


def problems_of(outcome: ItemOutcome) -> tuple[CellProblem, ...]:
    """Why a row was not stored."""
    error = outcome.error
    if isinstance(error, InvalidInput) and error.problems:
        return tuple(CellProblem(p.field, "", p.code, p.message) for p in error.problems)
    return (CellProblem(_FIELD_OF.get(error.code, ""), "", error.code, error.message),) if error else ()


@dataclass(frozen=True, slots=True)
class OpenCell:
    """A cell that can be typed over. ``name`` is the form's field."""

    name: str
    heading: str
    text: str
    was: str | None = None
    """What the file says, where it was typed over."""
    other: str | None = None
    """What the earlier line of the same product says, where that is something else."""
    problem: CellProblem | None = None

    @property
    def id(self) -> str:
        """Of its field in the page: the field's name as far as the place of its column."""
        return self.name.partition(" ")[0]

    @property
    def is_long(self) -> bool:
        """Whether it needs more than a line."""
        return "\n" in self.text or len(self.text) > 100


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A row whose cells can be typed over: those to look at, and the others."""

    line: int
    problems: tuple[CellProblem, ...]
    """Those that belong to no cell."""
    cells: tuple[OpenCell, ...] = ()
    others: tuple[OpenCell, ...] = ()
    first: int | None = None
    """The earlier line of the same product."""

    @property
    def names(self) -> Iterator[str]:
        """The fields of the form."""
        yield from (cell.name for cell in (*self.cells, *self.others))


@dataclass(frozen=True, slots=True)
class Preview:
    """A file as it is read now, and what it would do. Without ``judged`` it cannot be read so: ``error`` says why."""

    upload: Upload
    columns: Sequence[Column]
    samples: Sequence[Sequence[Sample]]
    judged: Judged | None = None
    forecast: Forecast | None = None
    error: str = ""

    @property
    def refused(self) -> list[OpenRow]:
        """The first rows that are refused, or would be."""
        rows = [*self._refused_rows()[:_SHOWN_REFUSED]]
        lines = self._lines({row.first for row in rows if row.first is not None})
        return [self._open(row, lines.get(row.first or 0, ())) for row in rows]

    @property
    def refused_count(self) -> int:
        """How many are, of those that were looked at."""
        return len(self.judged.refused) + self.forecast.counts["refused"] if self.judged and self.forecast else 0

    @property
    def corrected(self) -> list[OpenRow]:
        """The good rows in which cells were typed over, with those cells."""
        still_refused = {row.line for row in self._refused_rows()[:_SHOWN_REFUSED]}
        good = self.judged.good if self.judged else []
        rows = [RefusedRow(line, (), cells) for line, _, cells in good if line not in still_refused and _typed(cells)]
        return [OpenRow(row.line, (), tuple(c for c in self._cells(row, ()) if c.was is not None)) for row in rows]

    @property
    def kept(self) -> dict[str, str]:
        """What was typed and is not shown as the file is read now: it travels unseen."""
        shown = {name for row in (*self.refused, *self.corrected) for name in row.names}
        typed = dict(self.upload.typed)
        if self.judged:
            of_columns, changed = self.upload.names_of(self.columns), self._changed
            typed = {name: typed[name] for name in typed if name not in of_columns or name in changed}
        return {name: text for name, text in typed.items() if name not in shown}

    @property
    def meaning(self) -> str:
        """How the file is read: what was not seen so before is shown before it is stored."""
        upload = self.upload
        said = [upload.numbers or "", upload.delimiter, upload.by, *(column.target for column in self.columns)]
        typed = [f"{name}={upload.typed.get(name)}" for name in sorted(self._changed)]
        return hashlib.blake2b("\0".join([*said, *typed]).encode(), digest_size=16).hexdigest()

    @property
    def ranges(self) -> dict[str, tuple[Decimal, Decimal]]:
        """The least and the greatest number that would be stored, by field."""
        found: dict[str, tuple[Decimal, Decimal]] = {}
        for name in {column.target for column in self.columns if is_numeric(column.target)}:
            numbers = [Decimal(f[name]) for _, f, _cells in (self.judged.good if self.judged else ()) if name in f]
            if numbers:
                found[name] = min(numbers), max(numbers)
        return found

    def _refused_rows(self) -> list[RefusedRow]:
        rows = [*self.judged.refused] if self.judged else []
        return sorted(rows + (self.forecast.refused if self.forecast else []), key=lambda row: row.line)

    @property
    def _changed(self) -> set[str]:
        """The names of the cells that say something else than the file."""
        if self.judged is None:
            return set()
        rows = [(line, cells) for line, _, cells in self.judged.good]
        rows += [(row.line, row.cells) for row in self.judged.refused]
        return {
            cell_name(line, i, self._heading(i))
            for line, cells in rows
            for i, cell in enumerate(cells)
            if isinstance(cell, Typed)
        }

    def _lines(self, wanted: set[int]) -> Mapping[int, Sequence[str]]:
        """The cells of these lines."""
        good = self.judged.good if self.judged and wanted else []
        found = {line: cells for line, _, cells in good if line in wanted}
        return found | {row.line: row.cells for row in self._refused_rows() if row.line in wanted}

    def _open(self, row: RefusedRow, other: Sequence[str]) -> OpenRow:
        if row.problems[0].code in _BROKEN:
            return OpenRow(row.line, row.problems)
        if self._is_json:
            return OpenRow(row.line, row.problems, tuple(self._cells(row, ())), first=row.first)
        cells = self._cells(row, other)
        placed = {cell.problem for cell in cells}
        whole = tuple(problem for problem in row.problems if problem not in placed)
        wrong = tuple(c for c in cells if c.problem or c.other is not None or c.was is not None)
        if whole and not wrong:
            return OpenRow(row.line, whole, tuple(cells), first=row.first)
        return OpenRow(row.line, whole, wrong, tuple(c for c in cells if c not in wrong), row.first)

    def _cells(self, row: RefusedRow, other: Sequence[str]) -> list[OpenCell]:
        """The cells that count: of columns that give something, and those for which there is no column."""
        by_place = {self._place(problem, row.cells): problem for problem in reversed(row.problems)}
        width = 1 if self._is_json else max(len(self.columns), len(row.cells))
        cells = []
        for i in range(width):
            if not self._is_json and i < len(self.columns) and self.columns[i].target == IGNORE:
                continue
            text, before = (cells_of[i] if i < len(cells_of) else "" for cells_of in (row.cells, other))
            cells.append(
                OpenCell(
                    cell_name(row.line, i, self._heading(i)),
                    self._label(i),
                    str(text),
                    text.was if isinstance(text, Typed) else None,
                    str(before) if other and before != text else None,
                    None if self._is_json else by_place.get(i),
                )
            )
        return cells

    @property
    def _is_json(self) -> bool:
        return self.judged is not None and self.judged.keys is not None

    def _heading(self, i: int) -> str:
        return "" if self._is_json or i >= len(self.columns) else self.columns[i].title

    def _label(self, i: int) -> str:
        if self._is_json:
            return str(gettext("The whole line"))
        return self._heading(i) or str(gettext("Column %(n)s", n=i + 1))

    def _place(self, problem: CellProblem, cells: Sequence[str]) -> int | None:
        """The column that a problem is about: by its heading, else by the field that it gives."""
        used = [column for column in self.columns if column.target != IGNORE]
        titled = [c.index for c in used if c.title == problem.column]
        giving = [c.index for c in used if problem.column.partition(".")[0] in (c.target, c.target + "s")]
        saying = [i for i in titled if i < len(cells) and cells[i] == problem.value]
        return next(iter(saying or titled or giving), None)


def _typed(cells: Sequence[str]) -> bool:
    return any(isinstance(cell, Typed) for cell in cells)
