"""One import by the command line, from an opened file to the report of its rows' outcomes; and taking one back."""

from __future__ import annotations

import io
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import IO, Any, cast
from uuid import UUID

from prodcore.errors import ConfigError, ImportNotFound, InvalidInput, OutcomeUnknown, Unavailable
from prodcore.product.fields import NAMES
from prodcore.settings import load_settings
from prodcore.support.secure_files import make_private_directory
from prodcore.tabular.ndjson import as_cells
from prodcore.tabular.report import ImportReport, RefusedFile, RefusedRow
from prodcore.tabular.rows import RowIndex
from prodcore.tabular.source import Reading, Source, open_source
from prodctl.client.api import ApiClient
from prodctl.client.products import as_id
from prodctl.importing.importer import Importer, ImportJournal, Patience, journal_of
from prodctl.terminal.output import counted, message, visible
from prodctl.terminal.prompt import row_progress


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
    def journal(self) -> Iterator[ImportJournal]:
        """The journal of this import. What comes through a pipe cannot be read again, and a dry run leaves no trace."""
        if self.dry_run or _size(self.file) is None:
            yield ImportJournal()
            return
        settings = load_settings()
        try:
            make_private_directory(settings.state_dir / "imports")
        except ConfigError as error:
            message(f"This import cannot be continued after an interruption, it would start again: {error.message}")
            yield ImportJournal()
            return
        with journal_of(settings.state_dir, self.file, self.reading, settings.url) as journal:
            if journal.line:
                message(f"Continuing import {journal.import_id} after line {journal.line:,}")
            yield journal

    def run(self, report: ImportReport, journal: ImportJournal) -> None:
        """Import every row. Raises what ends it early; ``report`` accounts for what has happened in any case."""
        file = self.file
        buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", file))
        source = open_source(buffered, self.reading)
        if source.unknown:
            unknown = ", ".join(source.unknown)
            message(f"Not imported, as no field has that name: {unknown} (--map COLUMN=FIELD says what it is)")
        if self.reading.saved and source.header and (gone := self.reading.saved.missing(source.header)):
            message(f"The file has no column {', '.join(gone)}, which the mapping names")
        if self.refused_file:
            report.sink = self._sink(source, self.refused_file)
        started = time.monotonic()
        with RowIndex() as seen, row_progress(file.tell, _size(file)) as tell:
            client, patience = ApiClient(load_settings()), Patience(self.patience, message)
            post = self._poster(client, journal.import_id)
            importer = Importer(post, patience, seen, report, self.batch, journal, tell)
            self._note(client, journal.import_id)
            importer.run(source.kept_rows(seen, self.reading.keep))
            self._note(client, journal.import_id, report.counts())
        seconds = max(time.monotonic() - started, 0.001)
        if source.csv and source.csv.encoding == "Windows-1252" and not self.reading.encoding:
            message("Read as Windows-1252, for its texts are not UTF-8 (--encoding says what they are)")
        message(f"{counted(report.rows, 'row')} in {seconds:.1f} s ({report.rows / seconds:,.0f} a second)")

    def _note(self, client: ApiClient, import_id: UUID, counts: dict[str, int] | None = None) -> None:
        """Have the import remembered; that it cannot be does not stop it: its rows wait for the service anyway."""
        if self.dry_run:
            return
        body = {"source": _source_name(self.file)} | ({"counts": counts} if counts else {})
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
        table = RefusedFile(file, NAMES, delimiter, self.reading.locale)

        def sink(row: RefusedRow) -> None:
            cells = as_cells(row.cells[0], self.reading.keys) if row.cells else ()
            table(RefusedRow(row.line, row.problems, cells))

        return sink


def _source_name(file: IO[bytes]) -> str:
    """What the import is remembered under; a byte of the name that is not UTF-8 is shown as such."""
    return visible(PurePath(file.name).name)[:200]


