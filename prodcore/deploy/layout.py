"""Which containers there are, at which addresses, and which members run in which of them. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address

from prodcore.deploy.config import Deployment, SetTable
from prodcore.errors import ConfigError, MemberNotFound, Problem
from prodcore.installation.sets import MEMBERS_OF_A_SET, TABLES, USERS_SET, table_of

_SEED_HOST = {name: 12 + number for number, name in enumerate(TABLES.values())}
_SPREAD_FIRST_HOST = {name: 21 + 10 * number for number, name in enumerate(TABLES.values())}
"""The last number of a default address."""
_ELECTION_TIMEOUT_MS = {"seed": 1_000, "spread": 10_000}


@dataclass(frozen=True, slots=True)
class DeployedMember:
    """One mongod in a container."""

    replica_set: str
    number: int
    host: str
    """The container's name."""
    address: str
    """The container's own."""
    port: int

    @property
    def name(self) -> str:
        """As it is called in commands: rsA-1."""
        return f"{self.replica_set}-{self.number}"

    @property
    def endpoint(self) -> str:
        """As the set knows it: ``address:port``."""
        return f"{self.address}:{self.port}"

    @property
    def unit(self) -> str:
        """The systemd unit in its container."""
        return f"mongod@{self.port}.service"


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """How much of the Incus host a container may have; 0 and empty: as much as there is."""

    cpus: int = 0
    memory: str = ""
    disk: str = ""


@dataclass(frozen=True, slots=True)
class DataVolume:
    """A storage volume apart from the container's system, with the data of its members."""

    pool: str
    name: str
    size: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """One container. ``role`` is web, auth or db; only a db host has members."""

    name: str
    role: str
    address: str
    target: str = ""
    limits: ResourceLimits = ResourceLimits()
    members: tuple[DeployedMember, ...] = ()
    volume: DataVolume | None = None


class Layout:
    """The containers of a description. Raises ConfigError for names and addresses that cannot work together."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.hosts = _hosts(deployment)
        if problems := _wrong_counts(deployment) or _clashes(deployment, self.hosts):
            raise ConfigError(problems=problems)

    @cached_property
    def members(self) -> tuple[DeployedMember, ...]:
        """Every member, set by set."""
        return tuple(member for host in self.hosts for member in host.members)

    @property
    def set_members(self) -> dict[str, list[str]]:
        """The endpoints of each set's members, in order."""
        return {name: [m.endpoint for m in self.members if m.replica_set == name] for name in self.deployment.sets}

    @property
    def web(self) -> Host:
        """The container of webapp."""
        return self._only("web")

    @property
    def auth(self) -> Host:
        """The container of authsvc."""
        return self._only("auth")

    @property
    def db_hosts(self) -> tuple[Host, ...]:
        """The containers of members."""
        return tuple(host for host in self.hosts if host.role == "db")

    @property
    def users_host(self) -> Host:
        """The first container of the users' set: the drill runner is there, too."""
        return self.set_host(USERS_SET)

    def set_host(self, replica_set: str) -> Host:
        """The container of a set's first member."""
        return next(host for host in self.db_hosts if host.members[0].replica_set == replica_set)

    def host(self, name: str) -> Host:
        """The container of this name."""
        return next(host for host in self.hosts if host.name == name)

    def member(self, endpoint: str) -> DeployedMember:
        """The member with this ``address:port`` or name. Raises MemberNotFound."""
        for member in self.members:
            if endpoint in (member.endpoint, member.name):
                return member
        raise MemberNotFound(
            f"{endpoint} is not a member of this deployment",
            hint=f"its members are {', '.join(m.endpoint for m in self.members)}",
        )

    def units(self, host: Host) -> tuple[str, ...]:
        """The systemd units that must be active in a container."""
        service = {"web": "prodctl-webapp", "auth": "prodctl-authsvc"}.get(host.role)
        if service:
            return (f"{service}.socket", f"{service}.service")
        programs = ["prodctl-guard.service"]
        if host == self.users_host:
            programs += ["prodctl-drills.service", "prodctl-drill.timer", "prodctl-backup.timer"]
        return (*(member.unit for member in host.members), *programs)

    def listeners(self, host: Host) -> set[tuple[str, int]]:
        """The addresses and ports that a container may listen on."""
        if host.members:
            return {(address, member.port) for member in host.members for address in ("127.0.0.1", host.address)}
        return {(host.address, self._service_port(host))}

    def ready_urls(self, host: Host) -> tuple[str, ...]:
        """Where a container's service says whether it is ready; a container of members has none."""
        return () if host.members else (f"{self.url(host)}/readyz",)

    def url(self, host: Host) -> str:
        """Where the service of a container is found."""
        return f"{'https' if self.deployment.tls.enabled else 'http'}://{host.address}:{self._service_port(host)}"

    def certificate_names(self, host: Host) -> list[str]:
        """What a container's certificate is for: each name and address that it is reached at."""
        names = [host.address, host.name, "127.0.0.1", "localhost"]
        if host.role == "web":
            proxy = self.deployment.web.proxy.rpartition(":")[0]
            given = self.deployment.web.trusted_hosts.split(",")
            names += [name for name in (proxy, *(n.partition(":")[0] for n in given)) if name and name[0] != "."]
        return [name for name in dict.fromkeys(names) if name != "0.0.0.0"]  # noqa: S104  it is compared

    def _service_port(self, host: Host) -> int:
        return {"web": self.deployment.web.port, "auth": self.deployment.auth.port}[host.role]

    @property
    def election_timeout_ms(self) -> int:
        """Given, or what suits the layout."""
        return self.deployment.election_timeout_ms or _ELECTION_TIMEOUT_MS[self.deployment.layout]

    def _only(self, role: str) -> Host:
        return next(host for host in self.hosts if host.role == role)


