"""Orders and records in ``prodctl_meta`` of the users' set: drills and actions, what became of them, and curves.

``drill_orders`` is only ever added to, by webapp, whose database user may do no more; ``drill_runs``, ``action_runs``,
``drill_runners``, ``drill_history`` and ``curves`` are written by whoever carries orders out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from prodcore.drill.orders import DrillOrder, DrillRun, RunnerSign, RunState, read_plan
from prodcore.drill.plan import DrillPlan
from prodcore.drill.report import RunStep
from prodcore.errors import DrillNotFound, InvalidInput
from prodcore.mongo.client.replica_set import Document, ReplicaSet
from prodcore.processes.orders import ActionKind, ActionRun, ActionState, ClusterAction, read_action
from prodcore.replicaset.curves import Mark, Point, Resolution, SetPoint

ACTIVE_SECONDS = 10.0
"""A runner that has had no heartbeat for so long counts as gone."""

_KEPT_SECONDS = 7 * 24 * 3600
_DATABASE = "prodctl_meta"
_STOP = ":stop"


class MongoDrillBoard:
    """A ``prodcore.drill.orders.DrillBoard``, and what the dashboard needs. ``sets`` are those that may be drilled."""

    def __init__(self, replica_set: ReplicaSet, sets: Sequence[str]) -> None:
        self.sets = tuple(sets)
        self._set = replica_set
        self._orders = replica_set.collection("drill_orders", _DATABASE)
        self._runs = replica_set.collection("drill_runs", _DATABASE)
        self._runners = replica_set.collection("drill_runners", _DATABASE)
        self.actions = MongoActionBoard(replica_set)

    def prepare(self) -> None:
        """Make the indexes; what is a week old is removed."""
        self._set.write(lambda _again: self._orders.create_index("at", expireAfterSeconds=_KEPT_SECONDS))
        self._set.write(lambda _again: self._runs.create_index("at", expireAfterSeconds=_KEPT_SECONDS))
        self.actions.prepare()

    def close(self) -> None:
        """Let go of the connections."""
        self._set.close()

    def place(self, order: DrillOrder) -> None:
        """Give an order; giving the same one again changes nothing."""
        self._add({"_id": order.id, "by": order.by, "at": order.at, "plan": order.plan.as_dict()})

    def ask_to_stop(self, order_id: str, by: str) -> None:
        """Ask for the drill of this order to end now."""
        self._add({"_id": order_id + _STOP, "by": by, "at": datetime.now(UTC)})

    def latest(self) -> DrillRun | None:
        """What became of the newest order."""
        newest = self._set.read(
            lambda: list(self._orders.find({"plan": {"$exists": True}}).sort("at", DESCENDING).limit(1))
        )
        return self.get(newest[0]["_id"]) if newest else None

    def get(self, order_id: str) -> DrillRun | None:
        """What became of this order; None when there is none."""
        run = self._set.read(lambda: self._runs.find_one({"_id": order_id}))
        if run:
            return self._as_run(run)
        order = self._set.read(lambda: self._orders.find_one({"_id": order_id}))
        return self._waiting(order) if order and "plan" in order else None

    def runners(self) -> list[RunnerSign]:
        """The active runners."""
        since = datetime.now(UTC) - timedelta(seconds=ACTIVE_SECONDS)
        found = self._set.read(lambda: list(self._runners.find({"seen": {"$gte": since}})))
        return [RunnerSign(d["_id"], tuple(d["members"])) for d in found]

    def waiting(self) -> list[DrillOrder | DrillRun]:
        """See the port."""
        since = datetime.now(UTC) - timedelta(hours=1)
        wanted = {"at": {"$gte": since}, "plan": {"$exists": True}}
        orders = self._set.read(lambda: list(self._orders.find(wanted).sort("at")))
        ids = [order["_id"] for order in orders]
        answered = {d["_id"] for d in self._set.read(lambda: list(self._runs.find({"_id": {"$in": ids}}, {"_id": 1})))}
        runs = [self._waiting(order) for order in orders if order["_id"] not in answered]
        return [run.order if run.state is RunState.WAITING else run for run in runs]

    def is_to_stop(self, order_id: str) -> bool:
        """See the port."""
        return self._set.read(lambda: self._orders.find_one({"_id": order_id + _STOP})) is not None

    def publish(self, run: DrillRun) -> None:
        """See the port."""
        document = asdict(run)
        order = document.pop("order")
        document["state"] = run.state.value
        document |= {"_id": order["id"], "by": order["by"], "at": order["at"], "plan": run.order.plan.as_dict()}
        self._set.write(lambda _again: self._runs.replace_one({"_id": document["_id"]}, document, upsert=True))

    def break_off_running(self, reason: str) -> None:
        """See the port."""
        over = {"$set": {"state": RunState.BROKEN_OFF.value, "reason": reason}}
        self._set.write(lambda _again: self._runs.update_many({"state": RunState.RUNNING.value}, over))

    def sign(self, runner: RunnerSign) -> None:
        """See the port."""
        document = {"_id": runner.name, "members": list(runner.members), "seen": datetime.now(UTC)}
        self._set.write(lambda _again: self._runners.replace_one({"_id": runner.name}, document, upsert=True))

    def _add(self, document: Document) -> None:
        add_order(self._set, document)

    def _waiting(self, document: Document) -> DrillRun:
        """An order that nobody has answered; refused when it cannot be read."""
        order = DrillOrder(document["_id"], str(document.get("by", "")), document["at"], DrillPlan(()))
        try:
            plan = read_plan(document["plan"], self.sets)
        except InvalidInput as error:
            return DrillRun(order, RunState.REFUSED, reason=error.message)
        return DrillRun(DrillOrder(order.id, order.by, order.at, plan))

    def _as_run(self, document: Document) -> DrillRun:
        order = self._waiting(document).order
        fields: dict[str, Any] = {name: document[name] for name in ("run", "outcome", "reason", "seconds")}
        steps = tuple(RunStep(**step) for step in document["steps"])
        found = {"steps": steps, "series": tuple(document["series"]), "figures": document.get("figures", {})}
        return DrillRun(order, RunState(document["state"]), **found, **fields)


def add_order(replica_set: ReplicaSet, document: Document) -> None:
    """Give an order; the same one again changes nothing."""
    orders = replica_set.collection("drill_orders", _DATABASE)

    def attempt(_again: bool) -> None:
        with suppress(DuplicateKeyError):  # an earlier attempt, or somebody who pressed twice
            orders.insert_one(document)

    replica_set.write(attempt)


class MongoActionBoard:
    """A ``prodcore.processes.orders.ActionBoard``, and what the dashboard needs."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._orders = replica_set.collection("drill_orders", _DATABASE)
        self._runs = replica_set.collection("action_runs", _DATABASE)

    def prepare(self) -> None:
        """Make the index; what is a week old is removed."""
        self._set.write(lambda _again: self._runs.create_index("at", expireAfterSeconds=_KEPT_SECONDS))

    def place(self, action: ClusterAction) -> None:
        """Give an order; giving the same one again changes nothing."""
        add_order(self._set, _action_document(action))

    def get(self, action_id: str) -> ActionRun | None:
        """What became of this order; None when there is none."""
        run = self._set.read(lambda: self._runs.find_one({"_id": action_id}))
        if run:
            return _as_action_run(run)
        order = self._set.read(lambda: self._orders.find_one({"_id": action_id, "action": {"$exists": True}}))
        return _as_action_run(order) if order else None

    def waiting(self) -> list[ActionRun]:
        """See the port."""
        since = datetime.now(UTC) - timedelta(hours=1)
        wanted = {"at": {"$gte": since}, "action": {"$exists": True}}
        orders = self._set.read(lambda: list(self._orders.find(wanted).sort("at")))
        ids = [order["_id"] for order in orders]
        taken = {d["_id"] for d in self._set.read(lambda: list(self._runs.find({"_id": {"$in": ids}}, {"_id": 1})))}
        return [_as_action_run(order) for order in orders if order["_id"] not in taken]

    def take(self, action: ClusterAction) -> bool:
        """See the port."""
        mark = uuid4()
        document = _action_document(action) | {"state": ActionState.RUNNING.value, "taken": mark}

        def attempt(again: bool) -> bool:
            try:
                self._runs.insert_one(document)
            except DuplicateKeyError:
                return again and self._runs.find_one({"_id": action.id, "taken": mark}) is not None
            return True

        return self._set.write(attempt)

    def publish(self, run: ActionRun) -> None:
        """See the port."""
        how = {"state": run.state.value, "reason": run.reason, "result": dict(run.result)}
        document = _action_document(run.action) | how
        self._set.write(lambda _again: self._runs.replace_one({"_id": run.action.id}, document, upsert=True))

    def end_running(self, reason: str) -> None:
        """See the port."""
        over = {"$set": {"state": ActionState.REFUSED.value, "reason": reason}}
        self._set.write(lambda _again: self._runs.update_many({"state": ActionState.RUNNING.value}, over))


