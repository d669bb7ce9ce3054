"""The composition root of everything that goes straight to the members: inspection, lint, history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prodcore.errors import ConfigError, Problem, ShardNotFound
from prodcore.replicaset.cluster import ClusterStatus, inspect_cluster
from prodcore.replicaset.services import HttpServiceProbe
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.mongo.admin.drill_history import MongoDrillHistory
    from prodcore.mongo.admin.inspection import MongoSetInspector
    from prodcore.processes.control import MemberControl
    from prodcore.replicaset.elections import ElectionRecord
    from prodcore.replicaset.lint import Finding
    from prodcore.replicaset.ports import ServiceProbe

PRODUCTS = ("products_db", "products")
PRODUCT_DATABASES = ("products_db",)
USERS_DATABASES = ("auth_db", "audit_db", "prodctl_meta")

_SETS = {"db1_url": PRODUCT_DATABASES, "db2_url": PRODUCT_DATABASES, "db3_url": USERS_DATABASES}


def set_addresses(settings: Settings) -> dict[str, str]:
    """The addresses of the three sets by setting. Raises ConfigError that names every one that is missing."""
    secrets = {name: getattr(settings, name) for name in _SETS}
    if missing := [name for name, secret in secrets.items() if secret is None]:
        raise ConfigError(
            problems=[Problem(name.upper(), "missing", "is not set") for name in missing],
            hint="prodctl local up makes a cluster on this machine; or give mongodb://…/?replicaSet=…",
        )
    return {name: secret.get_secret_value() for name, secret in secrets.items()}


def open_inspectors(settings: Settings, *, keep: bool = False) -> list[MongoSetInspector]:
    """One inspector a set; the last one's set keeps users and shard map. ``keep`` is for looking again and again."""
    from prodcore.mongo.admin.inspection import MongoSetInspector

    return [MongoSetInspector(uri, _SETS[name], keep=keep) for name, uri in set_addresses(settings).items()]


def cluster_status(settings: Settings) -> ClusterStatus:
    """The whole cluster at this moment."""
    services = [HttpServiceProbe("webapp", settings.url), HttpServiceProbe("authsvc", settings.auth_server_url)]
    return look_at(open_inspectors(settings), services)


def look_at(sets: Sequence[MongoSetInspector], services: Sequence[ServiceProbe]) -> ClusterStatus:
    """Ask these sets, of which the last keeps the shard map and the guards' signs of life, and these services."""
    from prodcore.mongo.client.records import guard_signs

    seen = inspect_cluster(sets, services, map_set=sets[-1].name)
    return replace(seen, guards=guard_signs(sets[-1], seen.sets[-1]))


@contextmanager
def open_history(settings: Settings) -> Iterator[MongoDrillHistory]:
    """The drills that were; closes the connections at the end."""
    from prodcore.app.wiring import open_replica_set
    from prodcore.mongo.admin.drill_history import MongoDrillHistory

    history = MongoDrillHistory(open_replica_set(settings, "db3_url"))
    try:
        yield history
    finally:
        history.close()


def member_control(settings: Settings, directory: Path | None = None) -> MemberControl:
    """A hand on the members: of the deployment of the settings, else of the local cluster, else on none.

    ``directory`` is where the local cluster is, if elsewhere. Raises ConfigError for a description that cannot work.
    """
    if settings.deployment and directory is None:
        return _deployed_members(settings.deployment)
    from prodcore.local.cluster import default_directory, open_cluster
    from prodcore.local.state import load_state
    from prodcore.processes.uncontrolled import NoMembers

    if directory is None and load_state(default_directory(settings)) is None:
        return NoMembers()
    return open_cluster(settings, directory).members


def _deployed_members(description: Path) -> MemberControl:
    from prodcore.deploy.config import load_deployment
    from prodcore.deploy.layout import Layout
    from prodcore.incus.client import Incus
    from prodcore.processes.systemd import IncusMembers, MemberUnit

    deployment = load_deployment(description)
    units = {m.endpoint: MemberUnit(m.host, m.unit) for m in Layout(deployment).members}
    return IncusMembers(Incus(deployment.incus.remote, deployment.incus.project), units)


def cluster_elections(settings: Settings, only: str | None = None) -> list[ElectionRecord]:
    """Elections of every set, or of one, the newest first. Raises ShardNotFound."""
    from prodcore.mongo.client.records import election_records
    from prodcore.replicaset.elections import read_elections

    inspectors = [i for i in open_inspectors(settings) if only in (None, i.name)]
    if not inspectors:
        raise ShardNotFound(f"there is no set {only}")
    found = [
        election
        for inspector in inspectors
        for election in read_elections(
            inspector.name, election_records(inspector.address, [m.address for m in inspector.inspect().members])
        )
    ]
    return sorted(found, key=lambda e: (e.at is not None, e.at), reverse=True)


def lint_cluster(settings: Settings, control: MemberControl) -> list[Finding]:
    """Everything risky about how the sets are set up, and about the processes that ``control`` holds."""
    from prodcore.mongo.client.records import member_setups, set_config
    from prodcore.replicaset.lint import lint_processes, lint_set

    found: list[Finding] = []
    for inspector in open_inspectors(settings):
        status = inspector.inspect()
        members = [m.address for m in status.members]
        setups = member_setups(inspector.address, members)
        found += lint_set(status, setups, set_config(inspector.address, members))
        found += lint_processes(status, control)
    return found
