"""The composition root of what is done to shards as a whole: verify, repair, split, move ranges."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from prodcore.app.wiring import open_replica_sets
from prodcore.deadline import budget
from prodcore.errors import Conflict, NotFound, OutcomeUnknown, ProductNotFound, Unavailable
from prodcore.replicaset.diagnostic import counted
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.catalog import Catalog
    from prodcore.catalog.distribution import Sample
    from prodcore.catalog.moves import Moves
    from prodcore.mongo.products.checks import MongoCheckedShard
    from prodcore.mongo.products.claim_store import MongoClaimStore
    from prodcore.mongo.products.map_store import MongoMapStore, MongoMoveOrders, MongoOwnedRangesStore
    from prodcore.mongo.products.store import MongoProductStore
    from prodcore.product.move import Move
    from prodcore.routing import ShardMap
    from prodcore.sharding.mover import Bounds, MoveOrder, RangeMover, Wanted
    from prodcore.sharding.repair import Mended
    from prodcore.sharding.verify import Finding


_AUTHOR = "prodctl shard repair"

_SAMPLE = 2_000
_RECENT = 5


@dataclass(frozen=True, slots=True)
class Balance:
    """What a shard holds now, and about what it will; ``bytes`` as the server keeps that number, not compressed."""

    shard: str
    products: int
    bytes: int
    products_after: int
    bytes_after: int


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

        with self._budget():
            return middle(self._stored_map(), self._samples())

    def planned_merge(self, key: str | None) -> ShardMap:
        """The map as ``merge`` would make it; nothing is changed. Raises Conflict."""
        from prodcore.sharding.trust import trusted_map

        with self._budget():
            return trusted_map(self.maps, self.owned).merged(key)

    def merge(self, key: str | None) -> ShardMap:
        """Make one of the two ranges that ``key`` parts, or of all neighbours of one owner; the new map.

        Raises Conflict, VersionConflict.
        """
        from prodcore.sharding.trust import merge_map

        with self._budget():
            return merge_map(key, self.maps, self.owned)

    def plan_rebalance(self, by: str) -> tuple[list[MoveOrder], list[Balance]]:
        """Orders after which all shards hold about the same bytes, and what each shard holds before and after them."""
        from prodcore.catalog.distribution import balanced
        from prodcore.sharding.mover import Bounds

        with self._budget():
            samples = self._samples()
            parts = balanced(self._stored_map(), samples)
        after = dict(samples)
        for part, carried in parts:
            after |= {part.other: after[part.other].without(part), part.shard: after[part.shard].plus(carried)}
        orders = [self.plan_move(Bounds(part.lower, part.upper), part.shard, by) for part, _carried in parts]
        return orders, [
            Balance(shard, before.products, before.size, after[shard].products, after[shard].size)
            for shard, before in samples.items()
        ]

    def _samples(self) -> dict[str, Sample]:
        from prodcore.catalog.distribution import Sample

        return {
            name: Sample(store.count().products, store.size(), tuple(sorted(store.some_keys(_SAMPLE))))
            for name, store in self.stores.items()
        }

    def rate(self) -> float | None:
        """Products a second of the last moves; None where none has moved any yet."""
        carried = [order for order in self.latest_orders(_RECENT) if order.seconds]
        return sum(o.carried for o in carried) / sum(o.seconds for o in carried) if carried else None

    def bounds_of(self, name: str) -> Bounds:
        """The bounds of the range that holds a name. Raises UnroutableName."""
        from prodcore.routing import name_key
        from prodcore.sharding.mover import Bounds

        with self._budget():
            part = self._stored_map().range_for(name_key(name))
        return Bounds(part.lower, part.upper)

    def plan_drain(self, shard: str, targets: Sequence[str], by: str) -> list[MoveOrder]:
        """Orders that leave a shard without a range: each to the one of these that has least then."""
        from prodcore.sharding.mover import Bounds

        with self._budget():
            held = self._stored_map().held_by(shard)
            counts = {name: self.stores[name].count().products for name in targets or self.stores if name != shard}
        orders = []
        for part in held:
            target = part.other or min(counts, key=lambda name: counts[name])
            orders.append(self.plan_move(Bounds(part.lower, part.upper), target, by))
            counts[target] = counts.get(target, 0) + orders[-1].total
        return orders

    def _stored_map(self) -> ShardMap:
        shard_map = self.maps.load()
        if shard_map is None:
            raise NotFound("no shard map is stored", hint="prodctl local up, or prodctl deploy apply, stores one")
        return shard_map

    def give_order(self, order: MoveOrder) -> None:
        """Give a planned order. Raises Conflict while another range is being moved."""
        with self._budget():
            self.orders.add(order)

    def latest_orders(self, limit: int) -> list[MoveOrder]:
        """The last orders, the newest first."""
        with self._budget():
            return self.orders.latest(limit)

    def plan_move(self, bounds: Bounds, target: str, by: str) -> MoveOrder:
        """The order to move these names to a shard, not given yet. Raises ShardNotFound, Conflict."""
        from prodcore.sharding.mover import MoveOrder

        with self._budget():
            _current, part = self._range_mover(bounds).plan(target)
            total = self.stores[part.shard].moves.count(part)
            return MoveOrder(uuid4(), bounds, part.shard, target, by, datetime.now(UTC), total=total)

    def carry_out(self, order_id: UUID, tell: Callable[[MoveOrder, str], None]) -> MoveOrder:
        """Carry an order out until all products are where they are to be, or somebody wants it to pause.

        What does not answer is waited for. ``tell`` hears how far it is, and what is waited for. Raises Conflict where
        products cannot move.
        """
        while True:
            with self._budget():
                order = self._order(order_id)
            if order.carried_at or order.wanted == "pause":
                return order
            at_work = _AtWork(self, order, tell)
            try:
                self._carry_out(order, at_work)
            except (Unavailable, OutcomeUnknown) as unreachable:
                tell(order, unreachable.message)
                at_work.wait(_AGAIN_SECONDS)

    def _carry_out(self, order: MoveOrder, at_work: _AtWork) -> None:
        mover = self._range_mover(order.bounds, at_work)
        goal = order.goal
        other = order.target if goal == order.source else order.source
        if not mover.announce(order.target) or (mover.give(goal, at_work) and mover.carry(other, goal, at_work)):
            with self._budget():
                self.orders.end(order.id)
            self.close_settled()

    def close_settled(self) -> None:
        """Give the ranges to their owners alone that have no old places in the other shard any more."""
        with self._budget():
            settling = [order for order in self.orders.open() if order.carried_at]
        for order in settling:
            if self._range_mover(order.bounds).close():
                with self._budget():
                    self.orders.end(order.id, closed=True)

    def order_at_work(self) -> MoveOrder:
        """The order whose products are not all carried yet. Raises NotFound."""
        with self._budget():
            found = next((order for order in self.orders.open() if not order.carried_at), None)
        if found is None:
            raise NotFound("no range is being moved", hint="prodctl shard status shows the last moves")
        return found

    def want(self, order: MoveOrder, wanted: Wanted) -> None:
        """Let whoever carries an order out know what is to become of it."""
        with self._budget():
            self.orders.want(order.id, wanted)

    def _order(self, order_id: UUID) -> MoveOrder:
        order = self.orders.get(order_id)
        if order is None:
            raise NotFound(f"there is no move {order_id}")
        return order

    def _range_mover(self, bounds: Bounds, at_work: _AtWork | None = None) -> RangeMover:
        from prodcore.sharding.mover import RangeMover

        moves = {name: store.moves for name, store in self.stores.items()}
        carrier = self.carrier()
        if at_work is None:
            return RangeMover(bounds, self.maps, self.owned, moves, carrier, wait=lambda _seconds: None)
        note, wait = at_work.note, at_work.wait
        return RangeMover(bounds, self.maps, self.owned, moves, carrier, wait=wait, on_batch=note)

    def carrier(self, **options: Any) -> Moves:
        """The moves of products; ``options`` are those of ``Moves``."""
        from prodcore.catalog.catalog import now
        from prodcore.catalog.moves import Moves

        stores = {name: store.moves for name, store in self.stores.items()}
        return Moves(stores, clock=now, new_id=uuid4, **options)

    def _budget(self) -> AbstractContextManager[None]:
        return budget(self.settings.request_budget_seconds)


_AGAIN_SECONDS = 1.0
_LOOK_SECONDS = 1.0


class _AtWork:
    """While an order is carried out: heartbeats, progress, and whether somebody wants something else by now."""

    def __init__(self, shards: Shards, order: MoveOrder, tell: Callable[[MoveOrder, str], None]) -> None:
        self._shards = shards
        self._order = order
        self._tell = tell
        self._looked = self._noted = time.monotonic()
        self._carried = 0
        self._is_over = False

    def __call__(self) -> bool:
        """Whether to stop: asked often, looked at once a second."""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self.note(0)
            with budget(self._shards.settings.request_budget_seconds):
                now = self._shards.orders.get(self._order.id)
            self._looked = time.monotonic()
            self._is_over = now is None or now.wanted != self._order.wanted
            if now:
                self._tell(now, "")
        return self._is_over

    def note(self, products: int) -> None:
        """A batch is carried."""
        self._carried += products
        began, self._noted = self._noted, time.monotonic()
        with budget(self._shards.settings.request_budget_seconds):
            self._shards.orders.note(self._order.id, products, self._noted - began if products else 0.0)

    def wait(self, seconds: float) -> None:
        """Wait, or less long where it is to stop."""
        ends, never = time.monotonic() + seconds, threading.Event()
        while (left := ends - time.monotonic()) > 0 and not self():
            never.wait(min(left, _LOOK_SECONDS / 4))
        self._noted = time.monotonic()


def check_unused(settings: Settings, name: str) -> None:
    """Raise Conflict where a shard owns a range or holds a document; Unavailable where that cannot be known.

    What owns nothing takes no product by its rule, so it stays as it was found.
    """
    with open_shards(settings) as shards, budget(settings.request_budget_seconds):
        shards.close_settled()
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
                hint="prodctl shard repair moves products home; the old places of moved ones go after 20 minutes, "
                "deleted products when they can be restored no more",
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
            raise ProductNotFound("it is gone meanwhile", product_id=str(product_id))

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
    from prodcore.mongo.products.claim_store import MongoClaimStore
    from prodcore.mongo.products.map_store import MongoMapStore, MongoMoveOrders, MongoOwnedRangesStore
    from prodcore.mongo.products.store import MongoProductStore

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
