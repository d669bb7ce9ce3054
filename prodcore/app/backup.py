"""The composition root of backups: made from a system, put back into one, and looked at without any."""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodcore.app.wiring import PRODUCTS, catalog_over, configured_sets, open_replica_sets
from prodcore.deadline import budget, run_parallel
from prodcore.errors import Conflict, InvalidInput, NotFound, Problem
from prodcore.settings import SecretStr, Settings, env_file

if TYPE_CHECKING:
    from prodcore.backup.archive import Backup, Manifest
    from prodcore.installation.sets import Members
    from prodcore.mongo.client.replica_set import ReplicaSet
    from prodcore.mongo.restore import Restored, RestoredItem, Selection
    from prodcore.routing import ShardMap

_SECONDS = 24 * 3600.0
"""Nothing of it is forever, and none of it is a request that somebody waits for."""

OnDocuments = Callable[[int], None]


@dataclass(frozen=True)
class Held:
    """What a system holds that a restore would replace."""

    products: int
    users: int

    def __bool__(self) -> bool:
        return bool(self.products or self.users)


@dataclass(frozen=True)
class System:
    """All sets, straight on their members, as a user who may read and write everything."""

    settings: Settings
    users: ReplicaSet
    shards: Mapping[str, ReplicaSet]

    def count(self) -> int:
        """About how many products there are."""
        with budget(self.settings.request_budget_seconds):
            return sum(
                shard.read(shard.collection("products").estimated_document_count) for shard in self.shards.values()
            )

    def create(
        self,
        directory: Path,
        secret: bytes | None,
        on_documents: OnDocuments,
        on_instant: Callable[[str], None] = lambda _name: None,
    ) -> Manifest:
        """Make a backup in ``directory``. Raises Unavailable, Forbidden, Conflict; nothing is left then.

        ``on_instant`` is told each set's name when it is settled which instant of it the backup shows.
        """
        from prodcore.backup.archive import BackupWriter, backup_name
        from prodcore.mongo.products.map_store import MongoMapStore
        from prodcore.mongo.snapshot import Snapshots
        from prodcore.product.fields import SCHEMA_VERSION

        began = datetime.now(UTC)
        writer = BackupWriter(directory, backup_name(began), secret)
        snapshots = Snapshots(self.users, self.shards)
        with budget(_SECONDS), writer.begun(), closing(snapshots):
            shard_map = _stored_map(MongoMapStore(self.users).load())
            snapshots.fix(on_instant)
            snapshots.note_unfinished()
            tell = _counted(on_documents)
            run_parallel(lambda one: one.copy(writer, snapshots.note_arrived, tell), snapshots.all)
            unresolved = snapshots.write_moving(writer)
            return writer.finish(
                prodctl=importlib.metadata.version("prodctl"),
                schema_version=SCHEMA_VERSION,
                began=began,
                ended=datetime.now(UTC),
                map_version=shard_map.version,
                ranges=shard_map.as_document()["ranges"],
                sets={s.name: {"is_shard": s.is_shard, "at": s.at} for s in snapshots.all},
                old_places=snapshots.old_places,
                unresolved=unresolved,
            )

    def held(self) -> Held:
        """What a restore of everything would replace: products, deleted ones included, and users."""

        def count(replica_set: ReplicaSet, database: str, name: str) -> int:
            collection = replica_set.collection(name, database)
            return replica_set.read(lambda: collection.count_documents({}), fresh=True)

        with budget(self.settings.request_budget_seconds):
            products = sum(count(shard, *PRODUCTS) for shard in self.shards.values())
            return Held(products, count(self.users, "auth_db", "users"))

    def restore(self, backup: Backup, *, replace: bool, on_documents: OnDocuments) -> Restored:
        """Put everything back, where products go by the present map; with ``replace`` remove what is there before.

        Raises Conflict where the system holds products or users, ConfigError where its maps disagree.
        """
        from prodcore.mongo.products.checks import ensure_indexes
        from prodcore.mongo.products.map_store import MongoMapStore, MongoOwnedRangesStore
        from prodcore.mongo.restore import Restorer
        from prodcore.sharding.trust import trusted_map

        with budget(_SECONDS):
            owned = {name: MongoOwnedRangesStore(shard) for name, shard in self.shards.items()}
            shard_map = trusted_map(MongoMapStore(self.users), owned)
            if lacking := set(shard_map.shards) - self.shards.keys():
                raise Conflict(f"the shard map names {', '.join(sorted(lacking))}, and no address for it is set")
            if replace:
                self._clear()
            elif self.held():
                raise Conflict("the system holds products or users", hint="--replace removes them first")
            for shard in self.shards.values():
                ensure_indexes(shard)
            restored = Restorer(backup, self.users, self.shards, shard_map, _counted(on_documents)).run()
            self._renew(backup.manifest.schema_version)
            return restored

    def _clear(self) -> None:
        """Remove what a restore of everything brings back. The audit and the history of drills stay."""
        from prodcore.mongo.restore import REPLACED_BY_SHARD, REPLACED_OF_USERS

        emptied = [(shard, *place) for shard in self.shards.values() for place in REPLACED_BY_SHARD]
        for replica_set, database, name in [*emptied, *((self.users, *place) for place in REPLACED_OF_USERS)]:
            collection = replica_set.collection(name, database)
            replica_set.write(partial(_empty, collection))

    def restore_some(
        self, backup: Backup, selection: Selection, *, replace: bool, on_documents: OnDocuments
    ) -> Iterator[RestoredItem]:
        """Put some products and users back among those that are there; what became of each, one after the other.

        Raises NotFound where the backup holds none of them.
        """
        from prodcore.mongo.restore import SelectiveRestorer

        tell, found = _counted(on_documents), False
        catalog = catalog_over(self.settings, self.users, self.shards)
        restorer = SelectiveRestorer(catalog, self.users, self.shards, replace=replace)
        works: Iterator[Callable[[], RestoredItem]] = chain(
            (partial(restorer.product, document) for document in selection.products_of(backup, tell)),
            (partial(restorer.user, document, datetime.now(UTC)) for document in selection.users_of(backup, tell)),
        )
        for work in works:
            with budget(self.settings.request_budget_seconds):
                item = work()
            found = True
            yield item
        if not found:
            raise NotFound("the backup contains none of these", hint="prodctl backup show lists its contents")

    def _renew(self, schema_version: int) -> None:
        """Give products that an earlier version stored the terms and fields of this one."""
        from prodcore.mongo.products.checks import forget_upgrade, upgrade_products
        from prodcore.product.fields import SCHEMA_VERSION

        if schema_version != SCHEMA_VERSION:
            for shard in self.shards.values():
                forget_upgrade(shard)
            upgrade_products(list(self.shards.values()))


