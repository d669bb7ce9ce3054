"""Lists of products over shards: a page at a time, by cursor, in any order.

A cursor says where the last page ended, and is bound to the query it was made for. While products move, a list shows
each once: where it was when the list began. The deleted products that can be restored have a list of their own.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby, islice
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from prodcore.catalog.moves import MOST_MOVES, Moves, grouped, is_current
from prodcore.catalog.stores import Deleted, ListRow, Moment, Position, ProductStore, Query, Slice
from prodcore.errors import InvalidCursor, InvalidInput, OutcomeUnknown, Problem, ShardUnavailable, Unavailable
from prodcore.product.move import Move, Times, shard_at, visit_at
from prodcore.routing import LAST, Range, ShardMap, name_key

T = TypeVar("T")

MAX_PAGE = 200


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Products in the query's order; ``unavailable`` names the shards whose products may be missing from it."""

    items: tuple[T, ...]
    next_cursor: str | None
    unavailable: tuple[str, ...] = ()
    before: str | None = None
    """Where the list goes on in the opposite order, for ``cursor_before``; None on the first page."""

    def require_all(self) -> None:
        """Raise ShardUnavailable if a product may be missing."""
        if self.unavailable:
            shards = ", ".join(self.unavailable)
            raise ShardUnavailable(f"{shards} unavailable: the list would be incomplete", shard=shards)


class Listing:
    """Reads lists over the shards of a map."""

    def __init__(self, shard_map: ShardMap, store: Callable[[str], ProductStore], moves: Moves) -> None:
        self._map = shard_map
        self._store = store
        self._moves = moves

    def page(self, query: Query, *, cursor: str | None, limit: int, fields: tuple[str, ...]) -> Page[ListRow]:
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
        rows, reader = self._read(part, times, begun)
        if begun is None and reader.visibility.met_later:  # what was done just now is to be seen by who did it
            times = self._moves.times()
            rows, reader = self._read(part, times, begun)
        following = encode_cursor(_after(rows[:limit], times, begun), query) if len(rows) > limit else None
        before = encode_cursor(_after(rows[limit - 1 :: -1], times), query.backwards) if begun and rows else None
        return Page(tuple(rows[:limit]), following, tuple(sorted(reader.unreachable)), before)

    def cursor_before(self, query: Query, before: str, limit: int) -> str | None:
        """The cursor of the page that ends where another one begins (its ``before``); None where that is the first.

        It is made by reading the list backwards, so it costs what a page costs. Raises InvalidCursor.
        """
        begun = decode_cursor(before, query.backwards)
        part = Slice(query.backwards, (), begun.after, limit + 1, ())
        rows, _reader = self._read(part, begun.times, begun)
        return encode_cursor(_after(rows[limit:], begun.times), query) if len(rows) > limit else None

    def _read(self, part: Slice, times: Times, begun: Cursor | None) -> tuple[list[ListRow], _Reader]:
        """The first rows of a list that began at ``times``."""
        visibility = Visibility(self._moves, times, part.fields, by_name=part.query.sort.by == "name")
        reader = _Reader(self._store, visibility, begun)
        read = self._one_after_the_other if part.query.sort.by == "name" else self._merged
        return list(islice(read(part, reader), part.limit)), reader

    def _one_after_the_other(self, part: Slice, reader: _Reader) -> Iterator[ListRow]:
        """The ranges in key order, only until the page is full; of one that moves, its two shards' lists merged."""
        wanted = part.limit
        for owned in self._ranges_after(part):
            of_range = replace(part, ranges=(owned,), limit=wanted)
            holders = [shard for shard in owned.holders if part.query.shard in (None, shard)]
            rows = list(islice(self._in_order(part, [reader.rows(shard, of_range) for shard in holders]), wanted))
            yield from rows
            wanted -= len(rows)
            if wanted <= 0:
                return

    def _in_order(self, part: Slice, lists: Sequence[Sequence[ListRow]]) -> Iterator[ListRow]:
        return heapq.merge(*lists, key=lambda row: row.position, reverse=part.query.sort.descending)

    def _ranges_after(self, part: Slice) -> Iterator[Range]:
        backwards, shard = part.query.sort.descending, part.query.shard
        key = str(part.after[0]) if part.after else LAST if backwards else ""
        there = self._map.ranges_from(key, backwards=backwards)
        return there if shard is None else (r for r in there if shard in r.holders)

    def _merged(self, part: Slice, reader: _Reader) -> Iterator[ListRow]:
        """The shards' own lists, merged: each is in order already."""
        lists = [
            reader.rows(shard, replace(part, ranges=self._map.held_by(shard)))
            for shard in self._map.shards
            if part.query.shard in (None, shard)
        ]
        return self._in_order(part, lists)


