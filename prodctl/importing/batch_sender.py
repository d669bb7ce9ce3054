"""Send rows in batches until each row's outcome is known, or patience ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prodcore.errors import OutcomeUnknown, Unavailable
from prodcore.tabular.report import RefusedRow
from prodcore.tabular.rows import RepeatedRow, Row

MAX_CHARACTERS = 300_000
"""Of a batch: whatever they are, they stay within what the service accepts in one request."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0

Post = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
"""Takes items for ``POST /products/batch``, gives the results in their order."""


@dataclass(slots=True)
class Batch:
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
class Outcome:
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
        self._notify = notify
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
                self._notify(f"{why}; trying again for up to {self.seconds:g} s")
            left = self._waiting_since + self.seconds - time.monotonic()
        if left <= 0:
            self.ended.set()
        return not self.ended.wait(min(pause, max(left, 0)))


def send(batch: Batch, new_id: Callable[[int], UUID], post: Post, patience: Patience) -> list[Outcome]:
    """The outcome of each row of the batch. ``new_id`` always gives a line the same id, so none is stored twice.

    Raises what cannot be helped by trying again (no right, a request that is refused as a whole).
    """
    items = {i: {"id": str(new_id(row.line)), **row.fields} for i, row in enumerate(batch.rows)}
    outcomes: dict[int, Outcome] = {}
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


def _attempt(pending: list[int], items: dict[int, dict[str, Any]], outcomes: dict[int, Outcome], post: Post) -> int:
    """Send what is pending once; how many of them are settled now."""
    try:
        results = post([items[i] for i in pending])
    except (Unavailable, OutcomeUnknown) as error:
        status = "unknown" if isinstance(error, OutcomeUnknown) else "unavailable"
        results = [{"status": status, "code": error.code, "message": error.message}] * len(pending)
    settled = 0
    for i, result in zip(pending, results, strict=True):
        new = Outcome(
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


def _is_open(outcome: Outcome) -> bool:
    return outcome.status in ("unavailable", "unknown")
