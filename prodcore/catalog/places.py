"""Which rows of a list are shown while products move: each product once, where it was when the list began."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from prodcore.catalog.moves import MOST_MOVES, Moves
from prodcore.catalog.stores import Row
from prodcore.errors import OutcomeUnknown, Unavailable
from prodcore.product.move import Move, Times, shard_at


class Places:
    """The rule for one list that began at ``times`` and shows ``fields``.

    ``met_later`` tells whether something was met that moved after that; ``silent`` are shards that did not tell where
    a product is, which then is not shown.
    """

    def __init__(self, moves: Moves, times: Times, fields: tuple[str, ...]) -> None:
        self._moves = moves
        self._fields = fields
        self.times = times
        self.met_later = False
        self.silent: set[str] = set()

    def shown(self, shard: str, rows: Sequence[Row]) -> list[Row]:
        """Those of a shard's rows that the list shows, with what they show."""
        unclear = {row.move.product_id: row.move for row in rows if row.move and row.move.state != "intended"}
        current = self._current(unclear) if unclear else {}
        shown: list[Row] = []
        for row in rows:
            now: Row | None = row
            if row.move and row.move.product_id in unclear:
                now = current.get(row.move.product_id)
            if now and (not now.passages or self._was_in(shard, now)):
                shown.append(now if now is row else replace(now, position=row.position))
        return shown

    def _was_in(self, shard: str, row: Row) -> bool:
        self.met_later |= any(p.at > self.times.get(p.source, 0) for p in row.passages)
        return shard_at(row.passages, self.times) == shard

    def _current(self, moves: dict[UUID, Move]) -> dict[UUID, Row]:
        """What became of products whose documents here are a part of a move: the target's rows of decided moves."""
        found: dict[UUID, Row] = {}
        for _ in range(MOST_MOVES):
            wanted: dict[str, list[UUID]] = defaultdict(list)
            for product_id, move in moves.items():
                if move.state == "moved" or self._is_decided(move):
                    wanted[move.target].append(product_id)
            rows = {i: row for target, ids in wanted.items() for i, row in self._rows(target, ids).items()}
            moves = {i: row.move for i, row in rows.items() if row.move and row.move.state != "intended"}
            found |= {i: row for i, row in rows.items() if i not in moves}
            if not moves:
                break
        return found

    def _is_decided(self, move: Move) -> bool:
        """Whether a product that waits to be seen is to be seen; its move is finished then."""
        self.met_later = True
        try:
            if self._moves.is_decided(move):
                self._moves.finish(move)
                return True
        except (Unavailable, OutcomeUnknown):
            self.silent.add(move.source)
        return False

    def _rows(self, shard: str, product_ids: list[UUID]) -> dict[UUID, Row]:
        try:
            return self._moves.stores[shard].rows(product_ids, self._fields)
        except Unavailable:
            self.silent.add(shard)
            return {}
