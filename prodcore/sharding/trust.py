"""Which shard map a router may work with.

The map is one document in the users' set (rsU); each shard also holds a copy of the ranges it owns. They must give
every key the same owner: two routers that do not would put one name into two shards. How the keys of one owner are cut
into ranges may differ, for a while: after a split the copies follow one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from prodcore.errors import ConfigError, Unavailable, VersionConflict
from prodcore.routing import Range, ShardMap, same_keys


class MapStore(Protocol):
    """Where the whole map is kept."""

    def load(self) -> ShardMap | None:
        """The stored map, None before there is one."""

    def swap(self, expected_version: int, new: ShardMap) -> bool:
        """Replace the map if it still has ``expected_version`` (0: none yet); False when somebody was faster."""


class OwnedRangesStore(Protocol):
    """One shard's copy of what it owns."""

    def load(self) -> tuple[int, tuple[Range, ...]] | None:
        """The map version of the copy, and the ranges; None before there is one."""

    def oldest_map(self) -> int:
        """The oldest map version by which the shard may be read; 0 for any."""

    def save(self, version: int, ranges: tuple[Range, ...], oldest_map: int | None = None) -> None:
        """Store the copy, unless a newer one is there, and have the shard refuse what is not in the stored one.

        ``oldest_map`` is this version where nothing else is said.
        """

    def is_enforced(self) -> bool:
        """Whether the shard itself refuses a product whose name is not in its copy, whatever a router believes."""


def install_map(first: ShardMap, maps: MapStore, owned: Mapping[str, OwnedRangesStore]) -> ShardMap:
    """Make sure that a map is stored, ``first`` where there is none, and that every shard has its copy; returns it."""
    current = maps.load()
    if current is None:
        maps.swap(0, first)
        current = maps.load() or first
    for shard, store in owned.items():
        store.save(current.version, current.owned_by(shard))
    return current


def trusted_map(maps: MapStore, owned: Mapping[str, OwnedRangesStore]) -> ShardMap:
    """The map to route with, from rsU, or put together from the shards' copies while rsU is unreachable.

    Raises ConfigError when map and copies disagree or no map is stored, Unavailable when too little can be read.
    """
    copies: dict[str, tuple[int, tuple[Range, ...]]] = {}
    unreachable: list[str] = []
    for shard, store in owned.items():
        try:
            copy = store.load()
        except Unavailable:
            unreachable.append(shard)
            continue
        if copy:
            copies[shard] = copy
    try:
        current = maps.load()
    except Unavailable:
        return _from_copies(copies, unreachable)
    if current is None:
        raise ConfigError("no shard map is stored", hint="set the cluster up first: prodctl local up, or deploy apply")
    for shard, (version, ranges) in copies.items():
        if not agrees(ranges, current, shard):
            raise ConfigError(
                f"{shard} holds ranges of shard map version {version}, the stored map is version {current.version}: "
                "they disagree, and routing would be a guess",
                hint="prodctl shard verify shows the difference",
            )
    return current


def agrees(copy: Sequence[Range], shard_map: ShardMap, shard: str) -> bool:
    """Whether a shard's copy gives it the keys that the map does; a range that moves may be either shard's meanwhile.

    >>> from prodcore.routing import DEFAULT_MAP
    >>> begun = DEFAULT_MAP.with_range(Range("g", "n", "rsC", "rsA"))
    >>> [agrees(owned, begun, "rsA") for owned in (begun.owned_by("rsA"), DEFAULT_MAP.owned_by("rsA"))]
    [True, True]
    """
    beside = [replace(r, other="") for r in shard_map.owned_by(shard) if not r.other]
    claimed = without([replace(r, other="") for r in copy], [r for r in shard_map.moving if shard in r.holders])
    return same_keys(beside, claimed)


def without(ranges: Sequence[Range], holes: Sequence[Range]) -> list[Range]:
    """What is left of ranges outside of others; both in key order.

    >>> [str(r) for r in without([Range("a", "n", "rsA")], [Range("c", "d", "rsB"), Range("m", None, "rsB")])]
    ['a ≤ key < c', 'd ≤ key < m']
    """
    left: list[Range] = []
    for part in ranges:
        lower: str | None = part.lower
        for hole in holes:
            if lower is None or (hole.upper is not None and hole.upper <= lower):
                continue
            if part.upper is not None and hole.lower >= part.upper:
                break
            if hole.lower > lower:
                left.append(replace(part, lower=lower, upper=hole.lower))
            lower = hole.upper
        if lower is not None and (part.upper is None or lower < part.upper):
            left.append(replace(part, lower=lower))
    return left


def _from_copies(copies: Mapping[str, tuple[int, tuple[Range, ...]]], unreachable: list[str]) -> ShardMap:
    if unreachable or not copies:
        raise Unavailable(
            f"the shard map cannot be read: no answer from rsU and {', '.join(unreachable) or 'the shards'}"
        )
    ranges: list[Range] = []
    for shard, (version, owned) in copies.items():
        # as a move begins both shards have the range for a moment: the newer copy is that of its new owner
        given = [r for newer, theirs in copies.values() if newer > version for r in theirs if r.other == shard]
        ranges += without(owned, sorted(given, key=lambda r: r.lower))
    ranges.sort(key=lambda r: r.lower)
    try:  # copies of different versions serve as well, where together they give every key one owner
        return ShardMap(max(version for version, _ranges in copies.values()), tuple(ranges))
    except ConfigError:
        raise ConfigError(
            "the shards' copies of the shard map disagree, and rsU does not answer",
            hint="prodctl shard verify shows the difference once rsU answers",
        ) from None


def split_map(key: str, maps: MapStore, owned: Mapping[str, OwnedRangesStore]) -> ShardMap:
    """Cut the range that holds ``key`` there, into two of the same owner; the new map.

    A key where a range begins already changes nothing, so it may be repeated: the copies then follow. No router need
    know of it. Raises VersionConflict when somebody else changed the map meanwhile.
    """
    return recut_map(lambda current: current.split(key), maps, owned)


def merge_map(key: str | None, maps: MapStore, owned: Mapping[str, OwnedRangesStore]) -> ShardMap:
    """Make one range of the two that ``key`` parts, or without it of all neighbours of one owner; the new map.

    As ``split_map``; raises Conflict too where ``ShardMap.merged`` does.
    """
    return recut_map(lambda current: current.merged(key), maps, owned)


def recut_map(cut: Callable[[ShardMap], ShardMap], maps: MapStore, owned: Mapping[str, OwnedRangesStore]) -> ShardMap:
    """Cut the ranges of the stored map otherwise, each key with its owner as before; the new map."""
    current = trusted_map(maps, owned)
    new = cut(current)
    if new != current and not maps.swap(current.version, new):
        raise VersionConflict("another client changed the shard map meanwhile", hint="Check it and repeat the command")
    for shard, store in owned.items():
        store.save(new.version, new.owned_by(shard))
    return new