def _size(file: IO[bytes]) -> int | None:
    """How long the file is; None for a pipe."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


_UNDO_PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class UndoReport:
    """What became of the products that an import made or changed."""

    counts: Counter[str] = field(default_factory=Counter)
    left: list[dict[str, Any]] = field(default_factory=list)
    """The products that could not be taken back."""
    unavailable: list[str] = field(default_factory=list)
    """Shards that could not be asked."""

    def done(self) -> int:
        """How many are taken back."""
        return self.counts["deleted"] + self.counts["restored"] + self.counts["already"]

    @property
    def open(self) -> list[dict[str, Any]]:
        """Those of them that another try may settle."""
        return [item for item in self.left if item["status"] != "refused"]

    @property
    def refused(self) -> list[dict[str, Any]]:
        """Those that were changed since."""
        return [item for item in self.left if item["status"] == "refused"]

    def as_dict(self) -> dict[str, int]:
        """The counts by name; those that only a failure makes are left out while they are 0."""
        failures = {"unsettled": len(self.open)} if self.open else {}
        return (
            {n: self.counts[n] for n in ("deleted", "restored", "already")} | {"refused": len(self.refused)} | failures
        )


def find_import(client: ApiClient, text: str | None) -> dict[str, Any]:
    """The import with this id or the only one whose id begins so; with None the newest that stored anything and stands.

    Raises ImportNotFound, and InvalidInput where several ids begin so.
    """
    found: list[dict[str, Any]] = client.call("GET", "/imports", query={"limit": 500})["items"]
    if text is None:
        found = [item for item in found if item["undone_at"] is None and _may_have_stored(item)][:1]
    else:
        found = [item for item in found if item["id"].startswith(text.lower())]
        if not found and (whole := as_id(text)):  # an older one, or one that was never noted
            return {"id": str(whole), "source": "", "started_at": None, "counts": {}}
    if len(found) > 1:
        raise InvalidInput(f"{len(found)} imports have an id that begins with {text}", hint="give more of it")
    if not found:
        what = "there is no import left to undo" if text is None else f"no import has an id like {text!r}"
        raise ImportNotFound(what, hint="prodctl product import list")
    return found[0]


def _may_have_stored(item: dict[str, Any]) -> bool:
    """Whether an import changed the catalogue, or has not said so because it was interrupted."""
    return not item["counts"] or bool(item["counts"].get("created") or item["counts"].get("changed"))


def undo_import(
    client: ApiClient, import_id: UUID, patience: Patience, report: UndoReport, tell: Callable[[int], None]
) -> UndoReport:
    """Take back all that can be. Raises ImportNotFound, and Unavailable where nothing can be asked at all."""
    first = True
    while True:
        _pass(client, import_id, patience, report, tell)
        if first:
            already = report.counts["already"]
        report.counts["already"] = already  # later passes also meet what the earlier ones have done
        first = False
        if not (report.open or report.unavailable):
            return report
        why = report.open[0]["message"] if report.open else f"{', '.join(report.unavailable)} does not answer"
        if not patience.wait(_UNDO_PAUSE_SECONDS, why):
            return report


def _pass(
    client: ApiClient, import_id: UUID, patience: Patience, report: UndoReport, tell: Callable[[int], None]
) -> None:
    """Once over all products of the import."""
    report.left, report.unavailable = [], []
    cursor: str | None = None
    while True:
        part = _part(client, import_id, cursor, patience)
        report.counts.update({name: part[name] for name in ("deleted", "restored", "already")})
        if part["deleted"] or part["restored"]:
            patience.moved()
        report.left += part["items"]
        report.unavailable = sorted({*report.unavailable, *part["unavailable"]})
        tell(report.done())
        cursor = part["next_cursor"]
        if cursor is None:
            return


def _part(client: ApiClient, import_id: UUID, cursor: str | None, patience: Patience) -> dict[str, Any]:
    """Ask until there is an answer: what was done already is found to be so."""
    while True:
        try:
            part: dict[str, Any] = client.call("POST", f"/imports/{import_id}/undo", body={"cursor": cursor})
        except (Unavailable, OutcomeUnknown) as error:
            if not patience.wait(_UNDO_PAUSE_SECONDS, error.message):
                raise
        else:
            return part
