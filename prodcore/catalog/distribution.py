"""How the products lie in the key space: by range and by first letter. Pure.

Nothing is counted for it. Each shard knows how many products it has, and where they lie is estimated from some of its
keys, drawn at random; what a shard with one range holds is exact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prodcore.routing import Range, ShardMap, fold

DIGITS, SIGNS, OTHERS = "0–9", "#", "…"
_LETTERS = "abcdefghijklmnñopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class ShardCount:
    """How many products a shard holds; None while it does not answer."""

    shard: str
    ranges: tuple[str, ...]
    products: int | None
    approximate: bool = False
    """Products were written or moved while they were counted."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the key space, and about how many products lie in it."""

    name: str
    """A range as text, or a first letter: ``a`` to ``z``, DIGITS, SIGNS for what sorts before a, OTHERS for after z."""
    shard: str
    products: float


@dataclass(frozen=True, slots=True)
class Spread:
    """All of it, in key order. An unreachable shard's products are missing."""

    ranges: tuple[Share, ...]
    letters: tuple[Share, ...]


def spread(shard_map: ShardMap, counts: Mapping[str, int], keys: Mapping[str, Sequence[str]]) -> Spread:
    """Put together what the shards tell: how many products they hold, and some of their keys.

    >>> from prodcore.routing import DEFAULT_MAP
    >>> found = spread(DEFAULT_MAP, {"rsA": 10, "rsB": 8}, {"rsA": ["arroz"], "rsB": ["7up", "pan"]})
    >>> [(share.name, share.products) for share in found.ranges]
    [('key < a', 4.0), ('a ≤ key < n', 10.0), ('n ≤ key …', 4.0)]
    """
    ranges: defaultdict[Range, float] = defaultdict(float)
    letters: defaultdict[tuple[str, str], float] = defaultdict(float)
    for shard, sample in keys.items():
        weight = counts[shard] / len(sample) if sample else 0.0
        for key in sample:
            ranges[shard_map.range_for(key)] += weight
            letters[shard, _first(key)] += weight
    return Spread(
        tuple(Share(str(r), r.shard, _held(r, shard_map, counts, ranges[r])) for r in shard_map.ranges),
        tuple(Share(name, shard, letters[shard, name]) for shard, name in _places(shard_map, letters)),
    )


def _held(part: Range, shard_map: ShardMap, counts: Mapping[str, int], estimated: float) -> float:
    return float(counts.get(part.shard, 0)) if len(shard_map.owned_by(part.shard)) == 1 else estimated


def _places(shard_map: ShardMap, letters: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """First letters, each with its shard, in key order: all of a to z, and of the others those with something there."""
    there = set(letters)
    owned = {(shard_map.shard_for(fold(letter)), letter) for letter in _LETTERS}
    order = [SIGNS, DIGITS, *_LETTERS, OTHERS]
    return sorted(there | owned, key=lambda place: (order.index(place[1]), place[0]))


def _first(key: str) -> str:
    """Under which letter a key stands.

    >>> [_first(fold(name)) for name in ("Ñandú", "nata", "7up", "! Oferta", "Ωmega")]
    ['ñ', 'n', '0–9', '#', '…']
    """
    if key.startswith(fold("ñ")):
        return "ñ"
    first = key[:1]
    if "a" <= first <= "z":
        return first
    return DIGITS if first.isdigit() else SIGNS if first < "a" else OTHERS
