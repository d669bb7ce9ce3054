"""A range of names moves to another shard while everybody works: nothing is held back, and whoever dies, it goes on.

1. *announce*: the stored map, and then the copy of the shard that has the range, say that two shards hold it. Then
   the mover waits until no process may answer by an older map (``READERS_KNOW_SECONDS``).
2. *give*: the target takes new names of the range, then the source refuses them, then the stored map says so. Who is
   refused by the one writes to the other, and looks for the name in both.
3. *carry*: the products go as they are, some hundred at a time, and several batches at once where nobody else would
   feel it; names come to the source no more.
4. *close*: when no old location is left in the source either, the stored map gives the range to the target alone.

What is known is in the map, the copies and the products, so each step may be repeated, by anybody. To abort is to give
the range back and to carry what has moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from uuid import UUID

from prodcore.deadline import budget, run_parallel
from prodcore.errors import Conflict, NotFound, ProdError, ShardNotFound, StaleShardMap, Unavailable
from prodcore.product.move import Move
from prodcore.routing import Range, ShardMap
from prodcore.sharding.trust import MapStore, OwnedRangesStore

READERS_KNOW_SECONDS = 12.0
"""Longer than ``prodcore.catalog.current_map.GOOD_SECONDS``, by as much as clocks may run at other speeds."""

BATCH = 500
"""Products that a step takes with it at once."""
_Staying = tuple[str, UUID, Move | None]
"""A product that is still at the source: its key, its id and its unfinished move."""

STAYING_HINT = "prodctl shard verify names them; change one of each two, then prodctl shard resume"
_SECONDS = 60.0


class ShardInMove(Protocol):
    """One shard, as the source of a range's move. Raises Unavailable."""

    def staying(self, part: Range, after: str, limit: int) -> list[_Staying]:
        """Products of the range that have not moved away; see ``prodcore.catalog.stores.MoveStore``."""

    def keeps_places(self, part: Range) -> bool:
        """Whether there is anything of the range."""


class Carrier(Protocol):
    """The catalogue's own moves. Raises Unavailable or OutcomeUnknown."""

    def carry(self, product_ids: Sequence[UUID], source: str, target: str) -> Mapping[UUID, ProdError]:
        """Bring products as they are to the target; why not, for those that stay."""

    def finish_many(self, moves: Iterable[Move]) -> None:
        """Finish what somebody else has begun."""

    def sweep(self) -> int:
        """Finish what was left unfinished some seconds ago; how many could not be."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The keys that move: ``lower ≤ key < upper``; ``upper`` None means without end."""

    lower: str
    upper: str | None

    def __contains__(self, part: Range) -> bool:
        ends = self.upper is None or (part.upper is not None and part.upper <= self.upper)
        return self.lower <= part.lower and ends

    def __str__(self) -> str:
        return str(Range(self.lower, self.upper, ""))


Wanted = Literal["move", "pause", "abort"]

HEARTBEAT = timedelta(seconds=15)
"""Whoever was not heard of for so long is not at work any more."""
PLACES_KEPT = timedelta(minutes=21)
"""So long after the last product has moved the source still has old locations: lists that have begun need them."""


@dataclass(frozen=True, slots=True)
class MoveOrder:
    """What somebody wants to be moved, and how far it is."""

    id: UUID
    bounds: Bounds
    source: str
    target: str
    by: str
    begun_at: datetime
    wanted: Wanted = "move"
    seen_at: datetime | None = None
    """When whoever carries it out has last said so."""
    carried: int = 0
    """Products moved so far, to the target and back."""
    total: int = 0
    """About how many there were at the beginning."""
    seconds: float = 0.0
    """How long products were being carried."""
    carried_at: datetime | None = None
    """When the last product was where it is to be: from then on only old locations are waited for."""
    closed_at: datetime | None = None
    worker: str = ""
    """Who is at work on it, or was when it was last seen."""
    trouble: str = ""
    """Why it was paused by itself."""

    @property
    def goal(self) -> str:
        """The shard that is to own the range."""
        return self.source if self.wanted == "abort" else self.target

    @property
    def rate(self) -> float:
        """Products a second."""
        return self.carried / self.seconds if self.seconds else 0.0

    def seconds_left(self) -> float | None:
        """At the rate so far; None where it is not known."""
        if self.carried_at or self.wanted != "move" or not self.rate:
            return None
        return max(0, self.total - self.carried) / self.rate

    def is_waiting(self, now: datetime) -> bool:
        """Whether somebody is to begin with it, or to go on where whoever was at work has died."""
        at_work = self.worker and self.seen_at and now - self.seen_at <= HEARTBEAT
        return not self.carried_at and self.wanted != "pause" and not at_work

    def state(self, now: datetime) -> str:
        """One word for how far it is."""
        if self.closed_at:
            return "aborted" if self.wanted == "abort" else "done"
        if self.carried_at:
            return "settling"
        if self.wanted == "pause":
            return "paused"
        if now - (self.seen_at or self.begun_at) > HEARTBEAT:
            return "interrupted"
        if self.seen_at is None:
            return "planned"
        return "aborting" if self.wanted == "abort" else "moving"

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """As it is shown; times in UTC, rate in products a second."""
        left = self.seconds_left()
        return {
            "id": str(self.id),
            "range": str(self.bounds),
            "source": self.source,
            "target": self.target,
            "state": self.state(now),
            "products": self.carried,
            "total": self.total,
            "rate": round(self.rate),
            "seconds_left": None if left is None else round(left),
            "by": self.by,
            "trouble": self.trouble,
            "begun_at": _shown(self.begun_at),
            "carried_at": _shown(self.carried_at),
            "settled_after": _shown(self.carried_at and self.carried_at + PLACES_KEPT),
            "closed_at": _shown(self.closed_at),
        }


