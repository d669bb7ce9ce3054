"""Watching one replica set through the answers to the driver's own heartbeats.

Heartbeat events come at once, in the thread that got the answer. The driver's topology events would not do: it
publishes them from a queue that it looks at once a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pymongo.monitoring import (
    ServerHeartbeatFailedEvent,
    ServerHeartbeatListener,
    ServerHeartbeatStartedEvent,
    ServerHeartbeatSucceededEvent,
)

from prodcore.mongo.client.replica_set import SetAddress
from prodcore.replicaset.steering import Sighting

_UNKNOWN = "Unknown"


class MongoSetWatch(ServerHeartbeatListener):
    """A ``prodcore.replicaset.steering.SetWatch``: a client that does nothing but watch, and remembers what it saw."""

    def __init__(self, address: SetAddress) -> None:
        self._changed = threading.Condition()
        self._sightings: list[Sighting] = []
        self._roles: dict[str, str] = {}
        self._elections: dict[str, Any] = {}
        """The election id of each member that believes it is primary; the greatest is the newest."""
        self._aborted = False
        self._client = address.watching_client(self, "prodctl-watch")

    def started(self, event: ServerHeartbeatStartedEvent) -> None:
        """Nothing to do: the answer counts."""

    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None:
        """A member said what it is."""
        hello = event.reply.document
        self._see(event.connection_id, role_of(hello), hello.get("electionId"))

    def failed(self, event: ServerHeartbeatFailedEvent) -> None:
        """A member did not answer, or closed the connection."""
        self._see(event.connection_id, _UNKNOWN, None)

    def sightings(self, since: float = 0.0) -> Sequence[Sighting]:
        """What was seen from ``since`` on; see the port."""
        with self._changed:
            return self._from(since)

    def wait_for_new_primary(self, old: str, since: float, deadline: float) -> Sighting | None:
        """The first sighting after ``since`` of another primary than ``old``."""
        return self._wait(lambda s: s.at > since and s.primary not in ("", old), since, deadline)

    def wait_for_role(self, member: str, roles: Sequence[str], since: float, deadline: float) -> Sighting | None:
        """The first sighting from ``since`` on of the member in one of these roles."""
        return self._wait(lambda s: s.roles.get(member) in roles, since, deadline)

    def abort(self) -> None:
        """End every wait, now and from now on."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the driver's threads."""
        self._client.close()

    def _see(self, member: tuple[str, int | None], role: str, election: Any) -> None:
        address = f"{member[0]}:{member[1]}"
        with self._changed:
            if self._roles.get(address) == role and self._elections.get(address) == election:
                return
            self._roles[address] = role
            self._elections[address] = election if role == "PRIMARY" else None
            claims = {a: self._elections[a] for a, r in self._roles.items() if r == "PRIMARY"}
            primary = max(claims, key=lambda a: claims[a], default="")
            self._sightings.append(Sighting(time.monotonic(), primary, dict(self._roles)))
            self._changed.notify_all()

    def _from(self, since: float) -> list[Sighting]:
        first = next((i for i, s in enumerate(self._sightings) if s.at > since), len(self._sightings))
        return self._sightings[max(0, first - 1) :]

    def _wait(self, wanted: Callable[[Sighting], bool], since: float, deadline: float) -> Sighting | None:
        def look() -> Sighting | None:
            return next((s for s in self._from(since) if wanted(s)), None)

        with self._changed:
            self._changed.wait_for(lambda: self._aborted or look(), timeout=max(0.0, deadline - time.monotonic()))
            return None if self._aborted else look()


def role_of(hello: Mapping[str, Any]) -> str:
    """A member's role from its ``hello``: PRIMARY, SECONDARY, ARBITER or OTHER."""
    if hello.get("isWritablePrimary"):
        return "PRIMARY"
    if hello.get("secondary"):
        return "SECONDARY"
    return "ARBITER" if hello.get("arbiterOnly") else "OTHER"
