"""A product's move from one shard to another, as data, and the rule by which a list shows it exactly once.

Times are cluster times of the shard that a product left: whole numbers that only grow, as its replica set counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

State = Literal["intended", "leaving", "pending", "moved", "entering"]
"""``intended``: the source's document says where it is to go. ``leaving``: the same of a product that stays as it is,
since its range moves. ``pending``: the target's document, not to be seen unless
the source says ``moved``. ``moved``: the source's document keeps its old location, and says where the product is.
``entering``: the document of a new product whose id somebody else gave, until no other shard is seen to have it."""


@dataclass(frozen=True, slots=True)
class Move:
    """An unfinished move, or the old location of a finished one, as one of the product's two documents tells it."""

    id: UUID
    product_id: UUID
    state: State
    source: str
    target: str
    since: datetime

    @property
    def is_here(self) -> bool:
        """Whether the document that tells of it is the product."""
        return self.state in ("intended", "leaving", "entering")

    @property
    def is_undecided(self) -> bool:
        """Whether the document is the source's, before the move is decided."""
        return self.state in ("intended", "leaving")


@dataclass(frozen=True, slots=True)
class CompletedMove:
    """A finished move; ``at`` is the source's cluster time, not before the move was decided there."""

    id: UUID
    source: str
    target: str
    at: int


Times = Mapping[str, int]
"""When a list began: by shard, a cluster time before its first read."""


def visit_at(completed_moves: Sequence[CompletedMove], times: Times) -> int:
    """Which of a product's stays a list that began at ``times`` shows: 0 is the one before its first completed move.

    It is the stay that the first later one ended, and the last one where none came later. This is one answer
    whatever the times, so of all documents of a product exactly one is shown: the one that keeps this stay's place.

    >>> there = CompletedMove(UUID(int=1), "rsA", "rsB", 5)
    >>> back = CompletedMove(UUID(int=2), "rsB", "rsA", 9)
    >>> [visit_at([there, back], {"rsA": a, "rsB": b}) for a, b in [(4, 4), (5, 8), (9, 9)]]
    [0, 1, 2]
    """
    return next((i for i, p in enumerate(completed_moves) if p.at > times.get(p.source, 0)), len(completed_moves))


def shard_at(completed_moves: Sequence[CompletedMove], times: Times) -> str:
    """The shard of that stay; of at least one completed move."""
    visit = visit_at(completed_moves, times)
    return completed_moves[visit].source if visit < len(completed_moves) else completed_moves[-1].target
