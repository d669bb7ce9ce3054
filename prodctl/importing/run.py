"""One import by the command line: from an opened file to the report of what became of its rows."""

from __future__ import annotations

import io
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any, cast
from uuid import UUID

from prodcore.errors import OutcomeUnknown, Unavailable
from prodcore.product.model import FIELDS
from prodcore.settings import load_settings
from prodcore.tabular.ndjson import as_cells
from prodcore.tabular.report import ImportReport, RefusedFile, RefusedRow
from prodcore.tabular.rows import RowIndex, without_repeats
from prodcore.tabular.source import Reading, Source, open_source
from prodctl.client.api import ApiClient
from prodctl.importing.batch_sender import Patience
from prodctl.importing.importer import Importer
from prodctl.importing.journal import Journal, journal_of
from prodctl.terminal.output import message
from prodctl.terminal.progress import row_progress


@dataclass(frozen=True, slots=True)
class ImportRun:
    """An import that is about to happen."""

    file: IO[bytes]
    reading: Reading
    batch: int
    patience: float
    dry_run: bool
    refused_file: IO[str] | None

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """The journal of this import. What comes through a pipe cannot be read again, and a dry run leaves no trace."""
        if self.dry_run or _size(self.file) is None:
            yield Journal()
            return
        settings = load_settings()
        with journal_of(settings.state_dir, self.file, self.reading, settings.url) as journal:
            if journal.line:
                message(f"Going on with import {journal.import_id} after line {journal.line:,}")
            yield journal

    def run(self, report: ImportReport, journal: Journal) -> None:
        """Import every row. Raises what ends it early; ``report`` accounts for what has happened in any case."""
        file = self.file
        buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", file))
        source = open_source(buffered, self.reading)
        if source.unknown:
            unknown = ", ".join(source.unknown)
            message(f"Not imported, as no field is called so: {unknown} (--map COLUMN=FIELD says what it is)")
        if self.refused_file:
            report.sink = self._sink(source, self.refused_file)
        started = time.monotonic()
        with RowIndex() as seen, row_progress(file.tell, _size(file)) as tell:
            client, patience = ApiClient(load_settings()), Patience(self.patience, message)
            post = self._poster(client, journal.import_id)
            importer = Importer(post, patience, seen, report, self.batch, journal, tell)
            self._note(client, journal.import_id)
            importer.run(without_repeats(source.rows, seen))
            self._note(client, journal.import_id, report.counts())
        seconds = max(time.monotonic() - started, 0.001)
        if source.csv and source.csv.encoding == "Windows-1252" and not self.reading.encoding:
            message("Read as Windows-1252, for its texts are not UTF-8 (--encoding says what they are)")
        message(f"{report.rows:,} rows in {seconds:.1f} s ({report.rows / seconds:,.0f} a second)")

    def _note(self, client: ApiClient, import_id: UUID, counts: dict[str, int] | None = None) -> None:
        """Have the import remembered; that it cannot be does not stop it: its rows wait for the service anyway."""
        if self.dry_run:
            return
        body = {"source": PurePath(self.file.name).name[:200]} | ({"counts": counts} if counts else {})
        with suppress(Unavailable, OutcomeUnknown):
            client.call("PUT", f"/imports/{import_id}", body=body)

    def _poster(self, client: ApiClient, import_id: UUID) -> Any:
        fixed = {"by": self.reading.by} | ({} if self.dry_run else {"import": str(import_id)})
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


def _size(file: IO[bytes]) -> int | None:
    """How long the file is; None for a pipe."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
