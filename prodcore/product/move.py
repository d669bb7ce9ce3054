"""A product's move from one shard to another, as data, and the rule by which a list shows it exactly once.

Times are cluster times of the shard that a product left: whole numbers that only grow, as its replica set counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

State = Literal["intended", "pending", "moved"]
"""``intended``: the source's document says where it is to go. ``pending``: the target's document, not to be seen unless
the source says ``moved``. ``moved``: the source's document keeps its old place, and says where the product is."""


@dataclass(frozen=True, slots=True)
class Move:
    """An unfinished move, or the old place of a finished one, as one of the product's two documents tells it."""

    id: UUID
    product_id: UUID
    state: State
    source: str
    target: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Passage:
    """A finished move; ``at`` is the source's cluster time, not before the move was decided there."""

    id: UUID
    source: str
    target: str
    at: int


Times = Mapping[str, int]
"""When a list began: by shard, a cluster time before its first read."""


def shard_at(passages: Sequence[Passage], times: Times) -> str:
    """The shard in which a list that began at ``times`` shows a product that made these passages.

    It is where the product was: the source of the first passage that came later. This is one answer whatever the
    times, so of all documents of a product exactly one is shown.

    >>> there = Passage(UUID(int=1), "rsA", "rsB", 5)
    >>> back = Passage(UUID(int=2), "rsB", "rsA", 9)
    >>> [shard_at([there, back], {"rsA": a, "rsB": b}) for a, b in [(4, 4), (5, 8), (9, 9)]]
    ['rsA', 'rsB', 'rsA']
    """
    return next((p.source for p in passages if p.at > times.get(p.source, 0)), passages[-1].target)
