"""One import by the command line: from an opened file to the report of what became of its rows."""

from __future__ import annotations

import io
import os
import stat
import time
from dataclasses import dataclass
from typing import IO, Any, cast
from uuid import UUID, uuid4

from prodcore.catalog.import_ndjson import as_cells
from prodcore.catalog.import_report import ImportReport, RefusedRow
from prodcore.catalog.import_rows import without_repeats
from prodcore.catalog.import_seen import Seen
from prodcore.catalog.import_source import Reading, Source, open_source
from prodcore.product import FIELDS
from prodcore.settings import load_settings
from prodctl.api_client import ApiClient
from prodctl.batch_sender import Patience
from prodctl.importer import Importer
from prodctl.output import message
from prodctl.progress import row_progress
from prodctl.refused_file import RefusedFile


@dataclass(frozen=True, slots=True)
class ImportRun:
    """An import that is about to happen."""

    file: IO[bytes]
    reading: Reading
    batch: int
    patience: float
    dry_run: bool
    refused_file: IO[str] | None
    import_id: UUID

    def run(self, report: ImportReport) -> None:
        """Import every row. Raises what ends it early; ``report`` accounts for what has happened in any case."""
        file = (
            self.file
            if isinstance(self.file, io.BufferedReader)
            else io.BufferedReader(cast("io.RawIOBase", self.file))
        )
        source = open_source(file, self.reading)
        if source.unknown:
            unknown = ", ".join(source.unknown)
            message(f"Not imported, as no field is called so: {unknown} (--map COLUMN=FIELD says what it is)")
        if self.refused_file:
            report.sink = self._sink(source, self.refused_file)
        started = time.monotonic()
        with Seen() as seen, row_progress(file.tell, _size(file)) as tell:
            importer = Importer(self._poster(), Patience(self.patience, message), seen, report, self.batch, tell)
            importer.run(without_repeats(source.rows, seen))
        seconds = max(time.monotonic() - started, 0.001)
        if source.csv and source.csv.encoding == "Windows-1252" and not self.reading.encoding:
            message("Read as Windows-1252, for its texts are not UTF-8 (--encoding says what they are)")
        message(f"{report.rows:,} rows in {seconds:.1f} s ({report.rows / seconds:,.0f} a second)")

    def _poster(self) -> Any:
        client = ApiClient(load_settings())
        fixed = {"by": self.reading.by} | ({} if self.dry_run else {"import": str(self.import_id)})
        query = {"dry_run": "true"} if self.dry_run else None

        def post(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
            answer = client.call("POST", "/products/batch", body={"items": items, **fixed}, query=query)
            results: list[dict[str, Any]] = answer["results"]
            return results

        return post

    def _sink(self, source: Source, file: IO[str]) -> Any:
        delimiter = source.csv.delimiter if source.csv else ","
        if source.kind != "NDJSON":
            return RefusedFile(file, source.header, delimiter, self.reading.locale)
        table = RefusedFile(file, FIELDS, delimiter, self.reading.locale)

        def sink(row: RefusedRow) -> None:
            cells = as_cells(row.cells[0], self.reading.mapping) if row.cells else ()
            table(RefusedRow(row.line, row.problems, cells))

        return sink


def new_import_id() -> UUID:
    """An id for an import that begins."""
    return uuid4()


def _size(file: IO[bytes]) -> int | None:
    """How long the file is; None for a pipe."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
