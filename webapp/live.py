"""What a worker process keeps while it runs: the catalogue, the cluster's picture, the drill desk.

What they show is looked at again and again while anybody wants to know it, once for everybody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import structlog
from flask import current_app

from prodcore.app.cluster import MemberExamination, examine_member, look_at
from prodcore.app.drills import plan_moves
from prodcore.app.range_moves import RangeMoves
from prodcore.app.shards import open_shards
from prodcore.app.wiring import Desk, open_catalog, open_desk, open_inspectors
from prodcore.catalog import Catalog, ShardCount
from prodcore.catalog.distribution import Spread, spread
from prodcore.deadline import budget, run_parallel
from prodcore.drill.orders import DrillRun, RunnerSign
from prodcore.drill.report import DrillHistory
from prodcore.errors import ProdError, Unavailable
from prodcore.processes.orders import ClusterAction
from prodcore.replicaset.cluster import ClusterStatus, HttpServiceProbe
from prodcore.replicaset.curves import CurveStore
from prodcore.settings import Settings
from prodcore.sharding.mover import MoveOrder, MoveOrders

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
_SAMPLES_SECONDS = 15.0
_COUNT_SECONDS = 1.0
_AUTHSVC_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the shards hold."""

    counts: tuple[ShardCount, ...] = ()
    spread: Spread | None = None
    """Where the products lie, by the shard map of this moment."""

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
        self._samples = Watched(self._draw, _SAMPLES_SECONDS)

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
                catalog = self._catalog.get()
                counts, shard_map = tuple(catalog.counts()), catalog.shard_map
        except ProdError:
            return Holdings()
        held = {c.shard: c.products for c in counts if c.products is not None}
        keys = {shard: keys for shard, keys in self._samples.get().items() if shard in held}
        return Holdings(counts, spread(shard_map, held, keys))

    def _draw(self) -> dict[str, list[str]]:
        """Keys of each shard, drawn at random."""
        try:
            with budget(_COUNT_SECONDS):
                return self._catalog.get().some_keys()
        except ProdError:
            return {}

    def examine(self, set_name: str, member: str) -> MemberExamination:
        """One member, looked at closely. Raises ShardNotFound, MemberNotFound."""
        return examine_member(self._settings, set_name, member)


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


_MOVES_SECONDS = 1.0
_MOVES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class MoveOverview:
    """The last moves of ranges between shards, the newest first."""

    orders: tuple[MoveOrder, ...] = ()
    is_known: bool = True

    @property
    def at_work(self) -> MoveOrder | None:
        """The one whose products are not all where they are to be."""
        return next((order for order in self.orders if not order.carried_at), None)

    @property
    def open(self) -> tuple[MoveOrder, ...]:
        """Those that are not closed: at work, or settling."""
        return tuple(order for order in self.orders if not order.closed_at)


class DrillDesk:
    """The board, the history, the moves of ranges and the curves, opened when first needed, so after forking."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._resources = ExitStack()
        self._desk: Desk | None = None
        self._is_closed = False
        self._last: DeskState | None = None
        self.state = Watched(self._look, _EVERY_SECONDS)
        self.latest_moves = Watched(self._look_at_moves, _MOVES_SECONDS)

    def board(self) -> MongoDrillBoard:
        """Where drills are ordered. Its calls raise Unavailable."""
        return self._opened().board

    def history(self) -> DrillHistory:
        """Past drills. Its calls raise Unavailable."""
        return self._opened().history

    def moves(self) -> MoveOrders:
        """The moves of ranges. Its calls raise Unavailable."""
        return self._opened().moves

    def plan_moves(self, action: ClusterAction) -> tuple[list[MoveOrder], float | None]:
        """What an action on ranges would give orders for now, and the products a second of the last moves.

        Raises Conflict, ShardNotFound, Unavailable.
        """
        with open_shards(self._settings) as shards:
            moves = RangeMoves(shards)
            return plan_moves(moves, action), moves.rate()

    def run(self, order_id: str) -> DrillRun | None:
        """What became of an order; None when there is none."""
        latest = self.state.get().latest
        return latest if latest and latest.order.id == order_id else self.board().get(order_id)

    def curves(self) -> CurveStore:
        """What the cluster was like. Its calls raise Unavailable."""
        return self._opened().curves

    def _opened(self) -> Desk:
        with self._lock:
            if self._is_closed:  # a question may outlive its page
                raise Unavailable("this process is ending")
            if self._desk is None:
                self._desk = self._resources.enter_context(open_desk(self._settings))
            return self._desk

    def close(self) -> None:
        """Close the connections; none is opened any more."""
        with self._lock:
            self._is_closed = True
            self._resources.close()

    def _look_at_moves(self) -> MoveOverview:
        """While the users' set does not answer they are not known: nothing of the page waits for that."""
        try:
            with budget(_COUNT_SECONDS):
                return MoveOverview(tuple(self.moves().latest(_MOVES_SHOWN)))
        except ProdError:
            return MoveOverview(is_known=False)

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


_QUESTION_SECONDS = 1.0


def answers_to(questions: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Ask all of these at once, each with a second of its own: what is answered in time, by name."""
    answers: dict[str, Any] = {}

    def ask(name: str) -> None:
        with suppress(ProdError), budget(_QUESTION_SECONDS):
            answers[name] = questions[name]()

    run_parallel(ask, questions)
    return answers
