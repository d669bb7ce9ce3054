"""The outcome of every row of an import, and the file of refused rows."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol, TypeVar

from prodcore.deadline import remaining
from prodcore.errors import UnreadableInput
from prodcore.tabular.cells import Locale, PlainNumber
from prodcore.tabular.columns import REFUSED_PREFIX

T = TypeVar("T")

MAX_KEPT = 1_000
"""Refused rows that a report keeps for people; all of them go to its sink."""

SINK_COLUMNS = ("line", "column", "value", "code", "reason")


def in_time(items: Iterable[T]) -> Iterator[T]:
    """The items, for as long as the caller's budget lasts: a small file can hold very many, or nest them.

    Where nobody has opened a budget, as on the command line, for as long as it takes. Raises UnreadableInput.
    """
    for item in items:
        if not remaining():
            raise UnreadableInput(
                "the file takes too long to read", hint="prodctl product import reads files of any size"
            )
        yield item


@dataclass(frozen=True, slots=True)
class CellProblem:
    """What is wrong with a cell: its column as the file calls it (empty: the whole row), its text, why."""

    column: str
    value: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is not stored; ``line`` is where it starts in the file, the header being line 1."""

    line: int
    problems: tuple[CellProblem, ...]
    cells: Sequence[str] = ()
    """The row itself, as far as it could be read."""
    first: int | None = None
    """The earlier line that has the same product, or the same SKU, where that is why."""

    def as_dicts(self) -> Iterator[dict[str, Any]]:
        """One entry a problem, as reports show it."""
        for p in self.problems:
            yield {"line": self.line, "column": p.column, "value": p.value, "code": p.code, "reason": p.reason}


def refused(
    line: int, code: str, reason: str, column: str = "", value: str = "", cells: Sequence[str] = ()
) -> RefusedRow:
    """A row refused for one reason."""
    return RefusedRow(line, (CellProblem(column, value, code, reason),), cells)


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_MARK = "'"


def escape_formula(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; ``unescape_formula`` takes the mark off again.

    >>> escape_formula("=1+1"), escape_formula("Arroz"), escape_formula("'=1+1")
    ("'=1+1", 'Arroz', "''=1+1")
    """
    return _MARK + value if isinstance(value, str) and value.lstrip(_MARK).startswith(_FORMULA) else value


def unescape_formula(cell: str) -> str:
    """A cell without the mark that made it harmless.

    >>> unescape_formula("'=1+1"), unescape_formula("'Arroz'")
    ('=1+1', "'Arroz'")
    """
    return cell[1:] if cell.startswith(_MARK) and cell.lstrip(_MARK).startswith(_FORMULA) else cell


class Sink(Protocol):
    """Where every refused row goes as soon as it is known."""

    def __call__(self, row: RefusedRow) -> None:
        """Take one."""


@dataclass(slots=True)
class ImportReport:
    """Counts of rows; together they are every row that was read."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    unavailable: int = 0
    """Not stored because a shard or service did not answer: nothing happened, importing again stores them."""
    unknown: int = 0
    """Sent and never answered: they may be stored; importing again settles it."""
    not_sent: int = 0
    """Read after the import had given up."""
    kept: list[RefusedRow] = field(default_factory=list)
    sink: Sink | None = None
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many refused rows have a problem, by its column and code."""
    differences: list[dict[str, Any]] = field(default_factory=list)
    """What a dry run says would change: ``line``, ``field``, ``old``, ``new``; of the first rows."""

    @property
    def rows(self) -> int:
        """Every row."""
        done = self.created + self.changed + self.unchanged
        return done + self.refused + self.unavailable + self.unknown + self.not_sent

    def count(self, status: str) -> None:
        """Count a row that is not refused under what became of it."""
        setattr(self, status, getattr(self, status) + 1)

    def differ(self, line: int, differences: Sequence[dict[str, Any]]) -> None:
        """Keep what would change in a row, while there is room."""
        if len(self.differences) < MAX_KEPT:
            self.differences += [{"line": line, **difference} for difference in differences]

    def refuse(self, row: RefusedRow) -> None:
        """Count a refused row, keep it while there is room, hand it on."""
        self.refused += 1
        for reason in {(problem.column, problem.code) for problem in row.problems}:
            if reason in self.reasons or len(self.reasons) < MAX_KEPT:
                self.reasons[reason] += 1
        if len(self.kept) < MAX_KEPT:
            self.kept.append(row)
        if self.sink:
            self.sink(row)

    def refused_by_reason(self) -> list[dict[str, Any]]:
        """The problems of refused rows with their numbers of rows, the most frequent first."""
        return [{"column": c, "code": code, "rows": n} for (c, code), n in self.reasons.most_common()]

    def counts(self) -> dict[str, int]:
        """The counts by name; those that only a failure makes are left out while they are 0."""
        always = {"created": self.created, "changed": self.changed, "unchanged": self.unchanged}
        failures = {"unavailable": self.unavailable, "unknown": self.unknown, "not_sent": self.not_sent}
        return always | {"refused": self.refused} | {name: n for name, n in failures.items() if n}


_WHY = ("line", "column", "value", "code", "message")


class RefusedFile:
    """A sink for ``ImportReport``: a CSV file of the refused rows, to be corrected and imported again.

    Each says why, and stands as it did in its file. Rows that only repeat a refused one are left out: correcting that
    one is enough.
    """

    def __init__(self, file: IO[str], header: Sequence[str], delimiter: str, locale: Locale | None) -> None:
        self._file = file
        self._locale = locale
        self._kept = [i for i, title in enumerate(header) if not title.startswith(REFUSED_PREFIX)]
        self._width = len(header)
        self._writer = csv.writer(file, delimiter=delimiter)
        self._write([*(REFUSED_PREFIX + name for name in _WHY), *(header[i] for i in self._kept)])

    def __call__(self, row: RefusedRow) -> None:
        """Write one row; several problems of it stand together."""
        if not row.cells and row.problems[0].code == "duplicate_in_file":
            return
        why = [[p.column, p.value, p.code, p.reason] for p in row.problems]
        told = [" | ".join(dict.fromkeys(parts)) for parts in zip(*why, strict=True)]
        cells = [*row.cells, *[""] * (self._width - len(row.cells))]
        self._write([str(row.line), *told, *(cells[i] for i in self._kept), *cells[self._width :]])

    def _write(self, cells: Sequence[str]) -> None:
        self._writer.writerow([escape_formula(_writable(self._number(cell))) for cell in cells])
        self._file.flush()

    def _number(self, cell: str) -> str:
        """A sheet's number so that it is read as the same one with the same options."""
        if not isinstance(cell, PlainNumber):
            return cell
        if self._locale == "es":
            return cell.replace(".", ",")
        three_places = self._locale is None and len(cell.partition(".")[2]) == 3
        return cell + "0" if three_places else cell  # 1.234 could be a thousand, 1.2340 cannot


def _writable(cell: str) -> str:
    """A cell in which half of a character, which no file can hold, stands as JSON writes it."""
    return cell if cell.isascii() else cell.encode("utf-8", "backslashreplace").decode()
