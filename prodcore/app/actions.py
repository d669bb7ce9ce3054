"""The composition root of what operators order on the pages: each by the code that the command line runs for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from prodcore.app.cluster import open_switchover
from prodcore.app.range_moves import RangeMoves
from prodcore.app.shards import open_shards
from prodcore.app.wiring import configured_set, open_board
from prodcore.drill.engine import objections
from prodcore.drill.faults import Fault
from prodcore.drill.journal import DrillJournal
from prodcore.drill.plan import DrillPlan
from prodcore.errors import Conflict, DrillRunning, NotFound, OutcomeUnknown, Unavailable
from prodcore.processes.control import MemberControl
from prodcore.processes.orders import ActionKind, ActionRunner, ClusterAction
from prodcore.replicaset.diagnostic import ProblemLine
from prodcore.replicaset.status import SetStatus
from prodcore.replicaset.switchover import switch_over
from prodcore.settings import Settings
from prodcore.sharding.mover import Bounds, MoveOrder, Wanted

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
    with open_board(settings) as board:
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
            raise Conflict(f"the move of {given[-1].bounds} was taken back")
        return {"moved": carried}

    def _until_carried(self, moves: RangeMoves, order: MoveOrder) -> MoveOrder:
        """Wait for whoever carries it out, in this program or elsewhere; a paused one is waited for, too."""
        while not self._stop.wait(_LOOK_SECONDS):
            with suppress(Unavailable, OutcomeUnknown):
                if (now := moves.order(order.id)).carried_at:
                    return now
        raise Unavailable("the drill runner was stopped; the move goes on when it runs again")

    def _want(self, action: ClusterAction) -> Mapping[str, Any]:
        with open_shards(self._settings) as shards:
            moves = RangeMoves(shards)
            order = moves.order_at_work()
            if str(order.id) != action.arguments["move"]:
                raise NotFound(f"the move of {action.arguments['move']} is over")
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
            raise Conflict("a drill, or another action on a member, is at work", hint="wait for it to end") from None
