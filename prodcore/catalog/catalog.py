"""Products over shards: create, get, edit, delete, list, count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4, uuid5

from prodcore.catalog.claims import Claims, ClaimStore
from prodcore.catalog.distribution import Spread, spread
from prodcore.catalog.listing import MAX_PAGE, Listing, Page
from prodcore.catalog.lookup import Finder, absence
from prodcore.catalog.moves import Moves, no_step
from prodcore.catalog.stores import EVERYTHING, BeingMoved, Deleted, Key, ProductStore, Query
from prodcore.catalog.write_errors import exists, has_other_version, id_was_used, write_each
from prodcore.deadline import budget, remaining
from prodcore.errors import (
    IdempotencyKeyReused,
    OutcomeUnknown,
    ProdError,
    ProductExists,
    ProductNotFound,
    ShardNotFound,
    StaleShardMap,
    Unavailable,
)
from prodcore.product.fields import NAMES
from prodcore.product.model import (
    SHOWN,
    STORED,
    Action,
    Author,
    Change,
    Product,
    ProductDraft,
    ProductPatch,
    show_fields,
)
from prodcore.product.move import Move
from prodcore.routing import Route, ShardMap, fold, name_key, route, same_keys
from prodcore.support.stale_reads import fresh_reads

T = TypeVar("T")


def now() -> datetime:
    """The time, in UTC and in the milliseconds that MongoDB keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass(frozen=True, slots=True)
class ShardCount:
    """How many products a shard holds; None while it does not answer."""

    shard: str
    ranges: tuple[str, ...]
    products: int | None
    approximate: bool = False
    """Products were written while they were counted."""


