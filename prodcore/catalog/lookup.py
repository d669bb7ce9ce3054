"""Finding products over shards: the first shard that has one answers, and a product that moves is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from prodcore.catalog.moves import MOST_MOVES, Moves
from prodcore.catalog.stores import ByShard, Deleted, Key, ProductStore
from prodcore.deadline import remaining
from prodcore.errors import (
    OutcomeUnknown,
    ProdError,
    ProductDeleted,
    ProductNotFound,
    ShardUnavailable,
    Unavailable,
    VersionConflict,
)
from prodcore.product.model import Change, Product
from prodcore.support.request_notes import may_be_stale, stale_sets

T = TypeVar("T")
K = TypeVar("K", UUID, str)

_REMEMBERED = 50_000


class Finder:
    """Looks for products in the stores of the shards, in this order."""

    def __init__(self, stores: Mapping[str, ProductStore], moves: Moves) -> None:
        self._stores = ByShard(stores)
        self._moves = moves
        self._seen_in: dict[UUID, str] = {}
        """Where a product was found: asked first the next time, so that most reads ask one shard. Never believed."""

    def get(self, product_id: UUID) -> Product:
        """The product with this id. Raises ProductNotFound; Unavailable if an unreachable shard might have it.

        A rename of it that is not decided is decided first: whoever looks it up after an unknown outcome learns it.
        """
        product = self._seen(product_id)
        while product.move and product.move.state == "intended":
            try:
                self._moves.finish(product.move)
            except (Unavailable, OutcomeUnknown) as undecided:
                if may_be_stale():  # and is said to be
                    return product
                raise Unavailable(f"{product.name!r} is being renamed: {undecided.message}") from None
            product = self._seen(product_id)
        return product

    def _seen(self, product_id: UUID) -> Product:
        product = self.first(product_id, lambda store: store.get(product_id))
        return self._followed(product) if product.move else product

    def settled(self, product_id: UUID) -> Product:
        """The product with this id once no move is unfinished, for somebody who will write it.

        Raises what ``get`` raises; Unavailable or OutcomeUnknown where a move cannot be finished.
        """
        while (product := self.get(product_id)).move:
            self._moves.finish(product.move)
            if remaining() <= 0:
                raise Unavailable(f"{product.name!r} keeps being renamed")
        return product

    def history(self, product_id: UUID) -> list[Change]:
        """What was done to a product, live or deleted, the last change first. Raises ProductNotFound."""
        asked = ""
        for _ in range(MOST_MOVES):
            shard = self._shard_of(product_id)
            changes = self._stores[shard].history(product_id)
            if changes or shard == asked:  # where it has moved meanwhile its old location has none
                return changes or []
            asked = shard
        raise Unavailable("the product keeps moving", product_id=str(product_id))

    def _shard_of(self, product_id: UUID) -> str:
        try:
            return self.get(product_id).shard
        except ProductDeleted as deleted:
            return str(deleted.details["shard"])

    def named(self, shards: Sequence[str], key: Key) -> Product | None:
        """The product with this key, which is in one of these shards."""
        return next((found for shard in _to_and_fro(shards) if (found := self._named(shard, key))), None)

    def _named(self, shard: str, key: Key) -> Product | None:
        product = self._stores[shard].find([key]).get(key)
        if product is None or product.move is None:
            return product
        try:
            seen = self.get(product.id)
        except ProductNotFound:
            return None
        return seen if seen.key == key else None

    def find(self, shards: Sequence[str], keys: Sequence[Key]) -> dict[Key, Product]:
        """The products in these shards that have one of these keys, no move of theirs unfinished."""
        found: dict[Key, Product] = {}
        for shard in _to_and_fro(shards):
            found |= self._find(shard, [key for key in keys if key not in found])
        return found

    def _find(self, shard: str, keys: Sequence[Key]) -> dict[Key, Product]:
        found = self._stores[shard].find(keys)
        if self.finish_moves(found.values()):
            found = self._stores[shard].find(keys)
        return found

    def get_many(self, product_ids: Sequence[UUID]) -> tuple[dict[UUID, Product | Deleted], Unavailable | None]:
        """The products with these ids, live or deleted, no move of theirs unfinished; and a silence, if any."""

        def ask() -> tuple[list[tuple[UUID, Product | Deleted]], Unavailable | None]:
            return self.look_for(product_ids, _get_many)

        products, unreachable = ask()
        if self.finish_moves(p for _id, p in products if isinstance(p, Product)):
            products, unreachable = ask()
        return dict(products), unreachable

    def elsewhere(self, products: Sequence[Product], shard: str) -> set[UUID]:
        """Which of these products of a shard have an id that another shard is seen to have, live or deleted."""
        others = {name: store for name, store in self._stores.items() if name != shard}
        answered, _silent = _ask(others, lambda store: store.get_many([product.id for product in products]))
        return {i for part in answered.values() for i, found in part.items() if not _has_left(found)}

    def get_deleted(self, product_id: UUID) -> Product:
        """The deleted product with this id. Raises ProductNotFound; VersionConflict for one that is not deleted."""
        for _ in range(MOST_MOVES):
            try:
                live = self.get(product_id)
            except ProductDeleted as deleted:
                found = self._stores[deleted.details["shard"]].get_deleted(product_id)
            else:
                raise VersionConflict(f"{live.name!r} is not deleted", product_id=str(product_id), version=live.version)
            if found and found.product.move is None:
                return found.product
            if found and found.product.move:
                self._moves.finish(found.product.move)
        raise Unavailable("the deleted product keeps moving", product_id=str(product_id))

    def find_skus(self, skus: Sequence[str]) -> tuple[dict[str, list[Product]], Unavailable | None]:
        """The products that have one of these SKUs, no move of theirs unfinished; and a silence, if any."""
        if not skus:
            return {}, None

        def ask() -> tuple[list[tuple[str, Product]], Unavailable | None]:
            return self.look_for(skus, lambda store, part: ((str(p.sku), p) for p in store.find_skus(part)))

        products, unreachable = ask()
        if self.finish_moves(product for _sku, product in products):
            products, unreachable = ask()
        found: dict[str, dict[UUID, Product]] = {}
        for sku, product in products:
            found.setdefault(sku, {})[product.id] = product
        return {sku: list(having.values()) for sku, having in found.items()}, unreachable

    def sku_owners(self, skus: Sequence[str]) -> dict[str, UUID]:
        """The products seen to have one of these SKUs."""
        return dict(self.look_for(skus, lambda store, part: store.sku_owners(part).items())[0])

    def look_for(
        self, wanted: Sequence[K], question: Callable[[ProductStore, Sequence[K]], Iterable[tuple[K, T]]]
    ) -> tuple[list[tuple[K, T]], Unavailable | None]:
        """Ask every shard for what has these keys, and why some may be missing: a shard that is unreachable.

        Keys that none had are asked for once more in the opposite order, so that what moves meanwhile is met.
        """
        found: list[tuple[K, T]] = []
        unreachable: dict[str, Unavailable] = {}
        left, there = wanted, list(self._stores)
        for shards in there, there[-2::-1]:
            for shard in shards if left else ():
                try:
                    found += question(self._stores[shard], left)
                except Unavailable as error:
                    unreachable[shard] = error
            met = {key for key, _answer in found}
            left = [key for key in left if key not in met]
        return found, next(iter(unreachable.values()), None)

    def ask_all(self, question: Callable[[ProductStore], T]) -> tuple[dict[str, T], dict[str, Unavailable]]:
        """Ask every shard; answers and silences by shard."""
        return _ask(self._stores, question)

    def first(self, product_id: UUID, question: Callable[[ProductStore], T | None]) -> T:
        """What the shard that has the product answers; the others need not be up."""
        unreachable: Unavailable | None = None
        seen_in = self._seen_in.get(product_id)
        for shard in sorted(self._stores, key=lambda name: name != seen_in):
            try:
                answer = question(self._stores[shard])
            except Unavailable as error:
                unreachable = error
                continue
            except ProductDeleted as deleted:
                raise absence(deleted) from None
            if answer is not None:
                self._remember(product_id, shard)
                return answer
        if unreachable:
            raise unreachable
        raise absence(ProductNotFound(f"there is no product {product_id}", product_id=str(product_id)))

    def _remember(self, product_id: UUID, shard: str) -> None:
        if len(self._seen_in) >= _REMEMBERED:
            self._seen_in.clear()
        self._seen_in[product_id] = shard

    def finish_moves(self, products: Iterable[Product]) -> bool:
        """Finish the moves that these documents are a part of; whether there were any, so that they read anew."""
        unfinished = [product.move for product in products if product.move and product.move.state != "moved"]
        self._moves.finish_many(unfinished)
        return bool(unfinished)

    def _followed(self, product: Product) -> Product:
        """The product as it is to be seen, from a document of it that is a part of a move."""
        for _ in range(MOST_MOVES):
            move = product.move
            if move is None or move.is_here:
                return product
            other = self._other(product)
            pair = {move.state, other.move.state if other.move and other.move.id == move.id else None}
            if pair == {"pending", "moved"}:  # decided, and not published yet
                return product if move.state == "pending" else other
            product = other
        raise Unavailable(f"{product.name!r} keeps being renamed")

    def _other(self, product: Product) -> Product:
        """The product's document at the other end of its move."""
        move = product.move
        assert move  # noqa: S101  for the type checker
        shard = move.target if move.state == "moved" else move.source
        other = self._stores[shard].get(product.id)
        if other is None:
            raise ProductNotFound(f"there is no product {product.id}", product_id=str(product.id))
        return other


