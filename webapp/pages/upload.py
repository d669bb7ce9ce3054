"""A file between the steps of an import: it travels with the forms, so that no worker has to remember anything.

Before anything is stored the file itself travels, afterwards the rows that are still to be stored.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, cast

from werkzeug.exceptions import RequestEntityTooLarge

from prodcore.catalog.upsert import By, new_item
from prodcore.deadline import budget
from prodcore.errors import InvalidInput
from prodcore.product.fields import NAMES
from prodcore.tabular.cells import Locale
from prodcore.tabular.columns import IGNORE, Column, count_known, numbered, target_of
from prodcore.tabular.csv import DELIMITERS, CsvText
from prodcore.tabular.ndjson import as_cells
from prodcore.tabular.report import CellProblem, RefusedRow
from prodcore.tabular.rows import Corrections, RepeatedRow, Row, RowIndex, Sample, without_repeats
from prodcore.tabular.sheets import Sheet
from prodcore.tabular.source import Kind, Reading, SavedReading, kind_of, open_source, sample
from webapp.pages.forms import pack, unpack

MAX_FILE_BYTES = 3_000_000
MAX_PACKED_BYTES = 1_000_000
"""Of what travels with a form."""
_READ_SECONDS = 5.0
"""A request's thread is not kept for longer by the reading of one file."""
_LOOKED_AT = 200
"""Lines of NDJSON that are looked at for the names of its fields."""

_SAMPLES = 3
_MOST_CELLS = 1_000
"""Of a row, that can be typed over."""
_CELL = re.compile(r"cell:([0-9]{1,9}):#([0-9]{1,5}) (.*)", re.DOTALL)
"""The field of a form that holds a cell: its line, the place of its column, the column's heading."""

Pending = list[tuple[int, dict[str, Any], Sequence[str]]]
"""Rows to store: line, fields, cells as they stand in the file."""