class Catalog:
    """The use cases. It knows the map and the stores; neither knows the other."""

    def __init__(
        self,
        shard_map: ShardMap,
        stores: Mapping[str, ProductStore],
        claims: ClaimStore | None = None,
        *,
        default_currency: str = "EUR",
        deleted_days: int = 30,
        clock: Callable[[], datetime] = now,
        new_id: Callable[[], UUID] = uuid4,
        step: Callable[[str], None] = no_step,
        stored_map: Callable[[], ShardMap | None] = lambda: None,
    ) -> None:
        self.shard_map = shard_map
        self._stored_map = stored_map
        self._stores = stores
        self.moves = Moves({name: store.moves for name, store in stores.items()}, clock=clock, new_id=new_id, step=step)
        self._finder = Finder(stores, self.moves)
        self.claims = Claims(claims, self._finder)
        self._currency = default_currency
        self._deleted_days = deleted_days
        self._clock = clock
        self._new_id = new_id

    @property
    def shards(self) -> tuple[str, ...]:
        """All shards: those that own something, and after them those that own nothing."""
        return tuple(dict.fromkeys((*self.shard_map.shards, *self._stores)))

    def follow_map(self) -> None:
        """Take over a newer map of the same owners, as a split makes it; any other needs a new process.

        At any moment some processes have it and some do not, which is why the owners must be the same.
        """
        with suppress(Unavailable):
            new = self._stored_map()
            if new and new.version > self.shard_map.version and same_keys(new.ranges, self.shard_map.ranges):
                self.shard_map = new

    def _by_stored_map(self, write: Callable[[], T]) -> T:
        """Write, and once more by the stored map where a shard refuses what is not its own by that.

        Raises StaleShardMap where no newer map can be had, or it is refused again: nothing was written.
        """
        used = self.shard_map.version
        try:
            return write()
        except StaleShardMap as refused:
            self._renew_map(used, refused)
            return write()

    def _renew_map(self, used: int, refused: StaleShardMap) -> None:
        """Take over the stored map, whoever owns what by it: by the one in use nothing more can be written there."""
        if self.shard_map.version > used:
            return  # another thread was quicker
        with suppress(Unavailable):
            new = self._stored_map()
            if new and new.version > used and self._stores.keys() >= set(new.shards):
                self.shard_map = new
                return
        raise refused

    def store(self, shard: str) -> ProductStore:
        """The store of a shard. Raises ShardNotFound."""
        try:
            return self._stores[shard]
        except KeyError:
            known = ", ".join(self.shards)
            raise ShardNotFound(f"there is no shard {shard}; there are {known}", shard=shard) from None

    def where(self, name: str) -> Route:
        """Which shard a name belongs to, and why. Raises UnroutableName."""
        return route(self.shard_map, name)

    def draft(self, draft: ProductDraft, by: Author, product_id: UUID | None = None) -> Product:
        """The first version of a product, not stored yet."""
        return self.first_version(draft.model_dump(), by, product_id)

    def first_version(self, content: Mapping[str, Any], by: Author, product_id: UUID | None = None) -> Product:
        """The first version of a product with the fields of a ``ProductDraft``, all of them, checked before."""
        moment = self._clock()
        stored = {"tags": tuple(content["tags"]), "currency": content["currency"] or self._currency}
        return Product(
            id=product_id or self._new_id(),
            **{**content, **stored},
            created_at=moment,
            updated_at=moment,
            updated_by=by.username,
            version=1,
            write_id=self._new_id(),
            shard=self.shard_map.shard_for(name_key(content["name"])),
            change=Change(1, moment, by, "created"),
        )

    def create(self, draft: ProductDraft, by: Author, product_id: UUID | None = None) -> Product:
        """Add a product. With the same ``product_id`` a repeated create is the same write, and has the same answer.

        Raises ProductExists, SkuTaken, Unavailable, OutcomeUnknown.
        """
        drafted = self.draft(draft, by, product_id)
        with self.claims.of(drafted):
            product, is_new = self._by_stored_map(lambda: self._insert(drafted, own_id=product_id is None))
        if is_new:
            return product
        with suppress(Unavailable):
            if made := self.first_made(product.id):
                if made.content() != product.content():
                    raise id_was_used(product.id)
                return made
        raise OutcomeUnknown("the product is there, and its shard became unreachable", product_id=str(product.id))

    def _insert(self, product: Product, *, own_id: bool) -> tuple[Product, bool]:
        """Insert it where its name belongs: the product there, and whether it is new."""
        product = replace(product, shard=self.shard_map.shard_for(product.key[0]))
        return product, self.store(product.shard).insert(product) if own_id else self._insert_once(product)

    def _insert_once(self, product: Product) -> bool:
        """Insert a product whose id somebody else gave, perhaps also to a product of another shard, at this instant."""
        if self._finder.elsewhere([product], product.shard):
            raise id_was_used(product.id)
        entering = Move(product.write_id, product.id, "entering", product.shard, product.shard, self._clock())
        is_new = self.store(product.shard).insert(replace(product, move=entering))
        self.moves.enter(entering)
        return is_new

    def first_made(self, product_id: UUID, *, certainly: bool = False) -> Product | None:
        """A product as it was made, whatever became of it since; None where there is none.

        Where an unreachable shard may have it, None too, or with ``certainly`` its Unavailable is raised.
        """
        found, unreachable = self.get_many([product_id])
        if (product := found.get(product_id)) is None:
            if certainly and unreachable:
                raise unreachable
            return None
        first = product.product if isinstance(product, Deleted) else product
        for change in self.history(product_id) if first.version > 1 else ():
            stamp = {"version": change.version, "updated_at": change.at, "updated_by": change.by.username}
            stamp |= {"shard": change.source} if change.source else {}
            first = replace(first, **change.was, **stamp)  # type: ignore[arg-type]  # fields of a product
        return first

    def insert_many(self, shard: str, products: Sequence[Product]) -> list[ProdError | None]:
        """Insert new products of a shard, each on its own; a refusal stands at its place, None for a success.

        Their ids are somebody else's: one that another shard is seen to have afterwards is taken back and refused.
        What the shard does not own goes once more to the shard that does.
        """
        used = self.shard_map.version
        errors = self._insert_many(shard, products)
        refused = [(i, error) for i, error in enumerate(errors) if isinstance(error, StaleShardMap)]
        if refused:
            with suppress(StaleShardMap):
                self._renew_map(used, refused[0][1])
                self._insert_elsewhere(products, [i for i, _error in refused], errors)
        return errors

    def _insert_elsewhere(
        self, products: Sequence[Product], places: Sequence[int], errors: list[ProdError | None]
    ) -> None:
        """Insert the products of these places by the map of now; what becomes of each is put into ``errors``."""
        by_shard: dict[str, list[int]] = {}
        for i in places:
            by_shard.setdefault(self.shard_map.shard_for(products[i].key[0]), []).append(i)
        for shard, here in by_shard.items():
            found = write_each(partial(self._insert_many, shard), [products[i] for i in here])
            for i, error in zip(here, found, strict=True):
                errors[i] = error

    def _insert_many(self, shard: str, products: Sequence[Product]) -> list[ProdError | None]:
        errors = self.store(shard).insert_many(products)
        made = [product for product, error in zip(products, errors, strict=True) if error is None]
        if made and (twins := self._finder.elsewhere(made, shard)):
            self.store(shard).remove_new([product for product in made if product.id in twins])
            errors = [id_was_used(p.id) if p.id in twins else e for p, e in zip(products, errors, strict=True)]
        return errors

    def get(self, product_id: UUID) -> Product:
        """The product with this id. Raises ProductNotFound; Unavailable if an unreachable shard might have it."""
        return self._finder.get(product_id)

    def get_many(self, product_ids: Sequence[UUID]) -> tuple[dict[UUID, Product | Deleted], Unavailable | None]:
        """The products with these ids, live or deleted, and why some may be missing: a shard that is unreachable."""
        return self._finder.get_many(product_ids)

    def history(self, product_id: UUID) -> list[Change]:
        """What was done to a product, live or deleted, the last change first. Raises ProductNotFound."""
        return self._finder.history(product_id)

    def find(self, name: str, variant: str = "") -> Product:
        """The product with this name and variant, however they are spelled. Raises ProductNotFound."""
        key = name_key(name), fold(variant)
        product = self._finder.named(self.shard_map.shard_for(key[0]), key)
        if product is None:
            described = f"{name} ({variant})" if variant else name
            raise absence(ProductNotFound(f"there is no product {described!r}", name=name, variant=variant))
        return product

    def find_keys(self, shard: str, keys: Sequence[Key]) -> dict[Key, Product]:
        """The products of a shard that have one of these keys, once no move of theirs is unfinished."""
        return self._finder.find(shard, keys)

    def finish_moves(self, products: Iterable[Product]) -> bool:
        """Finish the moves that these were read in; whether there were any, so that they are to be read anew."""
        return self._finder.finish_moves(products)

    def edit(self, product_id: UUID, patch: ProductPatch, by: Author, version: int) -> Product:
        """Change the given fields of the version that the caller saw.

        Raises VersionConflict, ProductNotFound, ProductExists, SkuTaken.
        """
        changes = patch.changes()
        if "tags" in changes:
            changes["tags"] = tuple(changes["tags"])
        return self._write(product_id, version, lambda old: self.store_changed(old, changes, by))

    def _write(self, product_id: UUID, version: int, write: Callable[[Product], Product]) -> Product:
        """Write the version that the caller saw, once no move of it is unfinished."""
        while True:
            old = self._finder.settled(product_id)
            _refuse_other_version(old, version)
            try:
                return write(old)
            except BeingMoved:  # somebody began to rename it after we looked
                if remaining() <= 0:
                    raise

    def store_changed(self, old: Product, changes: Mapping[str, object], by: Author) -> Product:
        """Store ``old`` with ``changes`` as its next version; nothing is written where nothing changes.

        Where the new name belongs to another shard the product moves there.
        """
        new = replace(old, **changes)  # type: ignore[arg-type]
        return old if new == old else self._by_stored_map(lambda: self._store_next(old, new, by))

    def _store_next(self, old: Product, new: Product, by: Author) -> Product:
        target = self.shard_map.shard_for(new.key[0])
        new = self.next_version(old, new, by, target=target)
        with self.claims.of(new) if new.sku != old.sku else nullcontext():
            if target != old.shard:
                self._refuse_taken_name(new, target)  # before anything is written; the index has the last word
                return self.moves.move(new, old.shard, target)
            self.store(old.shard).replace(new)
            return new

    def _refuse_taken_name(self, product: Product, shard: str) -> None:
        if product.key in self.find_keys(shard, [product.key]):
            raise exists(product)

    def next_version(
        self, old: Product, new: Product, by: Author, action: Action | None = None, *, target: str = ""
    ) -> Product:
        """``new`` stamped as the version that follows ``old``, an edit or a rename where no action is given.

        ``target`` is the shard that it will be in, if another one.
        """
        moment, version = self._clock(), old.version + 1
        was = {name: getattr(old, name) for name in NAMES if getattr(new, name) != getattr(old, name)}
        change = Change(version, moment, by, action or ("renamed" if "name" in was else "edited"), was)
        if target not in ("", old.shard):
            change = replace(change, action="moved", source=old.shard, target=target)
        stamp = {"version": version, "updated_at": moment, "updated_by": by.username, "write_id": self._new_id()}
        return replace(new, **stamp, change=change)  # type: ignore[arg-type]

    def delete(self, product_id: UUID, by: Author, version: int) -> Product:
        """Delete the version that the caller saw and return it; it can be restored for some days.

        Raises VersionConflict, ProductNotFound.
        """

        def park(old: Product) -> Product:
            gone = self.next_version(old, old, by, "deleted")
            self.store(old.shard).park(gone, gone.updated_at + timedelta(days=self._deleted_days))
            return old

        return self._write(product_id, version, park)

    def delete_many(self, shard: str, products: Sequence[Product], by: Author) -> list[ProdError | None]:
        """``delete`` for each of a shard's products, as they were read, on its own; a refusal stands at its place."""
        gone = [self.next_version(product, product, by, "deleted") for product in products]
        return self.store(shard).park_many(gone, self._clock() + timedelta(days=self._deleted_days))

    def restore(self, product_id: UUID, by: Author, version: int) -> Product:
        """Put back a product whose deletion made this version.

        Raises VersionConflict, ProductNotFound, ProductExists and SkuTaken when name or SKU were given away meanwhile.
        """
        old = self._finder.get_deleted(product_id)
        _refuse_other_version(old, version)
        new = self.next_version(old, old, by, "restored")
        with self.claims.of(new):
            self.store(old.shard).restore(new)
        return new

    def page(self, query: Query = EVERYTHING, *, cursor: str | None = None, limit: int = 50) -> Page[Product]:
        """A page of products; see ``listing``. Raises InvalidInput, InvalidCursor, QueryTooBroad, ShardNotFound."""
        page = self.rows(query, cursor=cursor, limit=limit, fields=STORED)
        return Page(tuple(Product(**values) for values in page.items), page.next_cursor, page.unavailable)

    def rows(
        self, query: Query = EVERYTHING, *, cursor: str | None = None, limit: int = 50, fields: tuple[str, ...]
    ) -> Page[dict[str, Any]]:
        """A page of products, of which only ``fields`` are read."""
        if query.shard is not None:
            self.store(query.shard)  # it is one of ours
        page = Listing(self.shard_map, self.store, self.moves).page(query, cursor=cursor, limit=limit, fields=fields)
        return Page(tuple(row.values for row in page.items), page.next_cursor, page.unavailable)

    def counts(self) -> list[ShardCount]:
        """How many products each shard holds."""
        answered, _silent = self.ask_all(lambda store: store.count())
        counts = []
        for shard in self.shards:
            ranges, count = tuple(str(r) for r in self.shard_map.owned_by(shard)), answered.get(shard)
            known = ShardCount(shard, ranges, count.products, count.approximate) if count else None
            counts.append(known or ShardCount(shard, ranges, None))
        return counts

    def spread(self, sample: int = 500) -> Spread:
        """Where the products lie, estimated from ``sample`` keys of each shard. Silent shards are left out."""
        answered, _silent = self.ask_all(lambda store: (store.count(), store.some_keys(sample)))
        counts = {shard: count.products for shard, (count, _keys) in answered.items()}
        return spread(self.shard_map, counts, {shard: keys for shard, (_count, keys) in answered.items()})

    def sku_owners(self, skus: Sequence[str]) -> dict[str, UUID]:
        """The products seen to have one of these SKUs, to tell what a write would meet: it claims its SKU itself."""
        return self._finder.sku_owners(skus)

    def find_skus(self, skus: Sequence[str]) -> tuple[dict[str, list[Product]], Unavailable | None]:
        """The products that have one of these SKUs, and why some may be missing: a shard that is unreachable."""
        return self._finder.find_skus(skus)

    def ask_all(self, question: Callable[[ProductStore], T]) -> tuple[dict[str, T], dict[str, Unavailable]]:
        """Ask every shard; answers and silences by shard."""
        return self._finder.ask_all(question)


