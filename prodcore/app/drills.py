"""The composition root of what the drill runner carries out: drills, and what operators order on the pages.

Each is done by the code that the command line runs for it.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from prodcore.app.cluster import open_switchover
from prodcore.app.range_moves import RangeMoves
from prodcore.app.shards import open_shards
from prodcore.app.wiring import (
    PRODUCTS,
    configured_set,
    open_board,
    open_catalog,
    open_inspectors,
    open_replica_set,
    open_switch,
    patient,
)
from prodcore.drill.engine import objections
from prodcore.drill.faults import DrillJournal, Fault
from prodcore.drill.plan import DrillPlan
from prodcore.errors import Conflict, DrillRunning, NotFound, OutcomeUnknown, Unavailable
from prodcore.processes.control import MemberControl
from prodcore.processes.orders import ActionKind, ActionRunner, ClusterAction
from prodcore.replicaset.diagnostic import ProblemLine
from prodcore.replicaset.status import SetStatus
from prodcore.replicaset.switchover import switch_over
from prodcore.settings import Settings
from prodcore.sharding.mover import Bounds, MoveOrder, Wanted

if TYPE_CHECKING:
    from prodcore.catalog import Catalog
    from prodcore.drill.engine import Parts
    from prodcore.drill.load import Place, Traffic
    from prodcore.processes.control import MemberControl

    ProductTraffic = Callable[[Place, Place | None], Traffic]
    """Makes the load's way to products with names of these places."""


@contextmanager
def open_drill(
    settings: Settings,
    control: MemberControl,
    *,
    unsafe: bool = False,
    product_traffic: ProductTraffic | None = None,
) -> Iterator[Parts]:
    """Everything that a drill needs, with an id of its own; closes the connections at the end.

    ``unsafe`` is for the control run: records of its own everywhere, acknowledged by one member. The load takes
    ``product_traffic`` to the products, or else the catalogue itself.
    """
    from prodcore.drill.engine import Parts
    from prodcore.drill.faults import DrillJournal
    from prodcore.mongo.admin.drill_set import DRILL_RECORDS, MongoDrillSet
    from prodcore.mongo.admin.guarded_set import MongoGuards

    run = f"drill{secrets.token_hex(4)}"
    *shards, users = open_inspectors(settings)
    places = {s.name: (PRODUCTS[0], DRILL_RECORDS[1]) if unsafe else PRODUCTS for s in shards}
    places[users.name] = DRILL_RECORDS
    with ExitStack() as stack:
        switch = stack.enter_context(open_switch(settings))
        load = _Load(settings, run, places, product_traffic, stack, unsafe=unsafe)
        yield Parts(
            run,
            {s.name: MongoDrillSet(s, places[s.name]) for s in (*shards, users)},
            frozenset(name for name, place in places.items() if place == PRODUCTS),
            load.open,
            control,
            DrillJournal(settings.state_dir / "drill"),
            settings.request_budget_seconds,
            MongoGuards(switch),
            load.settle,
        )


class _Load:
    """The load's ways to the sets, opened when they are needed."""

    def __init__(
        self,
        settings: Settings,
        run: str,
        places: dict[str, tuple[str, str]],
        product_traffic: ProductTraffic | None,
        stack: ExitStack,
        *,
        unsafe: bool,
    ) -> None:
        self._settings = settings
        self._run = run
        self._places = places
        self._product_traffic = product_traffic
        self._stack = stack
        self._unsafe = unsafe

    def open(self, name: str) -> Traffic:
        """The way to a set: to products, or to records of the drill's own."""
        return self._open_products(name) if self._places[name] == PRODUCTS else self._open_records(name)

    def settle(self) -> None:
        """Finish every move between shards that is unfinished."""
        from datetime import timedelta

        from prodcore.deadline import budget

        with budget(self._settings.request_budget_seconds):
            left = self._catalog.moves.sweep(timedelta(0))
        if left:
            raise Unavailable(f"{left} renames from one shard to another could not be finished")

    @cached_property
    def _catalog(self) -> Catalog:

        return self._stack.enter_context(open_catalog(self._settings, count_retries=True))

    def _open_products(self, name: str) -> Traffic:
        from prodcore.drill.load import CatalogTraffic, places_of

        home, elsewhere = places_of(self._catalog.shard_map, name, self._run)
        if self._product_traffic:
            return self._product_traffic(home, elsewhere)
        return CatalogTraffic(self._catalog, home, elsewhere)

    def _open_records(self, name: str) -> Traffic:
        from prodcore.mongo.admin.drill_set import MongoRecordTraffic

        setting = configured_set(self._settings, name).setting
        replica_set = open_replica_set(self._settings, setting, count_retries=True)
        traffic = MongoRecordTraffic(replica_set, self._run, self._places[name])
        if self._unsafe:
            traffic.forget_majority()
        return traffic


