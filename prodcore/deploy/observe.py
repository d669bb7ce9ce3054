"""The observed state of a deployment: everything that it consists of, observed at the same time."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from prodcore.deploy.container import Container
from prodcore.deploy.layout import Layout
from prodcore.deploy.spec import MARK, RELEASES_DIR, Document, HostSpec
from prodcore.doctor.machine import listeners
from prodcore.errors import IncusRefused, ProdError, Unavailable
from prodcore.incus import Incus
from prodcore.installation.sets import USERS_SET
from prodcore.support.http import Answer

_AGENT_SECONDS = 120.0
_SET_SECONDS = 120.0
_EXAMINE_SECONDS = 30.0
_IMAGE_SECONDS = 60.0
_RUNNING = "Running"

Lack = tuple[str, str, str]
"""Action, what, reason."""
SetRequests = Mapping[str, dict[str, Any]]
"""For each set what ``deploy inside`` needs to know about it."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """One systemd unit."""

    is_loaded: bool = False
    active: str = "inactive"
    enabled: str = ""
    needs_reload: bool = False
    started: float | None = None
    """When its process was started, in seconds since 1970."""
    drop_ins: tuple[str, ...] = ()
    """Paths of the drop-ins that are for this unit."""


@dataclass(frozen=True, slots=True)
class ObservedHost:
    """The inside of a container, as its agent answered; empty where there is no container."""

    answer: Mapping[str, Any] = field(default_factory=dict)
    unknown: str = ""
    """Why a container that is there could not be asked."""

    def entry(self, kind: str, path: str) -> Document | None:
        """Mode, owner and ``sha256`` of a file or directory."""
        found: Document | None = self.answer.get(kind, {}).get(path)
        return found

    def content(self, path: str) -> bytes | None:
        """What is in a file that differs from what was expected."""
        found = self.entry("files", path) or self.entry("drop_ins", path)
        return base64.b64decode(found["content"]) if found and "content" in found else None

    def link(self, path: str) -> str:
        """Where a link leads."""
        return str(self.answer.get("links", {}).get(path, ""))

    def has(self, kind: str, name: str) -> bool:
        """Whether a package, account, release or binary is there."""
        return name in self.answer.get(kind, ())

    def unit(self, name: str) -> UnitState:
        """A unit's state."""
        found = self.answer.get("units", {}).get(name)
        if found is None:
            return UnitState()
        return UnitState(
            found["loaded"],
            found["active"],
            found["enabled"],
            found["reload"],
            found["started"],
            tuple(found["drop_ins"]),
        )

    def changed(self, path: str) -> float:
        """When a file was written, in seconds since 1970; 0 for one that is not there."""
        return float(self.answer.get("changed", {}).get(path, 0.0))

    @property
    def release_digest(self) -> str:
        """The checksum over the content of the wanted release; empty where it is not there."""
        return str(self.answer.get("release", {}).get("digest", ""))

    @property
    def release_damage(self) -> str:
        """What is not as it was installed, of the wanted release; empty where it is whole, or not there."""
        release = self.answer.get("release", {})
        if not release.get("count"):
            return ""
        more = f" and {release['count'] - 1} more files" if release["count"] > 1 else ""
        return f"{release['damaged'][0]}{more} missing or changed"

    @property
    def drop_ins(self) -> Mapping[str, Document]:
        """Drop-ins of our units that are not ours, each as a file that differs."""
        found: Mapping[str, Document] = self.answer.get("drop_ins", {})
        return found

    @property
    def machine(self) -> str:
        """What a virtual environment is bound to: the kind of processor, and Python's version."""
        return str(self.answer.get("machine", ""))

    def get(self, url: str) -> tuple[int, str]:
        """Status and body of a URL; status 0 without an answer."""
        status, body = self.answer.get("urls", {}).get(url, (0, ""))
        return int(status), str(body)


