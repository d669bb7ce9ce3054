"""What a worker process keeps while it runs: the catalogue, the cluster's picture, the drill desk.

What they show is looked at again and again while anybody wants to know it, once for everybody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import structlog
from flask import current_app

from prodcore.app.cluster import look_at
from prodcore.app.wiring import Desk, open_catalog, open_desk, open_inspectors
from prodcore.catalog import Catalog, ShardCount
from prodcore.catalog.distribution import Spread
from prodcore.deadline import budget
from prodcore.drill.orders import DrillRun, RunnerSign
from prodcore.drill.report import DrillHistory
from prodcore.errors import ProdError, Unavailable
from prodcore.replicaset.cluster import ClusterStatus, HttpServiceProbe
from prodcore.settings import Settings
from prodcore.sharding.mover import MoveOrders

if TYPE_CHECKING:
    from prodcore.mongo.admin.drill_board import MongoDrillBoard
    from prodcore.mongo.admin.inspection import MongoSetInspector


EVERY_SECONDS = 5.0
_SWEEP_SECONDS = 30.0

_log = structlog.get_logger("sweeper")


class Sweeper:
    """A thread that looks every few seconds, for as long as the catalogue is open.

    It takes over a newer shard map, and finishes the moves whose process died.
    """

    def __init__(self, catalog: Catalog, every_seconds: float = EVERY_SECONDS) -> None:
        self._catalog = catalog
        self._every_seconds = every_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, and wait for a sweep that has begun."""
        self._ended.set()
        self._thread.join(_SWEEP_SECONDS)

    def _run(self) -> None:
        while not self._ended.wait(self._every_seconds):
            try:
                with budget(_SWEEP_SECONDS):
                    with suppress(Unavailable):  # whoever needs a newer one looks again
                        self._catalog.current_map.follow()
                    self._catalog.moves.sweep()
            except Exception:  # noqa: BLE001  whatever it is, the next sweep is to come
                _log.exception("sweep_failed")


class CatalogProvider:
    """Opens the catalogue once. While rsU and a shard are both silent nothing can be routed: it then tries again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._resources = ExitStack()
        self._catalog: Catalog | None = None

    def get(self) -> Catalog:
        """The catalogue. Raises Unavailable while no trusted shard map can be read."""
        if self._catalog is None:
            with self._lock:
                if self._catalog is None:
                    catalog = self._resources.enter_context(open_catalog(self._settings))
                    self._resources.callback(Sweeper(catalog).close)
                    self._catalog = catalog
        return self._catalog

    def close(self) -> None:
        """Close the connections."""
        self._resources.close()
        self._catalog = None


def current_catalog() -> Catalog:
    """The catalogue of the running app. Raises Unavailable while nothing can be routed."""
    provider: CatalogProvider = current_app.extensions["catalog"]
    return provider.get()


T = TypeVar("T")

_SHORTEST_PAUSE_SECONDS = 0.05


class Watched(Generic[T]):
    """The newest answer of ``look``, which a thread asks every so many seconds while anybody wants it.

    Who asks gets the last answer at once, however long looking takes while something is broken; only the first one
    after a pause waits. ``look`` must be bounded in time; what it raises is raised to them. ``rest`` is called, in the
    same thread, when nobody has asked for ``unwanted_seconds``.
    """

    def __init__(
        self,
        look: Callable[[], T],
        every_seconds: float,
        rest: Callable[[], None] = lambda: None,
        *,
        unwanted_seconds: float = 10.0,
    ) -> None:
        self._look = look
        self._every = every_seconds
        self._rest = rest
        self._unwanted = unwanted_seconds
        self._changed = threading.Condition()
        self._wanted_at = 0.0
        self._looks = 0
        self._answer: Callable[[], T] | None = None
        self._thread: threading.Thread | None = None

    def get(self) -> T:
        """The newest answer."""
        self.wait(0, 0.0)
        return cast("Callable[[], T]", self._answer)()

    def wait(self, looks: int, seconds: float) -> int:
        """Wait until there were more than so many looks, at least one, or the time is up; how many there were."""
        with self._changed:
            self._wanted_at = time.monotonic()
            if self._thread is None:
                self._answer = None  # it may be old
                self._thread = threading.Thread(target=self._run, name="watched", daemon=True)
                self._thread.start()
            self._changed.wait_for(lambda: self._answer is not None)
            self._changed.wait_for(lambda: self._looks > looks, seconds)
            return self._looks

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            began = time.monotonic()
            answer = self._ask()
            with self._changed:
                self._answer, self._looks = answer, self._looks + 1
                self._changed.notify_all()
                if began - self._wanted_at > self._unwanted:
                    self._thread = None
                    self._rest()
                    return
            pause.wait(max(_SHORTEST_PAUSE_SECONDS, began + self._every - time.monotonic()))

    def _ask(self) -> Callable[[], T]:
        try:
            found = self._look()
        except Exception as error:  # noqa: BLE001  carried to whoever asks
            return _raising(error)
        return lambda: found


def _raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


_STATUS_SECONDS = 0.5
_COUNTS_SECONDS = 2.0
_SPREAD_SECONDS = 15.0
_COUNT_SECONDS = 1.0
_AUTHSVC_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the shards hold."""

    counts: tuple[ShardCount, ...] = ()

    def of(self, shard: str) -> ShardCount | None:
        """One shard's part; None for a set that holds no products."""
        return next((c for c in self.counts if c.shard == shard), None)

    @property
    def most(self) -> int:
        """The largest part, at least 1."""
        return max((c.products or 0 for c in self.counts), default=0) or 1