class _Reader:
    """Reads slices, and remembers who was unreachable."""

    def __init__(self, store: Callable[[str], ProductStore], visibility: Visibility, begun: Cursor | None) -> None:
        self._store = store
        self.visibility = visibility
        self.unreachable = visibility.unreachable
        self._begun = begun
        self._last: dict[str, tuple[Position | None, set[UUID]]] = {}
        """In name order, which products of a shard were shown at which place: several documents may keep it."""

    def rows(self, shard: str, part: Slice) -> list[ListRow]:
        """``part.limit`` rows or all that there are; none from a shard that does not answer."""
        rows: list[ListRow] = []
        wanted = part.limit
        shown = len(self._begun.shown) if self._begun else 0
        part = replace(part, limit=wanted + shown, not_before=self.visibility.times.get(shard, 0))
        try:
            while True:
                batch = self._store(shard).page(part)
                rows += self._once(shard, self.visibility.shown(shard, batch.rows))
                if batch.end is None or len(rows) >= wanted:
                    return rows[:wanted]
                if batch.end == part.after:  # more documents keep one place than were asked for
                    part = replace(part, limit=part.limit * 2)
                part = replace(part, after=batch.end)
        except Unavailable:
            self.unreachable.add(shard)
            return []

    def _once(self, shard: str, rows: Sequence[ListRow]) -> Iterator[ListRow]:
        """Without the products that were shown at the same place: in name order a place is met again."""
        if not self.visibility.by_name:
            yield from rows
            return
        first = (self._begun.after, set(self._begun.shown)) if self._begun else (None, set())
        place, shown = self._last.get(shard, first)
        for row in rows:
            if row.position != place:
                place, shown = row.position, set()
            if row.product_id not in shown:
                shown.add(row.product_id)
                yield row
        self._last[shard] = place, shown


def _after(rows: Sequence[ListRow], times: Times, begun: Cursor | None = None) -> Cursor:
    """Where the list goes on after these rows."""
    place = rows[-1].position
    shown = [row.product_id for row in rows if row.position == place]
    before = begun.shown if begun and begun.after == place else ()
    return Cursor(place, times, (*before, *shown))


_MAX_LENGTH = 4_000
_MAX_SHARDS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,10})?")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on, and when it began, by shard (see ``prodcore.product.move``)."""

    after: Position
    times: Mapping[str, int] = field(default_factory=dict)
    shown: tuple[UUID, ...] = ()
    """The products that were shown at this place."""


def encode_cursor(cursor: Cursor, query: Query) -> str:
    """The cursor as text.

    >>> decode_cursor(encode_cursor(Cursor(("cafe", "")), Query()), Query())
    Cursor(after=('cafe', ''), times={}, shown=())
    """
    value, tie = cursor.after
    document = {"query": query.fingerprint, "after": [_plain(value), str(tie)], "times": dict(cursor.times)}
    document["shown"] = [str(product_id) for product_id in cursor.shown]
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(text: str, query: Query) -> Cursor:
    """Read a cursor of this query. Raises InvalidCursor."""
    try:
        if len(text) > _MAX_LENGTH:
            raise ValueError
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        document = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        fingerprint = document["query"]
        value, tie = document["after"]
        times, shown = document["times"], document["shown"]
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        raise InvalidCursor(hint="Start again from the first page") from None
    if fingerprint != query.fingerprint:
        raise InvalidCursor(
            "the cursor belongs to another search, filter or order", hint="Start again from the first page"
        )
    try:
        after = _READERS[query.sort.by](value), _text(tie) if query.sort.by == "name" else UUID(tie)
        return Cursor(after, _times(times), _ids(shown))
    except (ValueError, TypeError, AttributeError):
        raise InvalidCursor(hint="Start again from the first page") from None


def _plain(value: Any) -> str | int:
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(milliseconds=1)
    return format(value, "f") if isinstance(value, Decimal) else value


def _text(value: Any) -> str:
    value.encode()  # a lone surrogate cannot be asked of a server
    return str(value)


def _price(value: Any) -> Decimal:
    if not _DECIMAL.fullmatch(value):
        raise ValueError
    return Decimal(value)


def _times(times: Any) -> dict[str, int]:
    if (
        not isinstance(times, dict)
        or len(times) > _MAX_SHARDS
        or not all(type(time) is int and 0 <= time < 2**63 for time in times.values())
    ):
        raise ValueError
    return times


def _ids(shown: Any) -> tuple[UUID, ...]:
    if not isinstance(shown, list) or len(shown) > MAX_PAGE:
        raise ValueError
    return tuple(UUID(product_id) for product_id in shown)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LATEST_MS:
        raise ValueError
    return value


def _moment(value: Any) -> datetime:
    return _EPOCH + timedelta(milliseconds=_whole(value))


_READERS: dict[str, Callable[[Any], str | int | Decimal | datetime]] = {
    "name": _text,
    "price": _price,
    "stock": _whole,
    "updated": _moment,
    "created": _moment,
}


