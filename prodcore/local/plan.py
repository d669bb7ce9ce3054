"""What a local cluster consists of, as data: its directory, its programs, their ports. Pure: nothing is started."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prodcore.errors import MemberNotFound
from prodcore.installation.sets import MEMBERS_OF_A_SET
from prodcore.local.ports import LOOPBACK, LocalPorts


@dataclass(frozen=True, slots=True)
class SetMember:
    """One mongod."""

    name: str
    """As supervisord and the commands know it: rsA-1."""
    replica_set: str
    number: int
    """1, 2 or 3. Two make a majority of their set."""
    port: int

    @property
    def address(self) -> str:
        """As the set knows it."""
        return f"{LOOPBACK}:{self.port}"


@dataclass(frozen=True, slots=True)
class LocalService:
    """One service over HTTP, ready when ``GET /readyz`` answers 200."""

    name: str
    port: int
    arguments: tuple[str, ...]
    """The command after the Python interpreter."""
    settings: str
    """Whose env file it reads."""
    ca_file: Path | None = None
    """The authority that its certificate is verified by; None: it speaks plain HTTP."""

    @property
    def url(self) -> str:
        """Where it is found."""
        return f"{'https' if self.ca_file else 'http'}://{LOOPBACK}:{self.port}"


@dataclass(frozen=True, slots=True)
class Daemon:
    """One program that listens nowhere."""

    name: str
    arguments: tuple[str, ...]
    """The command after the Python interpreter."""
    settings: str = "operator"
    """Whose env file it reads."""
    stop_seconds: int = 10
    """How long it may take to stop."""


GUARD = Daemon("guard", ("-m", "prodctl", "cluster", "guard"))


def drill_runner(directory: Path) -> Daemon:
    """What carries out the drills that are ordered in the browser; it puts back what a drill broke before it stops."""
    return Daemon("drills", ("-m", "prodctl", "failover-test", "serve", "--dir", str(directory)), stop_seconds=25)


Program = SetMember | LocalService | Daemon


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """A whole local cluster."""

    directory: Path
    ports: LocalPorts
    services: tuple[LocalService, ...] = ()
    daemons: tuple[Daemon, ...] = ()
    election_timeout_ms: int = 1_000
    test_commands: bool = False
    """Whether the members accept fail points; for tests only."""
    auth_settings: tuple[tuple[str, str], ...] = ()
    """More lines of authsvc's env file, as names and values; for tests only."""
    python: str = sys.executable
    tls: bool = False
    """Whether members and services speak TLS and nothing else."""

    @property
    def replica_sets(self) -> tuple[str, ...]:
        """The names of the sets: the shards in order, and last the users' set."""
        return tuple(self.ports.sets)

    @property
    def members(self) -> tuple[SetMember, ...]:
        """All members: first every set's first, then every set's second, then the third.

        In this order they are started, so that each set has its majority as early as can be.
        """
        ports = self.ports.by_program()
        return tuple(
            SetMember(f"{name}-{number}", name, number, ports[f"{name}-{number}"])
            for number in range(1, MEMBERS_OF_A_SET + 1)
            for name in self.replica_sets
        )

    def members_of(self, replica_set: str) -> tuple[SetMember, ...]:
        """The members of one set, in order."""
        return tuple(m for m in self.members if m.replica_set == replica_set)

    @property
    def set_members(self) -> dict[str, list[str]]:
        """The addresses of each set's members, in order."""
        return {name: [m.address for m in self.members_of(name)] for name in self.replica_sets}

    @property
    def python_programs(self) -> tuple[LocalService | Daemon, ...]:
        """What is no ``mongod``: the services, then the daemons."""
        return (*self.services, *self.daemons)

    @property
    def program_names(self) -> tuple[str, ...]:
        """Every program, set by set, then the services, then the daemons."""
        return (*sorted(m.name for m in self.members), *(p.name for p in self.python_programs))

    def program(self, name: str) -> Program:
        """The program of this name or ``host:port``. Raises MemberNotFound."""
        listening: Iterable[SetMember | LocalService] = (*self.members, *self.services)
        for program in listening:
            if name == program.name or name in (f"{LOOPBACK}:{program.port}", f"localhost:{program.port}"):
                return program
        for daemon in self.daemons:
            if name == daemon.name:
                return daemon
        raise MemberNotFound(
            f"no program of this cluster is called {name}", hint=f"there are {', '.join(self.program_names)}"
        )

    def data_directory(self, member: SetMember) -> Path:
        """Where a member keeps its data."""
        return self.directory / "data" / member.name

    def member_config(self, member: SetMember) -> Path:
        """A member's configuration file."""
        return self.directory / "conf" / f"{member.name}.conf"

    def log(self, name: str) -> Path:
        """A program's log."""
        return self.directory / "logs" / f"{name}.log"

    def env_file(self, user: str) -> Path:
        """The settings of ``web``, ``auth`` or ``operator``."""
        return self.directory / "env" / f"{user}.env"

    @property
    def auth_keys(self) -> Path:
        """Where authsvc keeps its signing keys."""
        return self.directory / "auth-keys"

    @property
    def keyfile(self) -> Path:
        """What the members know each other by."""
        return self.directory / "keyfile"

    @property
    def certificates(self) -> Path:
        """The directory of the local authority and of the one certificate that all programs show."""
        return self.directory / "tls"

    @property
    def tls_file(self) -> Path:
        """That certificate with its private key."""
        return self.certificates / "server.pem"

    @property
    def ca_file(self) -> Path | None:
        """What it is verified by; None without TLS."""
        return self.certificates / "ca.pem" if self.tls else None

    @property
    def member_options(self) -> dict[str, Any]:
        """How a member is connected to, besides a login."""
        return {"tls": True, "tlsCAFile": str(self.ca_file)} if self.tls else {}

    @property
    def supervisor_config(self) -> Path:
        """supervisord's configuration."""
        return self.directory / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        """Where supervisord listens."""
        return self.directory / "supervisor.sock"


def services_for(
    ports: LocalPorts, *, workers: int, threads: int, ca_file: Path | None = None
) -> tuple[LocalService, ...]:
    """authsvc and webapp; their ports stand in their env files. With ``ca_file`` they speak https."""

    def serve(service: str, processes: int) -> tuple[str, ...]:
        return ("-m", "prodcore.web.serve", service, "--workers", str(processes), "--threads", str(threads))

    return (
        LocalService("authsvc", ports.auth, serve("authsvc", 1), "auth", ca_file),
        LocalService("webapp", ports.web, serve("webapp", workers), "web", ca_file),
    )
