"""The composition root of what is done to shards as a whole: verify, repair, split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING
from uuid import UUID

from prodcore.app.wiring import open_replica_sets
from prodcore.deadline import budget
from prodcore.errors import Conflict, NotFound, ProductNotFound
from prodcore.replicaset.diagnostic import counted
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.catalog import Catalog
    from prodcore.mongo.products.checks import MongoCheckedShard
    from prodcore.mongo.products.claim_store import MongoClaimStore
    from prodcore.mongo.products.map_store import MongoMapStore, MongoOwnedRangesStore
    from prodcore.mongo.products.store import MongoProductStore
    from prodcore.product.move import Move
    from prodcore.routing import ShardMap
    from prodcore.sharding.findings import Finding
    from prodcore.sharding.repair import Mended


_AUTHOR = "prodctl shard repair"


@dataclass(frozen=True)
class Shards:
    """All shards and the map, straight on their members. A silent one raises Unavailable."""

    settings: Settings
    maps: MongoMapStore
    owned: Mapping[str, MongoOwnedRangesStore]
    checked: Mapping[str, MongoCheckedShard]
    stores: Mapping[str, MongoProductStore]
    claims: MongoClaimStore

    def count(self) -> int:
        """About how many documents all shards hold."""
        with budget(self.settings.request_budget_seconds):
            return sum(shard.count() for shard in self.checked.values())

    def findings(self, told: Callable[[int], None]) -> Iterator[Finding]:
        """Everything that is wrong; ``told`` hears how many documents were looked at."""
        from prodcore.sharding.verify import Verifier, map_findings

        with budget(self.settings.request_budget_seconds):
            shard_map, of_the_map = self.maps.load(), list(map_findings(self.maps, self.owned))
        documents = Verifier(shard_map, self.checked, told, self._claimed).findings() if shard_map else iter(())
        return chain(of_the_map, documents)

    def _claimed(self, skus: Sequence[str]) -> dict[str, UUID]:
        return {sku: claim.product_id for sku, claim in self.claims.read(skus).items()}

    def mend(self, found: Iterable[Finding], *, dry_run: bool) -> Iterator[Mended]:
        """Mend what has one right way. Raises OutcomeUnknown too: repeat it then."""
        from prodcore.sharding.repair import Repairer

        return Repairer(self.checked, self.maps, self.owned, _Mover(self), dry_run=dry_run).mend(found)

    def planned_split(self, key: str) -> ShardMap:
        """The map as ``split`` would make it; nothing is changed."""
        from prodcore.sharding.trust import trusted_map

        with budget(self.settings.request_budget_seconds):
            return trusted_map(self.maps, self.owned).split(key)

    def split(self, key: str) -> ShardMap:
        """Cut the range that holds ``key`` there; the new map. Raises VersionConflict, ConfigError."""
        from prodcore.sharding.trust import split_map

        with budget(self.settings.request_budget_seconds):
            return split_map(key, self.maps, self.owned)


def check_unused(settings: Settings, name: str) -> None:
    """Raise Conflict where a shard owns a range or holds a document; Unavailable where that cannot be known.

    What owns nothing takes no product by its rule, so it stays as it was found.
    """
    with open_shards(settings) as shards, budget(settings.request_budget_seconds):
        shard_map = shards.maps.load()
        if shard_map and (owned := shard_map.owned_by(name)):
            raise Conflict(f"{name} owns {', '.join(map(str, owned))}: it cannot be removed", shard=name)
        if shards.checked[name].documents(None, 1):
            raise Conflict(
                f"{name} still holds {counted(shards.checked[name].count(), 'document')}: it cannot be removed",
                hint="prodctl shard repair moves products home; the old places of moved ones go after 20 minutes, "
                "deleted products when they can be restored no more",
                shard=name,
            )


class _Mover:
    """A ``prodcore.sharding.findings.Mover``: the catalogue's own moves."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    @cached_property
    def _catalog(self) -> Catalog:
        from prodcore.catalog import Catalog

        shard_map = self._shards.maps.load()
        if shard_map is None:
            raise NotFound("no shard map is stored")
        return Catalog(shard_map, self._shards.stores, self._shards.claims)

    def finish(self, move: Move) -> None:
        """Finish a move, or undo it; see the port."""
        self._catalog.moves.finish(move)

    def claim_sku(self, product_id: UUID) -> None:
        """Claim the SKU that a product has; see the port."""
        with self._catalog.claims.of(self._catalog.get(product_id)):
            return

    def bring_home(self, product_id: UUID, shard: str) -> str:
        """Move a product to the shard of its name; see the port."""
        from prodcore.product.model import Author

        product = self._catalog.store(shard).get(product_id)
        if product is None:
            raise ProductNotFound("it is gone meanwhile", product_id=str(product_id))
        target = self._catalog.where(product.name).shard
        if target == shard:
            return shard
        moved = self._catalog.next_version(product, product, Author(_AUTHOR), target=target)
        return self._catalog.moves.move(moved, shard, target).shard


@contextmanager
def open_shards(settings: Settings) -> Iterator[Shards]:
    """The shards and the map, whether they agree or not; closes the connections at the end."""
    from prodcore.mongo.products.checks import MongoCheckedShard
    from prodcore.mongo.products.claim_store import MongoClaimStore
    from prodcore.mongo.products.map_store import MongoMapStore, MongoOwnedRangesStore
    from prodcore.mongo.products.store import MongoProductStore

    with open_replica_sets(settings) as (users, sets):
        yield Shards(
            settings,
            MongoMapStore(users),
            {name: MongoOwnedRangesStore(replica_set) for name, replica_set in sets.items()},
            {name: MongoCheckedShard(replica_set) for name, replica_set in sets.items()},
            {name: MongoProductStore(replica_set) for name, replica_set in sets.items()},
            MongoClaimStore(users),
        )
