"""An import from start to end: read, send batches until each row's outcome is known, count the outcomes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any
from uuid import UUID, uuid4, uuid5

from prodcore.errors import Conflict, OutcomeUnknown, ProdError, Unavailable
from prodcore.support.secure_files import make_private_directory
from prodcore.tabular.report import CellProblem, ImportReport, RefusedRow, refused
from prodcore.tabular.rows import RepeatedRow, Row, RowIndex
from prodcore.tabular.source import Reading

_COUNTED = ("created", "changed", "unchanged")


@dataclass(slots=True)
class ImportJournal:
    """Of one import. Without a ``file`` it only makes ids: nothing can go on where the input cannot be read again.

    The file has a line for the import, then one for each batch that is settled with all before it. A kill may lose the
    last lines or half of one: those batches are sent again, and rows that are sent twice are the same creations.
    """

    import_id: UUID = field(default_factory=uuid4)
    line: int = 0
    """All rows up to this line of the import's file are settled."""
    counts: dict[str, int] = field(default_factory=dict)
    file: IO[bytes] | None = None

    def product_id(self, line: int) -> UUID:
        """The id of the product that a line creates: the same one in every run."""
        return uuid5(self.import_id, str(line))

    def restore(self, report: ImportReport) -> Iterator[RefusedRow]:
        """Account for the rows that an earlier run has settled; the refused ones come one by one."""
        for name, count in self.counts.items():
            setattr(report, name, count)
        if self.file:
            self.file.seek(0)
            for text in self.file:
                yield from map(_refused_row, json.loads(text).get("refused", ()))

    def settled(self, line: int, report: ImportReport, refused: Sequence[RefusedRow]) -> None:
        """Note that all rows up to ``line`` are settled; ``refused`` are those of them since the last note."""
        self.line = line
        if self.file:
            counts = {name: getattr(report, name) for name in _COUNTED}
            self._write({"line": line, "counts": counts, "refused": [asdict(row) for row in refused]})

    def done(self) -> None:
        """Every row is settled: the same command again is another import."""
        if self.file:
            self.file.truncate(0)

    def _write(self, entry: dict[str, Any]) -> None:
        assert self.file is not None  # noqa: S101  for the type checker
        self.file.write(json.dumps(entry).encode() + b"\n")
        self.file.flush()

    def _read(self) -> None:
        """Take up what an earlier run has noted, and begin the file where there is nothing."""
        assert self.file is not None  # noqa: S101  for the type checker
        good = 0
        for text in self.file:
            try:
                entry = json.loads(text)
            except ValueError:  # half a line, the last one
                break
            good += len(text)
            if "import" in entry:
                self.import_id = UUID(entry["import"])
            else:
                self.line, self.counts = entry["line"], entry["counts"]
        self.file.seek(good)
        self.file.truncate()
        if not good:
            self._write({"import": str(self.import_id)})


@contextmanager
def journal_of(state_dir: Path, content: IO[bytes], reading: Reading, url: str) -> Iterator[ImportJournal]:
    """The journal for importing this content, read in this way, into this catalogue; the content is read once for it.

    Raises Conflict while another process imports the same.
    """
    digest = hashlib.file_digest(content, "sha256")  # type: ignore[arg-type]  # a buffered reader is enough
    content.seek(0)
    digest.update(repr((reading, url)).encode("utf-8", "surrogatepass"))
    directory = state_dir / "imports"
    make_private_directory(directory)
    path = directory / f"{digest.hexdigest()[:32]}.ndjson"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("another prodctl is importing this very file", hint="wait until it is done") from None
        journal = ImportJournal(file=file)
        journal._read()
        yield journal
        if not file.seek(0, os.SEEK_END):
            path.unlink(missing_ok=True)


def _refused_row(entry: dict[str, Any]) -> RefusedRow:
    return RefusedRow(entry["line"], tuple(CellProblem(**p) for p in entry["problems"]), entry["cells"])


