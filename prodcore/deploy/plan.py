"""What apply would do: the differences between the desired and the observed state. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prodcore.deploy.layout import Host, Layout
from prodcore.deploy.observe import Observed, ObservedHost
from prodcore.deploy.spec import (
    CURRENT_RELEASE,
    MARK,
    PROXY,
    SECRETS_MARK,
    UNITS_DIR,
    Binary,
    Directory,
    Document,
    File,
    HostSpec,
    Link,
    Unit,
    instance_spec,
    network_spec,
    profile_spec,
)
from prodcore.errors import Conflict
from prodcore.installation.sets import REPLICA_SETS

_INCUS = "incus"
_RUNNING = "Running"
_SOCKET = ".socket"
_SERVICE = ".service"


@dataclass(frozen=True, slots=True)
class Change:
    """``where`` is a container, a replica set, ``incus`` or ``cluster``; the rest are words for people."""

    where: str
    action: str
    """make, write, mend, start …"""
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All differences."""

    incus: IncusPlan
    hosts: Mapping[str, HostPlan]
    changes: tuple[Change, ...]
    sets_to_change: frozenset[str]
    """Replica sets that something has to be done about, by administrative commands."""
    is_prepared: bool
    """Whether shard map and indexes are there."""


def make_plan(layout: Layout, specs: Mapping[str, HostSpec], secrets_mark: str, observed: Observed) -> Plan:
    """Compare everything. Raises Conflict when something is there that is not ours and stands in the way."""
    incus = plan_incus(layout, secrets_mark, observed)
    hosts = {name: plan_host(spec, observed.inside(name)) for name, spec in specs.items()}
    sets = [Change(name, *lack) for name in REPLICA_SETS for lack in observed.replica_set(name).missing]
    preparation = [Change("cluster", *lack) for lack in observed.unprepared]
    return Plan(
        incus=incus,
        hosts=hosts,
        changes=(*incus.changes, *(c for plan in hosts.values() for c in plan.changes), *sets, *preparation),
        sets_to_change=frozenset(name for name in REPLICA_SETS if observed.replica_set(name).missing),
        is_prepared=not observed.unprepared,
    )


@dataclass(frozen=True, slots=True)
class InstancePlan:
    """One container: ``create``, or ``put`` what it shall be (None: as it is), and ``start``."""

    host: Host
    spec: Document
    create: bool
    put: Document | None
    start: bool


@dataclass(frozen=True, slots=True)
class IncusPlan:
    """Bodies of requests, None where nothing is to be done."""

    create_network: Document | None = None
    put_network: Document | None = None
    create_profile: Document | None = None
    put_profile: Document | None = None
    instances: tuple[InstancePlan, ...] = ()
    changes: tuple[Change, ...] = field(default=())


def plan_incus(layout: Layout, secrets_mark: str, observed: Observed) -> IncusPlan:
    """Compare. Raises Conflict when something is there that is not ours and stands in the way."""
    network, profile = network_spec(layout), profile_spec(layout)
    changes = list[Change]()
    create_network = put_network = put_profile = None
    if observed.network is None:
        _refuse_clustered(layout, observed)
        create_network = network
        changes.append(Change(_INCUS, "make", f"network {network['name']}", "it is missing"))
    elif observed.network["config"].get(MARK) == layout.deployment.name:
        put_network = _merged(observed.network, network, f"network {network['name']}", changes)
    else:
        _check_suits(observed.network, network)
    if observed.profile is None:
        changes.append(Change(_INCUS, "make", f"profile {profile['name']}", "it is missing"))
    else:
        _check_ours(layout, f"the profile {profile['name']}", observed.profile["config"])
        put_profile = _merged(observed.profile, profile, f"profile {profile['name']}", changes)
    instances = [_plan_instance(layout, host, secrets_mark, observed, changes) for host in layout.hosts]
    return IncusPlan(
        create_network,
        put_network,
        profile if observed.profile is None else None,
        put_profile,
        tuple(instances),
        tuple(changes),
    )


def _plan_instance(
    layout: Layout, host: Host, secrets_mark: str, observed: Observed, changes: list[Change]
) -> InstancePlan:
    spec = instance_spec(layout, host, secrets_mark)
    there = observed.instances.get(host.name)
    if there is None:
        changes.append(Change(host.name, "make", f"container at {host.address}", "it is missing"))
        return InstancePlan(host, spec, create=True, put=None, start=True)
    _check_ours(layout, f"the container {host.name}", there["config"])
    if there["config"].get(SECRETS_MARK) != secrets_mark:
        raise Conflict(
            f"{host.name} was made with other secrets than those in this machine's state directory",
            hint=f"copy deploy/{layout.deployment.name}/ from the state directory of whoever made it",
        )
    put = _instance_put(host, spec, there, changes)
    start = there["status"] != _RUNNING
    if start:
        changes.append(Change(host.name, "start", "container", f"it is {there['status'].lower()}"))
    return InstancePlan(host, spec, create=False, put=put, start=start)


