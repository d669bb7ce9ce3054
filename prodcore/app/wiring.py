"""The composition root: settings in, wired objects out. Doors call this once and never see it again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prodcore.errors import ConfigError, Problem, ShardNotFound
from prodcore.settings import USERS_SETTING, Settings

if TYPE_CHECKING:
    from prodcore.catalog import Catalog
    from prodcore.mongo.admin.drill_board import MongoCurves, MongoDrillBoard, MongoDrillHistory
    from prodcore.mongo.admin.guarded_set import GuardSwitch
    from prodcore.mongo.admin.inspection import MongoSetInspector
    from prodcore.mongo.client.replica_set import ReplicaSet
    from prodcore.mongo.identity.audit_store import MongoAttemptStore, MongoAuditStore
    from prodcore.mongo.identity.token_store import MongoInvitationStore, MongoServiceTokenStore, MongoSessionStore
    from prodcore.mongo.identity.user_store import MongoUserStore
    from prodcore.mongo.products.map_store import MongoMoveOrders
    from prodcore.processes.control import MemberControl

PRODUCTS = ("products_db", "products")
_SHARD_DATABASES = ("products_db",)
_USERS_DATABASES = ("auth_db", "audit_db", "prodctl_meta")


@dataclass(frozen=True, slots=True)
class ConfiguredSet:
    """One replica set of the settings: what it is called, where it is, and what is in it."""

    name: str
    setting: str
    """``db1_url`` …"""
    uri: str
    is_shard: bool
    """Whether it holds products; else it is the users' set, which also keeps the shard map."""

    @property
    def databases(self) -> tuple[str, ...]:
        """The databases whose documents count."""
        return _SHARD_DATABASES if self.is_shard else _USERS_DATABASES


def configured_sets(settings: Settings) -> list[ConfiguredSet]:
    """Every set, the shards in order and last the users' set. Raises ConfigError that names every missing address."""
    from prodcore.mongo.client.replica_set import SetAddress

    urls = settings.set_urls()
    if missing := [name for name, secret in urls.items() if secret is None]:
        raise _not_set(*missing)
    uris = {name: secret.get_secret_value() for name, secret in urls.items() if secret}
    found = [ConfiguredSet(SetAddress(uri).name, name, uri, name != USERS_SETTING) for name, uri in uris.items()]
    names = [s.name for s in found]
    if twice := next((s for s in found if names.count(s.name) > 1), None):
        problem = Problem(twice.setting.upper(), "duplicate", f"is one of several addresses of {twice.name}")
        raise ConfigError(problems=[problem])
    return found


def configured_set(settings: Settings, name: str) -> ConfiguredSet:
    """The set of this name. Raises ShardNotFound."""
    sets = configured_sets(settings)
    for found in sets:
        if found.name == name:
            return found
    raise ShardNotFound(f"there is no set {name}; there are {', '.join(s.name for s in sets)}", shard=name)


def open_replica_set(settings: Settings, setting: str, *, count_retries: bool = False) -> ReplicaSet:
    """The replica set that a setting (``db1_url`` …) names. Raises ConfigError when it is not set or not usable.

    With ``count_retries`` its client tells ``prodcore.support.request_notes`` what it sends again.
    """
    from prodcore.mongo.client.replica_set import ReplicaSet

    secret = settings.set_urls().get(setting)
    if secret is None:
        raise _not_set(setting)
    return ReplicaSet(
        secret.get_secret_value(),
        heartbeat_ms=settings.heartbeat_ms,
        connect_timeout_ms=settings.connect_timeout_ms,
        count_retries=count_retries,
    )


def open_users_set(settings: Settings) -> ReplicaSet:
    """The set of users, shard map, orders and history. Raises ConfigError without DB3_URL."""
    return open_replica_set(settings, USERS_SETTING)


def _not_set(*names: str) -> ConfigError:
    return ConfigError(
        problems=[Problem(name.upper(), "missing", "is not set") for name in names],
        hint="prodctl local up creates a cluster on this machine; or set mongodb://…/?replicaSet=…",
    )


