"""An import from start to end: read, send a few batches at a time, count what became of every row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from prodcore.errors import ProdError
from prodcore.tabular.report import CellProblem, ImportReport, RefusedRow, refused
from prodcore.tabular.rows import RepeatedRow, Row, RowIndex
from prodctl.importing.batch_sender import Batch, Outcome, Patience, Post, send
from prodctl.importing.journal import Journal

SENDERS = 4
"""Batches under way at a time: while some are stored, the next ones are read, folded and checked."""

AnyRow = Row | RefusedRow | RepeatedRow


@dataclass(slots=True)
class Importer:
    """Imports rows once. ``report`` accounts for every row that was read, whatever ended the import."""

    post: Post
    patience: Patience
    seen: RowIndex
    report: ImportReport
    batch_size: int
    journal: Journal
    progress: Callable[[int], None]
    """Told the number of rows that are accounted for."""
    _all_settled: bool = True
    """Whether every batch so far is settled, so that the journal may say how far the import is."""

    def run(self, rows: Iterable[AnyRow]) -> None:
        """Import all rows that an earlier run has not settled, in order. Raises what no other try can help."""
        self._refuse(self.journal.restore(self.report))
        rows = _after(rows, self.journal.line)
        senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="import")
        under_way: deque[tuple[Batch, Future[list[Outcome]]]] = deque()
        try:
            for batch in _batches(rows, self.batch_size):
                given_up = self.patience.ended.is_set()
                while under_way and (given_up or len(under_way) >= SENDERS):
                    self._settle(*under_way.popleft())  # in the file's order: the journal knows one line only
                if given_up:
                    self._drop(batch, "not_sent")
                    continue
                under_way.append(
                    (batch, senders.submit(send, batch, self.journal.product_id, self.post, self.patience))
                )
            while under_way:
                self._settle(*under_way.popleft())
        except ProdError:
            self.patience.ended.set()
            while under_way:
                with suppress(ProdError):  # the first one says why the import ends
                    self._settle(*under_way.popleft())
            raise
        finally:
            self.patience.ended.set()
            for batch, future in under_way:
                self._drop(batch, "not_sent" if future.cancel() else "unknown")
            senders.shutdown(wait=False, cancel_futures=True)
            self._settle_repeats()
        if self._all_settled:
            self.journal.done()

    def _settle(self, batch: Batch, future: Future[list[Outcome]]) -> None:
        try:
            outcomes = future.result()
        except ProdError:
            self._drop(batch, "unknown" if batch.in_doubt else "not_sent")
            raise
        except KeyboardInterrupt:
            self._drop(batch, "unknown")
            raise
        refusals = list(batch.refused)
        for row, outcome in zip(batch.rows, outcomes, strict=True):
            if outcome.status == "refused":
                refusals.append(_refusal(row, outcome))
            else:
                self._count(row.line, outcome.status)
                self.report.differ(row.line, outcome.differences)
        refusals.sort(key=lambda row: row.line)
        self._refuse(refusals)
        if self._all_settled:
            self.journal.settled(batch.last_line, self.report, refusals)
        self.progress(self.report.rows)

    def _drop(self, batch: Batch, outcome: str) -> None:
        """Account for a batch that will not be settled any more."""
        self._refuse(batch.refused)
        for row in batch.rows:
            self._count(row.line, outcome)

    def _refuse(self, rows: Iterable[RefusedRow]) -> None:
        for row in rows:
            self.seen.failed(row.line, "refused")
            self.report.refuse(row)

    def _count(self, line: int, status: str) -> None:
        self.report.count(status)
        if status not in ("created", "changed", "unchanged"):
            self.seen.failed(line, status)
            self._all_settled = False

    def _settle_repeats(self) -> None:
        """A row that says what an earlier one says shares its outcome."""
        for line, first, outcome in self.seen.outcomes():
            if outcome == "refused":
                reason = f"says the same as line {first}, which is refused"
                self.report.refuse(refused(line, "duplicate_in_file", reason))
            else:
                self.report.count(outcome or "unchanged")


def _after(rows: Iterable[AnyRow], line: int) -> Iterator[AnyRow]:
    """What is left to do; earlier rows have been looked at, so that the later ones are known to repeat them."""
    return (row for row in rows if row.line > line or isinstance(row, RepeatedRow))


def _batches(rows: Iterable[AnyRow], size: int) -> Iterator[Batch]:
    batch = Batch()
    for row in rows:
        batch.add(row)
        if batch.is_full(size):
            yield batch
            batch = Batch()
    if batch.rows or batch.refused:
        yield batch


def _refusal(row: Row, outcome: Outcome) -> RefusedRow:
    """The service's refusal in the file's own terms."""
    problems = tuple(row.problem(p.get("field", ""), p["code"], p["message"]) for p in outcome.problems)
    return row.refusal(*(problems or [CellProblem("", "", outcome.code, outcome.message)]))
