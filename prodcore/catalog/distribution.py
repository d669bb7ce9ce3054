"""How the products lie in the key space, by range and by first letter, what is to move for a balance, and what far more
products and shards would come to. Pure.

Nothing is counted for it. Each shard knows how many products it has, and where they lie is estimated from some of its
keys, drawn at random; what a shard with one range holds is exact.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from prodcore.errors import Conflict, InvalidInput, Problem
from prodcore.routing import DEFAULT_MAP, Range, ShardMap, fold, joined, show_key

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
    part: Range | None = None
    """The range, where it is one."""


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
    exact = {
        parts[0]: float(counts.get(shard, 0))
        for shard, parts in _held(shard_map).items()
        if len(parts) == 1 and not parts[0].other
    }
    return Spread(
        tuple(Share(str(r), r.shard, exact.get(r, ranges[r]), r) for r in shard_map.ranges),
        tuple(Share(name, shard, letters[shard, name]) for shard, name in _places(shard_map, letters)),
    )


def _held(shard_map: ShardMap) -> dict[str, list[Range]]:
    """The ranges of which each shard can have products."""
    held: defaultdict[str, list[Range]] = defaultdict(list)
    for part in shard_map.ranges:
        for shard in part.holders:
            held[shard].append(part)
    return held


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


BALANCED = 0.05
"""Shards that differ from the mean by no more than this share of it are in balance."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a shard tells of its products to plan by: how many, of how many bytes, and some of their keys, in order."""

    products: int
    size: int
    keys: tuple[str, ...]

    def within(self, part: Range) -> Sample:
        """What of it lies in a range."""
        keys = tuple(key for key in self.keys if key in part)
        share = len(keys) / len(self.keys) if self.keys else 0.0
        return Sample(round(self.products * share), round(self.size * share), keys)

    def without(self, part: Range) -> Sample:
        """What of it lies outside of a range."""
        there = self.within(part)
        keys = tuple(key for key in self.keys if key not in part)
        return Sample(self.products - there.products, self.size - there.size, keys)

    def plus(self, other: Sample) -> Sample:
        """Together with what comes."""
        keys = tuple(sorted((*self.keys, *other.keys)))
        return Sample(self.products + other.products, self.size + other.size, keys)


def border(below: str, above: str) -> str | None:
    """The shortest key that parts these two, as a name can begin: ``below < border ≤ above``; None for equal ones.

    >>> border("cafe molido", "cafe tostado"), border("arroz", "cafe"), border("pan", "pan")
    ('cafe t', 'c', None)
    """
    beginnings = (above[:length] for length in range(1, len(above) + 1))
    return next((each for each in beginnings if each > below and fold(show_key(each)) == each), None)