@dataclass(frozen=True, slots=True)
class Upload:
    """The file's bytes, and how it is to be read."""

    content: bytes
    name: str
    numbers: Locale | None
    by: By
    delimiter: str = ""
    """Of a CSV file; empty: found."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """What columns give, by place and heading, where that was chosen: with another delimiter they are others."""
    typed: Mapping[str, str] = field(default_factory=dict)
    """What the fields of forms for cells hold, by their names: those that say the same as the file too."""

    @classmethod
    def received(cls, content: bytes, name: str, form: Mapping[str, str]) -> Upload:
        """A file as it was dropped. Raises RequestEntityTooLarge."""
        upload = cls(content, PurePath(name).name[:200], *_options(form))
        if len(content) > MAX_FILE_BYTES or len(upload.packed()) > MAX_PACKED_BYTES:
            raise RequestEntityTooLarge
        return upload

    @classmethod
    def unpacked(cls, form: Mapping[str, str]) -> Upload:
        """The file as a form brings it back. Raises BadRequest."""
        chosen = {key.removeprefix("column:"): v for key, v in form.items() if key.startswith("column:")}
        typed = {key: value for key, value in form.items() if _CELL.fullmatch(key)}
        content = unpack(form.get("file", ""))
        return cls(content, form.get("source", "")[:200], *_options(form), chosen=chosen, typed=typed)

    def read_as(self, saved: SavedReading) -> Upload:
        """The same file, read as a saved mapping says. Raises UnreadableInput."""
        delimiter = saved.delimiter if saved.delimiter in DELIMITERS else ""
        read = replace(self, numbers=saved.locale, by=saved.by, delimiter=delimiter)
        with budget(_READ_SECONDS):
            titles = read._titles()
        chosen = {_named(i, titles[i]): target for i, target in saved.targets(titles).items()}
        return replace(read, chosen={**self.chosen, **chosen})

    def to_save(self, columns: Sequence[Column]) -> SavedReading:
        """How it is read, to be kept."""
        return SavedReading.of_columns(columns, self.by, self.numbers, self.delimiter)

    @property
    def kind(self) -> Kind:
        """What it is. Raises UnreadableInput for what is no file of products."""
        return kind_of(self.content[:512], io.BytesIO(self.content))

    def packed(self) -> str:
        """The file as a form carries it."""
        return pack(self.content)

    def columns(self) -> list[Column]:
        """The columns with what each gives as things stand. Raises UnreadableInput where there are none."""
        with budget(_READ_SECONDS):
            titles = self._titles()
        return [Column(i, t, self.chosen.get(_named(i, t)) or target_of(t) or IGNORE) for i, t in enumerate(titles)]

    def samples(self, columns: Sequence[Column]) -> list[list[Sample]]:
        """Some cells of each column, and what would be stored of them. Raises UnreadableInput."""
        with budget(_READ_SECONDS):
            found = sample(_opened(self.content), self._reading({}, columns), columns, _SAMPLES)
        return [[_allowed(s, c.target) for s in samples] for c, samples in zip(columns, found, strict=True)]

    def read(self) -> Judged:
        """Judge every row. Raises UnreadableInput, InvalidInput for a file or a choice of columns that cannot be."""
        is_json = self.kind == "NDJSON"
        columns = self.columns()
        if is_json:
            mapping = {c.title: c.target for c in columns}
        else:
            mapping = {numbered(c.index): c.target for c in columns if _named(c.index, c.title) in self.chosen}
        with budget(_READ_SECONDS):
            source = open_source(_opened(self.content), self._reading(mapping, columns))
            judged = Judged(self.by, NAMES if is_json else source.header, source.csv.delimiter if source.csv else ",")
            judged.keys = mapping if is_json else None
            with RowIndex() as seen:
                for row in without_repeats(source.rows, seen):
                    judged.take(row)
        return judged

    def _reading(self, mapping: Mapping[str, str], columns: Sequence[Column]) -> Reading:
        how = Reading(self.by, mapping=mapping, corrections=self._corrections(columns))
        if self.kind == "NDJSON":
            return how
        return replace(how, locale=self.numbers, delimiter=self.delimiter if self.kind == "CSV" else "")

    def names_of(self, columns: Sequence[Column]) -> set[str]:
        """The fields of forms that hold cells of these columns."""
        corrections = self._corrections(columns)
        is_json = self.kind == "NDJSON"
        return {
            cell_name(line, i, "" if is_json or i >= len(columns) else columns[i].title)
            for line, cells in corrections.items()
            for i in cells
        }

    def _corrections(self, columns: Sequence[Column]) -> Corrections:
        """What was typed over cells of these columns: with another delimiter the columns are others."""
        titles = [""] * len(columns) if self.kind == "NDJSON" else [column.title for column in columns]
        found: dict[int, dict[int, str]] = {}
        for name, text in self.typed.items():
            if match := _CELL.fullmatch(name):
                line, index, title = int(match[1]), int(match[2]) - 1, match[3]
                if title == (titles[index] if 0 <= index < len(titles) else "") and index < _MOST_CELLS:
                    found.setdefault(line, {})[index] = text
        return found

    def _titles(self) -> list[str]:
        if self.kind == "NDJSON":
            keys: dict[str, None] = {}
            for line in self.content.splitlines()[:_LOOKED_AT]:
                with suppress(ValueError, RecursionError, AttributeError):
                    keys |= dict.fromkeys(json.loads(line).keys())
            return list(keys)
        opened = _opened(self.content)
        table = Sheet(opened) if self.kind in ("XLSX", "ODS") else CsvText(opened, count_known, self.delimiter)
        return [" ".join(title.split()) for title in table.header.cells]


@dataclass(slots=True)
class Judged:
    """Every row of a file: to be stored, refused, or said before."""

    by: By
    header: Sequence[str]
    delimiter: str
    good: Pending = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    repeated: int = 0
    keys: Mapping[str, str] | None = None
    """What the keys of NDJSON give: each of its rows is one cell, the line."""

    def take(self, row: Row | RefusedRow | RepeatedRow) -> None:
        """Put one row where it belongs; the product's own rules have their say too."""
        if isinstance(row, RepeatedRow):
            self.repeated += 1
        elif isinstance(row, RefusedRow):
            self.refused.append(row)
        else:
            try:
                new_item(row.fields, by=self.by)
                self.good.append((row.line, row.fields, row.record))
            except InvalidInput as error:
                problems = tuple(row.problem(p.field, p.code, p.message) for p in error.problems)
                self.refused.append(row.refusal(*problems))

    def spread(self) -> None:
        """Write each line of NDJSON as the cells of ``NAMES``: refused ones are given back as a table."""
        if (mapping := self.keys) is None:
            return
        self.good = [(line, fields, as_cells(cells[0], mapping)) for line, fields, cells in self.good]
        self.refused = [
            RefusedRow(row.line, row.problems, as_cells(row.cells[0], mapping) if row.cells else ())
            for row in self.refused
        ]


def _named(index: int, title: str) -> str:
    return f"{numbered(index)} {title}"


def cell_name(line: int, index: int, title: str) -> str:
    """The field of a form that holds a cell."""
    return f"cell:{line}:{_named(index, title)}"


def _allowed(read: Sample, target: str) -> Sample:
    """A sample whose value the product's own rules have judged, too."""
    field = "tags" if target == "tag" else target
    if read.value is None:
        return read
    try:
        new_item({"name": "-", field: read.value})
    except InvalidInput as error:
        said = [p for p in error.problems if p.field.partition(".")[0] == field]
        return replace(read, problem=CellProblem("", read.text, said[0].code, said[0].message)) if said else read
    return read


def _opened(content: bytes) -> io.BufferedReader[Any]:
    return io.BufferedReader(io.BytesIO(content))


def _options(form: Mapping[str, str]) -> tuple[Locale | None, By, str]:
    numbers, by, delimiter = form.get("numbers", ""), form.get("by", ""), form.get("delimiter", "")
    return (
        cast("Locale", numbers) if numbers in ("es", "en") else None,
        cast("By", by) if by in ("name", "sku") else "name",
        delimiter if delimiter in DELIMITERS else "",
    )