def _to_and_fro(shards: Sequence[str]) -> Sequence[str]:
    """How to look for a name that is in one of these: what moves meanwhile, in either direction, is met."""
    return shards if len(shards) == 1 else (*shards, shards[0])


def absence(error: ProductNotFound) -> ProdError:
    """That a product is not there: no more than a doubt where a shard was read without its majority."""
    if not (stale := ", ".join(stale_sets())):
        return error
    message = f"{error.message}, as far as {stale} can tell without a majority: there may be a newer state"
    return ShardUnavailable(message, shard=stale, hint="Ask again when the shard has its majority back")


def _ask(
    stores: Mapping[str, ProductStore], question: Callable[[ProductStore], T]
) -> tuple[dict[str, T], dict[str, Unavailable]]:
    answers: dict[str, T] = {}
    unreachable: dict[str, Unavailable] = {}
    for shard, store in stores.items():
        try:
            answers[shard] = question(store)
        except Unavailable as error:
            unreachable[shard] = error
    return answers, unreachable


def _get_many(store: ProductStore, product_ids: Sequence[UUID]) -> list[tuple[UUID, Product | Deleted]]:
    """The products that a shard has, not what only keeps an old location."""
    return [(i, found) for i, found in store.get_many(product_ids).items() if not _has_left(found)]


def _has_left(product: Product | Deleted) -> bool:
    """Whether it is only the old location of a product."""
    return isinstance(product, Product) and product.move is not None and product.move.state == "moved"
