"""The load of a drill, writers and readers at a chosen rate, and its ways to a set. The ledger has every attempt."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol
from uuid import UUID, uuid4

from prodcore.catalog import Catalog
from prodcore.catalog.stores import TRAFFIC_CATEGORY
from prodcore.deadline import budget
from prodcore.drill.ledger import Attempt, Ledger, Operation, RequestOutcome, State, longest_gap
from prodcore.errors import ConfigError, OutcomeUnknown, ProdError
from prodcore.product.model import Author, ProductDraft, ProductPatch
from prodcore.routing import ShardMap, name_key
from prodcore.support.request_notes import Retries, counted

_CYCLE = (Operation.CREATE, Operation.READ, Operation.EDIT, Operation.READ, Operation.RENAME, Operation.READ)
_CROSSING = (Operation.CREATE, Operation.READ, Operation.MOVE, Operation.EDIT, Operation.READ, Operation.MOVE)
"""The life of a record that goes to another set and comes back."""
_CROSSING_PAUSE = 4
"""One more client for each set does that, so many times slower: a move is some seven writes, over both sets."""
_DELETE_EVERY = 5
"""Every so many records is deleted at the end of its life, the others stay to be found."""
_USERNAME = "failover-test"
_FIRST_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(slots=True)
class DrillRecord:
    """A record of the drill's own, as its one writer knows it."""

    id: UUID
    state: State


@dataclass(frozen=True, slots=True)
class Place:
    """Names that belong to one set and to one drill."""

    set_name: str
    prefix: str

    def name(self, number: int) -> str:
        """The name of record ``number``; it holds the drill's id as a word."""
        return f"{self.prefix} {number:06}"


class Traffic(Protocol):
    """Requests to one set, as a client makes them. Safe to use from many threads.

    Every request ends within a budget. Raises Unavailable when nothing happened, OutcomeUnknown when it may have.
    """

    @property
    def home(self) -> Place:
        """Names of this set."""

    @property
    def elsewhere(self) -> Place | None:
        """Names of another set, to which a record goes when it is renamed; None where there is none."""

    def create(self, record: DrillRecord) -> None:
        """Store a new record."""

    def write(self, record: DrillRecord, state: State) -> int:
        """Store another state (edit or rename) over the one it has; returns the version that was acknowledged."""

    def delete(self, record: DrillRecord) -> None:
        """Remove it."""

    def read(self, record: DrillRecord) -> None:
        """Read it."""

    def close(self) -> None:
        """Let go of the connections."""


@dataclass(frozen=True, slots=True)
class LoadRate:
    """How much: so many threads for each set, each with a request every ``interval`` seconds."""

    writers: int
    interval: float
    budget_seconds: float
    """What one request may take."""


SWITCHOVER_RATE = LoadRate(writers=4, interval=0.05, budget_seconds=15.0)
"""Enough to see what a switchover costs, and little for the others."""


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
            record = DrillRecord(uuid4(), State(home.name(number), 0, 1, home.set_name))
            end = [Operation.DELETE] if number % _DELETE_EVERY == 0 else []
            for step in (*self._cycle, *end):
                due = max(due + self._rate.interval, time.monotonic())
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                if not self._attempt(step, record, number):
                    break  # a record of unknown outcome is left as it is, to be judged

    def _attempt(self, operation: Operation, record: DrillRecord, number: int) -> bool:
        """Make one request; False when the record should be left alone from now on."""
        aim = self._aim(operation, record.state, number)
        there = record.state.set_name
        outcome, error, again = RequestOutcome.ACKNOWLEDGED, "", Retries()
        begun = time.monotonic()
        try:
            with counted() as again, budget(self._rate.budget_seconds):
                self._send(operation, record, aim)
        except OutcomeUnknown as unknown:
            outcome, error = RequestOutcome.UNKNOWN, unknown.code
        except ProdError as refusal:
            outcome, error = RequestOutcome.REFUSED, refusal.code
        except Exception as unexpected:  # noqa: BLE001  whatever the client threw, the request may have got through
            outcome, error = RequestOutcome.UNKNOWN, type(unexpected).__name__
        acknowledged = outcome is RequestOutcome.ACKNOWLEDGED
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

    def _send(self, operation: Operation, record: DrillRecord, aim: State | None) -> None:
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


class CatalogTraffic:
    """A ``Traffic`` on products with names of these places."""

    def __init__(self, catalog: Catalog, home: Place, elsewhere: Place | None) -> None:
        self.home = home
        self.elsewhere = elsewhere
        self._catalog = catalog
        self._author = Author(_USERNAME)

    def create(self, record: DrillRecord) -> None:
        """Add a product that is not for sale."""
        draft = ProductDraft(
            name=record.state.name,
            category=TRAFFIC_CATEGORY,
            price=Decimal(1),
            stock=record.state.value,
            active=False,
        )
        self._catalog.create(draft, self._author, record.id)

    def write(self, record: DrillRecord, state: State) -> int:
        """Edit name and stock."""
        patch = ProductPatch(name=state.name, stock=state.value)
        return self._catalog.edit(record.id, patch, self._author, record.state.version).version

    def delete(self, record: DrillRecord) -> None:
        """Delete the product."""
        self._catalog.delete(record.id, self._author, record.state.version)

    def read(self, record: DrillRecord) -> None:
        """Get the product."""
        self._catalog.get(record.id)

    def close(self) -> None:
        """The catalogue belongs to whoever opened it."""


def places_of(shard_map: ShardMap, shard: str, run: str) -> tuple[Place, Place | None]:
    """Names of the shard and of another one, for the drill ``run``."""
    others = [name for name in shard_map.shards if name != shard]
    home, *elsewhere = (Place(name, f"{letter_of(shard_map, name)} {run}") for name in (shard, *others[:1]))
    return home, elsewhere[0] if elsewhere else None


def letter_of(shard_map: ShardMap, shard: str) -> str:
    """A first word that routes to the shard. Raises ConfigError when no letter or digit does."""
    for letter in _FIRST_LETTERS:
        if shard_map.shard_for(name_key(f"{letter} ")) == shard_map.shard_for(name_key(f"{letter} z")) == shard:
            return letter
    raise ConfigError(
        f"no product name that a drill could use belongs to {shard}",
        hint="prodctl shard list shows its ranges; a shard that owns none can be drilled once it owns one",
    )


class MeasuredLoad:
    """A light load on one set, for somebody who changes it and wants to know what that costs."""

    def __init__(self, traffic: Traffic, ledger: Ledger) -> None:
        self._set_name = traffic.home.set_name
        self._ledger = ledger

    def wait_for_writes(self, count: int, since: float, deadline: float) -> bool:
        """Wait until ``count`` writes that began after ``since`` have been acknowledged; False at ``deadline``."""
        return self._ledger.wait_for_acknowledged(self._set_name, count, since, deadline)

    def write_gap(self, since: float, until: float) -> float | None:
        """The longest time without an acknowledged write between the two, in seconds."""
        gap = longest_gap([a for a in self._ledger.attempts() if a.is_write], since, until)
        return gap.seconds if gap else None


@contextmanager
def measured_load(traffic: Traffic, rate: LoadRate) -> Iterator[MeasuredLoad]:
    """A load inside the block, whose figures can be asked for during it and after it; closes the traffic."""
    ledger = Ledger()
    try:
        with running_load([traffic], ledger, rate):
            yield MeasuredLoad(traffic, ledger)
    finally:
        traffic.close()
