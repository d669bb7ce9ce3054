"""Is every product where it belongs, once, and stored as it should be? Reads all of it, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol
from uuid import UUID

from prodcore.deadline import budget
from prodcore.product.move import Move
from prodcore.routing import ShardMap, show_key
from prodcore.sharding.trust import MapStore, OwnedRangesStore, agrees

Kind = Literal[
    "map",
    "rule",
    "index",
    "invalid",
    "derived",
    "misplaced",
    "same_id",
    "same_name",
    "same_sku",
    "sku_claim",
    "unfinished_move",
    "leftover",
]
"""``rule``: by it a shard refuses what it does not own. ``derived``: what is computed from a product and stored with
it, keys and terms. ``leftover``: a document that only kept a place, and should have gone."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What one document of a shard is, as far as it can be read."""

    id: Any
    """A UUID, unless the document is damaged."""
    shard: str
    state: Literal["product", "place", "deleted", "unreadable"]
    """``place``: the old location of a product that moved away."""
    version: int = 0
    name: str = ""
    key: tuple[str, str] = ("", "")
    """Computed from name and variant, whatever is stored."""
    sku: str | None = None
    move: Move | None = None
    purge_at: datetime | None = None
    faults: tuple[str, ...] = ()
    """Why the product model refuses it."""
    derived: tuple[str, ...] = ()
    """The fields that are not what is computed from the others."""

    @property
    def is_here(self) -> bool:
        """Whether it is a product of this shard, live or deleted, and not only on its way."""
        waits = self.move is not None and self.move.state == "pending"
        return self.state in ("product", "deleted") and not waits


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; ``product`` and ``name`` are of the document, where it is about one."""

    kind: Kind
    shard: str
    text: str
    way_out: str
    product: Stored | None = None
    index: str = ""
    mendable: bool = False
    """Whether there is one right way to mend it, which ``repair`` goes."""

    def as_dict(self) -> dict[str, Any]:
        """As it is shown."""
        seen = self.product
        return {
            "kind": self.kind,
            "shard": self.shard,
            "product": str(seen.id) if seen else None,
            "name": seen.name if seen else None,
            "finding": self.text,
            "way_out": self.way_out,
        }


class CheckedShard(Protocol):
    """One shard's documents and indexes. Every call raises Unavailable while the shard does not answer."""

    @property
    def shard(self) -> str:
        """The shard's name."""

    def count(self) -> int:
        """About how many documents there are."""

    def documents(self, after: Stored | None, limit: int) -> list[Stored]:
        """The next documents in the order of their ids."""

    def alike(self, seen: Sequence[Stored]) -> list[Stored]:
        """The documents that have an id, a name key or a SKU of these."""

    def others(self, seen: Sequence[Stored]) -> list[Stored]:
        """The documents that have an id, a name key or a SKU of these and are none of them."""

    def wrong_indexes(self) -> dict[str, str]:
        """What is wrong with the indexes, by name."""

    def mend_index(self, name: str) -> None:
        """Make an index as it should be. Raises Conflict where the products do not allow it."""

    def renew(self, seen: Stored) -> bool:
        """Compute anew what is derived; False when the product changed meanwhile.

        Raises ProductExists; StaleShardMap where the keys are wrong and the shard does not own the name.
        """


class Mover(Protocol):
    """Moves between shards; the catalogue's own."""

    def finish(self, move: Move) -> None:
        """Finish a move, or undo it."""

    def claim_sku(self, product_id: UUID) -> None:
        """Claim the SKU that a product has. Raises SkuTaken where another product has it too."""

    def bring_home(self, product_id: UUID, shard: str) -> str:
        """Move a product out of a shard that does not own its name; the shard that has it now."""


GRACE = timedelta(minutes=1)
"""A younger move is left to whoever makes it."""

_OVERDUE = timedelta(minutes=10)
"""So much later than it should a document may be removed: the server looks once a minute."""

_REPAIR = "prodctl shard repair"
_BATCH = 500
_BATCH_SECONDS = 60.0