class ClusterPicture:
    """The members' state, what the shards hold, and where the products lie."""

    def __init__(self, settings: Settings, catalog: CatalogProvider) -> None:
        self._settings = settings
        self._catalog = catalog
        self._sets: list[MongoSetInspector] = []
        self.status = Watched(self._look, _STATUS_SECONDS, self._rest)
        self.holdings = Watched(self._count, _COUNTS_SECONDS)
        self.spread = Watched(self._draw, _SPREAD_SECONDS)

    def _look(self) -> ClusterStatus:
        if not self._sets:
            self._sets = open_inspectors(self._settings, keep=True)
        url, ca_file = self._settings.auth_server_url, self._settings.ca_file
        authsvc = HttpServiceProbe("authsvc", url, timeout_seconds=_AUTHSVC_SECONDS, ca_file=ca_file)
        return look_at(self._sets, [authsvc])

    def _rest(self) -> None:
        for each in self._sets:
            each.close()

    def _count(self) -> Holdings:
        """Counts where they can be had quickly: the page is for the times when something is wrong."""
        try:
            with budget(_COUNT_SECONDS):
                return Holdings(tuple(self._catalog.get().counts()))
        except ProdError:
            return Holdings()

    def _draw(self) -> Spread | None:
        try:
            with budget(_COUNT_SECONDS):
                return self._catalog.get().spread()
        except ProdError:
            return None


def current_picture() -> ClusterPicture:
    """The picture of the running app."""
    return cast("ClusterPicture", current_app.extensions["cluster_picture"])


def current_status() -> ClusterStatus:
    """The members' state in the running app. Raises ConfigError."""
    return current_picture().status.get()


_EVERY_SECONDS = 0.5
_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class DeskState:
    """Who could carry out a drill, and the last one that was ordered."""

    runners: tuple[RunnerSign, ...] = ()
    latest: DrillRun | None = None
    is_old: bool = False
    """The users' set does not answer just now: this is what it said last."""

    @property
    def at_work(self) -> DrillRun | None:
        """The drill that another one would have to wait for."""
        latest = self.latest
        return latest if latest and latest.is_at_work(datetime.now(UTC)) else None

    @property
    def controlled(self) -> frozenset[str]:
        """The members that a runner can break and put back."""
        return frozenset(member for runner in self.runners for member in runner.members)


class DrillDesk:
    """The board, the history and the moves of ranges, opened when first needed, so after forking."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._resources = ExitStack()
        self._desk: Desk | None = None
        self._last: DeskState | None = None
        self.state = Watched(self._look, _EVERY_SECONDS)

    def board(self) -> MongoDrillBoard:
        """Where drills are ordered. Its calls raise Unavailable."""
        return self._opened().board

    def history(self) -> DrillHistory:
        """Past drills. Its calls raise Unavailable."""
        return self._opened().history

    def moves(self) -> MoveOrders:
        """The moves of ranges. Its calls raise Unavailable."""
        return self._opened().moves

    def run(self, order_id: str) -> DrillRun | None:
        """What became of an order; None when there is none."""
        latest = self.state.get().latest
        return latest if latest and latest.order.id == order_id else self.board().get(order_id)

    def _opened(self) -> Desk:
        with self._lock:
            if self._desk is None:
                self._desk = self._resources.enter_context(open_desk(self._settings))
            return self._desk

    def _look(self) -> DeskState:
        board = self.board()
        try:
            with budget(_LOOK_SECONDS):
                self._last = DeskState(tuple(board.runners()), board.latest())
        except Unavailable:
            if self._last is None:
                raise
            return replace(self._last, is_old=True)
        return self._last


def current_desk() -> DrillDesk:
    """The desk of the running app."""
    return cast("DrillDesk", current_app.extensions["drill_desk"])
