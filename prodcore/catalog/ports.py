"""What the catalogue needs from a store of products. A store is one replica set; it knows no other shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from prodcore.errors import ProdError
from prodcore.product import Product

Key = tuple[str, str]
"""(name key, variant key)."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One shard's part of an ordered page: keys ``lower ≤ name key < upper``, strictly after ``after``."""

    lower: str
    upper: str | None
    after: Key | None
    words: tuple[str, ...]
    """Folded word prefixes; a product must have a word for each."""
    limit: int


class ProductStore(Protocol):
    """Products of one shard. Every call takes at most the budget of ``prodcore.deadline``.

    Reads raise Unavailable; writes raise Unavailable (nothing happened) or OutcomeUnknown.
    """

    @property
    def shard(self) -> str:
        """The shard's name, which is its replica set's."""

    def insert(self, product: Product) -> None:
        """Add a product. A repeated insert of the same ``write_id`` succeeds. Raises ProductExists."""

    def insert_many(self, products: Sequence[Product]) -> list[ProdError | None]:
        """Add each product on its own; a refusal stands at its place in the answer, None for a success."""

    def replace(self, product: Product) -> None:
        """Store ``product`` over version ``product.version - 1``.

        Raises VersionConflict, ProductNotFound, ProductExists.
        """

    def replace_many(self, products: Sequence[Product]) -> list[ProdError | None]:
        """``replace`` for each product on its own; a refusal stands at its place in the answer."""

    def delete(self, product_id: UUID, version: int) -> None:
        """Remove the product if it still has this version. Raises VersionConflict, ProductNotFound."""

    def get(self, product_id: UUID) -> Product | None:
        """The product with this id."""

    def find(self, keys: Sequence[Key]) -> dict[Key, Product]:
        """The products that have one of these keys."""

    def sku_owners(self, skus: Sequence[str]) -> dict[str, UUID]:
        """The ids of the products that have one of these SKUs."""

    def page(self, part: Slice) -> list[Product]:
        """Products in key order."""

    def count(self) -> int:
        """How many products the shard holds, from its own bookkeeping: quick, and right but for a crash just now."""
