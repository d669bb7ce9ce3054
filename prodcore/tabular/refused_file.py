"""The refused rows as a CSV file: why, and the row as it stood, to be corrected and imported again."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import IO

from prodcore.tabular.cells import Locale, PlainNumber
from prodcore.tabular.columns import REFUSED_PREFIX
from prodcore.tabular.report import RefusedRow, harmless

_WHY = ("line", "column", "value", "code", "message")


class RefusedFile:
    """A sink for ``ImportReport``. Rows that only repeat a refused one are left out: correcting that one is enough."""

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
        self._writer.writerow([harmless(self._number(cell)) for cell in cells])
        self._file.flush()

    def _number(self, cell: str) -> str:
        """A sheet's number so that it is read as the same one with the same options."""
        if not isinstance(cell, PlainNumber):
            return cell
        if self._locale == "es":
            return cell.replace(".", ",")
        three_places = self._locale is None and len(cell.partition(".")[2]) == 3
        return cell + "0" if three_places else cell  # 1.234 could be a thousand, 1.2340 cannot
