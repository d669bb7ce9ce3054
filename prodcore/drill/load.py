"""The load of a drill: writers and readers at a chosen rate, every attempt noted in the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import uuid4

from prodcore.deadline import budget
from prodcore.drill.ledger import Attempt, Ledger, Operation, Outcome, State
from prodcore.drill.ports import Record, Traffic
from prodcore.errors import OutcomeUnknown, ProdError
from prodcore.support.retries import Retries, counted

_CYCLE = (Operation.CREATE, Operation.READ, Operation.EDIT, Operation.READ, Operation.RENAME, Operation.READ)
_CROSSING = (Operation.CREATE, Operation.READ, Operation.MOVE, Operation.EDIT, Operation.READ, Operation.MOVE)
"""The life of a record that goes to another set and comes back."""
_CROSSING_PAUSE = 4
"""One more client for each set does that, so many times slower: a move is some seven writes, over both sets."""
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
def running_load(traffics: Sequence[Traffic], ledger: Ledger, rate: LoadRate) -> Iterator[None]:
    """Keep the load running inside the block; at its end every request has been answered and noted."""
    stop = threading.Event()
    numbers = _Counter()
    slowly = replace(rate, interval=rate.interval * _CROSSING_PAUSE)
    writers = [
        *(_Writer(t, _CYCLE, ledger, rate, numbers, stop) for t in traffics for _ in range(rate.writers)),
        *(_Writer(t, _CROSSING, ledger, slowly, numbers, stop) for t in traffics if t.elsewhere),
    ]
    threads = [threading.Thread(target=writer.run, name="drill-load", daemon=True) for writer in writers]
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
        traffic: Traffic,
        cycle: Sequence[Operation],
        ledger: Ledger,
        rate: LoadRate,
        numbers: _Counter,
        stop: threading.Event,
    ) -> None:
        self._traffic = traffic
        self._cycle = cycle
        self._ledger = ledger
        self._rate = rate
        self._numbers = numbers
        self._stop = stop

    def run(self) -> None:
        """Work until stopped. What a blocked request delays is not made up for: ``timeline`` counts it."""
        due = time.monotonic()
        while not self._stop.is_set():
            number = self._numbers.next()
            home = self._traffic.home
            record = Record(uuid4(), State(home.name(number), 0, 1, home.set_name))
            end = [Operation.DELETE] if number % _DELETE_EVERY == 0 else []
            for step in (*self._cycle, *end):
                due = max(due + self._rate.interval, time.monotonic())
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                if not self._attempt(step, record, number):
                    break  # a record of unknown outcome is left as it is, to be judged

    def _attempt(self, operation: Operation, record: Record, number: int) -> bool:
        """Make one request; False when the record should be left alone from now on."""
        aim = self._aim(operation, record.state, number)
        there = record.state.set_name
        outcome, error, again = Outcome.ACKNOWLEDGED, "", Retries()
        begun = time.monotonic()
        try:
            with counted() as again, budget(self._rate.budget_seconds):
                self._send(operation, record, aim)
        except OutcomeUnknown as unknown:
            outcome, error = Outcome.UNKNOWN, unknown.code
        except ProdError as refusal:
            outcome, error = Outcome.REFUSED, refusal.code
        except Exception as unexpected:  # noqa: BLE001  whatever the client threw, the request may have got through
            outcome, error = Outcome.UNKNOWN, type(unexpected).__name__
        acknowledged = outcome is Outcome.ACKNOWLEDGED
        state = record.state if acknowledged and aim else aim
        ended = time.monotonic()
        self._ledger.add(Attempt(there, operation, record.id, state, begun, ended, outcome, error, again.count))
        return acknowledged or operation is Operation.READ

    def _aim(self, operation: Operation, state: State, number: int) -> State | None:
        """The state that a request aims at; None where it leaves nothing, or changes nothing."""
        next_version = replace(state, version=state.version + 1)
        match operation:
            case Operation.CREATE:
                return state
            case Operation.EDIT:
                return replace(next_version, value=state.value + 1)
            case Operation.RENAME:
                return replace(next_version, name=f"{state.name} renamed")
            case Operation.MOVE:
                places = {place.set_name: place for place in (self._traffic.home, self._traffic.elsewhere) if place}
                place = next(place for name, place in places.items() if name != state.set_name)
                return replace(next_version, name=place.name(number), set_name=place.set_name)
            case _:
                return None

    def _send(self, operation: Operation, record: Record, aim: State | None) -> None:
        """Make the request, and let the record know what was acknowledged."""
        match operation:
            case Operation.CREATE:
                self._traffic.create(record)
            case Operation.READ:
                self._traffic.read(record)
            case Operation.DELETE:
                self._traffic.delete(record)
            case _ if aim:
                record.state = replace(aim, version=self._traffic.write(record, aim))
