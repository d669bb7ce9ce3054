"""One replica set as the guard sees it: a heartbeat from every member, and a connection to each kept open."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pymongo.monitoring import (
    ServerHeartbeatFailedEvent,
    ServerHeartbeatListener,
    ServerHeartbeatStartedEvent,
    ServerHeartbeatSucceededEvent,
)

from prodcore.errors import CommandRefused, MemberUnavailable
from prodcore.guard.decision import Pulse, Standing
from prodcore.mongo.admin.guard_switch import GuardSwitch
from prodcore.mongo.admin.member import MemberConnection
from prodcore.mongo.client.observer import role_of
from prodcore.mongo.client.replica_set import Document, SetAddress

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