def _refuse_other_version(product: Product, seen: int) -> None:
    if product.version != seen:
        raise has_other_version(product, seen)


def whole_list(catalog: Catalog, query: Query, page_seconds: float) -> Iterator[list[dict[str, Any]]]:
    """All products of a query, as the REST API shows them; each page may take ``page_seconds``.

    However many there are, no more than a page is held.

    Raises ShardUnavailable as soon as a product may be missing, or out of date.
    """
    cursor: str | None = None
    while True:
        with budget(page_seconds), fresh_reads():
            page = catalog.rows(query, cursor=cursor, limit=MAX_PAGE, fields=SHOWN)
        page.require_all()
        yield [show_fields(values) for values in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return


_NAMESPACE = UUID("0b5c6f0e-6f52-4d0f-8a64-3d1b8f2c9a77")


def create_once(catalog: Catalog, draft: ProductDraft, by: Author, key: str) -> Product:
    """Add a product; under the same key again the product as it was first made, whatever became of it since.

    Its id follows from the key and the person, so nothing is kept beside the product: whichever process or primary sees
    the request again finds what the first one made. The answer is rebuilt from the product's history.

    Raises IdempotencyKeyReused when the key made another product, and whatever ``Catalog.create`` raises.
    """
    product_id = uuid5(_NAMESPACE, f"{by.username}\n{key}")
    if (made := catalog.first_made(product_id)) is None:
        try:
            made = catalog.create(draft, by, product_id)
        except ProductExists:  # perhaps that of another request under the same key
            if (made := catalog.first_made(product_id, certainly=True)) is None:
                raise
    if made.content() != catalog.draft(draft, by, product_id).content():
        raise IdempotencyKeyReused("this Idempotency-Key has made another product", product_id=str(product_id))
    return made
