"""Which shard a name belongs to: the whole rule.

A product's name is folded to its *name key*; the key space is cut into ranges, and every range has an owner:

    a ≤ key < n            A–M    rsA (db1)
    everything else        N–Z    rsB (db2): n… upward, digits, signs, other scripts

The same key serves routing, uniqueness, order and prefix search. Pure: no I/O, no clock.

>>> [DEFAULT_MAP.shard_for(name_key(n)) for n in ("Arroz", "Café", "Manzana", "Águila", "  ÁGUILA ")]
['rsA', 'rsA', 'rsA', 'rsA', 'rsA']
>>> [DEFAULT_MAP.shard_for(name_key(n)) for n in ("Naranja", "Pan", "Ñandú", "7up", "¡Oferta!", "Ωmega")]
['rsB', 'rsB', 'rsB', 'rsB', 'rsB', 'rsB']
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Self

from prodcore.errors import ConfigError, Conflict, UnroutableName

LAST = "\U0010ffff"
"""Sorts after every character that a folded text can hold (it is a noncharacter, and folding drops those)."""

_ENYE = "n" + LAST
"""ñ is a letter of its own, after every n… and before o, in plain code point order."""

_TILDE = "\u0303"

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""Fillers and variation selectors, Mongolian ones too: letters and marks by category, but nobody can see them."""


def _is_visible(char: str) -> bool:
    return char.isspace() or (unicodedata.category(char)[0] != "C" and char not in _UNSEEN)


def _all_visible(text: str) -> bool:
    """Whether every character is: quick, for nearly every text; False says only that it is worth a look at each."""
    return text.isprintable() and _UNSEEN.isdisjoint(text)