def _action_document(action: ClusterAction) -> Document:
    what = {"kind": action.kind.value, "arguments": dict(action.arguments)}
    return {"_id": action.id, "by": action.by, "at": action.at, "action": what}


def _as_action_run(document: Document) -> ActionRun:
    """A run, or an order that nobody has taken; refused when the order cannot be read."""
    id_, by, at, what = document["_id"], str(document.get("by", "")), document["at"], document["action"]
    try:
        action = read_action(id_, by, at, what.get("kind"), what.get("arguments"))
    except InvalidInput as error:
        unread = ClusterAction(id_, ActionKind.PAUSE, by, at)
        return ActionRun(unread, ActionState.REFUSED, reason=error.message)
    state = ActionState(document.get("state", ActionState.WAITING))
    return ActionRun(action, state, document.get("reason", ""), document.get("result", {}))


_KEPT = 500
_DATABASE, _COLLECTION = "prodctl_meta", "drill_history"


class MongoDrillHistory:
    """A ``prodcore.drill.report.DrillHistory``."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._drills = replica_set.collection(_COLLECTION, _DATABASE)

    def add(self, report: dict[str, Any]) -> None:
        """Keep a report, and let go of the oldest ones beyond the last 500."""
        document = {"_id": report["run"], **report}
        self._set.write(lambda _again: self._drills.replace_one({"_id": report["run"]}, document, upsert=True))
        old = self._set.read(lambda: list(self._newest({}, {"_id": 1}).skip(_KEPT).limit(100)))
        if old:
            self._set.write(lambda _again: self._drills.delete_many({"_id": {"$in": [d["_id"] for d in old]}}))

    def last(self, count: int, equal: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The newest drills first, without their curves; see the port."""
        wanted = dict(equal or {})
        return self._set.read(lambda: list(self._newest(wanted, {"series": 0, "_id": 0}).limit(count)))

    def get(self, run: str) -> dict[str, Any]:
        """The drill whose id is, or begins with, ``run``. Raises DrillNotFound."""
        begins = {"_id": re.compile("^" + re.escape(run if run.startswith("drill") else f"drill{run}"))}
        found: list[dict[str, Any]] = self._set.read(lambda: list(self._newest(begins, {"_id": 0}).limit(2)))
        if len(found) != 1:
            why = "several drills have" if found else "no drill has"
            raise DrillNotFound(f"{why} an id that begins with {run}", hint="prodctl failover-test history lists them")
        return found[0]

    def close(self) -> None:
        """Let go of the connections."""
        self._set.close()

    def _newest(self, wanted: Document, fields: Document) -> Any:
        return self._drills.find(wanted, fields).sort("started_at", DESCENDING)