class Visibility:
    """The rule for one list that began at ``times`` and shows ``fields``, in name order or another one.

    ``met_later`` tells whether something was met that moved after that; ``unreachable`` are shards that did not tell
    where a product is, which then is not shown.
    """

    def __init__(self, moves: Moves, times: Times, fields: tuple[str, ...], *, by_name: bool) -> None:
        self._moves = moves
        self._fields = fields
        self.times = times
        self.by_name = by_name
        self.met_later = False
        self.unreachable: set[str] = set()

    def shown(self, shard: str, rows: Sequence[ListRow]) -> list[ListRow]:
        """Those of a shard's rows that the list shows, with what they show."""
        unclear = {row.product_id: row.move for row in rows if row.move and not row.move.is_here}
        current = self._current(unclear) if unclear else {}
        shown: list[ListRow] = []
        for row in rows:
            known = row.move is None or row.move.is_here
            now = row if known else current.get(row.product_id)
            if now and (self._was_there(shard, row, now) if now.completed_moves else known):
                shown.append(now if now is row else replace(now, position=row.position))
        return shown

    def _was_there(self, shard: str, row: ListRow, now: ListRow) -> bool:
        """Whether the product was, when the list began, where ``row`` is.

        In another order than by name it stands at the same place in every shard.
        """
        self.met_later |= any(p.at > self.times.get(p.source, 0) for p in now.completed_moves)
        if self.by_name:
            return visit_at(now.completed_moves, self.times) == _visit_of(row, now)
        return shard_at(now.completed_moves, self.times) == shard

    def _current(self, moves: dict[UUID, Move]) -> dict[UUID, ListRow]:
        """Where products are whose documents here are a part of a move: their rows there."""
        found: dict[UUID, ListRow] = {}
        for _ in range(MOST_MOVES):
            wanted: dict[str, list[UUID]] = defaultdict(list)
            for product_id, move in moves.items():
                if move.state == "moved":
                    wanted[move.target].append(product_id)
            for move, product_ids in grouped(m for m in moves.values() if m.state != "moved"):
                decided = self._decided(move, product_ids)
                wanted[move.target] += decided
                if not self.by_name:  # the document may stand for a stay that the product had here before
                    wanted[move.source] += [product_id for product_id in product_ids if product_id not in decided]
            rows = {i: row for target, ids in wanted.items() for i, row in self._rows(target, ids).items()}
            moves = {i: row.move for i, row in rows.items() if row.move and not row.move.is_here}
            found |= {i: row for i, row in rows.items() if i not in moves}
            if not moves:
                return found
        self.unreachable |= {move.target for move in moves.values()}  # they move quicker than they can be followed
        return found

    def _decided(self, move: Move, product_ids: Sequence[UUID]) -> set[UUID]:
        """Which of the products that wait to be seen are to be seen; their moves are finished then."""
        self.met_later = True
        try:
            return self._moves.decided(move, product_ids)
        except (Unavailable, OutcomeUnknown):
            self.unreachable.add(move.source)
        return set()

    def _rows(self, shard: str, product_ids: list[UUID]) -> dict[UUID, ListRow]:
        try:
            return self._moves.stores[shard].rows(product_ids, self._fields)
        except Unavailable:
            self.unreachable.add(shard)
            return {}


def _visit_of(row: ListRow, now: ListRow) -> int:
    """Which of the product's stays a row is of; -1 for none that it remembers."""
    if row.move is None or row.move.is_here:
        return len(now.completed_moves)
    made = [completed_move.id for completed_move in now.completed_moves]
    if row.move.id not in made:
        return -1
    return made.index(row.move.id) + (row.move.state == "pending")


_MOMENT_BYTES = 8 + 16


@dataclass(frozen=True, slots=True)
class DeletedPage:
    """Some deleted products; ``unavailable`` names the shards whose products may be missing from it."""

    items: tuple[Deleted, ...]
    next_cursor: str | None
    unavailable: tuple[str, ...]


class _Asked(Protocol):
    """All shards, as a ``Catalog`` asks them."""

    def ask_all(self, question: Callable[[ProductStore], T]) -> tuple[dict[str, T], dict[str, Unavailable]]:
        """Answers and silences by shard."""


def deleted_page(catalog: _Asked, *, name: str | None = None, cursor: str | None = None, limit: int) -> DeletedPage:
    """The deleted products after ``cursor``, with ``name`` only those of that name.

    Raises InvalidCursor, UnroutableName.
    """
    before = _decode_moment(cursor) if cursor else None
    key = None if name is None else name_key(name)
    answers, unreachable = catalog.ask_all(lambda store: store.deleted(before, limit + 1, key))
    merged = heapq.merge(*answers.values(), key=_when_deleted, reverse=True)
    once = (next(same) for _moment, same in groupby(merged, key=_when_deleted))  # one that moves is in two shards
    items = tuple(islice(once, limit + 1))
    following = _encode_moment(_when_deleted(items[limit - 1])) if len(items) > limit else None
    return DeletedPage(items[:limit], following, tuple(sorted(unreachable)))


def _when_deleted(deleted: Deleted) -> Moment:
    return deleted.at, deleted.product.id


def _encode_moment(moment: Moment) -> str:
    milliseconds = (moment[0] - _EPOCH) // timedelta(milliseconds=1)
    return base64.urlsafe_b64encode(milliseconds.to_bytes(8, "big") + moment[1].bytes).decode()


def _decode_moment(cursor: str) -> Moment:
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        if len(raw) != _MOMENT_BYTES:
            raise ValueError
        return _EPOCH + timedelta(milliseconds=int.from_bytes(raw[:8], "big")), UUID(bytes=raw[8:])
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidCursor(hint="Start again from the first page") from None
