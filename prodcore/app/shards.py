"""The composition root of what is done to shards as a whole: verify, repair, split, merge."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from prodcore.app.wiring import open_replica_sets
from prodcore.deadline import budget, run_parallel
from prodcore.errors import Conflict, NotFound, ProductNotFound, Unavailable
from prodcore.replicaset.diagnostic import counted
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.catalog import Catalog
    from prodcore.catalog.distribution import Sample
    from prodcore.catalog.moves import Moves
    from prodcore.mongo.products.checks import MongoCheckedShard
    from prodcore.mongo.products.map_store import MongoMapStore, MongoMoveOrders, MongoOwnedRangesStore
    from prodcore.mongo.products.move_store import MongoMoveStore
    from prodcore.mongo.products.store import MongoProductStore
    from prodcore.mongo.products.users_set import MongoClaimStore
    from prodcore.product.move import Move
    from prodcore.routing import ShardMap
    from prodcore.sharding.repair import Mended
    from prodcore.sharding.verify import Finding


_AUTHOR = "prodctl shard repair"

_SAMPLE = 2_000


@dataclass(frozen=True)
class Shards:
    """All shards and the map, straight on their members. An unreachable one raises Unavailable."""

    settings: Settings
    maps: MongoMapStore
    owned: Mapping[str, MongoOwnedRangesStore]
    checked: Mapping[str, MongoCheckedShard]
    stores: Mapping[str, MongoProductStore]
    claims: MongoClaimStore
    orders: MongoMoveOrders

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

    def middle(self) -> str:
        """The key at which the range with the most bytes has half of them. Raises Conflict where it cannot be told."""
        from prodcore.catalog.distribution import middle

        with self.budget():
            return middle(self.stored_map(), self.samples())

    def planned_merge(self, key: str | None) -> ShardMap:
        """The map as ``merge`` would make it; nothing is changed. Raises Conflict."""
        from prodcore.sharding.trust import trusted_map

        with self.budget():
            return trusted_map(self.maps, self.owned).merged(key)

    def merge(self, key: str | None) -> ShardMap:
        """Make one of the two ranges that ``key`` parts, or of all neighbours of one owner; the new map.

        Raises Conflict, VersionConflict.
        """
        from prodcore.sharding.trust import merge_map

        with self.budget():
            return merge_map(key, self.maps, self.owned)

    def samples(self) -> dict[str, Sample]:
        """What the shards tell of their products, to plan by."""
        from prodcore.catalog.distribution import Sample

        return {
            name: Sample(store.count().products, store.size(), tuple(sorted(store.some_keys(_SAMPLE))))
            for name, store in self.stores.items()
        }

    def stored_map(self) -> ShardMap:
        """The stored map. Raises NotFound."""
        shard_map = self.maps.load()
        if shard_map is None:
            raise NotFound("no shard map is stored", hint="prodctl local up, or prodctl deploy apply, stores one")
        return shard_map

    def carrier(self, **options: Any) -> Moves:
        """The moves of products; ``options`` are those of ``Moves``."""
        from prodcore.catalog.catalog import now
        from prodcore.catalog.moves import Moves

        stores = {name: store.moves for name, store in self.stores.items()}
        return Moves(stores, clock=now, new_id=uuid4, **options)

    def budget(self) -> AbstractContextManager[None]:
        """The time that a request has."""
        return budget(self.settings.request_budget_seconds)


@dataclass(frozen=True, slots=True)
class RequestRate:
    """Operations on products a second that a shard's primary answers."""

    reads: float
    writes: float


