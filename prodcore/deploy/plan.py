"""What apply would do: the differences between the desired and the observed state. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prodcore.deploy.layout import DataVolume, Host, Layout
from prodcore.deploy.observe import Observed, ObservedHost
from prodcore.deploy.spec import (
    APT_KEY,
    CURRENT_RELEASE,
    DATA,
    LIMITS,
    MARK,
    PROXY,
    RELEASE_MANIFEST,
    RELEASES_DIR,
    ROOT,
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
from prodcore.errors import Conflict, Problem

_INCUS = "incus"
_RUNNING = "Running"
_CLUSTER = "cluster"
_UNKNOWN = "unknown"
_ANY = {"0.0.0.0", "::", "[::]"}  # noqa: S104  they are compared


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """``where`` is a container, a replica set, ``incus`` or ``cluster``; the rest is to be read."""

    where: str
    action: str
    """make, write, repair, start …; ``unknown``: it could not be asked, so nothing is planned."""
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All differences."""

    incus: IncusPlan
    hosts: Mapping[str, HostPlan]
    """Of the containers whose inside is known, or which are to be made."""
    changes: tuple[PlannedChange, ...]
    unknown: tuple[PlannedChange, ...]
    """What could not be asked, and why. It is asked again after the changes."""
    obstacles: tuple[Problem, ...]
    """What keeps the changes from being made at all; each names its setting and the way out."""
    is_prepared: bool
    """Whether shard map and indexes are known to be there."""

    @property
    def is_empty(self) -> bool:
        """Whether everything is known to be as described."""
        return not (self.changes or self.unknown or self.obstacles)


def make_plan(layout: Layout, specs: Mapping[str, HostSpec], secrets_mark: str, observed: Observed) -> Plan:
    """Compare everything. Raises Conflict when something is there that is not ours and is in the way."""
    incus = plan_incus(layout, secrets_mark, observed)
    insides = {name: observed.inside(name) for name in specs}
    hosts = {name: plan_host(spec, insides[name]) for name, spec in specs.items() if not insides[name].unknown}
    asked = {name: observed.replica_set(name) for name in layout.set_members} | {_CLUSTER: observed.preparation}
    lacking = [PlannedChange(name, *lack) for name, one in asked.items() for lack in one.missing]
    unclear = [(name, "what is inside", one.unknown) for name, one in insides.items()]
    unclear += [
        (n, "shard map and indexes" if n == _CLUSTER else "state of the set", a.unknown) for n, a in asked.items()
    ]
    unknown = [PlannedChange(name, _UNKNOWN, what, reason) for name, what, reason in unclear if reason]
    return Plan(
        incus=incus,
        hosts=hosts,
        changes=(*incus.changes, *(c for plan in hosts.values() for c in plan.changes), *lacking),
        unknown=tuple(unknown),
        obstacles=tuple(_obstacles(layout, hosts, observed)),
        is_prepared=not (observed.preparation.missing or observed.preparation.unknown),
    )


def _obstacles(layout: Layout, hosts: Mapping[str, HostPlan], observed: Observed) -> Iterator[Problem]:
    """What would end an apply halfway, found before anything is made."""
    deployment = layout.deployment
    if observed.image_error:
        text = f"{deployment.incus.image} cannot be used: {observed.image_error}; incus image list shows what can"
        yield Problem("incus.image", "unusable", text)
    pools = {deployment.incus.pool: "incus.pool"}
    pools |= {host.volume.pool: f"{host.name}: data_pool" for host in layout.hosts if host.volume}
    for pool, setting in pools.items():
        if observed.pools is not None and pool not in observed.pools:
            yield Problem(setting, "missing", f"there is no storage pool {pool}: incus storage create {pool} dir")
    mongod = deployment.mongod
    is_needed = any(mongod.package in plan.packages for plan in hosts.values())
    if is_needed and mongod.package.startswith("mongodb-") and not mongod.source:
        text = f"no distribution has the package {mongod.package}: give MongoDB's source and key, or a file"
        yield Problem("mongod.source", "missing", text)
    if is_needed and APT_KEY in mongod.source and not mongod.key:
        yield Problem("mongod.key", "missing", f"the source is signed by {APT_KEY}: give the file of that key")
    for host in layout.hosts:
        yield from _host_obstacles(layout, host, observed)


def _host_obstacles(layout: Layout, host: Host, observed: Observed) -> Iterator[Problem]:
    there = observed.instances.get(host.name)
    devices: Document = there["devices"] if there else {}
    wanted = instance_spec(layout, host, "")["devices"]
    listen = wanted.get(PROXY, {}).get("listen", "")
    own = devices.get(PROXY, {}).get("listen", "").partition(":")[2]
    its_port = own.rpartition(":")[2]  # which our proxy holds, on whichever address the kernel shows it
    others = {port: owner for port, owner in observed.ports.items() if port.rpartition(":")[2] != its_port}
    if listen.partition(":")[2] not in ("", own) and (owner := _taken(listen, others)):
        text = f"{listen.partition(':')[2]} of the Incus host is taken by {owner}: stop that, or choose another port"
        yield Problem(f"{host.role}.proxy", "taken", text)
    if there and (DATA in devices) != (DATA in wanted):
        is_made = host.volume and (host.volume.pool, host.volume.name) in observed.volumes
        if DATA in devices or not is_made:
            text = "the data cannot be moved while the container exists: its members would start without data"
            yield Problem(f"{host.name}: data_pool", "differs", text)


