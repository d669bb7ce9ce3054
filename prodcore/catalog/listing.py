"""Lists of products over shards: a page at a time, by cursor, in any order."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Generic, TypeVar

from prodcore.catalog.cursor import Cursor, decode_cursor, encode_cursor
from prodcore.catalog.moves import Moves, is_current
from prodcore.catalog.places import Places
from prodcore.catalog.query import Query
from prodcore.catalog.stores import ProductStore, Row, Slice
from prodcore.errors import InvalidInput, Problem, ShardUnavailable, Unavailable
from prodcore.product.move import Times
from prodcore.routing import Range, ShardMap

T = TypeVar("T")

MAX_PAGE = 200


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Products in the query's order; ``unavailable`` names the shards whose products may be missing from it."""

    items: tuple[T, ...]
    next_cursor: str | None
    unavailable: tuple[str, ...] = ()

    def require_all(self) -> None:
        """Raise ShardUnavailable if a product may be missing."""
        if self.unavailable:
            shards = ", ".join(self.unavailable)
            raise ShardUnavailable(f"{shards} unavailable: the list would not be whole", shard=shards)


class Listing:
    """Reads lists over the shards of a map."""

    def __init__(self, shard_map: ShardMap, store: Callable[[str], ProductStore], moves: Moves) -> None:
        self._map = shard_map
        self._store = store
        self._moves = moves

    def page(self, query: Query, *, cursor: str | None, limit: int, fields: tuple[str, ...]) -> Page[Row]:
        """The page after ``cursor``; of the products only ``fields`` are read.

        In name order one indexed query on one shard, and one more for each range border that the page crosses; in
        the other orders at most two on each shard. A shard that does not answer is left out and named in the page.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(problems=[Problem("limit", "out_of_range", f"must be from 1 to {MAX_PAGE}")])
        begun = decode_cursor(cursor, query) if cursor else None
        times: Times = self._moves.known_times()
        if begun and is_current(begun.times, times):
            times = begun.times
        part = Slice(query, (), begun.after if begun else None, limit + 1, fields)
        rows, reader = self._read(part, times)
        if begun is None and reader.places.met_later:  # what was done just now is to be seen by who did it
            times = self._moves.times()
            rows, reader = self._read(part, times)
        following = encode_cursor(Cursor(rows[limit - 1].position, times), query) if len(rows) > limit else None
        return Page(tuple(rows[:limit]), following, tuple(sorted(reader.silent)))

    def _read(self, part: Slice, times: Times) -> tuple[list[Row], _Reader]:
        """The first rows of a list that began at ``times``."""
        reader = _Reader(self._store, Places(self._moves, times, part.fields))
        read = self._one_after_the_other if part.query.sort.by == "name" else self._merged
        return list(islice(read(part, reader), part.limit)), reader

    def _one_after_the_other(self, part: Slice, reader: _Reader) -> Iterator[Row]:
        """The ranges in key order: read only until the page is full."""
        wanted = part.limit
        for owned in self._ranges_after(part):
            rows = reader.rows(owned.shard, replace(part, ranges=(owned,), limit=wanted))
            yield from rows
            wanted -= len(rows)
            if wanted <= 0:
                return

    def _ranges_after(self, part: Slice) -> Sequence[Range]:
        ranges = [r for r in self._map.ranges if part.query.shard in (None, r.shard)]
        key = part.after[0] if part.after else None
        if part.query.sort.descending:
            return [r for r in reversed(ranges) if key is None or r.lower <= str(key)]
        return [r for r in ranges if key is None or r.upper is None or str(key) < r.upper]

    def _merged(self, part: Slice, reader: _Reader) -> Iterator[Row]:
        """The shards' own lists, merged: each is in order already."""
        lists = [
            reader.rows(shard, replace(part, ranges=self._map.owned_by(shard)))
            for shard in self._map.shards
            if part.query.shard in (None, shard)
        ]
        return heapq.merge(*lists, key=lambda row: row.position, reverse=part.query.sort.descending)


class _Reader:
    """Reads slices, and remembers who was silent."""

    def __init__(self, store: Callable[[str], ProductStore], places: Places) -> None:
        self._store = store
        self.places = places
        self.silent = places.silent

    def rows(self, shard: str, part: Slice) -> list[Row]:
        """``part.limit`` rows or all that there are; none from a shard that does not answer."""
        rows: list[Row] = []
        part = replace(part, not_before=self.places.times.get(shard, 0))
        try:
            while True:
                batch = self._store(shard).page(part)
                rows += self.places.shown(shard, batch.rows)
                if batch.end is None or len(rows) >= part.limit:
                    return rows[: part.limit]
                part = replace(part, after=batch.end)
        except Unavailable:
            self.silent.add(shard)
            return []