@lru_cache(maxsize=8192)  # one request folds the same name several times, many products have the same category
def fold(text: str) -> str:
    """Fold a text so that case, accents, spelling form and spacing no longer matter; ñ stays different from n.

    >>> fold("  Café   MOLIDO ")
    'cafe molido'
    >>> fold("Ano") < fold("Año") < fold("Aoo")
    True
    >>> fold("An\u0303o") == fold("Año")
    True
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    compatible = unicodedata.normalize("NFKC", text)
    seen = compatible if _all_visible(compatible) else "".join(filter(_is_visible, compatible))
    spaced = " ".join(seen.split())
    # Casefold leaves the Turkish dotless i alone, although its capital is I; and what it yields may decompose again.
    caseless = unicodedata.normalize("NFKD", spaced.casefold().replace("ı", "i")).casefold()
    folded: list[str] = []
    for char in unicodedata.normalize("NFKD", caseless):
        if not unicodedata.combining(char):
            folded.append(char)
        elif char == _TILDE and folded and folded[-1] == "n":
            folded[-1] = _ENYE
    return " ".join("".join(folded).split())


def name_key(name: str) -> str:
    """The key that a product's name is routed, ordered and found by.

    Raises UnroutableName when nothing is left to route by.
    """
    key = fold(name)
    if not key:
        raise UnroutableName(hint="Give the product a name with at least one letter, digit or symbol")
    return key


def show_key(key: str) -> str:
    """A key as people can read it.

    >>> show_key(name_key("ÑANDÚ"))
    'ñandu'
    """
    return key.replace(LAST, _TILDE).replace("n" + _TILDE, "ñ")


def prefix_range(folded: str) -> tuple[str, str]:
    """The half-open range of keys that start with ``folded``: "n" does not cover "ñ", "ñ" covers "ñandu"."""
    return folded, folded + LAST


@dataclass(frozen=True, slots=True)
class Range:
    """Keys ``lower ≤ key < upper`` and the shard that owns them; ``upper`` None means without end."""

    lower: str
    upper: str | None
    shard: str
    """The owner: it takes the names that are given now."""
    other: str = ""
    """While the range moves, the shard that may hold products of it too; see ``prodcore.sharding.mover``."""

    @property
    def holders(self) -> tuple[str, ...]:
        """The shards in which products of it can be: the owner first."""
        return (self.shard, self.other) if self.other else (self.shard,)

    def __contains__(self, key: str) -> bool:
        return self.lower <= key and (self.upper is None or key < self.upper)

    def __str__(self) -> str:
        upper = "…" if self.upper is None else f"< {show_key(self.upper)}"
        lower = f"{show_key(self.lower)} ≤ " if self.lower else ""
        return f"{lower}key {upper}".strip()


@dataclass(frozen=True, slots=True)
class ShardMap:
    """A version and its ranges, in key order; together they cover every key exactly once.

    What requests ask of it is found when it is made, so that ten thousand ranges cost a request what ten do.
    """

    version: int
    ranges: tuple[Range, ...]
    shards: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The shards that hold something, in the order of their first letter range."""
    moving: tuple[Range, ...] = field(init=False, repr=False, compare=False)
    """The ranges that two shards hold, in key order."""
    _joined: tuple[Range, ...] = field(init=False, repr=False, compare=False)
    _lowers: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Where the joined ranges begin."""
    _held: dict[str, tuple[Range, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ordered = self.ranges and self.ranges[0].lower == "" and self.ranges[-1].upper is None
        if not ordered or any(a.upper != b.lower or a.upper in (None, "") for a, b in pairwise(self.ranges)):
            raise ConfigError(f"shard map version {self.version} does not cover every key exactly once")
        held: dict[str, list[Range]] = {}
        for part in sorted(self.ranges, key=lambda r: (r.lower == "", r.lower)):
            for shard in part.holders:
                held.setdefault(shard, []).append(part)
        wide = tuple(joined(self.ranges))
        for name, value in {
            "shards": tuple(held),
            "moving": tuple(r for r in self.ranges if r.other),
            "_joined": wide,
            "_lowers": tuple(r.lower for r in wide),
            "_held": {shard: tuple(sorted(parts, key=_lower)) for shard, parts in held.items()},
        }.items():
            object.__setattr__(self, name, value)

    def range_for(self, key: str) -> Range:
        """The one range that holds ``key``."""
        return self.ranges[bisect_right(self.ranges, key, key=_lower) - 1]

    def shard_for(self, key: str) -> str:
        """The shard that owns ``key``."""
        return self._joined[bisect_right(self._lowers, key) - 1].shard

    def ranges_from(self, key: str, *, backwards: bool = False) -> Iterator[Range]:
        """The ranges in key order, or against it, beginning with the one that holds ``key``.

        Neighbours of the same holders are one: a list asks each stretch of a shard once, however it is cut.
        """
        at = bisect_right(self._lowers, key) - 1
        places = range(at, -1, -1) if backwards else range(at, len(self._joined))
        return (self._joined[place] for place in places)

    def owned_by(self, shard: str) -> tuple[Range, ...]:
        """The ranges that one shard owns, in key order."""
        return tuple(r for r in self.ranges if r.shard == shard)

    def held_by(self, shard: str) -> tuple[Range, ...]:
        """The ranges of which one shard can have products, in key order: its own, and those that move away or did."""
        return self._held.get(shard, ())

    def split(self, key: str) -> ShardMap:
        """The next map, in which the range that holds ``key`` is two of the same owner; itself where a range begins so.

        >>> [str(r) for r in DEFAULT_MAP.split("g").owned_by("rsA")]
        ['a ≤ key < g', 'g ≤ key < n']
        """
        cut = self.range_for(key)
        if cut.lower == key:
            return self
        at = self.ranges.index(cut)
        halves = (replace(cut, upper=key), replace(cut, lower=key))
        return ShardMap(self.version + 1, (*self.ranges[:at], *halves, *self.ranges[at + 1 :]))

    def merged(self, key: str | None = None) -> ShardMap:
        """The next map, in which the range that begins at ``key`` is one with the range below it, of the same owner.

        Without a key all neighbours of one owner are one; itself where nothing changes. Raises Conflict where no range
        begins there, or the two have not the same holders.

        >>> DEFAULT_MAP.split("g").split("k").merged("k").ranges == DEFAULT_MAP.split("g").ranges
        True
        """
        if key is None:
            ranges = tuple(joined(self.ranges))
        else:
            above = self.range_for(key)
            at = self.ranges.index(above)
            if above.lower != key:
                raise Conflict(f"no range begins at {show_key(key)!r}: {above} is one already")
            if at == 0 or (below := self.ranges[at - 1]).holders != above.holders:
                owners = f"{self.ranges[at - 1].shard} and {above.shard}" if at else above.shard
                raise Conflict(f"the ranges on both sides of {show_key(key)!r} are not one shard's alone: {owners}")
            ranges = (*self.ranges[: at - 1], replace(below, upper=above.upper), *self.ranges[at + 1 :])
        return self if ranges == self.ranges else ShardMap(self.version + 1, ranges)

    def with_range(self, new: Range) -> ShardMap:
        """The next map, in which ``new`` lies over what was there; itself where that is so already.

        >>> [f"{r.lower} {r.shard}" for r in DEFAULT_MAP.with_range(Range("g", "n", "rsC")).ranges]
        [' rsB', 'a rsA', 'g rsC', 'n rsB']
        """
        if new in self.ranges:
            return self
        below = [_clipped(r, r.lower, new.lower) for r in self.ranges if r.lower < new.lower]
        above = [_clipped(r, new.upper or "", r.upper) for r in self.ranges if _ends_after(r, new.upper)]
        return ShardMap(self.version + 1, (*below, new, *above))

    def given_to_other(self, key: str) -> ShardMap:
        """This map, but the range that holds ``key`` is owned by the other one of its two shards: no new version."""
        part = self.range_for(key)
        at = self.ranges.index(part)
        given = replace(part, shard=part.other, other=part.shard)
        return ShardMap(self.version, (*self.ranges[:at], given, *self.ranges[at + 1 :]))

    def as_document(self) -> dict[str, Any]:
        """The map as it is stored: ``{version, ranges: [{lower, upper, shard, other}]}``."""
        return {"version": self.version, "ranges": ranges_as_documents(self.ranges)}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Read a stored map. Raises ConfigError when it does not cover every key exactly once."""
        return cls(int(document["version"]), ranges_from_documents(document["ranges"]))


