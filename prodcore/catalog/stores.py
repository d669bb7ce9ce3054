"""What the catalogue asks for, and what it needs from a store. A store is one replica set; it knows no other shard."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, Protocol, Self, TypeVar, get_args
from uuid import UUID

from prodcore.errors import InvalidInput, Problem, ProdError, ShardUnavailable, VersionConflict
from prodcore.product.model import Change, Product
from prodcore.product.move import CompletedMove, Move, State
from prodcore.product.terms import category_term, split_words
from prodcore.routing import Range

T = TypeVar("T")

SortBy = Literal["name", "price", "stock", "updated", "created"]

Position = tuple[str | int | Decimal | datetime, str | UUID]
"""A place in a list: (name key, variant key) in name order, else (the value that it is sorted by, id)."""

TRAFFIC_CATEGORY = "prodctl failover-test"
"""The category of the records that a running drill writes as products: they are neither counted nor listed."""

SORTS = tuple(sign + by for by in get_args(SortBy) for sign in ("", "-"))
MAX_SEARCH_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Sort:
    """An order. Products that are equal in it stand by id, in the same direction."""

    by: SortBy = "name"
    descending: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``price``, or ``-price`` for the highest first. Raises InvalidInput.

        >>> Sort.parse("-price")
        Sort(by='price', descending=True)
        """
        if text not in SORTS:
            raise InvalidInput(problems=[Problem("sort", "unknown_sort", f"must be one of {', '.join(SORTS)}")])
        by = text.removeprefix("-")
        return cls(by, by != text)  # type: ignore[arg-type]  # checked above


@dataclass(frozen=True, slots=True)
class Query:
    """Which products, in which order. All conditions must hold; bounds are inclusive; None asks for nothing."""

    words: tuple[str, ...] = ()
    """Folded beginnings of words; a product must have a word for each. See ``prodcore.product.terms.to_be_met``."""
    category: str | None = None
    tags: tuple[str, ...] = ()
    price_min: Decimal | None = None
    price_max: Decimal | None = None
    stock_min: int | None = None
    stock_max: int | None = None
    active: bool | None = None
    codes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Exact values: the field's name, and the spellings of which a product must have one."""
    shard: str | None = None
    updated_since: datetime | None = None
    sort: Sort = Sort()

    @property
    def fingerprint(self) -> str:
        """What binds a cursor to the list that it was made for."""
        return _fingerprint(self)

    @property
    def is_of_drills(self) -> bool:
        """Whether it asks for the records of drills, which no other list shows."""
        return self.category is not None and category_term(self.category) == category_term(TRAFFIC_CATEGORY)

    @property
    def backwards(self) -> Query:
        """The same list in the opposite order."""
        return replace(self, sort=replace(self.sort, descending=not self.sort.descending))


@lru_cache(maxsize=1_000)
def _fingerprint(query: Query) -> str:
    return hashlib.sha256(repr(astuple(query)).encode("utf-8", "surrogatepass")).hexdigest()[:8]


EVERYTHING = Query()
"""All products in name order."""


def search_words(search: str) -> tuple[str, ...]:
    """The folded word beginnings of a search; all must match. Raises InvalidInput for one that is too long."""
    if len(search) > MAX_SEARCH_LENGTH:
        raise InvalidInput(
            problems=[Problem("search", "string_too_long", f"must be at most {MAX_SEARCH_LENGTH} characters")]
        )
    return tuple(dict.fromkeys(split_words(search)))


Key = tuple[str, str]
"""(name key, variant key)."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One shard's part of a page: its products in ``ranges``, after ``after`` in the query's order.

    In name order that place is included: what keeps a place is right behind the product that has it now.
    """

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
class ListRow:
    """A product's place in the list, and those of its fields that were asked for."""

    position: Position
    values: dict[str, Any]
    product_id: UUID
    move: Move | None = None
    """What the document is to a move, if it is not simply the product."""
    completed_moves: tuple[CompletedMove, ...] = ()
    """The product's last moves."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows in order. They may be fewer than asked for although there are more: those begin at ``end``."""

    rows: list[ListRow]
    end: Position | None
    """The place of the last document that was looked at; None when there are no more."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many products a shard holds; ``approximate`` where others wrote or moved some while it was counted."""

    products: int
    approximate: bool = False


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


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """An import as lists show it; what is not known is None."""

    import_id: UUID
    source: str
    by: str
    started_at: datetime
    finished_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    undone_at: datetime | None = None
    """When it was last taken back, perhaps in part."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A product that an import made or changed, live or deleted, with its whole history, the oldest change first."""

    product: Product
    deleted: bool
    history: Sequence[Change]


class ImportStore(Protocol):
    """Of one shard. Reads raise Unavailable; writes too, or OutcomeUnknown."""

    def note(self, record: ImportRecord) -> None:
        """Register an import; what is known of it already stays, but for what ``record`` says."""

    def undone(self, import_id: UUID, at: datetime) -> bool:
        """Note that it was taken back; False for one that was never noted."""

    def recent(self, limit: int) -> list[ImportRecord]:
        """The last ones, the newest first."""

    def repeated(self, item_ids: Sequence[UUID]) -> dict[UUID, UUID]:
        """Which of these items of a batch have changed a product before, and which one, live or deleted."""

    def touched(self, import_id: UUID, after: UUID | None, limit: int) -> list[Touched]:
        """Products that it made or changed, by id, after one."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What one shard's document tells of the moves of its product."""

    move: Move | None
    completed_moves: tuple[CompletedMove, ...]
    at: int
    """A cluster time that is not before anything that is told."""
    parcel: Any
    """All that the target needs of the product: made by one store, taken by another."""

    def state_of(self, move: Move) -> State | Literal["done"] | None:
        """What is known here of a move; None for nothing."""
        if any(completed_move.id == move.id for completed_move in self.completed_moves):
            return "done"
        return self.move.state if self.move and self.move.id == move.id else None