_WANTED: Mapping[ActionKind, Wanted] = {
    ActionKind.PAUSE: "pause",
    ActionKind.RESUME: "move",
    ActionKind.ABORT: "abort",
}


_LOOK_SECONDS = 1.0


def serve_actions(
    settings: Settings, control: MemberControl, stop: threading.Event, log: Callable[[str], None]
) -> None:
    """Carry out what is ordered until ``stop``, in a supervised program."""
    actions = _Actions(settings, control, stop)
    with open_board(patient(settings)) as board:
        ActionRunner(board.actions, actions.perform, log).run(stop)


def plan_moves(moves: RangeMoves, action: ClusterAction) -> list[MoveOrder]:
    """What a move, a drain or a rebalance would give orders for; nothing is changed. Raises Conflict, ShardNotFound."""
    given = action.arguments
    if action.kind is ActionKind.MOVE:
        bounds = Bounds(given["lower"], given["upper"] or None)
        return [moves.plan_move(bounds, given["target"], action.by)]
    if action.kind is ActionKind.DRAIN:
        return moves.plan_drain(given["shard"], (), action.by)
    return moves.plan_rebalance(action.by)[0]


def stop_objections(status: SetStatus, member: str) -> list[ProblemLine]:
    """Why a member must not be stopped now, a sentence each, as for a drill that stops it. Raises MemberNotFound.

    One that does not answer is left to be stopped: nothing gets worse.
    """
    if not status.required_member(member).is_working:
        return []
    plan = DrillPlan((status.name,), Fault.STOP, target=member)
    return objections(plan, [status], [m.address for m in status.members])


class _Actions:
    """Carries out actions with an operator's access."""

    def __init__(self, settings: Settings, control: MemberControl, stop: threading.Event) -> None:
        self._settings = settings
        self._control = control
        self._stop = stop

    def perform(self, action: ClusterAction) -> Mapping[str, Any]:
        """Carry one out; see ``prodcore.processes.orders.Perform``."""
        if action.kind in _WANTED:
            return self._want(action)
        if action.kind in (ActionKind.MOVE, ActionKind.DRAIN, ActionKind.REBALANCE):
            return self._move(action)
        with self._alone():
            return self._switch_over(action) if action.kind is ActionKind.SWITCHOVER else self._control_member(action)

    def _move(self, action: ClusterAction) -> Mapping[str, Any]:
        with open_shards(self._settings) as shards:
            moves = RangeMoves(shards)
            if action.kind is not ActionKind.MOVE:
                moves.close_settled()
            orders = plan_moves(moves, action)
            given = moves.give_one_by_one(orders, lambda order: self._until_carried(moves, order))
        carried = [str(order.bounds) for order in given if order.wanted == "move" and order.carried_at]
        if len(carried) < len(given):
            raise Conflict(f"the move of {given[-1].bounds} was undone")
        return {"moved": carried}

    def _until_carried(self, moves: RangeMoves, order: MoveOrder) -> MoveOrder:
        """Wait for whoever carries it out, in this program or elsewhere; a paused one is waited for, too."""
        while not self._stop.wait(_LOOK_SECONDS):
            with suppress(Unavailable, OutcomeUnknown):
                if (now := moves.order(order.id)).carried_at:
                    return now
        raise Unavailable("the drill runner was stopped; the move continues when it is active again")

    def _want(self, action: ClusterAction) -> Mapping[str, Any]:
        with open_shards(self._settings) as shards:
            moves = RangeMoves(shards)
            order = moves.order_at_work()
            if str(order.id) != action.arguments["move"]:
                raise NotFound(f"the move of {action.arguments['move']} has already finished")
            if action.kind is ActionKind.RESUME and order.wanted != "pause":
                raise Conflict(f"the move of {order.bounds} is not paused")
            moves.want(order, _WANTED[action.kind])
        return {"range": str(order.bounds)}

    def _switch_over(self, action: ClusterAction) -> Mapping[str, Any]:
        with open_switchover(self._settings, action.arguments["set"]) as parts:
            return switch_over(parts, action.arguments["member"]).as_dict()

    def _control_member(self, action: ClusterAction) -> Mapping[str, Any]:
        from prodcore.mongo.admin.inspection import MongoSetInspector

        found = configured_set(self._settings, action.arguments["set"])
        status = MongoSetInspector(found.uri, found.databases).inspect()
        member = status.required_member(action.arguments["member"])
        if action.kind is ActionKind.START:
            self._control.start(member.address)
        elif against := stop_objections(status, member.address):
            raise Unavailable("; ".join(against))
        else:
            self._control.stop(member.address)
        return {"member": member.address}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Neither during a drill nor beside another one of these. Raises Conflict."""
        journal = DrillJournal(self._settings.state_dir / "drill")
        try:
            with journal.lock():
                yield
        except DrillRunning:
            raise Conflict("a drill, or another action on a member, is running", hint="wait for it to end") from None