def _taken(listen: str, ports: Mapping[str, str]) -> str:
    """Who has a port of the Incus host; a wildcard address overlaps with any other."""
    address, _, port = listen.partition(":")[2].rpartition(":")
    for taken, owner in ports.items():
        other, _, its_port = taken.rpartition(":")
        if port == its_port and (address == other or _ANY & {address, other}):
            return owner
    return ""


@dataclass(frozen=True, slots=True)
class InstancePlan:
    """One container: ``create``, or ``put`` the desired one (None: as it is), and ``start``."""

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
    volumes: tuple[DataVolume, ...] = ()
    instances: tuple[InstancePlan, ...] = ()
    changes: tuple[PlannedChange, ...] = field(default=())


def plan_incus(layout: Layout, secrets_mark: str, observed: Observed) -> IncusPlan:
    """Compare. Raises Conflict when something is there that is not ours and is in the way."""
    network, profile = network_spec(layout), profile_spec(layout)
    changes = list[PlannedChange]()
    create_network = put_network = put_profile = None
    if observed.network is None:
        _refuse_clustered(layout, observed)
        create_network = network
        changes.append(PlannedChange(_INCUS, "make", f"network {network['name']}", "it is missing"))
    elif observed.network["config"].get(MARK) == layout.deployment.name:
        put_network = _merged(observed.network, network, f"network {network['name']}", changes)
    else:
        _check_suits(observed.network, network)
    if observed.profile is None:
        changes.append(PlannedChange(_INCUS, "make", f"profile {profile['name']}", "it is missing"))
    else:
        _check_ours(layout, f"the profile {profile['name']}", observed.profile["config"])
        put_profile = _merged(observed.profile, profile, f"profile {profile['name']}", changes)
    wanted = [host.volume for host in layout.hosts if host.volume]
    volumes = tuple(one for one in wanted if (one.pool, one.name) not in observed.volumes)
    changes += [PlannedChange(_INCUS, "make", f"volume {one.name} in {one.pool}", "it is missing") for one in volumes]
    instances = [_plan_instance(layout, host, secrets_mark, observed, changes) for host in layout.hosts]
    return IncusPlan(
        create_network,
        put_network,
        profile if observed.profile is None else None,
        put_profile,
        volumes,
        tuple(instances),
        tuple(changes),
    )


def _plan_instance(
    layout: Layout, host: Host, secrets_mark: str, observed: Observed, changes: list[PlannedChange]
) -> InstancePlan:
    spec = instance_spec(layout, host, secrets_mark)
    there = observed.instances.get(host.name)
    if there is None:
        changes.append(PlannedChange(host.name, "make", f"container at {host.address}", "it is missing"))
        return InstancePlan(host, spec, create=True, put=None, start=True)
    _check_ours(layout, f"the container {host.name}", there["config"])
    if there["config"].get(SECRETS_MARK) != secrets_mark:
        raise Conflict(
            f"{host.name} was created with other secrets than those in this machine's state directory",
            hint=f"copy deploy/{layout.deployment.name}/ from the state directory where it was created",
        )
    put = _instance_put(host, spec, there, changes)
    start = there["status"] != _RUNNING
    if start:
        changes.append(PlannedChange(host.name, "start", "container", f"it is {there['status'].lower()}"))
    return InstancePlan(host, spec, create=False, put=put, start=start)


def _instance_put(host: Host, spec: Document, there: Document, changes: list[PlannedChange]) -> Document | None:
    before = len(changes)
    devices = dict(there["devices"])
    for name, device in spec["devices"].items():
        if devices.get(name) != device:
            reason = "it differs" if name in devices else "it is missing"
            changes.append(PlannedChange(host.name, "repair" if name in devices else "add", f"device {name}", reason))
            devices[name] = device
    for name in (PROXY, ROOT):
        if name in devices and name not in spec["devices"]:
            changes.append(PlannedChange(host.name, "remove", f"device {name}", "it is not wanted"))
            del devices[name]
    config = {name: value for name, value in there["config"].items() if name not in LIMITS} | spec["config"]
    for name in LIMITS:
        if (found := there["config"].get(name)) != (wanted := config.get(name)):
            now = f"it is {found or 'not set'}"
            changes.append(PlannedChange(host.name, "set", f"{name} to {wanted or 'none'}", now))
    if there["profiles"] != spec["profiles"]:
        now = f"they are {', '.join(there['profiles']) or 'none'}"
        changes.append(PlannedChange(host.name, "repair", "profiles", now))
    if len(changes) == before:
        return None
    return settings_of(there | {"config": config, "devices": devices, "profiles": spec["profiles"]})


def settings_of(instance: Document) -> Document:
    """What a PUT of an instance takes of what a GET gives."""
    return {key: instance[key] for key in ("architecture", "config", "description", "ephemeral", "devices", "profiles")}