MAX_CHARACTERS = 300_000
"""Of a batch: whatever they are, they stay within what the service accepts in one request."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0

Post = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
"""Takes items for ``POST /products/batch``, gives the results in their order."""


@dataclass(slots=True)
class RowBatch:
    """Rows to send together, and those that were refused between them."""

    rows: list[Row] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    characters: int = 0
    last_line: int = 0
    """Where the last row that was taken begins."""
    in_doubt: bool = False
    """An attempt to send it was not answered."""

    def add(self, row: Row | RefusedRow | RepeatedRow) -> None:
        """Take one more."""
        self.last_line = max(self.last_line, row.line)
        if isinstance(row, Row):
            self.rows.append(row)
            self.characters += sum(len(text) + 20 for _heading, text in row.cells.values())
        elif isinstance(row, RefusedRow):
            self.refused.append(row)

    def is_full(self, size: int) -> bool:
        """Whether it should go now."""
        return len(self.rows) >= size or len(self.refused) >= size or self.characters >= MAX_CHARACTERS


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What became of a row: created, changed, unchanged, refused, unavailable or unknown, and why."""

    status: str
    problems: Sequence[dict[str, str]] = ()
    code: str = ""
    message: str = ""
    differences: Sequence[dict[str, Any]] = ()


class Patience:
    """How long an import waits while nothing moves. Several senders share one."""

    def __init__(self, seconds: float, notify: Callable[[str], None]) -> None:
        self.seconds = seconds
        self.ended = threading.Event()
        self.notify = notify
        self._waiting_since: float | None = None
        self._lock = threading.Lock()

    def moved(self) -> None:
        """Something was settled."""
        with self._lock:
            self._waiting_since = None

    def wait(self, pause: float, why: str) -> bool:
        """Pause before the next attempt; False when it is time to give up."""
        with self._lock:
            if self._waiting_since is None:
                self._waiting_since = time.monotonic()
                self.notify(f"{why}; trying again for up to {self.seconds:g} s")
            left = self._waiting_since + self.seconds - time.monotonic()
        if left <= 0:
            self.ended.set()
        return not self.ended.wait(min(pause, max(left, 0)))


def send(batch: RowBatch, new_id: Callable[[int], UUID], post: Post, patience: Patience) -> list[ImportOutcome]:
    """The outcome of each row of the batch. ``new_id`` always gives a line the same id, so none is stored twice.

    Raises what cannot be helped by trying again (no right, a request that is refused as a whole).
    """
    items = {i: {"id": str(new_id(row.line)), **row.fields} for i, row in enumerate(batch.rows)}
    outcomes: dict[int, ImportOutcome] = {}
    pause = _FIRST_PAUSE
    while pending := [i for i in items if i not in outcomes or outcomes[i].status in ("unavailable", "unknown")]:
        settled = _attempt(pending, items, outcomes, post)
        batch.in_doubt = batch.in_doubt or any(o.status == "unknown" for o in outcomes.values())
        if settled:
            patience.moved()
            pause = _FIRST_PAUSE
        if settled < len(pending):
            if not patience.wait(pause, next(o.message for o in outcomes.values() if _is_open(o))):
                break
            pause = min(pause * 2, _LONGEST_PAUSE)
    return [outcomes[i] for i in items]


def _attempt(
    pending: list[int], items: dict[int, dict[str, Any]], outcomes: dict[int, ImportOutcome], post: Post
) -> int:
    """Send what is pending once; how many of them are settled now."""
    try:
        results = post([items[i] for i in pending])
    except (Unavailable, OutcomeUnknown) as error:
        status = "unknown" if isinstance(error, OutcomeUnknown) else "unavailable"
        results = [{"status": status, "code": error.code, "message": error.message}] * len(pending)
    settled = 0
    for i, result in zip(pending, results, strict=True):
        new = ImportOutcome(
            result["status"],
            result.get("errors") or (),
            result.get("code") or "",
            result.get("message") or "",
            result.get("differences") or (),
        )
        before = outcomes.get(i)
        if new.status == "unavailable" and before and before.status == "unknown":
            continue  # this attempt did nothing, an earlier one still may have
        outcomes[i] = new
        settled += not _is_open(new)
    return settled


def _is_open(outcome: ImportOutcome) -> bool:
    return outcome.status in ("unavailable", "unknown")


SENDERS = 4
"""Batches under way at a time: while some are stored, the next ones are read, folded and checked."""

AnyRow = Row | RefusedRow | RepeatedRow
Underway = deque[tuple[RowBatch, Future[list[ImportOutcome]]]]

