"""What switches the guards off and on, and their heartbeats, in ``prodctl_meta`` of the users' set."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from prodcore.deadline import budget
from prodcore.errors import ProdError, Unavailable
from prodcore.mongo.client.replica_set import ReplicaSet

_SWITCH = "switch"
_LOOK_SECONDS = 2.0
_CHANGED_SECONDS = 0.3
"""When it has been switched, so long for the guard to act on it; then comes the next heartbeat."""
_FAREWELL_SECONDS = 2.0
ACTIVE_SECONDS = 15
"""A guard that has had no heartbeat for so long counts as gone."""


class GuardSwitch:
    """What an operator wants, looked up every two seconds in a thread; the last answer holds while rsU is silent."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._documents = replica_set.collection("guards", "prodctl_meta")
        self._off_until: datetime | None = None

    def is_off(self) -> bool:
        """Whether guards are disabled now."""
        return self._off_until is not None and datetime.now(UTC) < self._off_until

    def turn_off(self, seconds: float) -> None:
        """Disable every guard for a while."""
        self._store({"_id": _SWITCH, "off_until": datetime.now(UTC) + timedelta(seconds=seconds)})

    def turn_on(self) -> None:
        """Enable every guard again."""
        self._store({"_id": _SWITCH, "off_until": None})

    def look(self) -> None:
        """Look up what is wanted."""
        found = self._set.read(lambda: self._documents.find_one({"_id": _SWITCH}))
        self._off_until = (found or {}).get("off_until")

    def follow(self, guard: dict[str, Any], facts: Any, stop: threading.Event) -> None:
        """Until ``stop``: look up what is wanted, and store a heartbeat with ``facts()``; remove it at the end."""
        while not stop.is_set():
            before = self.is_off()
            try:
                self.look()
                self._store({**guard, **facts(), "seen": datetime.now(UTC)})
            except ProdError:
                pass  # rsU is silent: the last answer holds, and the heartbeat comes later
            stop.wait(_LOOK_SECONDS if self.is_off() == before else _CHANGED_SECONDS)
        with suppress(ProdError), budget(_FAREWELL_SECONDS):  # else it counts as gone a little later
            self._set.write(lambda _again: self._documents.delete_one({"_id": guard["_id"]}))

    def guards(self) -> list[dict[str, Any]]:
        """The guards that has had a heartbeat lately."""
        since = datetime.now(UTC) - timedelta(seconds=ACTIVE_SECONDS)
        return self._set.read(lambda: list(self._documents.find({"seen": {"$gte": since}})))

    def _store(self, document: dict[str, Any]) -> None:
        self._set.write(lambda _again: self._documents.replace_one({"_id": document["_id"]}, document, upsert=True))


_POLL_SECONDS = 0.1
_HEAR_SECONDS = 15.0
"""A guard looks at the switch every two seconds, and then tells what it knows."""


class MongoGuards:
    """A ``prodcore.replicaset.steering.Guards``."""

    def __init__(self, switch: GuardSwitch) -> None:
        self._switch = switch

    def any_active(self) -> bool:
        """Whether any is at work; none is where their signs cannot be read."""
        try:
            return any(_is_active(guard) for guard in self._switch.guards())
        except Unavailable:
            return False

    def wait_ready(self, sets: Sequence[str], seconds: float) -> None:
        """Give them some time to find successors."""
        self._wait(lambda guards: any(all(g["sets"][name]["successor"] for name in sets) for g in guards), seconds)

    def disable(self, seconds: float) -> None:
        """Disable them, for so long at most."""
        self._switch.turn_off(seconds)
        if not self._wait(lambda guards: not any(_is_active(guard) for guard in guards), _HEAR_SECONDS):
            raise Unavailable("a guard does not stop working", hint="prodctl cluster guard show")

    def enable(self) -> None:
        """Enable them again."""
        self._switch.turn_on()
        self._wait(lambda guards: any(_is_active(guard) for guard in guards), _HEAR_SECONDS)

    def _wait(self, wanted: Callable[[list[dict[str, Any]]], bool], seconds: float) -> bool:
        ends = time.monotonic() + seconds
        while not wanted(self._switch.guards()):
            if time.monotonic() > ends:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _is_active(guard: dict[str, Any]) -> bool:
    return any(facts.get("active") for facts in guard["sets"].values())
