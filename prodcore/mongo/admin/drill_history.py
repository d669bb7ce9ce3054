"""Drills that were, in ``prodctl_meta.drill_history`` of the users' set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pymongo import DESCENDING

from prodcore.errors import DrillNotFound
from prodcore.mongo.client.replica_set import Document, ReplicaSet

_KEPT = 500
_DATABASE, _COLLECTION = "prodctl_meta", "drill_history"


class MongoDrillHistory:
    """A ``prodcore.drill.history.DrillHistory``."""

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