@contextmanager
def open_replica_sets(
    settings: Settings, *, count_retries: bool = False
) -> Iterator[tuple[ReplicaSet, dict[str, ReplicaSet]]]:
    """The users' set, and the shards by name; closes their connections at the end."""
    users = open_users_set(settings)
    names = [name for name in settings.set_urls() if name != USERS_SETTING]
    opened = (open_replica_set(settings, name, count_retries=count_retries) for name in names)
    shards = {replica_set.name: replica_set for replica_set in opened}
    try:
        yield users, shards
    finally:
        for replica_set in (users, *shards.values()):
            replica_set.close()


@contextmanager
def open_catalog(settings: Settings, *, count_retries: bool = False) -> Iterator[Catalog]:
    """The catalogue over the shards of the stored map; closes its connections at the end.

    With ``count_retries`` it tells ``prodcore.support.request_notes`` what is sent again.
    Raises ConfigError when the map and the shards' copies disagree, or the map names a shard without an address.
    """
    with open_replica_sets(settings, count_retries=count_retries) as (users, shards):
        yield catalog_over(settings, users, shards)


def catalog_over(settings: Settings, users: ReplicaSet, shards: Mapping[str, ReplicaSet]) -> Catalog:
    """The catalogue over sets that are open already; see ``open_catalog``."""
    from prodcore.catalog import Catalog
    from prodcore.catalog.current_map import CurrentMap
    from prodcore.mongo.products.map_store import MongoMapStore, MongoOwnedRangesStore
    from prodcore.mongo.products.store import MongoProductStore
    from prodcore.mongo.products.users_set import MongoClaimStore, MongoViewStore
    from prodcore.sharding.trust import trusted_map

    maps, owned = MongoMapStore(users), {n: MongoOwnedRangesStore(s) for n, s in shards.items()}
    as_of = time.monotonic()
    shard_map = trusted_map(maps, owned)
    if unknown := set(shard_map.shards) - shards.keys():
        raise ConfigError(f"the shard map names {', '.join(sorted(unknown))}, and no address for it is set")
    stores = {name: MongoProductStore(replica_set) for name, replica_set in shards.items()}
    oldest = {name: store.oldest_map for name, store in owned.items()}
    return Catalog(
        CurrentMap(shard_map, stores, maps.load, oldest, as_of=as_of),
        stores,
        MongoClaimStore(users),
        views=MongoViewStore(users),
        default_currency=settings.currency,
        deleted_days=settings.deleted_days,
    )


def prepare_cluster(settings: Settings) -> None:
    """Store the shard map where there is none yet, make indexes and rules, renew what an earlier version stored.

    Harmless when all is there.
    """
    from prodcore.mongo.products.checks import claim_stored_skus, ensure_indexes, upgrade_products
    from prodcore.mongo.products.map_store import MongoMapStore, MongoOwnedRangesStore
    from prodcore.mongo.products.users_set import MongoClaimStore
    from prodcore.routing import DEFAULT_MAP
    from prodcore.sharding.trust import install_map

    with open_replica_sets(settings) as (users, shards):
        for replica_set in shards.values():
            ensure_indexes(replica_set)
        upgrade_products(list(shards.values()))
        claim_stored_skus(list(shards.values()), MongoClaimStore(users))
        install_map(DEFAULT_MAP, MongoMapStore(users), {n: MongoOwnedRangesStore(s) for n, s in shards.items()})


