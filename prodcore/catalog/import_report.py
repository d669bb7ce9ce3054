"""What became of the rows of an import."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

MAX_KEPT = 1_000
"""Refused rows that a report keeps for people; all of them go to its sink."""

SINK_COLUMNS = ("line", "column", "value", "code", "reason")


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

    def as_dicts(self) -> Iterator[dict[str, Any]]:
        """One entry a problem, as reports show it."""
        for p in self.problems:
            yield {"line": self.line, "column": p.column, "value": p.value, "code": p.code, "reason": p.reason}


def refused(
    line: int, code: str, reason: str, column: str = "", value: str = "", cells: Sequence[str] = ()
) -> RefusedRow:
    """A row refused for one reason."""
    return RefusedRow(line, (CellProblem(column, value, code, reason),), cells)


def harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula.

    >>> harmless("=1+1"), harmless("Arroz")
    ("'=1+1", 'Arroz')
    """
    return "'" + value if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else value


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

    @property
    def rows(self) -> int:
        """Every row."""
        done = self.created + self.changed + self.unchanged
        return done + self.refused + self.unavailable + self.unknown + self.not_sent

    def count(self, status: str) -> None:
        """Count a row that is not refused under what became of it."""
        setattr(self, status, getattr(self, status) + 1)

    def refuse(self, row: RefusedRow) -> None:
        """Count a refused row, keep it while there is room, hand it on."""
        self.refused += 1
        if len(self.kept) < MAX_KEPT:
            self.kept.append(row)
        if self.sink:
            self.sink(row)

    def counts(self) -> dict[str, int]:
        """The counts by name; those that only a failure makes are left out while they are 0."""
        always = {"created": self.created, "changed": self.changed, "unchanged": self.unchanged}
        failures = {"unavailable": self.unavailable, "unknown": self.unknown, "not_sent": self.not_sent}
        return always | {"refused": self.refused} | {name: n for name, n in failures.items() if n}
