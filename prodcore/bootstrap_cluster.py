"""The composition root of everything that goes straight to the members: inspection, drills, guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prodcore.cluster.services import HttpServiceProbe
from prodcore.cluster.status import ClusterStatus, inspect_cluster
from prodcore.errors import ConfigError, Problem
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.mongo.inspection import MongoSetInspector

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
