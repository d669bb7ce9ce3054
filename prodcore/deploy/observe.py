"""Looking at everything that a deployment consists of, all of it at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from prodcore.deploy import paths as place
from prodcore.deploy.container import Container
from prodcore.deploy.layout import Layout
from prodcore.deploy.seen import Inside, Seen, SetSeen
from prodcore.deploy.spec import HostWish
from prodcore.errors import ProdError
from prodcore.incus.client import Incus
from prodcore.installation.sets import REPLICA_SETS, USERS_SET

_AGENT_SECONDS = 120.0
_LOOK_SECONDS = 120.0
_RUNNING = "Running"

SetRequests = Mapping[str, dict[str, Any]]
"""For each set what ``deploy inside`` needs to know about it."""


def look(layout: Layout, incus: Incus, wishes: Mapping[str, HostWish], requests: SetRequests) -> Seen:
    """See everything. Raises IncusUnavailable; a container that cannot be asked is as one with nothing in it."""
    with ThreadPoolExecutor(len(layout.hosts) * 2 + 4) as pool:
        server = pool.submit(incus.query, "GET", "/1.0")
        networks = pool.submit(incus.query, "GET", "/1.0/networks?recursion=1")
        profiles = pool.submit(incus.query, "GET", "/1.0/profiles?recursion=1")
        found = {one["name"]: one for one in incus.query("GET", "/1.0/instances?recursion=1")}
        instances = {host.name: found[host.name] for host in layout.hosts if host.name in found}
        running = {name for name, one in instances.items() if one["status"] == _RUNNING}
        insides = {name: pool.submit(_inside, incus, wishes[name], _urls(layout, name)) for name in running}
        sets = {name: pool.submit(_look_at_set, layout, incus, name, requests[name], running) for name in REPLICA_SETS}
        seen_sets = {name: asked.result() for name, asked in sets.items()}
        return Seen(
            is_clustered=bool(server.result()["environment"].get("server_clustered")),
            network=_named(networks, layout.deployment.incus.bridge),
            profile=_named(profiles, layout.deployment.name),
            instances=instances,
            insides={name: asked.result() for name, asked in insides.items()},
            sets={name: seen for name, (seen, _unprepared) in seen_sets.items()},
            unprepared=seen_sets[USERS_SET][1],
        )


def setup_url(layout: Layout) -> str:
    """Where webapp says whether it still waits for its first admin."""
    return f"http://{layout.web.address}:{layout.deployment.web.port}/api/v1/setup"


def _urls(layout: Layout, name: str) -> list[str]:
    return [setup_url(layout)] if name == layout.web.name else []


def _named(listed: Future[Any], name: str) -> dict[str, Any] | None:
    return next((one for one in listed.result() if one["name"] == name), None)


def _inside(incus: Incus, wish: HostWish, urls: list[str]) -> Inside:
    files = {file.path: file.sha256 for file in wish.files} | dict.fromkeys(wish.absent, "")
    request = {
        "files": files,
        "directories": [directory.path for directory in wish.directories],
        "links": [link.path for link in wish.links],
        "binaries": [binary.path for binary in wish.binaries],
        "packages": list(wish.packages),
        "accounts": list(wish.accounts),
        "releases": place.RELEASES,
        "units": [unit.name for unit in wish.units],
        "dated": sorted({path for unit in wish.units for path in unit.files}),
        "urls": [*wish.ready, *urls],
    }
    return Inside(Container(incus, wish.name).ask("observe", request, seconds=_AGENT_SECONDS))


def _look_at_set(
    layout: Layout, incus: Incus, name: str, request: dict[str, Any], running: set[str]
) -> tuple[SetSeen, tuple[tuple[str, str, str], ...]]:
    """One set from its first container that runs; the users' set also tells about shard map and indexes."""
    host = next((h.name for h in layout.db_hosts if h.members[0].replica_set == name and h.name in running), None)
    nothing = SetSeen(), Seen().unprepared
    if host is None:
        return nothing
    try:
        answer = Container(incus, host).prodctl("look", request, seconds=_LOOK_SECONDS)
    except ProdError as error:
        return SetSeen((("look", "again", error.message),)), nothing[1]
    if answer is None:
        return nothing
    lacks = tuple((a, b, c) for a, b, c in answer["set"]["lacks"])
    unprepared = tuple((a, b, c) for a, b, c in answer.get("unprepared", ()))
    return SetSeen(lacks, answer["set"]["roles"]), unprepared