_ANSWERS_SECONDS = 10.0
"""How long an import that is interrupted waits for the answers to what it has sent."""


@dataclass(slots=True)
class Importer:
    """Imports rows once. ``report`` accounts for every row that was read, whatever ended the import."""

    post: Post
    patience: Patience
    seen: RowIndex
    report: ImportReport
    batch_size: int
    journal: ImportJournal
    progress: Callable[[int], None]
    """Told the number of rows that are accounted for."""
    _all_settled: bool = True
    """Whether every batch so far is settled, so that the journal may say how far the import is."""

    def run(self, rows: Iterable[AnyRow]) -> None:
        """Import all rows that an earlier run has not settled, in order. Raises errors that retrying cannot fix."""
        self._refuse(self.journal.restore(self.report))
        rows = _after(rows, self.journal.line)
        senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="import")
        under_way: Underway = deque()
        try:
            for batch in _batches(rows, self.batch_size):
                given_up = self.patience.ended.is_set()
                while under_way and (given_up or len(under_way) >= SENDERS):
                    self._settle_first(under_way)  # in the file's order: the journal knows one line only
                if given_up:
                    self._drop(batch, "not_sent")
                    continue
                under_way.append(
                    (batch, senders.submit(send, batch, self.journal.product_id, self.post, self.patience))
                )
            while under_way:
                self._settle_first(under_way)
        except ProdError:
            self.patience.ended.set()
            while under_way:
                with suppress(ProdError):  # the first one says why the import ends
                    self._settle_first(under_way)
            raise
        except KeyboardInterrupt:
            self._wait_for_answers(under_way)
            raise
        finally:
            self.patience.ended.set()
            for batch, future in under_way:
                self._drop(batch, "not_sent" if future.cancel() else "unknown")
            senders.shutdown(wait=False, cancel_futures=True)
            self._settle_repeats()
        if self._all_settled:
            self.journal.done()

    def _wait_for_answers(self, under_way: Underway) -> None:
        """After Ctrl-C: settle what was sent, so that little is unknown; another Ctrl-C leaves the rest unknown."""
        self.patience.ended.set()
        self.patience.notify("Interrupted: waiting for the answers to what was sent. Ctrl-C again leaves at once.")
        deadline = time.monotonic() + _ANSWERS_SECONDS
        with suppress(ProdError, KeyboardInterrupt):
            while under_way:
                if under_way[0][1].cancel():
                    self._drop(under_way.popleft()[0], "not_sent")
                else:
                    self._settle_first(under_way, max(deadline - time.monotonic(), 0))

    def _settle_first(self, under_way: Underway, seconds: float | None = None) -> None:
        """Account for the oldest batch when its outcomes are there; what is not answered in time is unknown."""
        batch, future = under_way[0]
        try:
            outcomes = future.result(seconds)
        except TimeoutError:
            under_way.popleft()
            self._drop(batch, "unknown")
            return
        except ProdError:
            under_way.popleft()
            self._drop(batch, "unknown" if batch.in_doubt else "not_sent")
            raise
        under_way.popleft()
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

    def _drop(self, batch: RowBatch, outcome: str) -> None:
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
                reason = f"is for the same product as line {first}, which is refused"
                self.report.refuse(refused(line, "duplicate_in_file", reason))
            else:
                self.report.count(outcome or "unchanged")


def _after(rows: Iterable[AnyRow], line: int) -> Iterator[AnyRow]:
    """What is left to do; earlier rows have been looked at, so that the later ones are known to repeat them."""
    return (row for row in rows if row.line > line or isinstance(row, RepeatedRow))


def _batches(rows: Iterable[AnyRow], size: int) -> Iterator[RowBatch]:
    batch = RowBatch()
    for row in rows:
        batch.add(row)
        if batch.is_full(size):
            yield batch
            batch = RowBatch()
    if batch.rows or batch.refused:
        yield batch


def _refusal(row: Row, outcome: ImportOutcome) -> RefusedRow:
    """The service's refusal in the file's own terms."""
    problems = tuple(row.problem(p.get("field", ""), p["code"], p["message"]) for p in outcome.problems)
    return row.refusal(*(problems or [CellProblem("", "", outcome.code, outcome.message)]))