def _instance_put(host: Host, spec: Document, there: Document, changes: list[Change]) -> Document | None:
    before = len(changes)
    devices = dict(there["devices"])
    for name, device in spec["devices"].items():
        if devices.get(name) != device:
            reason = "it differs" if name in devices else "it is missing"
            changes.append(Change(host.name, "repair" if name in devices else "add", f"device {name}", reason))
            devices[name] = device
    if PROXY in devices and PROXY not in spec["devices"]:
        changes.append(Change(host.name, "remove", f"device {PROXY}", "it is not wanted"))
        del devices[PROXY]
    if there["profiles"] != spec["profiles"]:
        changes.append(Change(host.name, "repair", "profiles", f"they are {', '.join(there['profiles']) or 'none'}"))
    if len(changes) == before:
        return None
    return settings_of(there | {"devices": devices, "profiles": spec["profiles"]})


def settings_of(instance: Document) -> Document:
    """What a PUT of an instance takes of what a GET gives."""
    return {key: instance[key] for key in ("architecture", "config", "description", "ephemeral", "devices", "profiles")}


def _merged(there: Document, spec: Document, what: str, changes: list[Change]) -> Document | None:
    """What is there with what is wanted put over it; None when it is the same."""
    new: Document = {key: there.get(key, {}) | spec[key] for key in ("config", "devices") if key in spec}
    differing = [
        f"{key}.{name}" for key, part in new.items() for name in part if part[name] != there.get(key, {}).get(name)
    ]
    if not differing:
        return None
    changes.append(Change(_INCUS, "repair", what, f"{', '.join(differing)} differs"))
    return {"description": there.get("description", ""), **new}


def foreign_owner(config: Mapping[str, str]) -> str:
    """Whose something is that is not ours, for people."""
    return f"the deployment {config[MARK]}" if MARK in config else "nobody that prodctl knows"


def _check_ours(layout: Layout, what: str, config: Mapping[str, str]) -> None:
    if config.get(MARK) != layout.deployment.name:
        raise Conflict(
            f"{what} belongs to {foreign_owner(config)}: it is left alone",
            hint="choose another name in deploy.toml",
        )


def _check_suits(there: Document, spec: Document) -> None:
    """A bridge of somebody else is used as it is, if it is the one that was described."""
    found = there["config"].get("ipv4.address")
    if there["type"] != "bridge" or found != spec["config"]["ipv4.address"]:
        raise Conflict(
            f"the network {spec['name']} belongs to {foreign_owner(there['config'])}, and is a {there['type']} at "
            f"{found or 'no address'}, not {spec['config']['ipv4.address']}: it is left alone",
            hint="choose another incus.bridge or incus.subnet in deploy.toml",
        )


def _refuse_clustered(layout: Layout, observed: Observed) -> None:
    if observed.is_clustered:
        bridge = layout.deployment.incus.bridge
        raise Conflict(
            f"this is an Incus cluster without a network {bridge}: one that spans its members must be there first",
            hint="make it with incus network create, for each member as for the kind of network you have",
        )


def targets(layout: Layout) -> Iterator[str]:
    """The members of an Incus cluster that the description names."""
    yield from {host.target for host in layout.hosts if host.target}


@dataclass(frozen=True, slots=True)
class HostPlan:
    """The differences of one container. ``rewritten`` files get content, ``access_only`` ones mode and owner only."""

    host: str
    packages: tuple[str, ...]
    accounts: tuple[str, ...]
    binaries: tuple[Binary, ...]
    release: str
    """The one to install; empty when it is there."""
    forget: tuple[str, ...]
    """Releases that are neither this one nor the one that runs."""
    directories: tuple[Directory, ...]
    rewritten: tuple[File, ...]
    access_only: tuple[File, ...]
    removed: tuple[str, ...]
    links: tuple[Link, ...]
    needs_reload: bool
    enable: tuple[str, ...]
    start: tuple[str, ...]
    restart: tuple[str, ...]
    changes: tuple[Change, ...]


def plan_host(spec: HostSpec, inside: ObservedHost) -> HostPlan:
    """Compare."""
    return _Comparison(spec, inside).plan()


