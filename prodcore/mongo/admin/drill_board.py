"""Orders for drills and what becomes of them, in ``prodctl_meta`` of the users' set.

``drill_orders`` is only ever added to, by webapp, whose database user may do no more; ``drill_runs`` and
``drill_runners`` are the drill runner's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from prodcore.drill.order import DrillOrder, DrillRun, RunnerSign, RunState, RunStep, read_plan
from prodcore.drill.plan import DrillPlan
from prodcore.errors import InvalidInput
from prodcore.mongo.client.replica_set import Document, ReplicaSet

ON_DUTY_SECONDS = 10.0
"""A runner that has given no sign of life for so long counts as gone."""

_KEPT_SECONDS = 7 * 24 * 3600
_DATABASE = "prodctl_meta"
_STOP = ":stop"


class MongoDrillBoard:
    """A ``prodcore.drill.runner.DrillBoard``, and what the dashboard needs. ``sets`` are those that may be drilled."""

    def __init__(self, replica_set: ReplicaSet, sets: Sequence[str]) -> None:
        self.sets = tuple(sets)
        self._set = replica_set
        self._orders = replica_set.collection("drill_orders", _DATABASE)
        self._runs = replica_set.collection("drill_runs", _DATABASE)
        self._runners = replica_set.collection("drill_runners", _DATABASE)

    def prepare(self) -> None:
        """Make the indexes; what is a week old is removed."""
        self._set.write(lambda _again: self._orders.create_index("at", expireAfterSeconds=_KEPT_SECONDS))
        self._set.write(lambda _again: self._runs.create_index("at", expireAfterSeconds=_KEPT_SECONDS))

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
        """The runners on duty."""
        since = datetime.now(UTC) - timedelta(seconds=ON_DUTY_SECONDS)
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
        def attempt(_again: bool) -> None:
            with suppress(DuplicateKeyError):  # an earlier attempt, or somebody who pressed twice
                self._orders.insert_one(document)

        self._set.write(attempt)

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
        return DrillRun(order, RunState(document["state"]), steps=steps, series=tuple(document["series"]), **fields)
