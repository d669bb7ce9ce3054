"""What the members of a replica set last told the driver: a primary, a majority, a new election, or none of it."""

from __future__ import annotations

import threading
import time

from bson import ObjectId
from pymongo.monitoring import (
    ServerClosedEvent,
    ServerDescriptionChangedEvent,
    ServerHeartbeatFailedEvent,
    ServerHeartbeatListener,
    ServerHeartbeatStartedEvent,
    ServerHeartbeatSucceededEvent,
    ServerListener,
    ServerOpeningEvent,
)

from prodcore.deadline import remaining
from prodcore.errors import NoPrimary, ShardUnavailable

SILENCE_SECONDS = 1.0
"""No member has answered for so long: the set counts as down, and callers are told at once, not at their deadline."""

MINORITY_SECONDS = 2.0
"""Too few have answered for so long to elect anybody: a member that restarts is back before that."""


class SetView(ServerHeartbeatListener, ServerListener):
    """What the members last answered to the driver's heartbeats: no polling of our own.

    Its topology events tell only who is no member any more: the driver publishes them from a queue that it looks at
    once a second.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writable: dict[tuple[str, int | None], bool | None] = {}
        """By member: whether it takes writes; None for one that does not answer."""
        self._without_majority_since: float | None = time.monotonic()
        self.changes = 0
        self.known_time = 0
        self.election: ObjectId | None = None
        """Of the newest primary that has answered."""
        self.caught_up: ObjectId | None = None
        """Of the last primary that is known to show all that those before it had acknowledged."""

    def started(self, event: ServerHeartbeatStartedEvent) -> None:
        """Nothing to do: the answer counts."""

    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None:
        """A member answered."""
        written = event.reply.document.get("lastWrite", {})
        if on_majority := written.get("majorityOpTime"):
            self.known_time = max(self.known_time, on_majority["ts"].time << 32 | on_majority["ts"].inc)
        election = event.reply.election_id
        if event.reply.is_writable and election and (self.election is None or election > self.election):
            if on_majority and on_majority["t"] == written["opTime"]["t"]:
                self.caught_up = election
            self.election = election
        self._note(event.connection_id, event.reply.is_writable)

    def failed(self, event: ServerHeartbeatFailedEvent) -> None:
        """A member did not."""
        self._note(event.connection_id, None)

    def opened(self, event: ServerOpeningEvent) -> None:
        """Nothing to do: it has not answered yet."""

    def description_changed(self, event: ServerDescriptionChangedEvent) -> None:
        """Nothing to do: its heartbeats told."""

    def closed(self, event: ServerClosedEvent) -> None:
        """A member was removed."""
        with self._changed:
            self._writable.pop(event.server_address, None)

    def _note(self, member: tuple[str, int | None], writable: bool | None) -> None:
        with self._changed:
            if member in self._writable and self._writable[member] == writable:
                return
            self._writable[member] = writable
            self.changes += 1
            if self._answering() * 2 > len(self._writable):
                self._without_majority_since = None
            elif self._without_majority_since is None:
                self._without_majority_since = time.monotonic()
            self._changed.notify_all()

    def _answering(self) -> int:
        return sum(answer is not None for answer in self._writable.values())

    def has_only_minority(self) -> bool:
        """Whether some members answer, too few for a primary."""
        with self._changed:
            return 0 < self._answering() * 2 <= len(self._writable) and not any(self._writable.values())

    def wait_for_writable(self, name: str) -> None:
        """Return once there is a primary.

        Raises ShardUnavailable when none of the members, NoPrimary when no majority of them has answered for a while;
        one of them at the deadline.
        """
        with self._changed:
            while not any(self._writable.values()):
                left, answering = remaining(), self._answering()
                if self._without_majority_since is not None:
                    patience = MINORITY_SECONDS if answering else SILENCE_SECONDS
                    patience_left = self._without_majority_since + patience - time.monotonic()
                    if patience_left <= 0 and answering:
                        few = f"only {answering} of {len(self._writable)} members answer"
                        raise NoPrimary(f"{name} has no majority: {few}", shard=name)
                    if patience_left <= 0:
                        raise ShardUnavailable(f"no member of {name} answers", shard=name)
                    left = min(left, patience_left)
                if remaining() <= 0 and answering:
                    raise NoPrimary(f"{name} has no primary", shard=name)
                if remaining() <= 0:
                    raise ShardUnavailable(f"no member of {name} answered in time", shard=name)
                self._changed.wait(left)

    def wait_for_change(self, seen: int) -> bool:
        """Give the set a moment to settle after a failed attempt; False when the budget is spent."""
        with self._changed:
            self._changed.wait_for(lambda: self.changes != seen, timeout=min(0.05, remaining()))
        return remaining() > 0
