"""The imports there were, and taking one back.

Each shard remembers all imports, so one that answers is enough to list them. An undo deletes what an import created,
gives what it changed its former values, and leaves what was changed since. Every step of it is a change of its own
under an id that follows from the import's, so it may be repeated, or go on after a kill, and finds what it has done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal
from uuid import UUID, uuid4, uuid5

from prodcore.catalog.bulk import delete_many, replace_many
from prodcore.catalog.catalog import Catalog, now
from prodcore.catalog.stores import ImportRecord, Touched
from prodcore.catalog.write_errors import Failure, failure, write_each
from prodcore.errors import ImportNotFound, InvalidCursor, OutcomeUnknown, ProdError, Unavailable, VersionConflict
from prodcore.product.model import Author, Product

Status = Literal["deleted", "restored", "already"] | Failure
"""``already``: nothing of the import is left in it."""

MAX_UNDONE = 500
"""Products a call."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of one product."""

    product: Product
    status: Status
    error: ProdError | None = None


@dataclass(slots=True)
class UndonePart:
    """What became of some products; the next part begins at ``cursor``, None after the last one."""

    products: list[Undone] = field(default_factory=list)
    cursor: str | None = None
    unavailable: tuple[str, ...] = ()
    """Shards that could not be asked: what the import did there is as it was."""


def undo_id(import_id: UUID) -> UUID:
    """The id under which the histories tell that an import was taken back."""
    return uuid5(import_id, "undo")


def undo_part(
    catalog: Catalog, import_id: UUID, by: Author, cursor: str | None = None, limit: int = MAX_UNDONE
) -> UndonePart:
    """Take back what the import did to the next ``limit`` products. Raises InvalidCursor."""
    after = None if cursor is None else _read_cursor(cursor)
    touched, unavailable = _touched(catalog, import_id, after, limit)
    undoing = _Undoing(catalog, str(import_id), replace(by, import_id=str(undo_id(import_id))))
    done = undoing.undo(touched)
    if any(isinstance(undone.error, VersionConflict) for undone in done):  # perhaps by another undo, at once
        now_touched = {one.product.id: one for one in _touched(catalog, import_id, after, limit)[0]}
        done = [undoing.anew(undone, now_touched.get(undone.product.id)) for undone in done]
    return UndonePart(done, str(touched[-1].product.id) if len(touched) == limit else None, unavailable)


def _touched(
    catalog: Catalog, import_id: UUID, after: UUID | None, limit: int
) -> tuple[list[Touched], tuple[str, ...]]:
    """The next products that the import did something to, by id, once no move of theirs is unfinished; and silences.

    By id and not by shard, as products move between two calls; to and fro, as they move during one.
    """
    shards = catalog.shards
    while True:
        found: dict[UUID, Touched] = {}
        unavailable: dict[str, None] = {}
        for shard in (*shards, *shards[-2::-1]):
            try:
                part = catalog.store(shard).imports.touched(import_id, after, limit)
            except Unavailable:
                unavailable[shard] = None
            else:
                found |= {one.product.id: one for one in part}
        touched = [found[product_id] for product_id in sorted(found)[:limit]]
        if not catalog.finish_moves(one.product for one in touched):
            return touched, tuple(unavailable)