def _empty(collection: Any, _again: bool) -> None:
    collection.delete_many({})


def _stored_map(shard_map: ShardMap | None) -> ShardMap:
    if shard_map is None:
        raise Conflict("no shard map is stored: there is nothing to back up", hint="prodctl local up, or deploy apply")
    return shard_map


def _counted(on_documents: OnDocuments) -> OnDocuments:
    """Told by several threads how many more, it tells how many altogether."""
    lock, total = threading.Lock(), 0

    def tell(more: int) -> None:
        nonlocal total
        with lock:
            total += more
            on_documents(total)

    return tell


@contextmanager
def open_system(settings: Settings) -> Iterator[System]:
    """The sets of the settings; closes the connections at the end. Raises ConfigError."""
    with open_replica_sets(with_full_rights(settings)) as (users, shards):
        yield System(settings, users, shards)


def with_full_rights(settings: Settings) -> Settings:
    """Addresses with the login of root, where this machine holds the secrets of the very system of the settings.

    The operator's own login may not read users and their secrets, and never need be able to: it lies on the members'
    machines too. Addresses of another system than the one set up here are left as they are.
    """
    from prodcore.mongo.client.replica_set import SetAddress

    members, root = _own_members(settings)
    urls = {
        one.setting: SecretStr(_as_root(one.uri, root))
        if set(SetAddress(one.uri).members) == set(members.get(one.name, ()))
        else SecretStr(one.uri)
        for one in configured_sets(settings)
    }
    more = {name: urls.pop(name) for name in settings.more_shard_urls}
    return settings.changed(**urls, **({"more_shard_urls": more} if more else {}))


def _as_root(uri: str, password: str) -> str:
    """The address with another login; all that it says of TLS stays.

    >>> _as_root("mongodb://operator:x@127.0.0.1:1,127.0.0.1:2/products_db?replicaSet=rsA&authSource=admin", "y")
    'mongodb://root:y@127.0.0.1:1,127.0.0.1:2/products_db?replicaSet=rsA&authSource=admin'
    """
    scheme, _, rest = uri.partition("://")
    authority, slash, options = rest.partition("/")
    return f"{scheme}://root:{password}@{authority.rpartition('@')[2]}{slash}{options}"


def _own_members(settings: Settings) -> tuple[Members, str]:
    """The members of the system that was set up here, and root's password on them; none where none was."""
    from prodcore.installation.secret import KEYFILE, SECRETS_FILE, ensure_secrets

    if settings.deployment:
        from prodcore.deploy.config import load_deployment
        from prodcore.deploy.layout import Layout

        deployment = load_deployment(settings.deployment)
        directory, members = settings.state_dir / "deploy" / deployment.name, Layout(deployment).set_members
    else:
        from prodcore.local.cluster import open_cluster
        from prodcore.local.state import load_state

        directory = env_file().parent.parent  # of the cluster that left these addresses
        members = open_cluster(settings, directory).plan.set_members if load_state(directory) else {}
    if not members or not (directory / SECRETS_FILE).exists():
        return {}, ""
    return members, ensure_secrets(directory, directory / KEYFILE).root


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a backup; ``documents`` and ``elsewhere`` are None where nobody could look into its files."""

    problems: list[Problem]
    documents: int | None = None
    elsewhere: int | None = None


def verify_backup(path: Path, secret: bytes | None, on_documents: OnDocuments) -> Verdict:
    """Look at every byte of a backup, and at every document where it is not encrypted or the key is given.

    Raises UnreadableInput for what is no backup, InvalidInput for another key.
    """
    from prodcore.backup.archive import Backup
    from prodcore.mongo.restore import check_contents

    try:
        backup = Backup(path, secret)
    except InvalidInput as error:
        if any(problem.code == "wrong_key" for problem in error.problems) or not error.problems:
            raise
        return Verdict(list(error.problems))
    problems = list(backup.damage())
    if backup.is_locked:
        return Verdict(problems)
    found = check_contents(backup, _counted(on_documents))
    damaged = {problem.field for problem in problems}
    more = [problem for problem in found.problems if problem.field not in damaged]
    return Verdict(problems + more, found.documents, found.elsewhere)