def _merged(there: Document, spec: Document, what: str, changes: list[PlannedChange]) -> Document | None:
    """What is there with what is wanted put over it; None when it is the same."""
    new: Document = {key: there.get(key, {}) | spec[key] for key in ("config", "devices") if key in spec}
    differing = [
        f"{key}.{name}" for key, part in new.items() for name in part if part[name] != there.get(key, {}).get(name)
    ]
    if not differing:
        return None
    changes.append(PlannedChange(_INCUS, "repair", what, f"{', '.join(differing)} differs"))
    return {"description": there.get("description", ""), **new}


def foreign_owner(config: Mapping[str, str]) -> str:
    """To whom something belongs that is not ours."""
    return f"the deployment {config[MARK]}" if MARK in config else "no deployment of prodctl"


def _check_ours(layout: Layout, what: str, config: Mapping[str, str]) -> None:
    if config.get(MARK) != layout.deployment.name:
        raise Conflict(
            f"{what} belongs to {foreign_owner(config)}: it is left alone",
            hint="choose another name in deploy.toml",
        )


def _check_suits(there: Document, spec: Document) -> None:
    """A bridge that is not ours is used as it is, if it is the one that was described."""
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


@dataclass(frozen=True, slots=True)
class HostPlan:
    """The differences of one container. ``rewritten`` files get content, ``access_only`` ones mode and owner only."""

    host: str
    packages: tuple[str, ...]
    accounts: tuple[str, ...]
    binaries: tuple[Binary, ...]
    release: str
    """The one to install; empty when it is there, and whole."""
    forget: tuple[str, ...]
    """Releases that are neither this one nor the one that runs."""
    directories: tuple[Directory, ...]
    rewritten: tuple[File, ...]
    access_only: tuple[File, ...]
    removed: tuple[str, ...]
    set_aside: Mapping[str, tuple[str, ...]]
    """Drop-ins that are not ours, and the unit files that they change."""
    links: tuple[Link, ...]
    needs_reload: bool
    enable: tuple[str, ...]
    start: tuple[str, ...]
    restart: tuple[str, ...]
    changes: tuple[PlannedChange, ...]


def plan_host(spec: HostSpec, inside: ObservedHost) -> HostPlan:
    """Compare."""
    return _Comparison(spec, inside).plan()


class _Comparison:
    def __init__(self, spec: HostSpec, inside: ObservedHost) -> None:
        self._spec = spec
        self._inside = inside
        self._changes: list[PlannedChange] = []

    def plan(self) -> HostPlan:
        spec, inside = self._spec, self._inside
        packages = tuple(p for p in spec.packages if not inside.has("packages", p))
        self._note("install", (f"package {p}" for p in packages), "it is missing")
        accounts = tuple(a for a in spec.accounts if not inside.has("accounts", a))
        self._note("make", (f"account {a}" for a in accounts), "it is missing")
        binaries = tuple(b for b in spec.binaries if not inside.has("binaries", b.path))
        self._note("push", (f"file {b.path}" for b in binaries), "it is missing")
        is_installed = inside.has("releases", spec.release)
        release = "" if is_installed and not inside.release_damage else spec.release
        if release:
            action, reason = ("repair", inside.release_damage) if is_installed else ("install", "it is not installed")
            self._note(action, [f"release {release}"], reason)
        forget = tuple(self._forget())
        directories = tuple(self._directories())
        rewritten, access_only = self._files()
        removed = tuple(path for path in spec.absent if inside.entry("files", path))
        self._note("remove", (f"file {path}" for path in removed), "there is an admin")
        links = tuple(self._links())
        set_aside = dict(self._set_aside())
        touched = {f.path for f in rewritten} | {link.path for link in links}
        touched |= {path for unit_files in set_aside.values() for path in unit_files}
        touched |= {f"{RELEASES_DIR}/{release}/{RELEASE_MANIFEST}"} if release else set()
        enable = tuple(self._enable())
        start, restart = self._start(), self._restart(touched)
        needs_reload = (
            bool(set_aside)
            or any(f.path.startswith(UNITS_DIR) for f in (*rewritten, *access_only))
            or any(inside.unit(u.name).needs_reload for u in spec.units)
        )
        return HostPlan(
            spec.name, packages, accounts, binaries, release, forget, directories, rewritten, access_only, removed,
            set_aside, links, needs_reload, enable, start, restart, tuple(self._changes),
        )  # fmt: skip

    def _note(self, action: str, what: Iterator[str] | list[str], reason: str) -> None:
        self._changes += [PlannedChange(self._spec.name, action, one, reason) for one in what]

    def _forget(self) -> Iterator[str]:
        kept = {self._spec.release, self._inside.link(CURRENT_RELEASE).rpartition("/")[2]}
        yield from (name for name in self._inside.answer.get("releases", ()) if name not in kept)

    def _set_aside(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for path in self._inside.drop_ins:
            self._note(
                "set aside", [f"file {path}"], "its unit is changed by a drop-in that is not part of the deployment"
            )
            yield path, self._spec.unit_files(path)

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