class ByShard(dict[str, T]):
    """Something of each shard. One that this process does not know raises ShardUnavailable."""

    def __missing__(self, shard: str) -> T:
        raise ShardUnavailable(
            f"this process was started before {shard} was added",
            hint="Restart it; a service also reloads its settings on SIGHUP",
            shard=shard,
        )


class MoveStore(Protocol):
    """One shard's side of moves: it is the source of some and the target of others.

    What is written is one document of each product at once. A call does nothing where it is not that step's turn, and
    may be repeated. ``move`` of many products is theirs but for its ``product_id``.
    Raises Unavailable (nothing happened) and OutcomeUnknown.
    """

    def intend(self, product: Product, move: Move) -> None:
        """Note in the source's document of version ``product.version - 1`` what is to become of it.

        Raises VersionConflict, BeingMoved, ProductNotFound.
        """

    def leave(self, move: Move, product_ids: Sequence[UUID]) -> dict[UUID, Traces]:
        """Note in the source's documents that they are to go as they are, live or deleted; not where a move has begun.

        What the documents of those that go told at some time after that. Such a product is the same before and after,
        so whoever reads it need not decide its move.
        """

    def staying(self, part: Range, after: str, limit: int) -> list[tuple[str, UUID, Move | None]]:
        """Products whose names are in a range and that have not moved away from here, in key order from ``after`` on.

        Each as its key, its id and its unfinished move. Where there are none the deleted ones are told.
        """

    def keeps_places(self, part: Range) -> bool:
        """Whether there is anything of a range here: a product, live or deleted, or an old location."""

    def traces(self, product_ids: Sequence[UUID]) -> dict[UUID, Traces]:
        """What the products' documents here tell, as of now: nothing that was ever acknowledged is overlooked."""

    def receive(self, parcels: Sequence[Any], until: datetime) -> dict[UUID, ProdError]:
        """Store products in the target, not to be seen yet; ProductExists or StaleShardMap for those it refuses.

        Where a product's document here keeps an old location, that is kept by another one until then.
        """

    def commit(self, move: Move, product_ids: Sequence[UUID]) -> int | None:
        """Decide moves, in the source: from now on the products are in the target.

        A cluster time not before that where this call has decided all of them; None where another may have.
        """

    def publish(self, move: Move, product_ids: Sequence[UUID], at: int) -> None:
        """Make products simply the target's, with a move completed at this time of the source."""

    def retire(self, move: Move, product_ids: Sequence[UUID], until: datetime) -> None:
        """Let the source's documents keep their old locations until then."""

    def undo(self, move: Move) -> None:
        """Take the intention back, in the source."""

    def discard(self, move: Move) -> None:
        """Remove what the target received of an undone move."""

    def holds(self, product_id: UUID) -> Literal["nothing", "entering", "product"]:
        """What the shard has under this id: anything that is known of a product counts as one."""

    def admit(self, product_id: UUID) -> bool:
        """Let the product that enters under this id stay; whether it is here then."""

    def reject(self, product_id: UUID) -> None:
        """Remove the product that enters under this id."""

    def unfinished(self, since: datetime) -> list[Move]:
        """The moves that were begun before then and left unfinished, as this shard's documents tell."""

    def rows(self, product_ids: Sequence[UUID], fields: tuple[str, ...]) -> dict[UUID, ListRow]:
        """Products by id as rows without a place; those that are deleted or not here are left out."""

    def known_time(self) -> int:
        """A cluster time that is already on a majority, of a moment ago: costs nothing."""

    def time(self) -> int:
        """The latest cluster time that is on a majority."""


class ProductStore(Protocol):
    """Products of one shard. Every call takes at most the budget of ``prodcore.deadline``.

    Reads raise Unavailable; writes raise Unavailable (nothing happened) or OutcomeUnknown. A write that would give the
    shard a name that is another one's raises StaleShardMap, an Unavailable.
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

    def insert(self, product: Product) -> bool:
        """Add a product; False where one with its id and name is there already. Raises ProductExists."""

    def insert_many(self, products: Sequence[Product]) -> list[ProdError | None]:
        """Add each product on its own; a refusal stands at its place in the answer, None for a success."""

    def remove_new(self, products: Sequence[Product]) -> None:
        """Remove products that were inserted just now and not changed since."""

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

    def find_skus(self, skus: Sequence[str]) -> list[Product]:
        """The products that have one of these SKUs."""

    def page(self, part: Slice) -> Batch:
        """Products in the query's order.

        Raises QueryTooBroad when too many would have to be looked at, InvalidCursor for a time that is yet to come.
        """

    def matches(self, query: Query, most: int) -> int:
        """How many products fit a query, counted up to ``most``. Raises QueryTooBroad."""

    def labels(self, query: Query, most: int) -> list[tuple[str, Sequence[str]]]:
        """Category and tags of the products that fit a query, ``most`` of them at most. Raises QueryTooBroad.

        Where more fit a query that asks for nothing, they are drawn at random.
        """

    def names(self, beginning: str, most: int) -> list[str]:
        """Names, with presentations, of products that have a word which begins so; of any, drawn at random, for none.

        ``beginning`` is folded and of at most three letters. Raises QueryTooBroad.
        """

    def some_keys(self, count: int) -> list[str]:
        """Name keys of about so many products, drawn at random."""

    def size(self) -> int:
        """About how many bytes the shard's products are, not compressed."""

    def count(self) -> Count:
        """How many products the shard holds, from its own bookkeeping: quick, and right after a crash too.

        Neither what only keeps a place nor the records of a running drill (``TRAFFIC_CATEGORY``) count.
        """