@dataclass(frozen=True, slots=True)
class ObservedSet:
    """One replica set, as asked from inside: what it lacks, and each member's role."""

    missing: tuple[Lack, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    unknown: str = ""
    """Why it could not be asked; then nothing else is known of it."""


NEW_SET = ObservedSet((("initiate", "the set", "it is not initiated"),))
"""What a set is whose containers are still to be made."""


UNPREPARED = ObservedSet((("store", "shard map and indexes", "they are not there"),))


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything."""

    is_clustered: bool = False
    network: Document | None = None
    profile: Document | None = None
    instances: Mapping[str, Document] = field(default_factory=dict)
    insides: Mapping[str, ObservedHost] = field(default_factory=dict)
    sets: Mapping[str, ObservedSet] = field(default_factory=dict)
    preparation: ObservedSet = UNPREPARED
    """What the shard map and the indexes lack."""
    volumes: frozenset[tuple[str, str]] = frozenset()
    """Pool and name of each data volume of this deployment."""
    pools: frozenset[str] | None = None
    """The names of the storage pools; None: not asked for."""
    image_error: str = ""
    """Why no container can be made of the image."""
    ports: Mapping[str, str] = field(default_factory=dict)
    """Who listens where on the Incus host: ``address:port`` and a name, as far as it is known here."""

    def inside(self, host: str) -> ObservedHost:
        """A container's inside."""
        return self.insides.get(host, ObservedHost())

    def replica_set(self, name: str) -> ObservedSet:
        """One set."""
        return self.sets.get(name, NEW_SET)


def observe(layout: Layout, incus: Incus, specs: Mapping[str, HostSpec], requests: SetRequests) -> Observed:
    """Look at everything. Raises IncusUnavailable; what cannot be asked is said to be unknown, with the reason."""
    with ThreadPoolExecutor(len(layout.hosts) * 2 + 8) as pool:
        server = pool.submit(incus.query, "GET", "/1.0")
        networks = pool.submit(incus.query, "GET", "/1.0/networks?recursion=1")
        profiles = pool.submit(incus.query, "GET", "/1.0/profiles?recursion=1")
        pools = pool.submit(incus.query, "GET", "/1.0/storage-pools?recursion=1")
        found = {one["name"]: one for one in incus.query("GET", "/1.0/instances?recursion=1")}
        instances = {host.name: found[host.name] for host in layout.hosts if host.name in found}
        is_complete = len(instances) == len(layout.hosts)
        image = pool.submit(_image_error, incus, "" if is_complete else layout.deployment.incus.image)
        hosts = {name: pool.submit(_observe_host, incus, specs[name], _urls(layout, name)) for name in instances}
        sets = {name: pool.submit(_observe_set, layout, incus, name, requests[name], instances) for name in requests}
        data_volumes = pool.submit(volumes, layout, incus)
        ports = pool.submit(_ports, incus, [one for name, one in found.items() if name not in instances])
        observed_sets = {name: asked.result() for name, asked in sets.items()}
        return Observed(
            is_clustered=bool(server.result()["environment"].get("server_clustered")),
            network=_named(networks, layout.deployment.incus.bridge),
            profile=_named(profiles, layout.deployment.name),
            instances=instances,
            insides={name: asked.result() for name, asked in hosts.items()},
            sets={name: observed for name, (observed, _preparation) in observed_sets.items()},
            preparation=observed_sets[USERS_SET][1],
            volumes=data_volumes.result(),
            pools=frozenset(one["name"] for one in pools.result()),
            image_error=image.result(),
            ports=ports.result(),
        )


def _image_error(incus: Incus, image: str) -> str:
    """Why Incus cannot make a container of an image; empty where it can, or none is to be made."""
    if not image:
        return ""
    try:
        incus.run("image", "info", "--", image, timeout_seconds=_IMAGE_SECONDS)
    except ProdError as error:
        return error.message
    return ""


def volumes(layout: Layout, incus: Incus) -> frozenset[tuple[str, str]]:
    """The data volumes with the deployment's mark, in the pools that the description names."""
    found = set()
    for pool in sorted({table.data_pool for table in layout.deployment.sets.values() if table.data_pool}):
        try:
            listed = incus.query("GET", f"/1.0/storage-pools/{pool}/volumes/custom?recursion=1")
        except IncusRefused:  # there is no such pool, which the plan says
            continue
        found |= {(pool, one["name"]) for one in listed if one["config"].get(MARK) == layout.deployment.name}
    return frozenset(found)


def _ports(incus: Incus, others: Sequence[Document]) -> dict[str, str]:
    """The ports of the Incus host that are taken: by proxy devices of other containers, and by what listens here."""
    taken = {
        device["listen"].partition(":")[2]: f"the container {one['name']}"
        for one in others
        for device in one["expanded_devices"].values()
        if device["type"] == "proxy" and device.get("bind", "host") == "host"
    }
    listening = {f"{address}:{port}": "another program" for address, port in (listeners() if incus.is_local else ())}
    return taken | {port: owner for port, owner in listening.items() if port not in taken}


def _observe_host(incus: Incus, spec: HostSpec, urls: list[str]) -> ObservedHost:
    request = {
        "files": {file.path: file.sha256 for file in spec.files} | dict.fromkeys(spec.absent, ""),
        "directories": [directory.path for directory in spec.directories],
        "links": [link.path for link in spec.links],
        "binaries": [binary.path for binary in spec.binaries],
        "packages": list(spec.packages),
        "accounts": list(spec.accounts),
        "releases": RELEASES_DIR,
        "release": spec.release,
        "units": [unit.name for unit in spec.units],
        "dated": sorted({path for unit in spec.units for path in unit.files}),
        "urls": [*spec.ready, *urls],
    }
    try:
        return ObservedHost(Container(incus, spec.name).ask("observe", request, seconds=_AGENT_SECONDS))
    except (Unavailable, IncusRefused) as error:
        return ObservedHost(unknown=error.message)


def _observe_set(
    layout: Layout, incus: Incus, name: str, request: dict[str, Any], instances: Mapping[str, Document]
) -> tuple[ObservedSet, ObservedSet]:
    """One set from its first container that runs; of the users' set also what the shard map and the indexes lack."""
    hosts = [host.name for host in layout.db_hosts if host.members[0].replica_set == name]
    if not any(host in instances for host in hosts):
        return NEW_SET, UNPREPARED
    running = [host for host in hosts if host in instances and instances[host]["status"] == _RUNNING]
    if not running:
        return _unknown(f"none of its containers runs: {', '.join(hosts)}")
    try:
        answer = Container(incus, running[0]).prodctl("observe", request, seconds=_SET_SECONDS)
    except ProdError as error:
        return _unknown(error.message)
    if answer is None:
        return _unknown(f"{running[0]} has no release that could ask it")
    preparation = answer.get("preparation", {})
    return set_of(answer["set"]), set_of(preparation)


def set_of(answer: Mapping[str, Any]) -> ObservedSet:
    """What a container answers about a set, or about shard map and indexes."""
    missing = tuple((action, what, reason) for action, what, reason in answer.get("missing", ()))
    return ObservedSet(missing, answer.get("roles", {}), answer.get("unknown", ""))


def _unknown(reason: str) -> tuple[ObservedSet, ObservedSet]:
    return ObservedSet(unknown=reason), ObservedSet(unknown=reason)


def setup_url(layout: Layout) -> str:
    """Where webapp says whether it still waits for its first admin."""
    return f"{layout.url(layout.web)}/api/v1/setup"


def _urls(layout: Layout, name: str) -> list[str]:
    return [setup_url(layout)] if name == layout.web.name else []


def _named(listed: Future[Any], name: str) -> dict[str, Any] | None:
    return next((one for one in listed.result() if one["name"] == name), None)


@dataclass(frozen=True, slots=True)
class Examination:
    """What the doctor needs to know about the inside of one container."""

    urls: Mapping[str, Answer]
    units: Mapping[str, str]
    """Active, inactive, failed … by unit: those asked for, and all that have failed."""
    tables: tuple[str, str]
    """``/proc/net/tcp`` and ``tcp6``."""
    free_bytes: int
    clock_offset: float
    """By how many seconds its clock is ahead of this machine's."""


def examine(incus: Incus, host: str, *, urls: tuple[str, ...] = (), units: tuple[str, ...] = ()) -> Examination:
    """Examine a container. Raises Unavailable, IncusUnavailable and IncusRefused when that cannot be done."""
    asked = time.time()
    answer = Container(incus, host).ask("examine", {"urls": urls, "units": units}, seconds=_EXAMINE_SECONDS)
    answered = time.time()
    # Python starts before it reads its clock, so the moment is nearer to the answer than to the question.
    is_between = asked <= answer["now"] <= answered
    return Examination(
        urls={url: Answer(status, (), body.encode()) for url, (status, body) in answer["urls"].items()},
        units=answer["units"],
        tables=(answer["tcp"][0], answer["tcp"][1]),
        free_bytes=answer["free"],
        clock_offset=0.0 if is_between else answer["now"] - (asked + answered) / 2,
    )