class Verifier:
    """Looks through these shards. ``told`` hears how many documents were looked at.

    Raises Unavailable as soon as a shard does not answer: what was not looked at is not called clean.
    """

    def __init__(
        self,
        shard_map: ShardMap,
        shards: Mapping[str, CheckedShard],
        told: Callable[[int], None] = lambda _count: None,
        claimed: Callable[[Sequence[str]], Mapping[str, UUID]] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._map = shard_map
        self._shards = shards
        self._told = told
        self._claimed = claimed
        self._clock = clock

    def findings(self) -> Iterator[Finding]:
        """Everything that is wrong with indexes and documents, in no order that means anything."""
        for shard, checked in self._shards.items():
            with budget(_BATCH_SECONDS):
                wrong = checked.wrong_indexes()
            for name, text in wrong.items():
                yield Finding("index", shard, f"{name} {text}", f"{_REPAIR} makes it", index=name, mendable=True)
        looked = 0
        for checked in self._shards.values():
            for batch in _batches(checked):
                with budget(_BATCH_SECONDS):
                    found = self._judge(batch)
                yield from found
                looked += len(batch)
                self._told(looked)

    def _judge(self, batch: Sequence[Stored]) -> list[Finding]:
        alike = [*batch, *(other for shard in self._shards.values() for other in shard.others(batch))]
        by_id: dict[object, list[Stored]] = {}
        for other in alike:
            by_id.setdefault(other.id, []).append(other)
        found = [finding for seen in batch for finding in self._alone(seen, by_id.get(seen.id, []))]
        doubtful = [*_twins(batch, alike), *self._unclaimed(batch, alike)]
        return found + self._still_there(doubtful)

    def _unclaimed(self, batch: Sequence[Stored], alike: Sequence[Stored]) -> Iterator[Finding]:
        """Products whose SKU another one might get; of those that another one has already the SKU is the finding."""
        held = Counter(other.sku for other in alike if other.is_here and _sku(other))
        alone = [seen for seen in batch if seen.is_here and _sku(seen) and held[seen.sku] == 1]
        having = {seen.sku: seen for seen in alone if not seen.faults}
        claimed = self._claimed([sku for sku in having if sku]) if self._claimed and having else {}
        for sku, seen in having.items() if self._claimed else ():
            owner = claimed.get(sku or "")
            if owner != seen.id:
                text = f"its SKU {sku!r} is claimed for {owner}" if owner else f"its SKU {sku!r} is not claimed"
                yield Finding("sku_claim", seen.shard, text, f"{_REPAIR} claims it", seen, mendable=True)

    def _alone(self, seen: Stored, same_id: Sequence[Stored]) -> Iterator[Finding]:
        """What a document tells by itself, or together with the others of its product."""
        for fault in seen.faults:
            yield Finding("invalid", seen.shard, fault, "prodctl product edit, or delete it", seen)
        if seen.derived:
            fields = ", ".join(seen.derived)
            yield Finding("derived", seen.shard, f"wrong: {fields}", f"{_REPAIR} computes it", seen, mendable=True)
        if seen.purge_at and seen.purge_at < self._clock() - _OVERDUE:
            text = f"should have been removed at {seen.purge_at:%Y-%m-%d %H:%M:%S} UTC"
            yield Finding("leftover", seen.shard, text, "the server removes it by the index purge_at", seen)
        yield from self._moving(seen, same_id)
        if seen.state == "product" and seen.is_here and not seen.faults:
            owned = self._map.range_for(seen.key[0])
            if seen.shard not in owned.holders:
                text = f"{show_key(seen.key[0])!r} belongs to {owned.shard} ({owned})"
                yield Finding("misplaced", seen.shard, text, f"{_REPAIR} moves it there", seen, mendable=True)

    def _moving(self, seen: Stored, same_id: Sequence[Stored]) -> Iterator[Finding]:
        """A move that nobody finished."""
        move = seen.move
        if move is None or (seen.purge_at and move.state == "moved") or move.since > self._clock() - GRACE:
            return
        known = {move.source, move.target} <= self._shards.keys()
        ends = [o for o in same_id if o.shard != seen.shard and o.move and o.move.id == move.id]
        described = f"the move from {move.source} to {move.target}, begun {move.since:%Y-%m-%d %H:%M:%S} UTC"
        if move.state == "pending" and not ends:
            text = f"received by {described}, which was undone"
            yield Finding("leftover", seen.shard, text, f"{_REPAIR} removes it", seen, mendable=known)
        elif move.state != "pending" or all(o.purge_at for o in ends):  # both ends tell of one move: the source speaks
            text = f"{described}, is {move.state} and not finished"
            yield Finding("unfinished_move", seen.shard, text, f"{_REPAIR} finishes it", seen, mendable=known)

    def _still_there(self, twins: Sequence[Finding]) -> list[Finding]:
        """Those whose product is still as it was: one that moved or changed while we looked is no twin."""
        if not twins:
            return []
        first = [finding.product for finding in twins if finding.product]
        now = {(s.shard, s.id): s.version for shard in self._shards.values() for s in shard.alike(first) if s.is_here}
        return [f for f in twins if f.product and now.get((f.shard, f.product.id)) == f.product.version]


def _batches(checked: CheckedShard) -> Iterator[list[Stored]]:
    after: Stored | None = None
    while True:
        with budget(_BATCH_SECONDS):
            batch = checked.documents(after, _BATCH)
        if not batch:
            return
        yield batch
        after = batch[-1]


def _twins(batch: Sequence[Stored], alike: Sequence[Stored]) -> Iterator[Finding]:
    """Pairs that no two documents may be, each pair once."""
    others = [other for other in alike if other.is_here]
    ids, names, skus = (_grouped(others, key) for key in (_id, _name, _sku))
    for seen in batch:
        if not seen.is_here:
            continue
        for other in _after(seen, ids.get(_id(seen), ())):
            text = f"{other.shard} has a product with this id too: {other.name!r}"
            yield Finding("same_id", seen.shard, text, "look at both, and remove one in MongoDB", seen)
        for other in _after(seen, names.get(_name(seen), ())) if _name(seen) else ():
            text = f"{other.shard} has the name and variant too: {other.id}"
            yield Finding("same_name", seen.shard, text, "prodctl product rename, or rm, one of them", seen)
        for other in _after(seen, skus.get(_sku(seen), ())) if _sku(seen) else ():
            text = f"{other.shard} has the SKU {seen.sku!r} too: {other.id} {other.name!r}"
            yield Finding("same_sku", seen.shard, text, "prodctl product edit one of them", seen)


def _id(seen: Stored) -> object:
    return seen.id


def _name(seen: Stored) -> object:
    return seen.key if seen.state == "product" and seen.key[0] else None


def _sku(seen: Stored) -> object:
    return seen.sku if seen.state == "product" else None


def _grouped(stored: Sequence[Stored], key: Callable[[Stored], object]) -> dict[object, list[Stored]]:
    groups: dict[object, list[Stored]] = {}
    for seen in stored:
        groups.setdefault(key(seen), []).append(seen)
    return groups


def _after(seen: Stored, others: Sequence[Stored]) -> Iterator[Stored]:
    return (o for o in others if (o.shard, str(o.id)) > (seen.shard, str(seen.id)))


def map_findings(maps: MapStore, owned: Mapping[str, OwnedRangesStore]) -> Iterator[Finding]:
    """What is wrong with the map, with the shards' copies of it, and with the rules by which they refuse the rest."""
    current = maps.load()
    if current is None:
        yield Finding("map", "rsU", "no shard map is stored", "set the cluster up: prodctl local up, or deploy apply")
        return
    for shard in current.shards:
        if shard not in owned:
            yield Finding("map", shard, "is named by the map, and no address for it is set", "give its address")
    for shard, store in owned.items():
        copy = store.load()
        if copy == (current.version, current.owned_by(shard)):
            if not store.is_enforced():
                text = "its server does not refuse products of names that the shard does not own"
                yield Finding("rule", shard, text, f"{_REPAIR} makes it", mendable=True)
            continue
        newer = copy is not None and copy[0] > current.version
        way_out = "find out who changed it: the newer one may be right" if newer else f"{_REPAIR} writes it"
        if copy is None:
            text = "has no copy of its ranges"
        elif copy[0] <= current.version and agrees(copy[1], current, shard):
            text = f"its copy is of map version {copy[0]}, the map is version {current.version}"
        elif agrees(copy[1], current, shard):
            text, way_out = "a range was being given to another shard", "prodctl shard resume finishes it"
        else:
            text = f"its copy (version {copy[0]}) has other ranges than the map (version {current.version})"
        yield Finding("map", shard, text, way_out, mendable=not newer)
