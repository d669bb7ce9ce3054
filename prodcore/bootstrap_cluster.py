"""The composition root of everything that goes straight to the members: inspection, drills, guard."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from prodcore.cluster.services import HttpServiceProbe
from prodcore.cluster.status import ClusterStatus, inspect_cluster
from prodcore.errors import ConfigError, Problem
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.drill.engine import Parts
    from prodcore.drill.ports import Traffic
    from prodcore.mongo.inspection import MongoSetInspector
    from prodcore.nodes.control import MemberControl

PRODUCTS = ("products_db", "products")
PRODUCT_DATABASES = ("products_db",)
USERS_DATABASES = ("auth_db", "prodctl_meta")

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


def open_inspectors(settings: Settings) -> list[MongoSetInspector]:
    """One inspector a set; the last one's set keeps users and shard map."""
    from prodcore.mongo.inspection import MongoSetInspector

    return [MongoSetInspector(uri, _SETS[name]) for name, uri in set_addresses(settings).items()]


def cluster_status(settings: Settings) -> ClusterStatus:
    """The whole cluster at this moment."""
    sets = open_inspectors(settings)
    services = [HttpServiceProbe("webapp", settings.url), HttpServiceProbe("authsvc", settings.auth_server_url)]
    return inspect_cluster(sets, services, map_set=sets[-1].name)


@contextmanager
def open_drill(settings: Settings, control: MemberControl) -> Iterator[Parts]:
    """Everything that a drill needs, with an id of its own; closes the connections at the end."""
    from prodcore.bootstrap import open_catalog, open_replica_set
    from prodcore.drill.catalog_traffic import CatalogTraffic
    from prodcore.drill.engine import Parts
    from prodcore.drill.journal import Journal
    from prodcore.mongo.drill_set import MongoDrillSet
    from prodcore.mongo.drill_traffic import DRILL_RECORDS, MongoRecordTraffic

    run = f"drill{secrets.token_hex(4)}"
    *shards, users = open_inspectors(settings)
    accesses = {s.name: MongoDrillSet(s, PRODUCTS) for s in shards} | {users.name: MongoDrillSet(users, DRILL_RECORDS)}
    with ExitStack() as stack:

        def traffic(name: str) -> Traffic:
            if name == users.name:
                return MongoRecordTraffic(open_replica_set(settings, "db3_url"), run)
            return CatalogTraffic(stack.enter_context(open_catalog(settings)), name, run)

        yield Parts(
            run,
            accesses,
            (frozenset(s.name for s in shards), frozenset((users.name,))),
            traffic,
            control,
            Journal(settings.state_dir / "drill"),
            settings.request_budget_seconds,
        )


def local_member_control(settings: Settings) -> MemberControl:
    """A hand on the members of this machine's cluster."""
    from prodcore.local import open_cluster

    return open_cluster(settings).members