class MongoCurves:
    """A ``prodcore.replicaset.curves.CurveStore``, in ``curves``: a document for each point.

    They are found by their ids alone, which begin with the resolution and sort by time.
    """

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._curves = replica_set.collection("curves", _DATABASE)
        self._is_prepared = False

    def add(self, resolution: Resolution, point: Point) -> None:
        """Keep a point; the server removes it when its curve does not reach back so far any more."""
        if not self._is_prepared:
            self._set.write(lambda _again: self._curves.create_index("expires", expireAfterSeconds=0))
            self._is_prepared = True
        document = {
            "_id": _point_id(resolution, point.at),
            "at": point.at,
            "expires": point.at + resolution.reach + 2 * resolution.step,
            "sets": [_as_document(name, of) for name, of in point.sets.items()],
            "marks": [asdict(mark) for mark in point.marks],
        }
        self._set.write(lambda _again: self._curves.replace_one({"_id": document["_id"]}, document, upsert=True))

    def points(self, resolution: Resolution, since: datetime, until: datetime) -> list[Point]:
        """The points of a stretch of time; see the port."""
        wanted = {"_id": {"$gte": _point_id(resolution, since), "$lt": _point_id(resolution, until)}}
        found = self._set.read(lambda: list(self._curves.find(wanted).sort("_id")))
        return [_as_point(document) for document in found]


def _point_id(resolution: Resolution, at: datetime) -> str:
    return f"{resolution.name} {at.astimezone(UTC).isoformat(timespec='seconds')}"


def _as_document(name: str, of: SetPoint) -> Document:
    """A set's point; addresses have dots in them, which names of fields had better not."""
    return {"name": name, **asdict(of), "roles": [list(role) for role in of.roles.items()]}


def _as_point(document: Document) -> Point:
    sets = {stored["name"]: _as_set_point(stored) for stored in document["sets"]}
    return Point(document["at"], sets, tuple(Mark(**mark) for mark in document["marks"]))


def _as_set_point(stored: Document) -> SetPoint:
    known = {name: stored[name] for name in _SET_FIELDS if name in stored}
    return SetPoint(**{**known, "roles": dict(stored["roles"])})


_SET_FIELDS = tuple(field.name for field in fields(SetPoint))
