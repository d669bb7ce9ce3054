"""What moves need of each shard: its own side of every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from prodcore.catalog.stores import Row
from prodcore.product.model import Product
from prodcore.product.move import Move, Passage, State


@dataclass(frozen=True, slots=True)
class Traces:
    """What one shard's document tells of the moves of its product."""

    move: Move | None
    passages: tuple[Passage, ...]
    at: int
    """A cluster time that is not before anything that is told."""
    parcel: Any
    """All that the target needs of the product: made by one store, taken by another."""

    def state_of(self, move: Move) -> State | Literal["done"] | None:
        """What is known here of a move; None for nothing."""
        if any(passage.id == move.id for passage in self.passages):
            return "done"
        return self.move.state if self.move and self.move.id == move.id else None


class MoveStore(Protocol):
    """One shard's side of moves: it is the source of some and the target of others.

    Each call is one write of one document, does nothing where it is not that step's turn, and may be repeated.
    Raises Unavailable (nothing happened) and OutcomeUnknown.
    """

    def intend(self, product: Product, move: Move) -> None:
        """Note in the source's document of version ``product.version - 1`` what is to become of it.

        Raises VersionConflict, BeingMoved, ProductNotFound.
        """

    def traces(self, product_id: UUID) -> Traces:
        """What the product's document here tells, as of now: nothing that was ever acknowledged is overlooked."""

    def receive(self, parcel: Any) -> None:
        """Store the product in the target, not to be seen yet. Raises ProductExists."""

    def commit(self, move: Move) -> None:
        """Decide the move, in the source: from now on the product is in the target."""

    def publish(self, move: Move, at: int) -> None:
        """Make the product simply the target's, with a passage at this time of the source."""

    def retire(self, move: Move, until: datetime) -> None:
        """Let the source's document keep its old place until then."""

    def undo(self, move: Move) -> None:
        """Take the intention back, in the source."""

    def discard(self, move: Move) -> None:
        """Remove what the target received of an undone move."""

    def unfinished(self, since: datetime) -> list[Move]:
        """The moves that were begun before then and left unfinished, as this shard's documents tell."""

    def rows(self, product_ids: Sequence[UUID], fields: tuple[str, ...]) -> dict[UUID, Row]:
        """Products by id as rows without a place; those that are deleted or not here are left out."""

    def known_time(self) -> int:
        """A cluster time that is already on a majority, of a moment ago: costs nothing."""

    def time(self) -> int:
        """The latest cluster time that is on a majority."""
