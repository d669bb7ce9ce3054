"""The ledger: every attempt of the load and how it ended, kept outside the system that is drilled."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Operation(StrEnum):
    """What was attempted."""

    CREATE = "create"
    EDIT = "edit"
    RENAME = "rename"
    MOVE = "move"
    """A rename to another set."""
    DELETE = "delete"
    READ = "read"


class Outcome(StrEnum):
    """How an attempt ended, as its client was told."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """Told that nothing happened."""
    UNKNOWN = "unknown"
    """Told that it may have happened."""


@dataclass(frozen=True, slots=True)
class State:
    """What a record holds, and where: all that the load changes."""

    name: str
    value: int
    version: int
    set_name: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request; times are of the monotonic clock, in seconds."""

    set_name: str
    """Where the record was before."""
    operation: Operation
    record: UUID
    state: State | None
    """What the record holds if it succeeded; None after a delete, and for reads."""
    begun: float
    ended: float
    outcome: Outcome
    error: str = ""
    retries: int = 0
    """How often the client sent it again before it knew how it ended."""

    @property
    def latency(self) -> float:
        """Seconds from request to answer."""
        return self.ended - self.begun

    @property
    def is_write(self) -> bool:
        """Whether it would change something."""
        return self.operation is not Operation.READ

    @property
    def crosses(self) -> bool:
        """Whether it needs two sets, so that its time is neither one's own."""
        return self.operation is Operation.MOVE


class Ledger:
    """All attempts, in the order they ended; safe to use from many threads."""

    def __init__(self) -> None:
        self._attempts: list[Attempt] = []
        self._changed = threading.Condition()
        self._aborted = False

    def add(self, attempt: Attempt) -> None:
        """Note an attempt, and wake whoever waits for one."""
        with self._changed:
            self._attempts.append(attempt)
            self._changed.notify_all()

    def attempts(self) -> Sequence[Attempt]:
        """Everything so far."""
        with self._changed:
            return tuple(self._attempts)

    def attempts_after(self, count: int) -> Sequence[Attempt]:
        """Everything but the first so many."""
        with self._changed:
            return tuple(self._attempts[count:])

    def wait_for_acknowledged(self, set_name: str, count: int, after: float, deadline: float) -> bool:
        """Wait until ``count`` writes that began after ``after`` have been acknowledged; False at ``deadline``."""

        def enough() -> bool:
            found = 0
            for attempt in reversed(self._attempts):
                if attempt.ended < after:
                    return False
                if (
                    attempt.set_name == set_name
                    and attempt.is_write
                    and attempt.outcome is Outcome.ACKNOWLEDGED
                    and attempt.begun >= after
                ):
                    found += 1
                    if found >= count:
                        return True
            return False

        with self._changed:
            self._changed.wait_for(lambda: self._aborted or enough(), timeout=max(0.0, deadline - time.monotonic()))
            return not self._aborted and enough()

    def abort(self) -> None:
        """End every wait, now and from now on, as if its deadline had come."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()
