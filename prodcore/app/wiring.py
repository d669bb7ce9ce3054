"""The composition root: settings in, wired objects out. Doors call this once and never see it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prodcore.errors import ConfigError, Problem
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.catalog import Catalog
    from prodcore.mongo.client.replica_set import ReplicaSet

_SHARD_SETTINGS = ("db1_url", "db2_url")
_USERS_SETTING = "db3_url"


def open_replica_set(settings: Settings, setting: str, *, count_retries: bool = False) -> ReplicaSet:
    """The replica set that a setting (``db1_url`` …) names. Raises ConfigError when it is not set or not usable.

    With ``count_retries`` its client tells ``prodcore.support.retries`` what it sends again.
    """
    from prodcore.mongo.client.replica_set import ReplicaSet

    secret = getattr(settings, setting)
    if secret is None:
        raise ConfigError(
            problems=[Problem(setting.upper(), "missing", "is not set")],
            hint="prodctl local up makes a cluster on this machine; or give mongodb://…/?replicaSet=…",
        )
    return ReplicaSet(
        secret.get_secret_value(),
        heartbeat_ms=settings.heartbeat_ms,
        connect_timeout_ms=settings.connect_timeout_ms,
        count_retries=count_retries,
    )


@contextmanager
def open_replica_sets(
    settings: Settings, *, count_retries: bool = False
) -> Iterator[tuple[ReplicaSet, dict[str, ReplicaSet]]]:
    """The users' set, and the shards by name; closes their connections at the end."""
    users = open_replica_set(settings, _USERS_SETTING)
    opened = (open_replica_set(settings, name, count_retries=count_retries) for name in _SHARD_SETTINGS)
    shards = {replica_set.name: replica_set for replica_set in opened}
    try:
        yield users, shards
    finally:
        for replica_set in (users, *shards.values()):
            replica_set.close()


@contextmanager
def open_catalog(settings: Settings, *, count_retries: bool = False) -> Iterator[Catalog]:
    """The catalogue over the shards of the stored map; closes its connections at the end.

    With ``count_retries`` it tells ``prodcore.support.retries`` what is sent again.
    Raises ConfigError when the map and the shards' copies disagree, or the map names a shard without an address.
    """
    from prodcore.catalog import Catalog
    from prodcore.mongo.products.claim_store import MongoClaimStore
    from prodcore.mongo.products.map_store import MongoMapStore, MongoOwnedRangesStore
    from prodcore.mongo.products.store import MongoProductStore
    from prodcore.sharding.trust import trusted_map

    with open_replica_sets(settings, count_retries=count_retries) as (users, shards):
        maps = MongoMapStore(users)
        shard_map = trusted_map(maps, {n: MongoOwnedRangesStore(s) for n, s in shards.items()})
        if unknown := set(shard_map.shards) - shards.keys():
            raise ConfigError(f"the shard map names {', '.join(sorted(unknown))}, and no address for it is set")
        stores = {name: MongoProductStore(replica_set) for name, replica_set in shards.items()}
        yield Catalog(
            shard_map,
            stores,
            MongoClaimStore(users),
            default_currency=settings.currency,
            deleted_days=settings.deleted_days,
            stored_map=maps.load,
        )


def prepare_cluster(settings: Settings) -> None:
    """Store the shard map where there is none yet, make the indexes, renew what an earlier version stored.

    Harmless when all is there.
    """
    from prodcore.mongo.products.claim_store import MongoClaimStore
    from prodcore.mongo.products.map_store import MongoMapStore, MongoOwnedRangesStore
    from prodcore.mongo.products.store import ensure_indexes
    from prodcore.mongo.products.upgrade import claim_stored_skus, upgrade_products
    from prodcore.routing import DEFAULT_MAP
    from prodcore.sharding.trust import install_map

    with open_replica_sets(settings) as (users, shards):
        for replica_set in shards.values():
            ensure_indexes(replica_set)
            upgrade_products(replica_set)
            claim_stored_skus(replica_set, MongoClaimStore(users))
        install_map(DEFAULT_MAP, MongoMapStore(users), {n: MongoOwnedRangesStore(s) for n, s in shards.items()})


def preparation_lacks(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """What ``prepare_cluster`` would do, each as action, what, reason. Raises Unavailable."""
    from prodcore.mongo.products.map_store import MongoMapStore, MongoOwnedRangesStore
    from prodcore.mongo.products.store import missing_indexes
    from prodcore.mongo.products.upgrade import has_claimed_skus, is_upgraded
    from prodcore.sharding.trust import trusted_map

    with open_replica_sets(settings) as (users, shards):
        owned = {name: MongoOwnedRangesStore(replica_set) for name, replica_set in shards.items()}
        try:
            trusted_map(MongoMapStore(users), owned)
        except ConfigError as error:
            yield "store", "the shard map", error.message
        for name, replica_set in shards.items():
            if owned[name].load() is None:
                yield "store", f"the ranges of {name}", "they are missing"
            for index in missing_indexes(replica_set):
                yield "make", f"index {index} of {name}", "it is missing"
            if not is_upgraded(replica_set):
                yield "renew", f"the products' terms in {name}", "another version stored them"
            if not has_claimed_skus(replica_set):
                yield "claim", f"the SKUs of the products in {name}", "another version stored them"
