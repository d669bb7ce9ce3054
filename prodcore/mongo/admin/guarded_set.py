"""The guard's side of MongoDB: its switch, and each replica set as it sees it.

Guards are switched off and on, and have their heartbeats, in ``prodctl_meta`` of the users' set. Of every set that is
guarded each member is heard by its heartbeats, and a connection to it is kept open.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.monitoring import (
    ServerHeartbeatFailedEvent,
    ServerHeartbeatListener,
    ServerHeartbeatStartedEvent,
    ServerHeartbeatSucceededEvent,
)

from prodcore.deadline import budget
from prodcore.errors import CommandRefused, MemberUnavailable, ProdError, Unavailable
from prodcore.guard.decision import Pulse, Standing
from prodcore.mongo.admin.member import MemberConnection
from prodcore.mongo.client.observer import role_of
from prodcore.mongo.client.replica_set import Document, ReplicaSet, SetAddress

_SWITCH = "switch"
_LOOK_SECONDS = 2.0
_HEARTBEAT_SECONDS = 5.0
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
        """Until ``stop``: look up what is wanted, and store a heartbeat with ``facts()``; remove it at the end.

        A heartbeat is a write on a majority, so it is stored when the facts change, and else only every few seconds.
        """
        stored, store_at = None, 0.0
        while not stop.is_set():
            before = self.is_off()
            try:
                self.look()
                if (known := facts()) != stored or time.monotonic() >= store_at:
                    self._store({**guard, **known, "seen": datetime.now(UTC)})
                    stored, store_at = known, time.monotonic() + _HEARTBEAT_SECONDS
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


_COMMAND_SECONDS = 3.0
_SOURCE_SECONDS = 0.5


class MongoGuardedSet(ServerHeartbeatListener):
    """A ``prodcore.guard.decision.GuardedSet``."""

    def __init__(self, address: SetAddress, switch: GuardSwitch) -> None:
        self._address = address
        self._switch = switch
        self._changed = threading.Condition()
        self._changes = 0
        self._pulses: dict[str, Pulse] = {}
        self._members: tuple[str, ...] = tuple(address.members)
        self._electable: set[str] = set(address.members)
        self._votes = len(address.members)
        self._connections: dict[str, MemberConnection] = {}
        self._connecting = threading.Lock()
        self._client = address.watching_client(self, "prodctl-guard")

    @property
    def name(self) -> str:
        """The set's name."""
        return self._address.name

    def started(self, event: ServerHeartbeatStartedEvent) -> None:
        """Nothing to do: the answer counts."""

    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None:
        """A member answered."""
        hello = event.reply.document
        pulse = Pulse(role_of(hello), time.monotonic(), hello.get("electionId"))
        self._note(event.connection_id, pulse, tuple(hello.get("hosts", ())))

    def failed(self, event: ServerHeartbeatFailedEvent) -> None:
        """A member closed the connection, refused one, or did not answer in time.

        Silence says nothing about its role: a primary that hangs is still the one that must be replaced.
        """
        address = f"{event.connection_id[0]}:{event.connection_id[1]}"
        before = self._pulses.get(address, Pulse("Unknown", 0.0))
        timed_out = isinstance(event.reply, Exception) and bool(getattr(event.reply, "timeout", False))
        self._note(event.connection_id, before if timed_out else replace(before, role="Unknown"), ())

    def members(self) -> Sequence[str]:
        """The members of the configuration that was last seen."""
        return self._members

    def majority(self) -> int:
        """How many votes make a majority."""
        return self._votes // 2 + 1

    def pulses(self) -> Mapping[str, Pulse]:
        """What was last heard of every member."""
        with self._changed:
            return {m: self._pulses.get(m, Pulse("Unknown", 0.0)) for m in self._members}

    def wait_for_change(self, seen: int, timeout_seconds: float) -> int:
        """Wait until a pulse changes its role, or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != seen, timeout_seconds)
            return self._changes

    def is_listening(self, member: str) -> bool:
        """Whether its process takes a connection; False only when it is refused."""
        host, port = member.rsplit(":", 1)
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=0.3).close()
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True

    def ask(self, member: str, about: str, timeout_seconds: float) -> Standing | None:
        """Ask it directly; None when it gives no answer in time."""
        try:
            status = self._connection(member).command("replSetGetStatus", timeout_seconds=timeout_seconds)
        except (MemberUnavailable, CommandRefused):
            return None
        me: Document = next((m for m in status["members"] if m.get("self")), {})
        optime = me.get("optime", {}).get("ts")
        return Standing(
            member,
            is_primary=status["myState"] == 1,
            is_secondary=status["myState"] == 2,
            last_write=(int(me.get("optime", {}).get("t", -1)), optime.time, optime.inc) if optime else (-1, 0, 0),
            electable=member in self._electable,
            sync_source=status.get("syncSourceHost", ""),
            heard_primary_seconds=_heard(status, about),
        )

    def step_up(self, member: str) -> None:
        """Ask it to run for election."""
        self._connection(member).command("replSetStepUp", timeout_seconds=_COMMAND_SECONDS)

    def abort_catch_up(self, primary: str) -> None:
        """Make a newly elected primary take writes at once, instead of waiting to hear from every member."""
        self._connection(primary).command("replSetAbortPrimaryCatchUp")

    def follow(self, member: str, source: str) -> None:
        """Make it copy from ``source``."""
        self._connection(member).command("replSetSyncFrom", source)

    def sync_source(self, member: str) -> str:
        """Which member it copies from."""
        standing = self.ask(member, member, _SOURCE_SECONDS)
        return standing.sync_source if standing else ""

    def write_notes(self, primary: str, count: int) -> None:
        """Write entries to the oplog that change nothing."""
        connection = self._connection(primary)
        for _ in range(count):
            connection.command("appendOplogNote", data={"prodctl": "guard"})

    def is_switched_off(self) -> bool:
        """Whether an operator has switched guards off for now."""
        return self._switch.is_off()

    def refresh_config(self, member: str, timeout_seconds: float) -> None:
        """Ask a member who may vote and who may become primary; what is known stays when it gives no answer."""
        try:
            config = self._connection(member).command("replSetGetConfig", timeout_seconds=timeout_seconds)["config"]
        except (MemberUnavailable, CommandRefused):
            return
        self._votes = sum(int(m.get("votes", 1)) for m in config["members"])
        self._electable = {m["host"] for m in config["members"] if m.get("priority", 1) and m.get("votes", 1)}

    def close(self) -> None:
        """Stop the driver's threads."""
        self._client.close()
        for connection in self._connections.values():
            connection.close()

    def _connection(self, member: str) -> MemberConnection:
        with self._connecting:
            if member not in self._connections:
                self._connections[member] = MemberConnection(
                    member, self._address.login, timeout_seconds=1.0, keep_warm=True
                )
            return self._connections[member]

    def _note(self, member: tuple[str, int | None], pulse: Pulse, hosts: tuple[str, ...]) -> None:
        address = f"{member[0]}:{member[1]}"
        with self._changed:
            before = self._pulses.get(address)
            self._pulses[address] = pulse
            self._members = hosts or self._members
            if before is None or (before.role, before.term_order) != (pulse.role, pulse.term_order):
                self._changes += 1
                self._changed.notify_all()


def _heard(status: Document, about: str) -> float | None:
    """Seconds since the member that gave this status had a heartbeat from, or an answer of, ``about``."""
    row: Document = next((m for m in status["members"] if m["name"] == about), {})
    moments: list[Any] = [m for m in (row.get("lastHeartbeat"), row.get("lastHeartbeatRecv")) if m]
    return float((status["date"] - max(moments)).total_seconds()) if moments else None
