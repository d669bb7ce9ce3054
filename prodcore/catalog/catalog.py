"""Products over shards: create, get, edit, delete, list, count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4, uuid5

from prodcore.catalog.claims import Claims, ClaimStore
from prodcore.catalog.current_map import CurrentMap
from prodcore.catalog.distribution import ShardCount, Spread, spread
from prodcore.catalog.listing import Listing, Page
from prodcore.catalog.lookup import Finder, absence
from prodcore.catalog.moves import Moves, no_step
from prodcore.catalog.stores import EVERYTHING, BeingMoved, Deleted, Key, ListRow, ProductStore, Query
from prodcore.catalog.views import MAX_MAPPING, MOST_MAPPINGS, SavedViews, ViewStore
from prodcore.catalog.write_errors import exists, has_other_version, id_was_used
from prodcore.deadline import remaining
from prodcore.errors import (
    IdempotencyKeyReused,
    OutcomeUnknown,
    ProductExists,
    ProductNotFound,
    ShardNotFound,
    SkuTaken,
    StaleShardMap,
    Unavailable,
)
from prodcore.product.fields import NAMES
from prodcore.product.model import (
    STORED,
    Action,
    Author,
    Change,
    Product,
    ProductDraft,
    ProductPatch,
)
from prodcore.product.move import Move
from prodcore.routing import Route, ShardMap, fold, name_key, route

T = TypeVar("T")

MOST_MAPS = 4
"""So many maps a write tries: as a range moves it may be refused by each that is published."""


def now() -> datetime:
    """The time, in UTC and in the milliseconds that MongoDB keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Catalog:
    """The use cases. It knows the map and the stores; neither knows the other."""

    def __init__(
        self,
        shard_map: ShardMap | CurrentMap,
        stores: Mapping[str, ProductStore],
        claims: ClaimStore | None = None,
        *,
        views: ViewStore | None = None,
        default_currency: str = "EUR",
        deleted_days: int = 30,
        clock: Callable[[], datetime] = now,
        new_id: Callable[[], UUID] = uuid4,
        step: Callable[[str], None] = no_step,
    ) -> None:
        self.current_map = shard_map if isinstance(shard_map, CurrentMap) else CurrentMap(shard_map, stores)
        self._stores = stores
        self.moves = Moves({name: store.moves for name, store in stores.items()}, clock=clock, new_id=new_id, step=step)
        self.finder = Finder(stores, self.moves)
        self.claims = Claims(claims, self.finder)
        self.views = SavedViews(views, clock)
        self.mappings = SavedViews(views, clock, most=MOST_MAPPINGS, longest=MAX_MAPPING)
        self._currency = default_currency
        self.deleted_life = timedelta(days=deleted_days)
        self._clock = clock
        self._new_id = new_id

    @property
    def shard_map(self) -> ShardMap:
        """The map in use."""
        return self.current_map.value

    @property
    def shards(self) -> tuple[str, ...]:
        """All shards: those that own something, and after them those that own nothing."""
        return tuple(dict.fromkeys((*self.shard_map.shards, *self._stores)))

    def by_current_map(self, key: Key, write: Callable[[], T]) -> T:
        """Write under this key, and again by the map of now where a shard refuses what is not its own by that.

        Raises StaleShardMap where no newer map can be had: nothing was written.
        """
        self._read(lambda: None, lambda _none: self._holders(key))  # whoever slept learns what has moved first
        for _ in range(MOST_MAPS):
            used = self.shard_map
            try:
                return write()
            except StaleShardMap as refused:
                self.current_map.renew(used, refused)
        return write()

    def _read(self, read: Callable[[], T], shards: Callable[[T], Iterable[str]]) -> T:
        """Read from these shards by the map, and again where it was too old to answer by."""
        while True:
            used = self.shard_map
            answer = read()
            if self.current_map.is_good(used, shards(answer)):
                return answer

    def store(self, shard: str) -> ProductStore:
        """The store of a shard. Raises ShardNotFound."""
        try:
            return self._stores[shard]
        except KeyError:
            raise ShardNotFound(f"there is no shard {shard}; there are {', '.join(self.shards)}", shard=shard) from None

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
        try:
            with self.claims.of(drafted):
                insert = partial(self._insert, drafted, own_id=product_id is None)
                product, is_new = self.by_current_map(drafted.key, insert)
        except (ProductExists, SkuTaken):  # perhaps by itself, or by whoever got its name or SKU from it since
            made = self.first_made(product_id) if product_id else None
            if made is None or made.content() != drafted.content():
                raise
            return made
        if is_new:
            return product
        with suppress(Unavailable):
            if made := self.first_made(product.id):
                if made.content() != product.content():
                    raise id_was_used(product.id)
                return made
        raise OutcomeUnknown(
            "the product was stored, but then its shard became unreachable", product_id=str(product.id)
        )

    def _insert(self, product: Product, *, own_id: bool) -> tuple[Product, bool]:
        """Insert it where its name belongs: the product there, and whether it is new."""
        part = self.shard_map.range_for(product.key[0])
        product = replace(product, shard=part.shard)
        if part.other and (held := self.finder.find([part.other], [product.key]).get(product.key)):
            if held.id != product.id:
                raise exists(product)
            return product, False
        return product, self.store(product.shard).insert(product) if own_id else self._insert_once(product)

    def _insert_once(self, product: Product) -> bool:
        """Insert a product whose id somebody else gave, perhaps also to a product of another shard, at this instant."""
        if self.finder.elsewhere([product], product.shard):
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

    def get(self, product_id: UUID) -> Product:
        """The product with this id. Raises ProductNotFound; Unavailable if an unreachable shard might have it."""
        try:
            return self.finder.get(product_id)
        except ProductNotFound:
            self._read(lambda: None, lambda _none: self._stores)  # by a map that names another shard it is not known
            raise

    def get_many(self, product_ids: Sequence[UUID]) -> tuple[dict[UUID, Product | Deleted], Unavailable | None]:
        """The products with these ids, live or deleted, and why some may be missing: a shard that is unreachable."""
        return self.finder.get_many(product_ids)

    def history(self, product_id: UUID) -> list[Change]:
        """What was done to a product, live or deleted, the last change first. Raises ProductNotFound."""
        return self.finder.history(product_id)

    def find(self, name: str, variant: str = "") -> Product:
        """The product with this name and variant, however they are spelled. Raises ProductNotFound."""
        key = name_key(name), fold(variant)
        product = self._read(lambda: self.finder.named(self._holders(key), key), lambda _found: self._holders(key))
        if product is None:
            described = f"{name} ({variant})" if variant else name
            raise absence(ProductNotFound(f"there is no product {described!r}", name=name, variant=variant))
        return product

    def _holders(self, key: Key) -> tuple[str, ...]:
        """The shards that can have a product with this key."""
        return self.shard_map.range_for(key[0]).holders

    def find_keys(self, keys: Sequence[Key]) -> tuple[dict[Key, Product], dict[Key, Unavailable]]:
        """The products that have one of these keys, once no move of theirs is unfinished; and silences, by key."""

        def find() -> tuple[dict[Key, Product], dict[Key, Unavailable], list[str]]:
            by_holders: dict[tuple[str, ...], list[Key]] = {}
            for key in keys:
                by_holders.setdefault(self._holders(key), []).append(key)
            found: dict[Key, Product] = {}
            unreachable: dict[Key, Unavailable] = {}
            answered: list[str] = []
            for holders, part in by_holders.items():
                try:
                    found |= self.finder.find(holders, part)
                    answered += holders
                except Unavailable as error:
                    unreachable |= dict.fromkeys(part, error)
            return found, unreachable, answered

        found, unreachable, _answered = self._read(find, lambda answer: answer[2])
        return found, unreachable

    def finish_moves(self, products: Iterable[Product]) -> bool:
        """Finish the moves that these were read in; whether there were any, so that they are to be read anew."""
        return self.finder.finish_moves(products)

    def edit(self, product_id: UUID, patch: ProductPatch, by: Author, version: int) -> Product:
        """Change the version that the caller saw. Raises VersionConflict, ProductNotFound, ProductExists, SkuTaken."""
        changes = patch.changes()
        if "tags" in changes:
            changes["tags"] = tuple(changes["tags"])
        return self.rewrite(product_id, version, lambda old: self.store_changed(old, changes, by))

    def rewrite(self, product_id: UUID, version: int, write: Callable[[Product], Product]) -> Product:
        """Write the version that the caller saw, wherever it is by now, once no move of it is unfinished."""
        while True:
            old = self.finder.settled(product_id)
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
        return old if new == old else self.by_current_map(new.key, lambda: self._store_next(old, new, by))

    def _store_next(self, old: Product, new: Product, by: Author) -> Product:
        part = self.shard_map.range_for(new.key[0])
        stays = new.key == old.key and old.shard in part.holders
        target = old.shard if stays else part.shard
        new = self.next_version(old, new, by, target=target)
        with self.claims.of(new) if new.sku != old.sku else nullcontext():
            if target != old.shard:
                self.refuse_taken_name(new, part.holders)  # before anything is written; the index has the last word
                return self.moves.move(new, old.shard, target)
            if part.other and not stays:
                self.refuse_taken_name(new, [part.other])
            self.store(old.shard).replace(new)
            return new

    def refuse_taken_name(self, product: Product, shards: Sequence[str]) -> None:
        """Raise ProductExists where another product in these shards has its name and variant."""
        if (holder := self.finder.find(shards, [product.key]).get(product.key)) and holder.id != product.id:
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
            self.store(old.shard).park(gone, gone.updated_at + self.deleted_life)
            return old

        return self.rewrite(product_id, version, park)

    def restore(self, product_id: UUID, by: Author, version: int) -> Product:
        """Put back a product whose deletion made this version.

        Raises VersionConflict, ProductNotFound, ProductExists and SkuTaken when name or SKU were given away meanwhile.
        """
        while True:
            old = self.finder.get_deleted(product_id)
            _refuse_other_version(old, version)
            try:
                return self._restored(self.next_version(old, old, by, "restored"))
            except BeingMoved:
                if remaining() <= 0:
                    raise

    def _restored(self, product: Product) -> Product:
        with self.claims.of(product):
            return self.by_current_map(product.key, lambda: self._restore(product))

    def _restore(self, product: Product) -> Product:
        """Put it back where its name belongs: if that is not where it is, it goes there as it is first."""
        part = self.shard_map.range_for(product.key[0])
        if part.shard != product.shard:
            refused = self.moves.carry([product.id], product.shard, part.shard)
            if product.id in refused:
                raise refused[product.id]
            raise BeingMoved("it has moved", product_id=str(product.id))
        if part.other:
            self.refuse_taken_name(product, [part.other])
        self.store(product.shard).restore(product)
        return product

    def page(self, query: Query = EVERYTHING, *, cursor: str | None = None, limit: int = 50) -> Page[Product]:
        """A page of products; see ``listing``. Raises InvalidInput, InvalidCursor, QueryTooBroad, ShardNotFound."""
        page = self.rows(query, cursor=cursor, limit=limit, fields=STORED)
        return Page(tuple(Product(**values) for values in page.items), page.next_cursor, page.unavailable, page.before)

    def rows(
        self, query: Query = EVERYTHING, *, cursor: str | None = None, limit: int = 50, fields: tuple[str, ...]
    ) -> Page[dict[str, Any]]:
        """A page of products, of which only ``fields`` are read."""
        if query.shard is not None:
            self.store(query.shard)  # it is one of ours

        def read() -> Page[ListRow]:
            listing = Listing(self.shard_map, self.store, self.moves)
            return listing.page(query, cursor=cursor, limit=limit, fields=fields)

        page = self._read(read, lambda page: {*self.shard_map.shards}.difference(page.unavailable))
        return Page(tuple(row.values for row in page.items), page.next_cursor, page.unavailable, page.before)

    def counts(self) -> list[ShardCount]:
        """How many products each shard holds."""
        answered, _silent = self.ask_all(lambda store: store.count())
        counts = []
        for shard in self.shards:
            ranges, count = tuple(str(r) for r in self.shard_map.owned_by(shard)), answered.get(shard)
            counts.append(
                ShardCount(shard, ranges, count.products if count else None, bool(count and count.approximate))
            )
        return counts

    def spread(self) -> Spread:
        """Where the products lie, estimated from some keys of each shard. Silent shards are left out."""
        held = {c.shard: c.products for c in self.counts() if c.products is not None}
        return spread(self.shard_map, held, {shard: keys for shard, keys in self.some_keys().items() if shard in held})

    def some_keys(self, sample: int = 500) -> dict[str, list[str]]:
        """Keys of each shard, drawn at random, to tell where products lie by. Silent shards are left out."""
        return self.ask_all(lambda store: store.some_keys(sample))[0]

    def sku_owners(self, skus: Sequence[str]) -> dict[str, UUID]:
        """The products seen to have one of these SKUs, to tell what a write would meet: it claims its SKU itself."""
        return self.finder.sku_owners(skus)

    def find_skus(self, skus: Sequence[str]) -> tuple[dict[str, list[Product]], Unavailable | None]:
        """The products that have one of these SKUs, and why some may be missing: a shard that is unreachable."""
        return self.finder.find_skus(skus)

    def ask_all(self, question: Callable[[ProductStore], T]) -> tuple[dict[str, T], dict[str, Unavailable]]:
        """Ask every shard; answers and silences by shard."""
        return self.finder.ask_all(question)


def _refuse_other_version(product: Product, seen: int) -> None:
    if product.version != seen:
        raise has_other_version(product, seen)


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
        raise IdempotencyKeyReused(
            "this Idempotency-Key has already created another product", product_id=str(product_id)
        )
    return made