def _shown(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds") if moment else None


class MoveOrders(Protocol):
    """Where orders are kept. Calls raise Unavailable or OutcomeUnknown; each may be repeated."""

    def add(self, order: MoveOrder) -> None:
        """Store a new order. Raises Conflict while the products of another one are being carried."""

    def get(self, order_id: UUID) -> MoveOrder | None:
        """An order."""

    def open(self) -> list[MoveOrder]:
        """Those that are not closed, the oldest first."""

    def latest(self, limit: int) -> list[MoveOrder]:
        """The last ones, the newest first."""

    def want(self, order_id: UUID, wanted: Wanted) -> None:
        """Note what somebody wants to become of it."""

    def pause(self, order_id: UUID, trouble: str) -> None:
        """Note that it cannot go on, and why, until somebody wants it to."""

    def claim(self, order_id: UUID, worker: str) -> bool:
        """Note who carries it out from now on; False while somebody else is at work on it."""

    def release(self, order_id: UUID, worker: str) -> None:
        """Note that this one carries it out no more."""

    def note(self, order_id: UUID, worker: str, carried: int = 0, seconds: float = 0.0) -> bool:
        """Note a heartbeat, and what has been carried since the last one; False where somebody else is at work."""

    def end(self, order_id: UUID, *, closed: bool = False) -> None:
        """Note that all products are carried, or that the range is its owner's alone."""


Stop = Callable[[], bool]
"""Asked between two batches: whether to leave it for now."""


class RangeMover:
    """Moves the keys within ``bounds`` to one shard, and back. ``wait`` waits for so many seconds, or less to stop.

    ``on_batch`` hears how many products a batch has moved, in the batch's thread. ``at_once`` is asked, before products
    are carried, how many batches may be at once, and may wait. Calls raise Unavailable or OutcomeUnknown: repeat them
    then.
    """

    def __init__(
        self,
        bounds: Bounds,
        maps: MapStore,
        owned: Mapping[str, OwnedRangesStore],
        shards: Mapping[str, ShardInMove],
        carrier: Carrier,
        *,
        wait: Callable[[float], object],
        on_batch: Callable[[int], object] = lambda _products: None,
        at_once: Callable[[], int] = lambda: 1,
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._bounds = bounds
        self._maps = maps
        self._owned = owned
        self._shards = shards
        self._carrier = carrier
        self._wait = wait
        self._on_batch = on_batch
        self._at_once = at_once
        self._renamed: set[UUID] = set()
        self._step = step

    def plan(self, target: str) -> tuple[ShardMap, Range]:
        """The map, and the range as ``announce`` would make it. Raises ShardNotFound, Conflict."""
        if target not in self._owned:
            raise ShardNotFound(f"there is no shard {target}; there are {', '.join(self._owned)}", shard=target)
        current = self._map()
        cut = current
        for key in (self._bounds.lower, self._bounds.upper):
            cut = cut.split(key) if key else cut
        parts = [r for r in cut.ranges if r in self._bounds]
        holders = {frozenset(r.holders) for r in parts}
        if (moving := [r for r in parts if r.other]) and (len(holders) > 1 or target not in moving[0].holders):
            raise Conflict(
                f"{moving[0]} still has products or old locations in {moving[0].other}",
                hint="prodctl shard status says until when; it can move again after that",
            )
        sources = {shard for r in parts for shard in r.holders} - {target}
        if not sources:
            raise Conflict(f"{self._bounds} is already on {target}", shard=target)
        if len(sources) > 1 or len({r.shard for r in parts}) > 1:
            owners = ", ".join(dict.fromkeys(r.shard for r in parts))
            raise Conflict(
                f"{self._bounds} belongs to several shards: {owners}",
                hint="move the part of one of them first; prodctl shard list shows the ranges",
            )
        (source,) = sources
        return current, Range(self._bounds.lower, self._bounds.upper, source, target)

    def announce(self, target: str) -> bool:
        """Say that the target is to hold the range too; False where it has it alone. What is said already stays."""
        while True:
            with budget(_SECONDS):
                parts = self._parts(current := self._map())
                if all(r.holders == (target,) for r in parts):
                    return False
                new = current
                if not all(r.other for r in parts):
                    current, announced = self.plan(target)
                    new = current.with_range(announced)
                if new is current or self._maps.swap(current.version, new):
                    self._step("announced")
                    self._follow(new)
                    return True

    def give(self, shard: str, stop: Stop = lambda: False) -> bool:
        """Let a holder take the new names of the range from now on; False where it was to stop."""
        while True:
            with budget(_SECONDS):
                current = self._map()
                parts = [r for r in self._parts(current) if r.other]
                begun = self._begun(parts)
                if begun is None and all(r.shard == shard for r in parts):
                    self._follow(current)
                    return True
            if begun is None:
                # whoever has an older map, or believes what was before the last change, must not be at work any more
                self._wait(READERS_KNOW_SECONDS)
                if stop():
                    return False
            with budget(_SECONDS):
                self._give(current, parts, begun or shard)

    def _give(self, current: ShardMap, parts: Sequence[Range], shard: str) -> None:
        """One attempt: nothing is wrong where somebody else was quicker, or this process dies at any point."""
        giving = [r for r in parts if r.shard != shard]
        versions = [copy[0] for name in {h for r in parts for h in r.holders} if (copy := self._owned[name].load())]
        new = current
        for part in giving:
            new = new.with_range(replace(part, shard=shard, other=part.shard))
        new = replace(new, version=max(current.version, *versions) + 1)
        for name in (shard, *{r.shard for r in giving}):
            self._owned[name].save(new.version, new.owned_by(name), oldest_map=current.version)
            if self._owned[name].load() != (new.version, new.owned_by(name)):
                return
            self._step("taken" if name == shard else "refused")
        if self._maps.swap(current.version, new):
            self._step("given")

    def _begun(self, parts: Sequence[Range]) -> str | None:
        """Who was being given the range by somebody who died: its copy has it, and the stored map does not say so."""
        for part in parts:
            copy = self._owned[part.other].load()
            if copy and any(part.lower in r for r in copy[1]):
                return part.other
        return None

    def carry(self, source: str, target: str, stop: Stop = lambda: False) -> bool:
        """Bring all products of the range from one holder to the other; False where it was to stop.

        Raises Conflict where products cannot move, as the target has others of their names.
        """
        part = Range(self._bounds.lower, self._bounds.upper, source)
        after, whole = part.lower, True
        while not stop():
            many = BATCH * self._at_once()
            with budget(_SECONDS):
                found = self._shards[source].staying(part, after, many)
                if not found and whole:
                    return True
                after, whole = (found[-1][0], False) if found else (part.lower, True)
                self._carry_batches(found, source, target)
        return False

    def _carry_batches(self, found: Sequence[_Staying], source: str, target: str) -> None:
        refused: dict[UUID, ProdError] = {}

        def carry(batch: Sequence[_Staying]) -> None:
            self._carrier.finish_many(move for _key, _id, move in batch if move)
            free = [product_id for _key, product_id, move in batch if move is None]
            left = self._carrier.carry(free, source, target) if free else {}
            refused.update(left)
            self._on_batch(len(free) - len(left))
            self._step("carried")

        run_parallel(carry, [found[i : i + BATCH] for i in range(0, len(found), BATCH)])
        renamed = {i for i, error in refused.items() if isinstance(error, StaleShardMap)} - self._renamed
        self._renamed |= renamed  # out of the range since it was found: looked for once more, then believed
        if refused := {i: error for i, error in refused.items() if i not in renamed}:
            why = next(iter(refused.values()))
            stay = "1 product stays" if len(refused) == 1 else f"{len(refused)} products stay"
            raise Conflict(
                f"{stay} on {source}: {why.message}",
                hint=STAYING_HINT,
                shard=source,
            )

    def close(self) -> bool:
        """Give the range to its owner alone, where nothing is left in the other shard; whether it is so now."""
        with budget(_SECONDS):
            self._carrier.sweep()
        while True:
            with budget(_SECONDS):
                current = self._map()
                open_parts = [r for r in self._parts(current) if r.other]
                if any(self._shards[r.other].keeps_places(r) for r in open_parts):
                    return False
                new = current
                for part in open_parts:
                    new = new.with_range(replace(part, other=""))
                new = replace(new, version=current.version + 1) if open_parts else current
                if not open_parts or self._maps.swap(current.version, new):
                    self._step("closed")
                    self._follow(new)
                    return True

    def _follow(self, current: ShardMap) -> None:
        """Let the shards' copies follow the stored map. Only those that hold the range must answer."""
        holders = {shard for r in self._parts(current) for shard in r.holders}
        for shard, store in self._owned.items():
            with nullcontext() if shard in holders else suppress(Unavailable):
                copy = store.load()
                if copy is None or copy[0] < current.version:
                    store.save(current.version, current.owned_by(shard))

    def _parts(self, current: ShardMap) -> list[Range]:
        """The ranges of the map within the bounds, or the one that they are a part of."""
        return [r for r in current.ranges if r in self._bounds] or [current.range_for(self._bounds.lower)]

    def _map(self) -> ShardMap:
        current = self._maps.load()
        if current is None:
            raise NotFound("no shard map is stored", hint="set the cluster up first: prodctl local up, or deploy apply")
        return current