def preparation_lacks(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """What ``prepare_cluster`` would do, each as action, what, reason. Raises Unavailable."""
    from prodcore.mongo.products.checks import has_claimed_skus, is_upgraded, missing_indexes
    from prodcore.mongo.products.map_store import MongoMapStore, MongoOwnedRangesStore
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
            elif not owned[name].is_enforced():
                yield "set", f"the rule of {name}", "it accepts products whose names belong to other shards"
            for index in missing_indexes(replica_set):
                yield "make", f"index {index} of {name}", "it is missing"
            if not is_upgraded(replica_set):
                yield "renew", f"the search terms of the products in {name}", "another version stored them"
            if not has_claimed_skus(replica_set):
                yield "claim", f"the SKUs of the products in {name}", "another version stored them"


def open_inspectors(settings: Settings, *, keep: bool = False) -> list[MongoSetInspector]:
    """One inspector a set; the last one's set keeps users and shard map. ``keep`` is for looking again and again."""
    from prodcore.mongo.admin.inspection import MongoSetInspector

    return [MongoSetInspector(s.uri, s.databases, keep=keep) for s in configured_sets(settings)]


_PATIENT_MS = 2_000


def patient(settings: Settings) -> Settings:
    """For programs that look at the users' set every second or two: heartbeats cost them more than their looks.

    They still hear at once of a new primary and of a connection that is closed, and later of a member that hangs.
    """
    return settings.changed(heartbeat_ms=_PATIENT_MS)


@contextmanager
def open_switch(settings: Settings) -> Iterator[GuardSwitch]:
    """The switch of all guards; closes its connections at the end."""
    from prodcore.mongo.admin.guarded_set import GuardSwitch

    replica_set = open_users_set(settings)
    try:
        yield GuardSwitch(replica_set)
    finally:
        replica_set.close()


@contextmanager
def open_board(settings: Settings) -> Iterator[MongoDrillBoard]:
    """Where drills are ordered, and where how they go is written; closes its connections at the end."""
    from prodcore.mongo.admin.drill_board import MongoDrillBoard

    board = MongoDrillBoard(open_users_set(settings), [s.name for s in configured_sets(settings)])
    try:
        yield board
    finally:
        board.close()


@dataclass(frozen=True, slots=True)
class Desk:
    """What the users' set keeps of the work on the cluster."""

    board: MongoDrillBoard
    history: MongoDrillHistory
    moves: MongoMoveOrders
    curves: MongoCurves


@contextmanager
def open_desk(settings: Settings) -> Iterator[Desk]:
    """All of it over the same connections, which are closed at the end."""
    from prodcore.mongo.admin.drill_board import MongoCurves, MongoDrillBoard, MongoDrillHistory
    from prodcore.mongo.products.map_store import MongoMoveOrders

    users = open_users_set(settings)
    board = MongoDrillBoard(users, [s.name for s in configured_sets(settings)])
    try:
        yield Desk(board, MongoDrillHistory(users), MongoMoveOrders(users), MongoCurves(users))
    finally:
        users.close()


@contextmanager
def open_history(settings: Settings) -> Iterator[MongoDrillHistory]:
    """The drills that were; closes the connections at the end."""
    from prodcore.mongo.admin.drill_board import MongoDrillHistory

    history = MongoDrillHistory(open_users_set(settings))
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
    from prodcore.processes.control import NoMembers

    if directory is None and load_state(default_directory(settings)) is None:
        return NoMembers()
    return open_cluster(settings, directory).members


def _deployed_members(description: Path) -> MemberControl:
    from prodcore.deploy.config import load_deployment
    from prodcore.deploy.layout import Layout
    from prodcore.incus import Incus
    from prodcore.processes.systemd import IncusMembers, MemberUnit

    deployment = load_deployment(description)
    units = {m.endpoint: MemberUnit(m.host, m.unit) for m in Layout(deployment).members}
    return IncusMembers(Incus(deployment.incus.remote, deployment.incus.project), units)


@dataclass(frozen=True, slots=True)
class UserStores:
    """Everything about users, in rsU."""

    users: MongoUserStore
    sessions: MongoSessionStore
    attempts: MongoAttemptStore
    audit: MongoAuditStore
    tokens: MongoServiceTokenStore
    invitations: MongoInvitationStore
    replica_set: ReplicaSet

    def ensure_indexes(self) -> None:
        """Make all indexes; idempotent."""
        for store in (self.users, self.sessions, self.attempts, self.audit, self.tokens, self.invitations):
            store.ensure_indexes()

    def close(self) -> None:
        """Close the connections."""
        self.replica_set.close()


def open_user_stores(settings: Settings) -> UserStores:
    """The stores on the users' replica set. Call it after the fork. Raises ConfigError without DB3_URL."""
    from prodcore.mongo.identity.audit_store import MongoAttemptStore, MongoAuditStore
    from prodcore.mongo.identity.token_store import MongoInvitationStore, MongoServiceTokenStore, MongoSessionStore
    from prodcore.mongo.identity.user_store import MongoUserStore

    users_set = open_users_set(settings)
    return UserStores(
        MongoUserStore(users_set),
        MongoSessionStore(users_set),
        MongoAttemptStore(users_set),
        MongoAuditStore(users_set),
        MongoServiceTokenStore(users_set),
        MongoInvitationStore(users_set),
        users_set,
    )
