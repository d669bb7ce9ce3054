"""The ports of a local cluster, and who holds one that is taken."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from prodcore.errors import ConfigError, Conflict, Problem, ShardNotFound
from prodcore.installation.sets import MEMBERS_OF_A_SET, USERS_SET

if TYPE_CHECKING:
    from prodcore.settings import Settings

LOOPBACK = "127.0.0.1"
_FREE_PORTS = "20000-32000"
_DYING_SECONDS = 3.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class LocalPorts:
    """The first of the three ports of each set, and those of the services.

    Raises ConfigError when two programs would share a port.
    """

    rsa: int = 27017
    rsb: int = 27027
    rsu: int = 27037
    web: int = 3000
    auth: int = 5000
    more_shards: Mapping[str, int] = field(default_factory=dict)
    """By the name of the set."""

    def __post_init__(self) -> None:
        seen: set[int] = set()
        for name, port in self.by_program().items():
            if port in seen:
                raise ConfigError(f"port {port} of {name} is also the port of another local program")
            seen.add(port)

    @classmethod
    def read(cls, stored: Mapping[str, int]) -> LocalPorts:
        """From what ``as_dict`` has written."""
        own = {f.name for f in fields(cls)}
        more = {name: port for name, port in stored.items() if name not in own}
        return cls(**{name: port for name, port in stored.items() if name in own}, more_shards=more)

    @property
    def sets(self) -> dict[str, int]:
        """The first port of each set by its name: the shards in order, and last the users' set."""
        return {"rsA": self.rsa, "rsB": self.rsb, **self.more_shards, USERS_SET: self.rsu}

    def by_program(self) -> dict[str, int]:
        """The port of every program: rsA-1 to rsU-3, authsvc, webapp."""
        members = {
            f"{name}-{number}": first + number - 1
            for name, first in self.sets.items()
            for number in range(1, MEMBERS_OF_A_SET + 1)
        }
        return members | {"authsvc": self.auth, "webapp": self.web}

    def as_dict(self) -> dict[str, int]:
        """As it is stored with the cluster."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "more_shards"}
        return {**own, **self.more_shards}


def ports_from_settings(settings: Settings, stored: Mapping[str, int] | None = None) -> LocalPorts:
    """The ports to use: those the cluster was made with, and where there is none yet those of the settings.

    The services may move; the members may not, because their addresses are part of their sets' configuration.
    Raises ConfigError when a setting asks for another port of a member.
    """
    asked = {name: getattr(settings, f"local_{name}_port") for name in LocalPorts().as_dict()}
    if stored is None:
        return LocalPorts(**asked)
    given = {name for name in asked if f"local_{name}_port" in settings.given}
    for name in given & {"rsa", "rsb", "rsu"}:
        if asked[name] != stored[name]:
            raise ConfigError(
                f"this cluster was made with port {stored[name]} where PRODCTL_LOCAL_{name.upper()}_PORT now says "
                f"{asked[name]}; members cannot move",
                hint="use another --dir for a second cluster, or prodctl local destroy for a new one",
            )
    return LocalPorts.read(dict(stored) | {name: asked[name] for name in given})


_SHARD_NAME = re.compile(r"rs[A-Z][A-Za-z0-9]{0,14}", re.ASCII)
_BLOCK = 10
_LAST_FIRST = 65_533


def with_shard(ports: LocalPorts, name: str, first: int | None = None) -> LocalPorts:
    """The ports with those of one more shard: from ``first`` on, else the next block of three that is free.

    Raises ConfigError for a name that cannot be, and Conflict for one that there is.
    """
    if not _SHARD_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for a shard", hint="rs and a capital letter, then letters or digits: rsC"
        )
    if name.lower() in {known.lower() for known in ports.sets}:
        raise Conflict(f"there is a set {name} already", hint=f"there are {', '.join(ports.sets)}")
    if first is None:
        blocks = range(max(ports.sets.values()) + _BLOCK, _LAST_FIRST, _BLOCK)
        free = (block for block in blocks if all(_is_free(block + n) for n in range(MEMBERS_OF_A_SET)))
        first = next(free, _LAST_FIRST)
    return replace(ports, more_shards={**ports.more_shards, name: first})


def without_shard(ports: LocalPorts, name: str) -> LocalPorts:
    """The ports without those of an added shard. Raises ShardNotFound, and Conflict for a set of the beginning."""
    if name not in ports.sets:
        raise ShardNotFound(f"there is no shard {name}; there are {', '.join(ports.sets)}", shard=name)
    if name not in ports.more_shards:
        raise Conflict(f"{name} was there from the beginning: only an added shard can be removed")
    return replace(ports, more_shards={n: first for n, first in ports.more_shards.items() if n != name})


def find_free_ports() -> LocalPorts:
    """Ports that nobody uses at this moment, for clusters that live as long as a test run.

    Below the range from which the system gives ports to outgoing connections, so that none of those takes one. Runs
    side by side keep apart by TEST_PORTS, a range such as 20000-21000.
    """
    lowest, highest = map(int, os.environ.get("TEST_PORTS", _FREE_PORTS).split("-"))
    while True:
        first = lowest + secrets.randbelow(highest - lowest)
        block = range(first, first + 3 * MEMBERS_OF_A_SET + 2)
        if block.stop <= highest and all(_is_free(port) for port in block):
            return LocalPorts(*block[0:9:3], *block[9:])


def check_ports_free(ports: Mapping[str, int]) -> None:
    """Raise ConfigError that names every taken port and who holds it. Keys are the names of programs."""
    ends = time.monotonic() + _DYING_SECONDS
    while taken := {name: port for name, port in ports.items() if not _is_free(port)}:
        holders = _holders(taken.values())
        # A port without a visible holder is another user's, or that of a process that is dying at this moment.
        if holders.keys() >= set(taken.values()) or time.monotonic() > ends:
            raise _port_taken(taken, holders)
        time.sleep(_POLL_SECONDS)


def _port_taken(taken: Mapping[str, int], holders: Mapping[int, str]) -> ConfigError:
    return ConfigError(
        problems=[
            Problem(name, "port_taken", f"port {port} is taken by {holders.get(port, 'a process of another user')}")
            for name, port in taken.items()
        ],
        hint="stop that process, or set other ports: PRODCTL_LOCAL_RSA_PORT, …_RSB_PORT, …_RSU_PORT, …_WEB_PORT, "
        "…_AUTH_PORT",
    )


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def is_listener(pid: int, port: int) -> bool:
    """Whether this process, which must be of this user, is the one that listens there."""
    import psutil

    try:
        connections = psutil.Process(pid).net_connections("tcp4")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as mongod does: TIME_WAIT is no obstacle
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _holders(ports: Iterable[int]) -> dict[int, str]:
    """Who listens on these ports, as far as this user may know."""
    import psutil

    wanted = set(ports)
    found: dict[int, str] = {}
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port in wanted and connection.status == psutil.CONN_LISTEN:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(connection.pid) if connection.pid else None
                if process and process.cmdline():  # one that is dying has none any more
                    owner = process.uids().real
                    whose = "" if owner == os.getuid() else f" of {_user_name(owner)}"
                    found[connection.laddr.port] = f"process {process.pid} ({process.name()}){whose}"
    return found


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
