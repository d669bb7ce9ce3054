"""What the catalogue needs from a store of products. A store is one replica set; it knows no other shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from prodcore.catalog.import_ports import ImportStore
from prodcore.catalog.query import Position, Query
from prodcore.errors import ProdError, VersionConflict
from prodcore.product.history import Change
from prodcore.product.model import Product
from prodcore.product.move import Move, Passage
from prodcore.routing import Range

if TYPE_CHECKING:
    from prodcore.catalog.move_ports import MoveStore

Key = tuple[str, str]
"""(name key, variant key)."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One shard's part of a page: its products in ``ranges``, strictly after ``after`` in the query's order."""

    query: Query
    ranges: tuple[Range, ...]
    """Ranges of the shard; exactly one in name order."""
    after: Position | None
    limit: int
    fields: tuple[str, ...]
    """The fields of ``Product`` that are read."""
    not_before: int = 0
    """A cluster time of the shard: all that was written until then is seen."""


@dataclass(frozen=True, slots=True)
class Row:
    """A product's place in the list, and those of its fields that were asked for."""

    position: Position
    values: dict[str, Any]
    move: Move | None = None
    """What the document is to a move, if it is not simply the product."""
    passages: tuple[Passage, ...] = ()
    """The product's last moves."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows in order. They may be fewer than asked for although there are more: those begin after ``end``."""

    rows: list[Row]
    end: Position | None
    """The place of the last document that was looked at; None when there are no more."""


Moment = tuple[datetime, UUID]
"""A place among the deleted products: when it was deleted, and its id."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A product that was deleted and can be restored; ``product.version`` is the version that says so."""

    product: Product
    at: datetime
    by: str
    until: datetime
    """After that it is removed for good."""


class BeingMoved(VersionConflict):
    """The document that was to be written is part of an unfinished move: finish that first. Nothing was written."""


class ProductStore(Protocol):
    """Products of one shard. Every call takes at most the budget of ``prodcore.deadline``.

    Reads raise Unavailable; writes raise Unavailable (nothing happened) or OutcomeUnknown.
    """

    @property
    def shard(self) -> str:
        """The shard's name, which is its replica set's."""

    @property
    def moves(self) -> MoveStore:
        """The shard's side of moves."""

    @property
    def imports(self) -> ImportStore:
        """What imports did here."""

    def insert(self, product: Product) -> None:
        """Add a product. A repeated insert of the same ``write_id`` succeeds. Raises ProductExists."""

    def insert_many(self, products: Sequence[Product]) -> list[ProdError | None]:
        """Add each product on its own; a refusal stands at its place in the answer, None for a success."""

    def replace(self, product: Product) -> None:
        """Store ``product`` over version ``product.version - 1``.

        Raises VersionConflict, BeingMoved, ProductNotFound, ProductExists.
        """

    def replace_many(self, products: Sequence[Product]) -> list[ProdError | None]:
        """``replace`` for each product on its own; a refusal stands at its place in the answer."""

    def park(self, product: Product, until: datetime) -> None:
        """Delete ``product`` over version ``product.version - 1``; it can be restored until then.

        Raises VersionConflict, BeingMoved, ProductNotFound.
        """

    def park_many(self, products: Sequence[Product], until: datetime) -> list[ProdError | None]:
        """``park`` for each product on its own; a refusal stands at its place in the answer."""

    def restore(self, product: Product) -> None:
        """Put ``product``, deleted as version ``product.version - 1``, back.

        Raises VersionConflict, ProductNotFound, ProductExists.
        """

    def get(self, product_id: UUID) -> Product | None:
        """The product with this id; whether it is to be seen, its ``move`` tells. Raises ProductDeleted."""

    def get_many(self, product_ids: Sequence[UUID]) -> dict[UUID, Product | Deleted]:
        """The products with these ids, live or deleted."""

    def history(self, product_id: UUID) -> list[Change] | None:
        """What was done to the product, live or deleted, the last change first; None where it is not."""

    def get_deleted(self, product_id: UUID) -> Deleted | None:
        """The deleted product with this id."""

    def deleted(self, before: Moment | None, limit: int, key: str | None = None) -> list[Deleted]:
        """The last deleted products before a moment, the last one first; with a name key, only those that had it."""

    def find(self, keys: Sequence[Key]) -> dict[Key, Product]:
        """The products that have one of these keys, as ``get`` gives them."""

    def sku_owners(self, skus: Sequence[str]) -> dict[str, UUID]:
        """The ids of the products that have one of these SKUs."""

    def find_skus(self, skus: Sequence[str]) -> dict[str, Product]:
        """The products that have one of these SKUs."""

    def page(self, part: Slice) -> Batch:
        """Products in the query's order. Raises QueryTooBroad when too many would have to be looked at."""

    def some_keys(self, count: int) -> list[str]:
        """Name keys of about so many products, drawn at random."""

    def count(self) -> int:
        """How many products the shard holds, from its own bookkeeping: quick, and right but for a crash just now."""