def _read_cursor(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError:
        raise InvalidCursor("the cursor does not belong to an undo") from None


@dataclass(frozen=True, slots=True)
class _Undoing:
    catalog: Catalog
    import_id: str
    author: Author

    def undo(self, touched: list[Touched]) -> list[Undone]:
        """Take the import back in some products: a bulk of deletions and one of replacements for each shard."""
        done: list[Undone] = []
        deleted: list[Product] = []
        restored: list[Product] = []
        for one in touched:
            former = self._former(one)
            if isinstance(former, Undone):
                done.append(former)
            elif former is None:
                deleted.append(one.product)
            elif replace(one.product, **former).key != one.product.key:
                done.append(self._renamed_back(one.product, former))
            else:
                restored.append(replace(one.product, **former))
        return done + self._delete(deleted) + self._restore(restored, touched)

    def anew(self, undone: Undone, now_touched: Touched | None) -> Undone:
        """What became of a product that was changed by another user meanwhile."""
        if now_touched is None or not isinstance(undone.error, VersionConflict):
            return undone
        judged = self._former(now_touched)
        return judged if isinstance(judged, Undone) else undone

    def _former(self, one: Touched) -> Mapping[str, Any] | Undone | None:
        """What the import changed, as it was; None where it made the product; Undone where nothing can be done."""
        place = next(i for i, change in enumerate(one.history) if change.by.import_id == self.import_id)
        since = one.history[place:]
        cancelled = _cancelled({change.by.import_id for change in since})
        if self.import_id in cancelled:
            return Undone(one.product, "already")
        others = [change for change in since if change.by.import_id not in {self.import_id, *cancelled}]
        if others:
            if one.deleted and since[0].action == "created":
                return Undone(one.product, "already")
            last = others[-1]
            what = f"was {last.action} since, by {last.by.username}"
            return Undone(one.product, "refused", VersionConflict(what, version=last.version))
        if since[0].action == "created":
            return None
        own = [change for change in since if change.by.import_id == self.import_id]
        return {name: value for change in reversed(own) for name, value in change.was.items()}

    def _renamed_back(self, product: Product, former: Mapping[str, Any]) -> Undone:
        """A name that was changed, perhaps over a border, goes back on its own."""
        try:
            self.catalog.rewrite(
                product.id, product.version, lambda old: self.catalog.store_changed(old, former, self.author)
            )
        except ProdError as error:
            return _undone(product, "restored", error)
        return Undone(product, "restored")

    def _delete(self, products: list[Product]) -> list[Undone]:
        def delete(shard: str, gone: Sequence[Product]) -> Sequence[ProdError | None]:
            return delete_many(self.catalog, shard, gone, self.author)

        return [_undone(p, "deleted", error) for p, error in _each_shard(products, delete)]

    def _restore(self, products: list[Product], touched: list[Touched]) -> list[Undone]:
        old = {one.product.id: one.product for one in touched}
        claiming, write = [p for p in products if p.sku is not None and p.sku != old[p.id].sku], uuid4()
        taken = self.catalog.claims.take(claiming, write)
        new = [self.catalog.next_version(old[p.id], p, self.author) for p in products if p.id not in taken]
        written = _each_shard(new, partial(replace_many, self.catalog))
        refused = [_undone(p, "restored", taken[p.id]) for p in products if p.id in taken]
        unknown = {p.id for p, error in written if isinstance(error, OutcomeUnknown)}
        self.catalog.claims.done([p for p in claiming if p.id not in {*taken, *unknown}], write)
        return refused + [_undone(old[p.id], "restored", error) for p, error in written]


def _each_shard(
    products: Sequence[Product], write: Callable[[str, Sequence[Product]], Sequence[ProdError | None]]
) -> list[tuple[Product, ProdError | None]]:
    """Write products in the shards that they were read in; each with why it was refused."""
    by_shard: dict[str, list[Product]] = {}
    for product in products:
        by_shard.setdefault(product.shard, []).append(product)
    return [
        (product, error)
        for shard, part in by_shard.items()
        for product, error in zip(part, write_each(partial(write, shard), part), strict=True)
    ]


def _cancelled(import_ids: set[str]) -> set[str]:
    """Those of the imports that were taken back, and the ids under which they were."""
    back = {import_id: str(undo_id(UUID(import_id))) for import_id in import_ids if import_id}
    return {each for import_id, undone in back.items() if undone in import_ids for each in (import_id, undone)}


def _undone(product: Product, done: Status, error: ProdError | None) -> Undone:
    return Undone(product, failure(error) if error else done, error)


def remember(catalog: Catalog, record: ImportRecord) -> None:
    """Note an import, or what became of it, in every shard that answers. Raises Unavailable where none does."""
    answered, unreachable = catalog.ask_all(lambda store: store.imports.note(record))
    if not answered:
        raise next(iter(unreachable.values()))


def recent_imports(catalog: Catalog, limit: int) -> list[ImportRecord]:
    """The last imports, the newest first. Raises Unavailable where no shard answers."""
    answered, unreachable = catalog.ask_all(lambda store: store.imports.recent(limit))
    if not answered:
        raise next(iter(unreachable.values()))
    known: dict[UUID, ImportRecord] = {}
    for record in (record for part in answered.values() for record in part):
        other = known.setdefault(record.import_id, record)
        if (record.finished_at is not None, record.undone_at is not None) > (
            other.finished_at is not None,
            other.undone_at is not None,
        ):
            known[record.import_id] = record  # the other shard was unreachable when that was noted
    return sorted(known.values(), key=lambda r: (r.started_at, r.import_id), reverse=True)[:limit]


def begin_undo(catalog: Catalog, import_id: UUID) -> None:
    """Note that an import is being taken back.

    Raises ImportNotFound where nobody remembers it and it did nothing; Unavailable where a shard might.
    """
    moment = now()
    answered, unreachable = catalog.ask_all(
        lambda store: store.imports.undone(import_id, moment) or bool(store.imports.touched(import_id, None, 1))
    )
    if any(answered.values()):
        return
    if unreachable:
        raise next(iter(unreachable.values()))
    raise ImportNotFound(
        f"there is no import {import_id}", hint="prodctl product import list", import_id=str(import_id)
    )
