"""The switch that takes guards off duty, and the guards' own sign of life, in ``prodctl_meta`` of the users' set."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from prodcore.deadline import budget
from prodcore.errors import ProdError
from prodcore.mongo.client.replica_set import ReplicaSet

_SWITCH = "switch"
_LOOK_SECONDS = 2.0
_CHANGED_SECONDS = 0.3
"""When the wish has changed, so long for the guard to act on it; then it gives the next sign of life."""
_FAREWELL_SECONDS = 2.0
ON_DUTY_SECONDS = 15
"""A guard that has given no sign of life for so long counts as gone."""


class GuardSwitch:
    """What an operator wants, looked up every two seconds in a thread; the last answer holds while rsU is silent."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._documents = replica_set.collection("guards", "prodctl_meta")
        self._off_until: datetime | None = None

    def is_off(self) -> bool:
        """Whether guards are off duty now."""
        return self._off_until is not None and datetime.now(UTC) < self._off_until

    def turn_off(self, seconds: float) -> None:
        """Take every guard off duty for a while."""
        self._store({"_id": _SWITCH, "off_until": datetime.now(UTC) + timedelta(seconds=seconds)})

    def turn_on(self) -> None:
        """Put every guard back on duty."""
        self._store({"_id": _SWITCH, "off_until": None})

    def look(self) -> None:
        """Look up what is wanted."""
        found = self._set.read(lambda: self._documents.find_one({"_id": _SWITCH}))
        self._off_until = (found or {}).get("off_until")

    def follow(self, guard: dict[str, Any], facts: Any, stop: threading.Event) -> None:
        """Until ``stop``: look up what is wanted, and give a sign of life with ``facts()``; then take that back."""
        while not stop.is_set():
            before = self.is_off()
            try:
                self.look()
                self._store({**guard, **facts(), "seen": datetime.now(UTC)})
            except ProdError:
                pass  # rsU is silent: the last answer holds, and the sign of life comes later
            stop.wait(_LOOK_SECONDS if self.is_off() == before else _CHANGED_SECONDS)
        with suppress(ProdError), budget(_FAREWELL_SECONDS):  # else it counts as gone a little later
            self._set.write(lambda _again: self._documents.delete_one({"_id": guard["_id"]}))

    def guards(self) -> list[dict[str, Any]]:
        """The guards that gave a sign of life lately."""
        since = datetime.now(UTC) - timedelta(seconds=ON_DUTY_SECONDS)
        return self._set.read(lambda: list(self._documents.find({"seen": {"$gte": since}})))

    def _store(self, document: dict[str, Any]) -> None:
        self._set.write(lambda _again: self._documents.replace_one({"_id": document["_id"]}, document, upsert=True))
