"""The load of a drill: writers and readers at a chosen rate, every attempt noted in the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from prodcore.deadline import budget
from prodcore.drill.ledger import Attempt, Ledger, Operation, Outcome, State
from prodcore.drill.ports import Record, Traffic
from prodcore.errors import OutcomeUnknown, ProdError

_CYCLE = (Operation.CREATE, Operation.READ, Operation.EDIT, Operation.READ, Operation.RENAME, Operation.READ)
_DELETE_EVERY = 5
"""Every so many records is deleted at the end of its life, the others stay to be found."""


@dataclass(frozen=True, slots=True)
class LoadRate:
    """How much: so many threads for each set, each with a request every ``interval`` seconds."""

    writers: int
    interval: float
    budget_seconds: float
    """What one request may take."""


@contextmanager
def running_load(traffics: dict[str, Traffic], ledger: Ledger, rate: LoadRate) -> Iterator[None]:
    """Keep the load running inside the block; at its end every request has been answered and noted."""
    stop = threading.Event()
    numbers = _Counter()
    threads = [
        threading.Thread(
            target=_Writer(name, traffic, ledger, rate, numbers, stop).run, name=f"drill-{name}-{i}", daemon=True
        )
        for name, traffic in traffics.items()
        for i in range(rate.writers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        ends = time.monotonic() + rate.budget_seconds + 5
        for thread in threads:
            thread.join(timeout=max(0.0, ends - time.monotonic()))


class _Counter:
    """Numbers for records, unique in a drill."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        with self._lock:
            self._last += 1
            return self._last


class _Writer:
    """One client: it makes records and takes each through its life, one request after the other."""

    def __init__(
        self,
        set_name: str,
        traffic: Traffic,
        ledger: Ledger,
        rate: LoadRate,
        numbers: _Counter,
        stop: threading.Event,
    ) -> None:
        self._set = set_name
        self._traffic = traffic
        self._ledger = ledger
        self._rate = rate
        self._numbers = numbers
        self._stop = stop

    def run(self) -> None:
        """Work until stopped. What a blocked request delays is not made up for: ``timeline`` counts it."""
        due = time.monotonic()
        while not self._stop.is_set():
            number = self._numbers.next()
            record = Record(uuid4(), State(self._traffic.name(number), 0))
            steps = (*_CYCLE, Operation.DELETE) if number % _DELETE_EVERY == 0 else _CYCLE
            for step in steps:
                due = max(due + self._rate.interval, time.monotonic())
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                if not self._attempt(step, record):
                    break  # a record of unknown outcome is left as it is, to be judged

    def _attempt(self, operation: Operation, record: Record) -> bool:
        """Make one request; False when the record should be left alone from now on."""
        aim, call = self._prepare(operation, record)
        outcome, error = Outcome.ACKNOWLEDGED, ""
        begun = time.monotonic()
        try:
            with budget(self._rate.budget_seconds):
                call()
        except OutcomeUnknown as unknown:
            outcome, error = Outcome.UNKNOWN, unknown.code
        except ProdError as refusal:
            outcome, error = Outcome.REFUSED, refusal.code
        except Exception as unexpected:  # noqa: BLE001  whatever the client threw, the request may have got through
            outcome, error = Outcome.UNKNOWN, type(unexpected).__name__
        self._ledger.add(Attempt(self._set, operation, record.id, aim, begun, time.monotonic(), outcome, error))
        if outcome is Outcome.ACKNOWLEDGED and aim is not None and operation is not Operation.READ:
            record.state = aim
        return outcome is Outcome.ACKNOWLEDGED or operation is Operation.READ

    def _prepare(self, operation: Operation, record: Record) -> tuple[State | None, Callable[[], None]]:
        """The state that a request aims at, and the request."""
        match operation:
            case Operation.CREATE:
                return record.state, lambda: self._traffic.create(record)
            case Operation.READ:
                return None, lambda: self._traffic.read(record)
            case Operation.DELETE:
                return None, lambda: self._traffic.delete(record)
            case Operation.EDIT:
                aim = State(record.state.name, record.state.value + 1)
            case _:
                aim = State(f"{record.state.name} renamed", record.state.value)

        def store() -> None:
            record.version = self._traffic.write(record, aim)

        return aim, store
