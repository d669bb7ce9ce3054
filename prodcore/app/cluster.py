"""The composition root of everything that goes straight to the members: inspection, lint, history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from prodcore.app.wiring import configured_set, open_inspectors
from prodcore.replicaset.cluster import ClusterStatus, inspect_cluster
from prodcore.replicaset.services import HttpServiceProbe
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.mongo.admin.inspection import MongoSetInspector
    from prodcore.processes.control import MemberControl
    from prodcore.replicaset.diagnostic import Diagnostic
    from prodcore.replicaset.elections import ElectionRecord
    from prodcore.replicaset.services import ServiceProbe


def cluster_status(settings: Settings) -> ClusterStatus:
    """The whole cluster at this moment."""
    urls = {"webapp": settings.url, "authsvc": settings.auth_server_url}
    services = [HttpServiceProbe(name, url, ca_file=settings.ca_file) for name, url in urls.items()]
    return look_at(open_inspectors(settings), services)


def look_at(sets: Sequence[MongoSetInspector], services: Sequence[ServiceProbe]) -> ClusterStatus:
    """Ask these sets, of which the last keeps the shard map and the guards' heartbeats, and these services."""
    from prodcore.mongo.client.records import guard_signs

    seen = inspect_cluster(sets, services, map_set=sets[-1].name)
    return replace(seen, guards=guard_signs(sets[-1], seen.sets[-1]))


def cluster_elections(settings: Settings, only: str | None = None) -> tuple[list[ElectionRecord], dict[str, str]]:
    """Elections of every set, or of one, the newest first; and the members' names by address. Raises ShardNotFound."""
    from prodcore.mongo.client.records import election_records
    from prodcore.replicaset.elections import read_elections

    if only:
        configured_set(settings, only)  # it is one of ours
    found: list[ElectionRecord] = []
    names: dict[str, str] = {}
    for inspector in open_inspectors(settings):
        if only in (None, inspector.name):
            members = inspector.inspect().members
            names |= {m.address: m.name for m in members if m.name}
            found += read_elections(inspector.name, election_records(inspector.address, [m.address for m in members]))
    return sorted(found, key=lambda e: (e.at is not None, e.at), reverse=True), names


def lint_cluster(settings: Settings, control: MemberControl) -> list[Diagnostic]:
    """Everything risky about how the sets are set up, and about the processes that ``control`` holds."""
    from prodcore.mongo.client.records import member_setups, set_config
    from prodcore.replicaset.lint import lint_processes, lint_set

    found: list[Diagnostic] = []
    for inspector in open_inspectors(settings):
        status = inspector.inspect()
        members = [m.address for m in status.members]
        setups = member_setups(inspector.address, members)
        found += lint_set(status, setups, set_config(inspector.address, members))
        found += lint_processes(status, control)
    return found