def _hosts(deployment: Deployment) -> tuple[Host, ...]:
    auth, web = deployment.auth, deployment.web
    hosts = [
        Host(auth.name, "auth", str(auth.address), auth.target, ResourceLimits(auth.cpus, auth.memory, auth.disk)),
        Host(web.name, "web", str(web.address), web.target, ResourceLimits(web.cpus, web.memory, web.disk)),
    ]
    for replica_set, table in deployment.sets.items():
        hosts += _set_hosts(deployment, replica_set, table)
    return tuple(hosts)


def _set_hosts(deployment: Deployment, replica_set: str, given: SetTable) -> list[Host]:
    is_spread = deployment.layout == "spread"
    addresses = given.addresses or _default_addresses(deployment, replica_set)
    targets = given.targets or ("",) * len(addresses)
    hosts = []
    for number, (address, target) in enumerate(zip(addresses, targets, strict=False), start=1):
        name = f"{given.name}-{number}" if is_spread else given.name
        numbers = (number,) if is_spread else range(1, MEMBERS_OF_A_SET + 1)
        members = tuple(
            DeployedMember(replica_set, n, name, str(address), given.port + (0 if is_spread else n - 1))
            for n in numbers
        )
        limits = ResourceLimits(given.cpus, given.memory, given.disk)
        volume_name = f"{deployment.name}-{name}-data"
        volume = DataVolume(given.data_pool, volume_name, given.data_size) if given.data_pool else None
        hosts.append(Host(name, "db", str(address), target, limits, members, volume))
    return hosts


def _default_addresses(deployment: Deployment, replica_set: str) -> list[IPv4Address]:
    base = deployment.incus.subnet.network_address
    if deployment.layout == "seed":
        return [base + _SEED_HOST[replica_set]]
    return [base + _SPREAD_FIRST_HOST[replica_set] + n for n in range(MEMBERS_OF_A_SET)]


def _wrong_counts(deployment: Deployment) -> list[Problem]:
    wanted = MEMBERS_OF_A_SET if deployment.layout == "spread" else 1
    return [
        Problem(
            f"{table_of(name)}.{field}",
            "wrong_count",
            f"the layout {deployment.layout} needs {wanted} of them, not {count}",
        )
        for name, table in deployment.sets.items()
        for field in ("addresses", "targets")
        if (count := len(getattr(table, field))) not in (0, wanted)
    ]


def _clashes(deployment: Deployment, hosts: tuple[Host, ...]) -> list[Problem]:
    problems = []
    for what, values in (("name", [h.name for h in hosts]), ("address", [h.address for h in hosts])):
        problems += [
            Problem(value, "used_twice", f"this {what} is used twice") for value, n in Counter(values).items() if n > 1
        ]
    subnet = deployment.incus.subnet
    gateway = bridge_address(deployment)
    for host in hosts:
        address = IPv4Address(host.address)
        if address not in subnet or address in (subnet.network_address, subnet.broadcast_address):
            problems.append(Problem(host.name, "outside", f"{address} is no address of a container in {subnet}"))
        elif address == gateway:
            problems.append(Problem(host.name, "taken", f"{address} is the bridge's own"))
    return problems


def bridge_address(deployment: Deployment) -> IPv4Address:
    """The bridge's own address, the first of the subnet."""
    return deployment.incus.subnet.network_address + 1