class _Comparison:
    def __init__(self, spec: HostSpec, inside: ObservedHost) -> None:
        self._spec = spec
        self._inside = inside
        self._changes: list[Change] = []

    def plan(self) -> HostPlan:
        spec, inside = self._spec, self._inside
        packages = tuple(p for p in spec.packages if not inside.has("packages", p))
        self._note("install", (f"package {p}" for p in packages), "it is missing")
        accounts = tuple(a for a in spec.accounts if not inside.has("accounts", a))
        self._note("make", (f"account {a}" for a in accounts), "it is missing")
        binaries = tuple(b for b in spec.binaries if not inside.has("binaries", b.path))
        self._note("push", (f"file {b.path}" for b in binaries), "it is missing")
        release = "" if inside.has("releases", spec.release) else spec.release
        self._note("install", [f"release {release}"] if release else [], "it is not installed")
        forget = tuple(self._forget())
        directories = tuple(self._directories())
        rewritten, access_only = self._files()
        removed = tuple(path for path in spec.absent if inside.entry("files", path))
        self._note("remove", (f"file {path}" for path in removed), "there is an admin")
        links = tuple(self._links())
        touched = {f.path for f in rewritten} | {link.path for link in links}
        enable = tuple(self._enable())
        start, restart = self._start(), self._restart(touched)
        needs_reload = any(f.path.startswith(UNITS_DIR) for f in rewritten) or any(
            inside.unit(u.name).needs_reload for u in spec.units
        )
        return HostPlan(
            spec.name, packages, accounts, binaries, release, forget, directories, rewritten, access_only, removed,
            links, needs_reload, enable, start, restart, tuple(self._changes),
        )  # fmt: skip

    def _note(self, action: str, what: Iterator[str] | list[str], reason: str) -> None:
        self._changes += [Change(self._spec.name, action, one, reason) for one in what]

    def _forget(self) -> Iterator[str]:
        kept = {self._spec.release, self._inside.link(CURRENT_RELEASE).rpartition("/")[2]}
        yield from (name for name in self._inside.answer.get("releases", ()) if name not in kept)

    def _directories(self) -> Iterator[Directory]:
        for wanted in self._spec.directories:
            observed = self._inside.entry("directories", wanted.path)
            reason = "it is missing" if observed is None else _other_access(wanted, observed)
            if reason:
                self._note("make" if observed is None else "repair", [f"directory {wanted.path}"], reason)
                yield wanted

    def _files(self) -> tuple[tuple[File, ...], tuple[File, ...]]:
        rewritten, access_only = list[File](), list[File]()
        for wanted in self._spec.files:
            observed = self._inside.entry("files", wanted.path)
            if observed is None:
                self._note("write", [f"file {wanted.path}"], "it is missing")
                rewritten.append(wanted)
            elif observed["sha256"] != wanted.sha256:
                self._note("write", [f"file {wanted.path}"], "its content differs")
                rewritten.append(wanted)
            elif reason := _other_access(wanted, observed):
                self._note("repair", [f"file {wanted.path}"], reason)
                access_only.append(wanted)
        return tuple(rewritten), tuple(access_only)

    def _links(self) -> Iterator[Link]:
        for wanted in self._spec.links:
            observed = self._inside.link(wanted.path)
            if observed != wanted.target:
                reason = f"it leads to {observed}" if observed else "it is missing"
                self._note("link", [f"{wanted.path} to {wanted.target}"], reason)
                yield wanted

    def _enable(self) -> Iterator[str]:
        for unit in self._spec.units:
            if self._inside.unit(unit.name).enabled not in ("enabled", "static"):
                self._note("enable", [f"unit {unit.name}"], "it would not start with the container")
                yield unit.name

    def _start(self) -> tuple[str, ...]:
        start = []
        for unit in self._spec.units:
            observed = self._inside.unit(unit.name)
            if observed.active != "active":
                self._note("start", [f"unit {unit.name}"], f"it is {observed.active}")
                start.append(unit.name)
        return tuple(start)

    def _restart(self, touched: set[str]) -> tuple[str, ...]:
        """Units that run with older files than there are, or will be."""
        restart = []
        for unit in self._spec.units:
            observed = self._inside.unit(unit.name)
            if observed.active == "active" and (newer := self._newer(unit, observed.started, touched)):
                self._note("restart", [f"unit {unit.name}"], f"{newer} is newer than its process")
                restart.append(unit.name)
        return tuple(restart)

    def _newer(self, unit: Unit, started: float | None, touched: set[str]) -> str:
        for path in unit.files:
            if path in touched or (started and self._inside.changed(path) > started):
                return path
        return ""


def _other_access(wanted: File | Directory, observed: dict[str, object]) -> str:
    """In which way mode and owner are not as wanted; empty when they are."""
    if observed["mode"] != wanted.mode:
        return f"its mode is {observed['mode']:04o}, not {wanted.mode:04o}"
    return f"its owner is {observed['owner']}, not {wanted.owner}" if observed["owner"] != wanted.owner else ""
