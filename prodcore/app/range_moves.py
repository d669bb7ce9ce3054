"""The composition root of moves of ranges: planned, ordered, and carried out by whoever is at work on them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Protocol, Self
from uuid import UUID, uuid4

from prodcore.app.shards import Shards, open_shards
from prodcore.app.wiring import configured_sets, open_desk, patient
from prodcore.catalog.distribution import balanced
from prodcore.deadline import budget
from prodcore.errors import Conflict, NotFound, OutcomeUnknown, ProdError, Unavailable
from prodcore.routing import name_key
from prodcore.settings import Settings
from prodcore.sharding.mover import Bounds, MoveOrder, RangeMover, Wanted

_RECENT = 5


@dataclass(frozen=True, slots=True)
class Balance:
    """What a shard holds now, and about what it will; ``bytes`` as the server keeps that number, not compressed."""

    shard: str
    products: int
    bytes: int
    products_after: int
    bytes_after: int


def _worker() -> str:
    """Who is at work: the threads of a process are different ones."""
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}"


@dataclass(frozen=True)
class RangeMoves:
    """Moves of ranges between these shards. What does not answer raises Unavailable."""

    shards: Shards
    worker: str = field(default_factory=_worker)

    def plan_rebalance(self, by: str) -> tuple[list[MoveOrder], list[Balance]]:
        """Orders after which all shards hold about the same bytes, and what each shard holds before and after them."""
        with self.shards.budget():
            samples = self.shards.samples()
            parts = balanced(self.shards.stored_map(), samples)
        after = dict(samples)
        for part, carried in parts:
            after |= {part.other: after[part.other].without(part), part.shard: after[part.shard].plus(carried)}
        orders = [self.plan_move(Bounds(part.lower, part.upper), part.shard, by) for part, _carried in parts]
        return orders, [
            Balance(shard, before.products, before.size, after[shard].products, after[shard].size)
            for shard, before in samples.items()
        ]

    def rate(self) -> float | None:
        """Products a second of the last moves; None where none has moved any yet."""
        carried = [order for order in self.latest_orders(_RECENT) if order.seconds]
        return sum(o.carried for o in carried) / sum(o.seconds for o in carried) if carried else None

    def bounds_of(self, name: str) -> Bounds:
        """The bounds of the range that holds a name. Raises UnroutableName."""
        with self.shards.budget():
            part = self.shards.stored_map().range_for(name_key(name))
        return Bounds(part.lower, part.upper)

    def plan_drain(self, shard: str, targets: Sequence[str], by: str) -> list[MoveOrder]:
        """Orders that leave a shard without a range: each to the one of these that has least then."""
        with self.shards.budget():
            held, stores = self.shards.stored_map().held_by(shard), self.shards.stores
            counts = {name: stores[name].count().products for name in targets or stores if name != shard}
        orders = []
        for part in held:
            target = part.other or min(counts, key=lambda name: counts[name])
            orders.append(self.plan_move(Bounds(part.lower, part.upper), target, by))
            counts[target] = counts.get(target, 0) + orders[-1].total
        return orders

    def give_order(self, order: MoveOrder) -> None:
        """Give a planned order. Raises Conflict while another range is being moved."""
        with self.shards.budget():
            self.shards.orders.add(order)

    def latest_orders(self, limit: int) -> list[MoveOrder]:
        """The last orders, the newest first."""
        with self.shards.budget():
            return self.shards.orders.latest(limit)

    def plan_move(self, bounds: Bounds, target: str, by: str) -> MoveOrder:
        """The order to move these names to a shard, not given yet. Raises ShardNotFound, Conflict."""
        with self.shards.budget():
            _current, part = self._range_mover(bounds).plan(target)
            total = self.shards.stores[part.shard].moves.count(part)
            return MoveOrder(uuid4(), bounds, part.shard, target, by, datetime.now(UTC), total=total)

    def carry_out(
        self,
        order_id: UUID,
        tell: Callable[[MoveOrder, str], None],
        *,
        stop: Callable[[], bool] = lambda: False,
        patience: float = 0.0,
    ) -> MoveOrder:
        """Carry an order out until all products are where they are to be, or somebody wants it to pause, or ``stop``.

        While somebody else is at work on it, and for the seconds of ``patience`` until somebody may be, it is only
        looked at. What does not answer is waited for. ``tell`` hears how far it is, and what is waited for. Raises
        Conflict where products cannot move: the order is paused then.
        """
        began, order = time.monotonic(), None
        while True:
            try:
                order = self.order(order_id)
                if order.carried_at or order.wanted == "pause" or stop():
                    return order
                if time.monotonic() - began >= patience and self._claim(order):
                    self._carry_out(order, _AtWork(self, order, tell, stop))
                    continue
                tell(order, "")
            except (Unavailable, OutcomeUnknown) as unreachable:
                if stop() and order:
                    return order
                if order:
                    tell(order, unreachable.message)
            threading.Event().wait(_AGAIN_SECONDS)

    def _claim(self, order: MoveOrder) -> bool:
        with self.shards.budget():
            return self.shards.orders.claim(order.id, self.worker)

    def _carry_out(self, order: MoveOrder, at_work: _AtWork) -> None:
        goal = order.goal
        other = order.target if goal == order.source else order.source
        throttle = Throttle([self.shards.stores[name].moves for name in (order.source, order.target)], at_work.wait)
        mover = self._range_mover(order.bounds, at_work, throttle.at_once)
        try:
            with throttle:
                begun = mover.announce(order.target)
                if begun and not (mover.give(goal, at_work) and mover.carry(other, goal, at_work)):
                    return
        except Conflict as refused:
            with self.shards.budget():
                self.shards.orders.pause(order.id, refused.message)
            raise
        finally:
            with suppress(Unavailable, OutcomeUnknown), self.shards.budget():
                self.shards.orders.release(order.id, self.worker)
        with self.shards.budget():
            self.shards.orders.end(order.id)
        self.close_settled()

    def close_settled(self) -> None:
        """Give the ranges to their owners alone that have no old locations in the other shard any more."""
        with self.shards.budget():
            settling = [order for order in self.shards.orders.open() if order.carried_at]
        for order in settling:
            if self._range_mover(order.bounds).close():
                with self.shards.budget():
                    self.shards.orders.end(order.id, closed=True)

    def order_at_work(self) -> MoveOrder:
        """The order whose products are not all carried yet. Raises NotFound."""
        with self.shards.budget():
            found = next((order for order in self.shards.orders.open() if not order.carried_at), None)
        if found is None:
            raise NotFound("no range is being moved", hint="prodctl shard status shows the last moves")
        return found

    def want(self, order: MoveOrder, wanted: Wanted) -> None:
        """Let whoever carries an order out know what is to become of it."""
        with self.shards.budget():
            self.shards.orders.want(order.id, wanted)

    def give_one_by_one(self, orders: Sequence[MoveOrder], follow: Callable[[MoveOrder], MoveOrder]) -> list[MoveOrder]:
        """Give planned orders, each when ``follow`` returns the one before as carried to its goal; those given.

        Raises Conflict while another range is being moved.
        """
        given: list[MoveOrder] = []
        for order in orders:
            self.give_order(order)
            given.append(follow(order))
            if not given[-1].carried_at or given[-1].wanted == "abort":
                break
        return given

    def order(self, order_id: UUID) -> MoveOrder:
        """An order. Raises NotFound."""
        with self.shards.budget():
            order = self.shards.orders.get(order_id)
        if order is None:
            raise NotFound(f"there is no move {order_id}")
        return order

    def _range_mover(
        self, bounds: Bounds, at_work: _AtWork | None = None, at_once: Callable[[], int] = lambda: 1
    ) -> RangeMover:
        shards = self.shards
        moves = {name: store.moves for name, store in shards.stores.items()}
        if at_work is None:
            return RangeMover(bounds, shards.maps, shards.owned, moves, shards.carrier(), wait=lambda _seconds: None)

        def begin_round() -> int:
            at_work.carrying()
            return at_once()

        return RangeMover(
            bounds,
            shards.maps,
            shards.owned,
            moves,
            shards.carrier(),
            wait=at_work.wait,
            on_batch=at_work.note,
            at_once=begin_round,
        )


_AGAIN_SECONDS = 1.0
_LOOK_SECONDS = 1.0
RUNNER_TAKES_SECONDS = 3.0
"""So long whoever gives an order leaves it to the supervised program, which goes on whatever becomes of a terminal."""


class _AtWork:
    """While an order is carried out: heartbeats, progress, and whether somebody wants something else by now."""

    def __init__(
        self, moves: RangeMoves, order: MoveOrder, tell: Callable[[MoveOrder, str], None], stop: Callable[[], bool]
    ) -> None:
        self._shards = moves.shards
        self._worker = moves.worker
        self._order = order
        self._tell = tell
        self._stop = stop
        self._looked = time.monotonic()
        self._noted: float | None = None
        self._noting = threading.Lock()
        self._is_over = False

    def carrying(self) -> None:
        """Products are being carried from now on, if they were not before: pauses between them count."""
        self._noted = self._noted or time.monotonic()

    def __call__(self) -> bool:
        """Whether to stop: asked often, looked at once a second."""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self.note(0)
            with self._shards.budget():
                now = self._shards.orders.get(self._order.id)
            self._looked = time.monotonic()
            self._is_over |= now is None or now.wanted != self._order.wanted
            if now:
                self._tell(now, "")
        return self._is_over or self._stop()

    def note(self, products: int) -> None:
        """A batch is carried. Where somebody else is at work by now it is over: this process slept too long."""
        seconds = 0.0
        if products and self._noted:
            with self._noting:  # batches end in threads of their own
                ended = time.monotonic()
                seconds, self._noted = ended - self._noted, ended
        with self._shards.budget():
            self._is_over |= not self._shards.orders.note(self._order.id, self._worker, products, seconds)

    def wait(self, seconds: float) -> None:
        """Wait, or less long where it is to stop."""
        ends, never = time.monotonic() + seconds, threading.Event()
        while (left := ends - time.monotonic()) > 0 and not self():
            never.wait(min(left, _LOOK_SECONDS / 4))


MOST_LAG_SECONDS = 2.0
SLOWER = 1.3
"""The others' answers may take so many times as long as before the move."""
_LEAST_SECONDS = 0.002
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_PROBE_SECONDS = 0.25
_PROBES = 8
_PROBE_BUDGET = 10.0
AT_ONCE = 3
"""Batches at once where nobody else is there: enough to keep two shards busy while each waits for its majority."""
_LOOK_AROUND_SECONDS = 10.0
_ASIDE_SECONDS = 0.25
_FEW = 2
"""So many requests in that time are those of services that nobody uses just now."""


