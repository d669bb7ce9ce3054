"""The observed state of a deployment: everything that it consists of, looked at at the same time."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from prodcore.deploy.container import Container
from prodcore.deploy.layout import Layout
from prodcore.deploy.spec import RELEASES_DIR, Document, HostSpec
from prodcore.errors import ProdError
from prodcore.incus.client import Incus
from prodcore.installation.sets import REPLICA_SETS, USERS_SET
from prodcore.support.http import Answer

_AGENT_SECONDS = 120.0
_SET_SECONDS = 120.0
_EXAMINE_SECONDS = 30.0
_RUNNING = "Running"

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


@dataclass(frozen=True, slots=True)
class ObservedHost:
    """The inside of a container, as its agent answered; empty where there is none, or it does not run."""

    answer: Mapping[str, Any] = field(default_factory=dict)

    def entry(self, kind: str, path: str) -> Document | None:
        """Mode, owner and ``sha256`` of a file or directory."""
        found: Document | None = self.answer.get(kind, {}).get(path)
        return found

    def content(self, path: str) -> bytes | None:
        """What is in a file that differs from what was expected."""
        found = self.entry("files", path)
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
        return UnitState(found["loaded"], found["active"], found["enabled"], found["reload"], found["started"])

    def changed(self, path: str) -> float:
        """When a file was written, in seconds since 1970; 0 for one that is not there."""
        return float(self.answer.get("changed", {}).get(path, 0.0))

    @property
    def machine(self) -> str:
        """What a virtual environment is bound to: the kind of processor, and Python's version."""
        return str(self.answer.get("machine", ""))

    def get(self, url: str) -> tuple[int, str]:
        """Status and body of a URL; status 0 where nobody answered."""
        status, body = self.answer.get("urls", {}).get(url, (0, ""))
        return int(status), str(body)


@dataclass(frozen=True, slots=True)
class ObservedSet:
    """One replica set, as asked from inside: what it lacks, and each member's role."""

    missing: tuple[tuple[str, str, str], ...] = (("initiate", "the set", "it is not initiated"),)
    """Action, what, reason."""
    roles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything."""

    is_clustered: bool = False
    network: Document | None = None
    profile: Document | None = None
    instances: Mapping[str, Document] = field(default_factory=dict)
    insides: Mapping[str, ObservedHost] = field(default_factory=dict)
    sets: Mapping[str, ObservedSet] = field(default_factory=dict)
    unprepared: tuple[tuple[str, str, str], ...] = (("store", "shard map and indexes", "they are not there"),)
    """What is missing of the shard map and the indexes: action, what, reason."""

    def inside(self, host: str) -> ObservedHost:
        """A container's inside."""
        return self.insides.get(host, ObservedHost())

    def replica_set(self, name: str) -> ObservedSet:
        """One set."""
        return self.sets.get(name, ObservedSet())


def observe(layout: Layout, incus: Incus, specs: Mapping[str, HostSpec], requests: SetRequests) -> Observed:
    """Look at everything. Raises IncusUnavailable; a container that cannot be asked is as one with nothing in it."""
    with ThreadPoolExecutor(len(layout.hosts) * 2 + 4) as pool:
        server = pool.submit(incus.query, "GET", "/1.0")
        networks = pool.submit(incus.query, "GET", "/1.0/networks?recursion=1")
        profiles = pool.submit(incus.query, "GET", "/1.0/profiles?recursion=1")
        found = {one["name"]: one for one in incus.query("GET", "/1.0/instances?recursion=1")}
        instances = {host.name: found[host.name] for host in layout.hosts if host.name in found}
        running = {name for name, one in instances.items() if one["status"] == _RUNNING}
        insides = {name: pool.submit(_inside, incus, specs[name], _urls(layout, name)) for name in running}
        sets = {name: pool.submit(_observe_set, layout, incus, name, requests[name], running) for name in REPLICA_SETS}
        asked_sets = {name: asked.result() for name, asked in sets.items()}
        return Observed(
            is_clustered=bool(server.result()["environment"].get("server_clustered")),
            network=_named(networks, layout.deployment.incus.bridge),
            profile=_named(profiles, layout.deployment.name),
            instances=instances,
            insides={name: asked.result() for name, asked in insides.items()},
            sets={name: observed for name, (observed, _unprepared) in asked_sets.items()},
            unprepared=asked_sets[USERS_SET][1],
        )


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


def setup_url(layout: Layout) -> str:
    """Where webapp says whether it still waits for its first admin."""
    return f"http://{layout.web.address}:{layout.deployment.web.port}/api/v1/setup"


def _urls(layout: Layout, name: str) -> list[str]:
    return [setup_url(layout)] if name == layout.web.name else []


def _named(listed: Future[Any], name: str) -> dict[str, Any] | None:
    return next((one for one in listed.result() if one["name"] == name), None)


def _inside(incus: Incus, spec: HostSpec, urls: list[str]) -> ObservedHost:
    files = {file.path: file.sha256 for file in spec.files} | dict.fromkeys(spec.absent, "")
    request = {
        "files": files,
        "directories": [directory.path for directory in spec.directories],
        "links": [link.path for link in spec.links],
        "binaries": [binary.path for binary in spec.binaries],
        "packages": list(spec.packages),
        "accounts": list(spec.accounts),
        "releases": RELEASES_DIR,
        "units": [unit.name for unit in spec.units],
        "dated": sorted({path for unit in spec.units for path in unit.files}),
        "urls": [*spec.ready, *urls],
    }
    return ObservedHost(Container(incus, spec.name).ask("observe", request, seconds=_AGENT_SECONDS))


def _observe_set(
    layout: Layout, incus: Incus, name: str, request: dict[str, Any], running: set[str]
) -> tuple[ObservedSet, tuple[tuple[str, str, str], ...]]:
    """One set from its first container that runs; the users' set also reports on the shard map and indexes."""
    host = next((h.name for h in layout.db_hosts if h.members[0].replica_set == name and h.name in running), None)
    nothing = ObservedSet(), Observed().unprepared
    if host is None:
        return nothing
    try:
        answer = Container(incus, host).prodctl("observe", request, seconds=_SET_SECONDS)
    except ProdError as error:
        return ObservedSet((("observe", "again", error.message),)), nothing[1]
    if answer is None:
        return nothing
    missing = tuple((a, b, c) for a, b, c in answer["set"]["missing"])
    unprepared = tuple((a, b, c) for a, b, c in answer.get("unprepared", ()))
    return ObservedSet(missing, answer["set"]["roles"]), unprepared