def _lower(part: Range) -> str:
    return part.lower


def _clipped(part: Range, lower: str, upper: str | None) -> Range:
    """What of a range is left within bounds that it reaches over."""
    ends = part.upper if upper is None or (part.upper is not None and part.upper < upper) else upper
    return replace(part, lower=max(part.lower, lower), upper=ends)


def _ends_after(part: Range, upper: str | None) -> bool:
    return upper is not None and (part.upper is None or part.upper > upper)


def same_keys(some: Sequence[Range], others: Sequence[Range]) -> bool:
    """Whether two lists of ranges, each in key order, give the same keys to the same owners, however they are cut.

    >>> same_keys(DEFAULT_MAP.owned_by("rsA"), DEFAULT_MAP.split("g").owned_by("rsA"))
    True
    """
    return joined(some) == joined(others)


def covers(ranges: Sequence[Range], key: str) -> bool:
    """Whether one of some ranges, which are in key order, holds ``key``.

    >>> [covers(DEFAULT_MAP.owned_by("rsB"), key) for key in ("7up", "arroz", "pan")]
    [True, False, True]
    """
    at = bisect_right(ranges, key, key=_lower)
    return at > 0 and key in ranges[at - 1]


def joined(ranges: Sequence[Range]) -> list[Range]:
    """Ranges that touch and have the same holders as one.

    >>> [str(r) for r in joined(DEFAULT_MAP.split("g").owned_by("rsA"))]
    ['a ≤ key < n']
    """
    wide: list[Range] = []
    for part in ranges:
        last = wide[-1] if wide else None
        if last and (last.upper, last.shard, last.other) == (part.lower, part.shard, part.other):
            wide[-1] = replace(last, upper=part.upper)
        else:
            wide.append(part)
    return wide


def ranges_as_documents(ranges: Sequence[Range]) -> list[dict[str, Any]]:
    """Ranges as they are stored."""
    return [
        {"lower": r.lower, "upper": r.upper, "shard": r.shard} | ({"other": r.other} if r.other else {}) for r in ranges
    ]


def ranges_from_documents(documents: Sequence[dict[str, Any]]) -> tuple[Range, ...]:
    """Ranges as they were stored."""
    return tuple(Range(d["lower"], d["upper"], d["shard"], d.get("other", "")) for d in documents)


DEFAULT_MAP = ShardMap(1, (Range("", "a", "rsB"), Range("a", "n", "rsA"), Range("n", None, "rsB")))
"""Version 1. Later versions are data: see ``prodcore.mongo.products.map_store``."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a name goes, and why."""

    name: str
    key: str
    shard: str
    range: Range

    @property
    def reason(self) -> str:
        """The why, as a sentence."""
        return f"{self.name!r} folds to {show_key(self.key)!r}, which lies in {self.range}: that is {self.shard}'s"


def route(shard_map: ShardMap, name: str) -> Route:
    """Explain where ``name`` goes. Raises UnroutableName."""
    key = name_key(name)
    owner = shard_map.range_for(key)
    return Route(name, key, owner.shard, owner)