def middle(shard_map: ShardMap, samples: Mapping[str, Sample]) -> str:
    """Where the range with the most bytes has half of them. Raises Conflict where it cannot be told."""
    held = [samples[r.shard].within(r) for r in shard_map.ranges if r.shard in samples and not r.other]
    keys = max(held, key=lambda sample: sample.size, default=Sample(0, 0, ())).keys
    if (found := _cut_near(keys, len(keys) // 2)) is None:
        raise Conflict(
            "no range has products of several names", hint="give the name to split at: prodctl shard split g"
        )
    return found


def balanced(shard_map: ShardMap, samples: Mapping[str, Sample]) -> list[tuple[Range, Sample]]:
    """What is to move so that all shards hold about the same bytes: ranges as they will be, with what they hold.

    ``other`` of a range is the shard that it comes from. From the fullest shard to the emptiest, as little as will do;
    ranges that move already stay as they are.
    """
    after, current, moves = dict(samples), shard_map, list[tuple[Range, Sample]]()
    mean = sum(sample.size for sample in after.values()) / max(1, len(after))
    for _ in range(2 * len(after)):
        source = max(after, key=lambda name: after[name].size)
        target = min(after, key=lambda name: after[name].size)
        over, under = after[source].size - mean, mean - after[target].size
        part = _portion(current, after[source], source, target, min(over, under))
        if max(over, under) <= BALANCED * mean or part is None:
            break
        carried = after[source].within(part)
        after |= {source: after[source].without(part), target: after[target].plus(carried)}
        current = current.with_range(part)
        moves.append((replace(part, other=source), carried))
    return moves


def _portion(shard_map: ShardMap, sample: Sample, source: str, target: str, wanted: float) -> Range | None:
    """A range of the source with about so many bytes: beside one of the target where there is one, else at an end."""
    owned = [r for r in joined(shard_map.ranges) if r.holders == (source,)]
    ends = [end for r in owned for end in _ends(r, sample.within(r), wanted)]
    missed = [abs(sample.within(end).size - wanted) for end in ends]
    good = [end for end, off in zip(ends, missed, strict=True) if off <= min(missed) + BALANCED * wanted]
    borders = {border for r in shard_map.owned_by(target) for border in (r.lower, r.upper)}
    best = next((end for end in good if {end.lower, end.upper} & borders), good[0] if good else None)
    return best and replace(best, shard=target)


def _ends(part: Range, sample: Sample, wanted: float) -> list[Range]:
    """The two ends of a range that hold about so many bytes, or all of it where that is less."""
    if sample.size <= wanted:
        return [part] if sample.keys else []
    count = max(1, round(wanted / sample.size * len(sample.keys)))
    lower, upper = (_cut_near(sample.keys, place) for place in (len(sample.keys) - count, count))
    return ([replace(part, lower=lower)] if lower else []) + ([replace(part, upper=upper)] if upper else [])


def _cut_near(keys: Sequence[str], place: int) -> str | None:
    """A border near a place between keys that are in order: the shortest within a percent, or the nearest."""
    places = sorted(range(1, len(keys)), key=lambda i: abs(i - place))
    borders = (cut for i in places if (cut := border(keys[i - 1], keys[i])))
    return min(islice(borders, 1 + len(keys) // 50), key=len, default=None)


@dataclass(frozen=True, slots=True)
class Simulation:
    """A catalogue of so many products over so many shards, its names spread as some names are that there are."""

    shard_map: ShardMap
    shares: tuple[float, ...]
    """The part of all products that each shard holds, in the order of the key space."""
    moved_to_begin: float
    """The part that moves from the two shards of the default map to these."""
    moved_to_grow: float
    """The part that moves when one more shard takes its share."""

    @property
    def map_bytes(self) -> int:
        """The stored map, in BSON."""
        return _bson_bytes(self.shard_map.ranges)

    @property
    def comparisons(self) -> int:
        """Of keys, at most, to find the range of one: its binary logarithm, rounded up."""
        return len(self.shard_map.ranges).bit_length()

    @property
    def conditions(self) -> int:
        """What the rule of a shard asks of a new product, at most: whether it lies in one of so many stretches."""
        return max(len(joined(self.shard_map.owned_by(shard))) for shard in self.shard_map.shards)


def simulate(keys: Sequence[str], shards: int, ranges: int) -> Simulation:
    """Cut the key space into ranges of about as many of these keys each, and give them to shards in turn.

    ``keys`` are in order, and repeat where products have the same name. Raises InvalidInput where too few differ.
    """
    lowers = _cuts(keys, ranges)
    if len(lowers) < ranges:
        refusal = f"can be cut at {len(lowers) - 1:,} places only, and {ranges - 1:,} are needed"
        raise InvalidInput(
            problems=[Problem("names", "too_few_names", refusal)],
            hint="give more names, or fewer shards and ranges",
        )
    owners = [f"rs{place % shards + 1}" for place in range(ranges)]
    uppers: list[str | None] = [*lowers[1:], None]
    shard_map = ShardMap(1, tuple(map(Range, lowers, uppers, owners)))
    held = _held_by(shard_map, keys)
    begun = _held_by(DEFAULT_MAP, keys).values()
    return Simulation(
        shard_map,
        tuple(held[shard] for shard in dict.fromkeys(owners)),
        max(0.0, 1 - sum(min(share, 1 / shards) for share in begun)),
        1 / (shards + 1),
    )


def _cuts(keys: Sequence[str], ranges: int) -> list[str]:
    """Where ranges begin that hold about as many keys each; fewer where too many keys are the same."""
    lowers = [""]
    place = 0
    for number in range(1, ranges):
        place = max(place + 1, number * len(keys) // ranges)
        while place < len(keys) and (cut := border(keys[place - 1], keys[place])) is None:
            place += 1
        if place >= len(keys):
            break
        lowers.append(str(cut))
    return lowers


def _held_by(shard_map: ShardMap, keys: Sequence[str]) -> dict[str, float]:
    counts = Counter(shard_map.shard_for(key) for key in keys)
    return {shard: counts[shard] / len(keys) for shard in shard_map.shards}


def _bson_bytes(ranges: Sequence[Range]) -> int:
    """What ``ShardMap.as_document`` is in BSON: each name and each text has a type, a length or an end besides."""
    ends = [(len(r.lower.encode()), None if r.upper is None else len(r.upper.encode()), len(r.shard)) for r in ranges]
    return 31 + sum(
        len(str(n)) + 7 + (12 + lower) + (7 if upper is None else 12 + upper) + (12 + shard)
        for n, (lower, upper, shard) in enumerate(ends)
    )
