"""The products of one shard in this process, as ``prodcore.catalog.stores`` describes it: for tests without servers.

What it may do is what the suite in ``tests/contracts`` proves of it and of the store on MongoDB alike.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import wraps
from itertools import count
from typing import Any, Literal, TypeVar
from uuid import UUID

from prodcore.catalog.claims import Claim
from prodcore.catalog.stores import (
    TRAFFIC_CATEGORY,
    Batch,
    BeingMoved,
    Count,
    Deleted,
    ImportRecord,
    Key,
    ListRow,
    Moment,
    Position,
    Query,
    Slice,
    Touched,
    Traces,
)
from prodcore.catalog.views import Shelf, Views
from prodcore.catalog.write_errors import changed_meanwhile, exists, id_was_used, is_deleted, is_not_owned
from prodcore.deadline import remaining
from prodcore.errors import (
    InvalidCursor,
    ProdError,
    ProductExists,
    ProductNotFound,
    StaleShardMap,
    Unavailable,
    VersionConflict,
)
from prodcore.product.model import Change, Product
from prodcore.product.move import CompletedMove, Move
from prodcore.product.terms import INACTIVE, category_term, tag_term, to_be_met
from prodcore.routing import Range, ShardMap, covers, prefix_range

MARK = "\0"
"""No key holds it; what stands behind it makes the key of an old location its own."""


@dataclass
class _Document:
    """What is stored under one id."""

    product: Product
    history: tuple[Change, ...] = ()
    deleted: Deleted | None = None
    move: Move | None = None
    intention: Product | None = None
    completed_moves: tuple[CompletedMove, ...] = ()
    kept_until: datetime | None = None

    @property
    def is_place(self) -> bool:
        """Whether it only keeps the old location of a product that has moved."""
        return self.move is not None and self.move.state == "moved"

    @property
    def key(self) -> Key | None:
        """What it stands under in name order, and what nobody else may have; None for what was deleted."""
        if self.deleted:
            return None
        name, variant = self.product.key
        return name, f"{variant}{MARK}{self.product.id}" if self.is_place else variant

    kept: tuple[tuple[Product, Move], ...] = ()
    """Places that the product had in this shard before it came back."""


@dataclass
class _Shelf:
    """What the three stores of a shard share."""

    shard: str
    documents: dict[UUID, _Document] = field(default_factory=dict)
    imports: dict[UUID, ImportRecord] = field(default_factory=dict)
    is_silent: bool = False
    owned: tuple[Range, ...] | None = None
    """What it takes new names of; None: it was not told."""
    ticks: Iterator[int] = field(default_factory=lambda: count(1))
    time: int = 0
    lock: AbstractContextManager[Any] = field(default_factory=threading.RLock)

    def asked(self) -> dict[UUID, _Document]:
        """The documents, where the shard answers within the budget."""
        if self.is_silent or remaining() <= 0:
            raise Unavailable(f"{self.shard} does not answer", shard=self.shard)
        return self.documents

    def wrote(self) -> None:
        """The cluster time grows by every write."""
        self.time = next(self.ticks)

    def takes(self, document: _Document) -> None:
        """Refuse a document that is to have a name which is not the shard's."""
        nameless = document.deleted or (document.move and document.move.state in ("intended", "leaving", "moved"))
        if not nameless and not self.owns(document.product):
            raise is_not_owned(document.product, self.shard)

    def owns(self, product: Product) -> bool:
        """Whether a product of this name may be put here."""
        return self.owned is None or any(product.key[0] in part for part in self.owned)

    def holder(self, key: Key, but: UUID) -> _Document | None:
        """Another product's document that has this key."""
        return next((d for i, d in self.documents.items() if i != but and d.key == key), None)

    def shown(self, document: _Document) -> Product:
        """As it is read: it brings its move, and not what made it."""
        sku = None if document.is_place else document.product.sku
        return replace(document.product, sku=sku, shard=self.shard, move=document.move, change=None)