def next_pause(last: float, usual: float, now: float, lag: float) -> float:
    """How long to wait after a batch, in seconds: doubled while others wait longer for it than usual, else halved.

    >>> next_pause(0.0, 0.010, 0.012, 0.1), next_pause(0.0, 0.010, 0.020, 0.1), next_pause(0.4, 0.010, 0.012, 9.0)
    (0.0, 0.05, 0.8)
    >>> next_pause(0.4, 0.010, 0.012, 0.1), next_pause(0.05, 0.010, 0.012, 0.1)
    (0.2, 0.0)
    """
    if lag > MOST_LAG_SECONDS or now > max(SLOWER * usual, usual + _LEAST_SECONDS):
        return min(max(2 * last, _FIRST_PAUSE), _LONGEST_PAUSE)
    return last / 2 if last > _FIRST_PAUSE else 0.0


class Probed(Protocol):
    """A shard as others meet it. Raises Unavailable or OutcomeUnknown."""

    def answer_seconds(self) -> float:
        """How long a small write takes until it is on a majority."""

    def lag_seconds(self) -> float:
        """By how much the slowest of its healthy secondaries lags."""

    def served(self) -> tuple[int, int]:
        """How many reads and writes of products it has answered; each of these questions is a read too."""


class Throttle:
    """Lets a mover wait between its batches while others feel them: it probes its shards all the time, by small writes.

    What is usual is measured before the first batch. Every ten seconds the mover stands aside for a moment, in which
    whoever asks for products is somebody else: where nobody does, several batches go at once, and only a lag slows them
    down. ``wait`` waits for so many seconds.
    """

    def __init__(
        self, shards: Sequence[Probed], wait: Callable[[float], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shards = shards
        self._wait = wait
        self._clock = clock
        self._is_alone = False
        self._look_at = clock()
        self._over = threading.Event()
        self._prober = threading.Thread(target=self._probe, name="mover-probe", daemon=True)
        self._seen: deque[float] = deque(maxlen=_PROBES)
        self._lag = 0.0
        self._usual: float | None = None
        self._pause = 0.0

    def __enter__(self) -> Self:
        self._prober.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._prober.join()

    def _probe(self) -> None:
        while not self._over.wait(_PROBE_SECONDS):
            with suppress(Unavailable, OutcomeUnknown), budget(_PROBE_BUDGET):
                self.probe()

    def probe(self) -> None:
        """Measure once, as others do all the time. Raises Unavailable or OutcomeUnknown."""
        self._seen.append(max(shard.answer_seconds() for shard in self._shards))
        self._lag = max(shard.lag_seconds() for shard in self._shards)

    def at_once(self) -> int:
        """How many batches may go at once now, after a wait as long as is needed. Raises Unavailable."""
        if not self._seen:
            return 1
        if self._clock() >= self._look_at:
            self._is_alone = self._look_around()
            self._look_at = self._clock() + _LOOK_AROUND_SECONDS
        now = median(self._seen)
        self._usual = now if self._usual is None else min(self._usual, now)
        self._pause = next_pause(self._pause, self._usual, self._usual if self._is_alone else now, self._lag)
        if self._pause:
            self._wait(self._pause)
        return AT_ONCE if self._is_alone and not self._pause else 1

    def _look_around(self) -> bool:
        """Whether nobody else asks for products."""
        with budget(_PROBE_BUDGET):
            before = [sum(shard.served()) for shard in self._shards]
            self._wait(_ASIDE_SECONDS)
            asked = [sum(shard.served()) - count - 1 for shard, count in zip(self._shards, before, strict=True)]
        return all(0 <= count <= _FEW for count in asked)  # below 0: another primary counts now


def serve_moves(
    settings: Settings, stop: threading.Event, log: Callable[[str], None], close_seconds: float = 60.0
) -> None:
    """Carry out what is ordered until ``stop``, in a supervised program; every minute close what has settled.

    The shards are connected to only while there is anything to do: to watch their members costs more than to look.
    """
    said, close_at = "", 0.0
    known = {found.name for found in configured_sets(settings)}  # one that was added since is another process's
    with open_desk(patient(settings)) as desk:
        while not stop.wait(_LOOK_SECONDS):
            try:
                with budget(settings.request_budget_seconds):
                    found = [order for order in desk.moves.open() if {order.source, order.target} <= known]
                waiting = [order for order in found if order.is_waiting(datetime.now(UTC))]
                settled = time.monotonic() >= close_at and any(order.carried_at for order in found)
                if waiting or settled:
                    close_at = time.monotonic() + close_seconds
                    with open_shards(settings) as shards:
                        _serve(RangeMoves(shards), waiting, stop, log)
                said = ""
            except ProdError as error:
                if error.message != said:
                    log(said := error.message)


def _serve(moves: RangeMoves, waiting: Sequence[MoveOrder], stop: threading.Event, log: Callable[[str], None]) -> None:
    for order in waiting:
        log(f"{order.by} ordered the move of {order.bounds} to {order.target}")
        moves.carry_out(order.id, lambda _order, _trouble: None, stop=stop.is_set)
    moves.close_settled()
