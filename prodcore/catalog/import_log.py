"""Which imports there were, over all shards: each shard remembers all of them, so one that answers is enough."""

from __future__ import annotations

from uuid import UUID

from prodcore.catalog.catalog import Catalog, now
from prodcore.catalog.import_ports import ImportRecord
from prodcore.errors import ImportNotFound


def remember(catalog: Catalog, record: ImportRecord) -> None:
    """Note an import, or what became of it, in every shard that answers. Raises Unavailable where none does."""
    answered, silent = catalog.ask_all(lambda store: store.imports.note(record))
    if not answered:
        raise next(iter(silent.values()))


def recent_imports(catalog: Catalog, limit: int) -> list[ImportRecord]:
    """The last imports, the newest first. Raises Unavailable where no shard answers."""
    answered, silent = catalog.ask_all(lambda store: store.imports.recent(limit))
    if not answered:
        raise next(iter(silent.values()))
    known: dict[UUID, ImportRecord] = {}
    for record in (record for part in answered.values() for record in part):
        other = known.setdefault(record.import_id, record)
        if (record.finished_at is not None, record.undone_at is not None) > (
            other.finished_at is not None,
            other.undone_at is not None,
        ):
            known[record.import_id] = record  # the other shard was silent when that was noted
    return sorted(known.values(), key=lambda r: (r.started_at, r.import_id), reverse=True)[:limit]


def begin_undo(catalog: Catalog, import_id: UUID) -> None:
    """Note that an import is being taken back.

    Raises ImportNotFound where nobody remembers it and it did nothing; Unavailable where a shard might.
    """
    moment = now()
    answered, silent = catalog.ask_all(
        lambda store: store.imports.undone(import_id, moment) or bool(store.imports.touched(import_id, None, 1))
    )
    if any(answered.values()):
        return
    if silent:
        raise next(iter(silent.values()))
    raise ImportNotFound(
        f"there is no import {import_id}", hint="prodctl product import list", import_id=str(import_id)
    )