Store = TypeVar("Store")


def _one_at_a_time(store: type[Store]) -> type[Store]:
    """As a document is written by one at a time."""

    def locked(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(self: Any, *arguments: Any, **named: Any) -> Any:
            with self._shelf.lock:
                return method(self, *arguments, **named)

        return call

    for name, method in list(vars(store).items()):
        if callable(method) and not name.startswith("_"):
            setattr(store, name, locked(method))
    return store


@_one_at_a_time
class MemoryProductStore:
    """A ``ProductStore``. While ``is_silent`` is true no call is answered."""

    def __init__(self, shard: str) -> None:
        self._shelf = _Shelf(shard)
        self.moves = MemoryMoveStore(self._shelf)
        self.imports = MemoryImportStore(self._shelf)
        self.owned = MemoryOwnedRangesStore(self._shelf)

    @property
    def shard(self) -> str:
        return self._shelf.shard

    @property
    def is_silent(self) -> bool:
        return self._shelf.is_silent

    @is_silent.setter
    def is_silent(self, unreachable: bool) -> None:
        self._shelf.is_silent = unreachable

    def insert(self, product: Product) -> bool:
        documents = self._shelf.asked()
        there = documents.get(product.id)
        if there and there.key == product.key:
            return False  # this very insert, repeated
        if there:
            raise id_was_used(product.id)
        if self._shelf.holder(product.key, product.id):
            raise exists(product)
        document = _Document(product, (product.change,) if product.change else (), move=product.move)
        self._shelf.takes(document)
        documents[product.id] = document
        self._shelf.wrote()
        return True

    def insert_many(self, products: Sequence[Product]) -> list[ProdError | None]:
        return self._each(self.insert, products)

    def remove_new(self, products: Sequence[Product]) -> None:
        documents = self._shelf.asked()
        for product in products:
            if (there := documents.get(product.id)) and there.product.write_id == product.write_id:
                del documents[product.id]

    def replace(self, product: Product) -> None:
        document = self._live(product)
        if document.key != product.key:
            self._shelf.takes(_Document(product))
        if self._shelf.holder(product.key, product.id):
            raise exists(product)
        self._write(document, product)

    def replace_many(self, products: Sequence[Product]) -> list[ProdError | None]:
        return self._each(self.replace, products, meanwhile=True)

    def park(self, product: Product, until: datetime) -> None:
        document = self._live(product)
        self._write(document, product)
        change = product.change
        assert change, "what is deleted tells who did it"
        kept = replace(product, shard=self.shard, change=None, move=None)
        document.deleted = Deleted(kept, change.at, change.by.username, until)

    def park_many(self, products: Sequence[Product], until: datetime) -> list[ProdError | None]:
        return self._each(lambda product: self.park(product, until), products, meanwhile=True)

    def restore(self, product: Product) -> None:
        document = self._shelf.asked().get(product.id)
        free = document and document.deleted and document.move is None
        if document is None or not free or document.product.version != product.version - 1:
            raise _refusal(document, product)
        self._shelf.takes(_Document(product))
        if self._shelf.holder(product.key, product.id):
            raise exists(product)
        self._write(document, product)
        document.deleted = None

    def get(self, product_id: UUID) -> Product | None:
        document = self._shelf.asked().get(product_id)
        if document and document.deleted:
            product = replace(document.deleted.product, shard=self.shard)
            raise is_deleted(replace(document.deleted, product=product))
        return self._shelf.shown(document) if document else None

    def get_many(self, product_ids: Sequence[UUID]) -> dict[UUID, Product | Deleted]:
        documents = self._shelf.asked()
        wanted = {i: documents[i] for i in product_ids if i in documents}
        return {i: document.deleted or self._shelf.shown(document) for i, document in wanted.items()}

    def history(self, product_id: UUID) -> list[Change] | None:
        document = self._shelf.asked().get(product_id)
        return list(reversed(document.history)) if document else None

    def get_deleted(self, product_id: UUID) -> Deleted | None:
        document = self._shelf.asked().get(product_id)
        if document is None or document.deleted is None:
            return None
        product = replace(document.deleted.product, move=document.move, shard=self.shard)
        return replace(document.deleted, product=product)

    def deleted(self, before: Moment | None, limit: int, key: str | None = None) -> list[Deleted]:
        found = [d.deleted for d in self._shelf.asked().values() if d.deleted]
        found = [d for d in found if key in (None, d.product.key[0])]
        found = [d for d in found if before is None or (d.at, d.product.id) < before]
        return sorted(found, key=lambda d: (d.at, d.product.id), reverse=True)[:limit]

    def find(self, keys: Sequence[Key]) -> dict[Key, Product]:
        return {key: self._shelf.shown(d) for d in self._shelf.asked().values() if (key := d.key) in keys and key}

    def sku_owners(self, skus: Sequence[str]) -> dict[str, UUID]:
        return {str(product.sku): product.id for product in self.find_skus(skus)}

    def find_skus(self, skus: Sequence[str]) -> list[Product]:
        live = [self._shelf.shown(d) for d in self._shelf.asked().values() if not d.deleted]
        return [product for product in live if product.sku in skus and product.sku is not None]

    def page(self, part: Slice) -> Batch:
        if part.not_before > self._shelf.time:
            raise InvalidCursor
        by_name = part.query.sort.by == "name"
        there = [d for d in self._shelf.asked().values() if not d.deleted]
        there += [_Document(*kept) for d in self._shelf.asked().values() for kept in _kept(d) if by_name]
        live = [d for d in there if _fits(d.product, part.query)]
        placed = sorted(((_position(d, part.query), d) for d in live), key=lambda pair: pair[0])
        if part.query.sort.descending:
            placed.reverse()
        in_order = [(position, d) for position, d in placed if _is_after(position, part)]
        if part.query.sort.by == "name":
            in_order = [(position, d) for position, d in in_order if str(position[0]) in part.ranges[0]]
        looked_at = in_order[: part.limit]
        owned = [pair for pair in looked_at if covers(part.ranges, pair[1].product.key[0])]
        rows = [self._row(d, position, part.fields) for position, d in owned]
        return Batch(rows, looked_at[-1][0] if len(looked_at) == part.limit else None)

    def matches(self, query: Query, most: int) -> int:
        return len(self._fitting(query)[:most])

    def labels(self, query: Query, most: int) -> list[tuple[str, Sequence[str]]]:
        fitting = self._fitting(query)
        if query == Query(sort=query.sort) and len(fitting) > most:
            fitting = random.sample(fitting, most)
        return [(product.category, product.tags) for product in fitting[:most]]

    def names(self, beginning: str, most: int) -> list[str]:
        everything = self._fitting(Query())
        found = [p for p in everything if beginning in p.words] if beginning else everything
        return [f"{product.name} {product.variant}" for product in found[:most]]

    def _fitting(self, query: Query) -> list[Product]:
        here = [d for d in self._shelf.asked().values() if not d.deleted]
        here = [d for d in here if d.move is None or d.move.state not in ("moved", "pending")]
        return [d.product for d in here if _fits(d.product, query)]

    def some_keys(self, count: int) -> list[str]:
        keys = [d.key[0] for d in self._counted()]
        return random.sample(keys, min(count, len(keys)))

    def size(self) -> int:
        return 300 * len(self._counted())

    def count(self) -> Count:
        moving = any(d.move and d.move.state != "moved" for d in self._shelf.asked().values())
        return Count(len(self._counted()), moving)

    def _counted(self) -> list[_Document]:
        live = [d for d in self._shelf.asked().values() if d.deleted is None and d.kept_until is None]
        live = [d for d in live if d.move is None or d.move.state not in ("pending", "moved")]
        return [d for d in live if d.product.category != TRAFFIC_CATEGORY]

    def _row(self, document: _Document, position: Position, fields: tuple[str, ...]) -> ListRow:
        return _row(self._shelf, document, position, fields)

    def _live(self, product: Product) -> _Document:
        """The version before ``product``, neither deleted nor part of a move."""
        document = self._shelf.asked().get(product.id)
        if document is None or document.deleted or document.move or document.product.version != product.version - 1:
            raise _refusal(document, product)
        return document

    def _write(self, document: _Document, product: Product) -> None:
        document.product = product
        document.history += (product.change,) if product.change else ()
        self._shelf.wrote()

    def _each(
        self, write: Callable[[Product], None], products: Sequence[Product], *, meanwhile: bool = False
    ) -> list[ProdError | None]:
        refused: list[ProdError | None] = []
        for product in products:
            try:
                write(product)
            except Unavailable:
                raise
            except ProdError as error:
                refused.append(changed_meanwhile(product) if meanwhile else error)
            else:
                refused.append(None)
        return refused


@_one_at_a_time
class MemoryMoveStore:
    """A ``MoveStore``."""

    def __init__(self, shelf: _Shelf) -> None:
        self._shelf = shelf

    def intend(self, product: Product, move: Move) -> None:
        document = self._shelf.asked().get(product.id)
        if document is None or document.deleted or document.move or document.product.version != product.version - 1:
            raise _refusal(document, product)
        document.move, document.intention = move, product
        self._shelf.wrote()

    def leave(self, move: Move, product_ids: Sequence[UUID]) -> dict[UUID, Traces]:
        for product_id in product_ids:
            document = self._shelf.asked().get(product_id)
            if document and document.move is None:
                document.move = replace(move, product_id=product_id)
                self._shelf.wrote()
        return {i: traces for i in product_ids if (traces := self._traces(i)).state_of(move)}

    def staying(self, part: Range, after: str, limit: int) -> list[tuple[str, UUID, Move | None]]:
        here = [d for d in self._shelf.asked().values() if not d.is_place and d.product.key[0] in part]
        live = [d for d in here if not d.deleted and d.product.key[0] >= after]
        told = sorted(live, key=lambda d: d.product.key) or [d for d in here if d.deleted]
        return [(d.product.key[0], d.product.id, d.move) for d in told[:limit]]

    def keeps_places(self, part: Range) -> bool:
        there = self._shelf.asked().values()
        return any(p.key[0] in part for d in there for p in (d.product, *(product for product, _move in d.kept)))

    def traces(self, product_ids: Sequence[UUID]) -> dict[UUID, Traces]:
        return {product_id: self._traces(product_id) for product_id in product_ids}

    def _traces(self, product_id: UUID) -> Traces:
        document = self._shelf.asked().get(product_id)
        if document is None:
            return Traces(None, (), self._shelf.time, None)
        return Traces(document.move, document.completed_moves, self._shelf.time, _parcel(document))

    def receive(self, parcels: Sequence[Any], until: datetime) -> dict[UUID, ProdError]:
        refused: dict[UUID, ProdError] = {}
        for parcel in parcels:
            try:
                self._receive(parcel)
            except (ProductExists, StaleShardMap) as why:
                refused[parcel.product.id] = why
        return refused

    def _receive(self, parcel: Any) -> None:
        document = self._shelf.asked().get(parcel.product.id)
        if document and document.move != parcel.move:
            traces = self._traces(parcel.product.id)
            if traces.state_of(parcel.move):
                return
            if document.move is None or document.move.is_undecided:
                raise exists(parcel.product)
        if parcel.key and self._shelf.holder(parcel.key, parcel.product.id):
            raise exists(parcel.product)
        self._shelf.takes(parcel)
        if document is None or document.move != parcel.move:
            kept = _kept_with(document) if document else ()
            self._shelf.documents[parcel.product.id] = replace(copy(parcel), kept=kept)
            self._shelf.wrote()

    def commit(self, move: Move, product_ids: Sequence[UUID]) -> int | None:
        turns = self._turns(move, product_ids, "intended", "leaving")
        for document in turns:
            moved = replace(move, state="moved", product_id=document.product.id)
            document.move, document.intention, document.history, document.deleted = moved, None, (), None
        return self._shelf.time if len(turns) == len(product_ids) else None

    def publish(self, move: Move, product_ids: Sequence[UUID], at: int) -> None:
        for document in self._turns(move, product_ids, "pending"):
            document.move = None
            document.completed_moves = (*document.completed_moves, CompletedMove(move.id, move.source, move.target, at))

    def retire(self, move: Move, product_ids: Sequence[UUID], until: datetime) -> None:
        for document in self._turns(move, product_ids, "moved"):
            document.kept_until = until

    def undo(self, move: Move) -> None:
        for document in self._turns(move, [move.product_id], "intended", "leaving"):
            document.move = document.intention = None

    def discard(self, move: Move) -> None:
        if self._turns(move, [move.product_id], "pending"):
            del self._shelf.documents[move.product_id]

    def holds(self, product_id: UUID) -> Literal["nothing", "entering", "product"]:
        document = self._shelf.asked().get(product_id)
        if document is None:
            return "nothing"
        return "entering" if document.move and document.move.state == "entering" else "product"

    def admit(self, product_id: UUID) -> bool:
        document = self._shelf.asked().get(product_id)
        if document and document.move and document.move.state == "entering":
            document.move = None
        return document is not None

    def reject(self, product_id: UUID) -> None:
        if self.holds(product_id) == "entering":
            del self._shelf.documents[product_id]

    def unfinished(self, since: datetime) -> list[Move]:
        moves = [d.move for d in self._shelf.asked().values() if d.move and d.kept_until is None]
        return [move for move in moves if move.since < since]

    def rows(self, product_ids: Sequence[UUID], fields: tuple[str, ...]) -> dict[UUID, ListRow]:
        documents = self._shelf.asked()
        live = [documents[i] for i in product_ids if i in documents and not documents[i].deleted]
        return {d.product.id: _row(self._shelf, d, ("", ""), fields) for d in live}

    def known_time(self) -> int:
        return self._shelf.time

    def time(self) -> int:
        self._shelf.asked()
        return self._shelf.time

    def _turns(self, move: Move, product_ids: Sequence[UUID], *states: str) -> list[_Document]:
        """The documents whose step of the move it is, about to be written."""
        documents = [d for i in product_ids if (d := self._shelf.asked().get(i))]
        turns = [d for d in documents if d.move and d.move.id == move.id and d.move.state in states]
        if turns:
            self._shelf.wrote()
        return turns


@_one_at_a_time
class MemoryImportStore:
    """An ``ImportStore``."""

    def __init__(self, shelf: _Shelf) -> None:
        self._shelf = shelf

    def note(self, record: ImportRecord) -> None:
        self._shelf.asked()
        known = self._shelf.imports.setdefault(record.import_id, record)
        ended = {"finished_at": record.finished_at, "counts": dict(record.counts)} if record.finished_at else {}
        self._shelf.imports[record.import_id] = replace(known, source=record.source, **ended)

    def undone(self, import_id: UUID, at: datetime) -> bool:
        self._shelf.asked()
        known = self._shelf.imports.get(import_id)
        if known:
            self._shelf.imports[import_id] = replace(known, undone_at=at)
        return known is not None

    def recent(self, limit: int) -> list[ImportRecord]:
        self._shelf.asked()
        return sorted(self._shelf.imports.values(), key=lambda r: (r.started_at, r.import_id), reverse=True)[:limit]

    def repeated(self, item_ids: Sequence[UUID]) -> dict[UUID, UUID]:
        items = {str(item_id): item_id for item_id in item_ids}
        done = ((c.by.item_id, d.product.id) for d in self._shelf.asked().values() for c in d.history)
        return {items[item_id]: product_id for item_id, product_id in done if item_id in items}

    def touched(self, import_id: UUID, after: UUID | None, limit: int) -> list[Touched]:
        found = [d for d in self._shelf.asked().values() if any(c.by.import_id == str(import_id) for c in d.history)]
        found = sorted((d for d in found if after is None or d.product.id > after), key=lambda d: d.product.id)
        shown = ((d, d.deleted.product if d.deleted else self._shelf.shown(d)) for d in found[:limit])
        return [Touched(replace(product, move=d.move), d.deleted is not None, d.history) for d, product in shown]


def _refusal(document: _Document | None, product: Product) -> ProdError:
    """Why ``product`` could not be made of what is there."""
    if document is None:
        return ProductNotFound(f"there is no product {product.id}", product_id=str(product.id))
    if document.deleted and not (document.move and document.product.version == product.version - 1):
        return is_deleted(document.deleted)
    facts = {"product_id": str(product.id), "version": document.product.version}
    if document.move:
        return BeingMoved(f"{product.name!r} is being renamed just now", **facts)
    return VersionConflict(f"the product is at version {document.product.version} now", **facts)


def _parcel(document: _Document) -> _Document | None:
    """The target's document: what is intended, and all that was done to the product."""
    move, product = document.move, document.intention
    if move and move.state == "leaving":
        return replace(copy(document), move=replace(move, state="pending"), kept=())
    if move is None or product is None:
        return None
    history = (*document.history, product.change) if product.change else document.history
    return _Document(product, history, move=replace(move, state="pending"), completed_moves=document.completed_moves)


def _row(shelf: _Shelf, document: _Document, position: Position, fields: tuple[str, ...]) -> ListRow:
    product = shelf.shown(document)
    values = {name: getattr(product, name) for name in fields}
    return ListRow(position, values, product.id, document.move, document.completed_moves)


def _position(document: _Document, query: Query) -> Position:
    product = document.product
    if query.sort.by == "name":
        return document.product.key
    values: dict[str, int | Decimal | datetime] = {
        "price": product.price,
        "stock": product.stock,
        "updated": product.updated_at,
        "created": product.created_at,
    }
    return values[query.sort.by], product.id


def _is_after(position: Any, part: Slice) -> bool:
    if part.after is None or (part.query.sort.by == "name" and position == part.after):
        return True
    return bool(position < part.after if part.query.sort.descending else position > part.after)


def _kept(document: _Document) -> Iterator[tuple[Any, ...]]:
    """The arguments of documents that keep the places of this one."""
    return ((product, (), None, move) for product, move in document.kept)


def _kept_with(document: _Document) -> tuple[tuple[Product, Move], ...]:
    """The places that are kept here of a product that comes back."""
    own = ((document.product, document.move),) if document.is_place and document.move else ()
    return (*document.kept, *own)


def _fits(product: Product, query: Query) -> bool:
    terms = [tag_term(tag) for tag in query.tags]
    terms += [category_term(query.category)] if query.category is not None else []
    terms += [INACTIVE] if query.active is False else []
    bounds = (
        (query.price_min, product.price),
        (product.price, query.price_max),
        (query.stock_min, product.stock),
        (product.stock, query.stock_max),
        (query.updated_since, product.updated_at),
    )
    return (
        (query.is_of_drills or product.category != TRAFFIC_CATEGORY)
        and all(_has(product, term, beginning) for term, beginning in to_be_met(query.words))
        and set(terms) <= set(product.facets)
        and all(getattr(product, name) in spellings for name, spellings in query.codes)
        and (product.active or not query.active)
        and all(low is None or high is None or low <= high for low, high in bounds)  # type: ignore[operator]
    )


def _has(product: Product, term: str, beginning: str) -> bool:
    lower, upper = prefix_range(beginning)
    words = (*product.words, *product.long_words)
    return (not term or term in product.words) and (not beginning or any(lower <= word < upper for word in words))


class MemoryClaimStore:
    """A ``ClaimStore``."""

    def __init__(self) -> None:
        self._claims: dict[str, tuple[UUID, datetime, set[UUID]]] = {}
        self._lock = threading.Lock()

    def claim(self, wanted: Mapping[str, UUID], write: UUID) -> dict[str, Claim]:
        with self._lock:
            for sku, owner in wanted.items():
                holder, _at, writes = self._claims.get(sku, (owner, None, set()))
                if holder == owner:
                    self._claims[sku] = owner, datetime.now(UTC), writes | {write}
            return {sku: claim for sku, claim in self._read(wanted).items() if claim.product_id != wanted[sku]}

    def done(self, skus: Sequence[str], write: UUID) -> None:
        with self._lock:
            for sku in skus:
                if sku in self._claims:
                    self._claims[sku][2].discard(write)

    def free(self, claims: Sequence[Claim]) -> None:
        with self._lock:
            for claim in claims:
                if (claim.product_id, claim.at) == self._claims.get(claim.sku, ())[:2]:
                    del self._claims[claim.sku]

    def read(self, skus: Sequence[str]) -> dict[str, Claim]:
        with self._lock:
            return self._read(skus)

    def after(self, sku: str, limit: int) -> list[Claim]:
        with self._lock:
            return list(self._read(sorted(each for each in self._claims if each > sku)[:limit]).values())

    def _read(self, skus: Iterable[str]) -> dict[str, Claim]:
        found = {sku: self._claims[sku] for sku in skus if sku in self._claims}
        return {sku: Claim(sku, owner, at, bool(writes)) for sku, (owner, at, writes) in found.items()}


class MemoryViewStore:
    """A ``ViewStore``."""

    def __init__(self) -> None:
        self._shelves: dict[str, Shelf] = {}
        self._lock = threading.Lock()

    def load(self, owners: Sequence[str]) -> dict[str, Shelf]:
        with self._lock:
            return {owner: self._shelves[owner] for owner in owners if owner in self._shelves}

    def replace(self, owner: str, seen: int, views: Views) -> bool:
        with self._lock:
            if self._shelves.get(owner, Shelf()).version != seen:
                return False
            self._shelves[owner] = Shelf(views, seen + 1)
            return True


class MemoryOwnedRangesStore:
    """An ``OwnedRangesStore``: what it stores, its shard refuses the rest by."""

    def __init__(self, shelf: _Shelf) -> None:
        self._shelf = shelf
        self._version = self._oldest = 0

    def load(self) -> tuple[int, tuple[Range, ...]] | None:
        self._shelf.asked()
        return None if self._shelf.owned is None else (self._version, self._shelf.owned)

    def oldest_map(self) -> int:
        self._shelf.asked()
        return self._oldest

    def save(self, version: int, ranges: tuple[Range, ...], oldest_map: int | None = None) -> None:
        self._shelf.asked()
        if version >= self._version:
            self._version, self._shelf.owned = version, ranges
            self._oldest = version if oldest_map is None else oldest_map

    def is_enforced(self) -> bool:
        return self._shelf.owned is not None


class MemoryMapStore:
    """A ``MapStore``, whose set may be silent."""

    def __init__(self, first: ShardMap) -> None:
        self._map = first
        self.is_silent = False

    def load(self) -> ShardMap | None:
        if self.is_silent:
            raise Unavailable("rsU does not answer")
        return self._map

    def swap(self, expected_version: int, new: ShardMap) -> bool:
        self.load()
        if self._map.version != expected_version:
            return False
        self._map = new
        return True