def request_rates(settings: Settings, seconds: float = 1.0) -> dict[str, RequestRate]:
    """What each shard's primary answers a second, of all clients, by its own counts ``seconds`` apart.

    One of these counts is a read itself, and left out. A shard that does not answer is missing, and so is one whose
    primary has changed in between.
    """
    from prodcore.mongo.products.move_store import MongoMoveStore

    with open_replica_sets(settings) as (_users, sets):
        stores = {name: MongoMoveStore(replica_set) for name, replica_set in sets.items()}
        first = _ask_each(stores, MongoMoveStore.served)
        began = time.monotonic()
        threading.Event().wait(seconds)
        second = _ask_each({name: stores[name] for name in first}, MongoMoveStore.served)
        passed = time.monotonic() - began
    rates = {}
    for name, (reads, writes) in second.items():
        read, written = reads - first[name][0] - 1, writes - first[name][1]
        if read >= 0 and written >= 0:
            rates[name] = RequestRate(round(read / passed, 1), round(written / passed, 1))
    return rates


def _ask_each(
    stores: Mapping[str, MongoMoveStore], question: Callable[[MongoMoveStore], tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}

    def ask(name: str) -> None:
        with suppress(Unavailable), budget(_RATE_SECONDS):
            found[name] = question(stores[name])

    run_parallel(ask, stores)
    return found


_RATE_SECONDS = 5.0


def check_unused(settings: Settings, name: str) -> None:
    """Raise Conflict where a shard owns a range or holds a document; Unavailable where that cannot be known.

    What owns nothing takes no product by its rule, so it stays as it was found.
    """
    from prodcore.app.range_moves import RangeMoves

    with open_shards(settings) as shards, budget(settings.request_budget_seconds):
        RangeMoves(shards).close_settled()
        shard_map = shards.maps.load()
        if shard_map and (owned := shard_map.owned_by(name)):
            raise Conflict(
                f"{name} owns {', '.join(map(str, owned))}: it cannot be removed",
                hint=f"prodctl shard drain {name} moves all of it to the others",
                shard=name,
            )
        if shards.checked[name].documents(None, 1):
            raise Conflict(
                f"{name} still holds {counted(shards.checked[name].count(), 'document')}: it cannot be removed",
                hint="prodctl shard repair moves products to the shards that own them; old locations expire after "
                "20 minutes, deleted products when they can no longer be restored",
                shard=name,
            )


class _Mover:
    """A ``prodcore.sharding.verify.Mover``: the catalogue's own moves."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    @cached_property
    def _catalog(self) -> Catalog:
        from prodcore.catalog import Catalog
        from prodcore.catalog.current_map import CurrentMap

        shards = self._shards
        if (shard_map := shards.maps.load()) is None:
            raise NotFound("no shard map is stored")
        return Catalog(CurrentMap(shard_map, shards.stores, shards.maps.load), shards.stores, shards.claims)

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
        if product is None or (product.move and product.move.state == "moved"):
            raise ProductNotFound("it was deleted meanwhile", product_id=str(product_id))

        def move() -> str:
            part = self._catalog.where(product.name).range
            if (target := part.shard) == shard:
                return shard
            self._catalog.refuse_taken_name(product, part.holders)
            moved = self._catalog.next_version(product, product, Author(_AUTHOR), target=target)
            return self._catalog.moves.move(moved, shard, target).shard

        self._catalog.current_map.follow()
        return self._catalog.by_current_map(product.key, move)


@contextmanager
def open_shards(settings: Settings) -> Iterator[Shards]:
    """The shards and the map, whether they agree or not; closes the connections at the end."""
    from prodcore.mongo.products.checks import MongoCheckedShard
    from prodcore.mongo.products.map_store import MongoMapStore, MongoMoveOrders, MongoOwnedRangesStore
    from prodcore.mongo.products.store import MongoProductStore
    from prodcore.mongo.products.users_set import MongoClaimStore

    with open_replica_sets(settings) as (users, sets):
        yield Shards(
            settings,
            MongoMapStore(users),
            {name: MongoOwnedRangesStore(replica_set) for name, replica_set in sets.items()},
            {name: MongoCheckedShard(replica_set) for name, replica_set in sets.items()},
            {name: MongoProductStore(replica_set) for name, replica_set in sets.items()},
            MongoClaimStore(users),
            MongoMoveOrders(users),
        )
