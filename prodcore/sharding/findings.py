"""What can be wrong with the products of a shard, and what is asked of each shard to find it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from prodcore.product.move import Move

Kind = Literal[
    "map",
    "rule",
    "index",
    "invalid",
    "derived",
    "misplaced",
    "same_id",
    "same_name",
    "same_sku",
    "sku_claim",
    "unfinished_move",
    "leftover",
]
"""``rule``: by it a shard refuses what it does not own. ``derived``: what is computed from a product and stored with
it, keys and terms. ``leftover``: a document that only kept a place, and should have gone."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What one document of a shard is, as far as it can be read."""

    id: Any
    """A UUID, unless the document is damaged."""
    shard: str
    state: Literal["product", "place", "deleted", "unreadable"]
    """``place``: the old place of a product that moved away."""
    version: int = 0
    name: str = ""
    key: tuple[str, str] = ("", "")
    """Computed from name and variant, whatever is stored."""
    sku: str | None = None
    move: Move | None = None
    purge_at: datetime | None = None
    faults: tuple[str, ...] = ()
    """Why the product model refuses it."""
    derived: tuple[str, ...] = ()
    """The fields that are not what is computed from the others."""

    @property
    def is_here(self) -> bool:
        """Whether it is a product of this shard, live or deleted, and not only on its way."""
        waits = self.move is not None and self.move.state == "pending"
        return self.state in ("product", "deleted") and not waits


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; ``product`` and ``name`` are of the document, where it is about one."""

    kind: Kind
    shard: str
    text: str
    way_out: str
    product: Stored | None = None
    index: str = ""
    mendable: bool = False
    """Whether there is one right way to mend it, which ``repair`` goes."""

    def as_dict(self) -> dict[str, Any]:
        """As it is shown."""
        seen = self.product
        return {
            "kind": self.kind,
            "shard": self.shard,
            "product": str(seen.id) if seen else None,
            "name": seen.name if seen else None,
            "finding": self.text,
            "way_out": self.way_out,
        }


class CheckedShard(Protocol):
    """One shard's documents and indexes. Every call raises Unavailable while the shard does not answer."""

    @property
    def shard(self) -> str:
        """The shard's name."""

    def count(self) -> int:
        """About how many documents there are."""

    def documents(self, after: Stored | None, limit: int) -> list[Stored]:
        """The next documents in the order of their ids."""

    def alike(self, seen: Sequence[Stored]) -> list[Stored]:
        """The documents that have an id, a name key or a SKU of these."""

    def wrong_indexes(self) -> dict[str, str]:
        """What is wrong with the indexes, by name."""

    def mend_index(self, name: str) -> None:
        """Make an index as it should be. Raises Conflict where the products do not allow it."""

    def renew(self, seen: Stored) -> bool:
        """Compute anew what is derived; False when the product changed meanwhile. Raises ProductExists."""


class Mover(Protocol):
    """Moves between shards; the catalogue's own."""

    def finish(self, move: Move) -> None:
        """Finish a move, or undo it."""

    def claim_sku(self, product_id: UUID) -> None:
        """Claim the SKU that a product has. Raises SkuTaken where another product has it too."""

    def bring_home(self, product_id: UUID, shard: str) -> str:
        """Move a product out of a shard that does not own its name; the shard that has it now."""
