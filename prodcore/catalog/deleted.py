"""The deleted products that can still be restored, over all shards, the last one first."""

from __future__ import annotations

import base64
import binascii
import heapq
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from prodcore.catalog.catalog import Catalog
from prodcore.catalog.stores import Deleted, Moment
from prodcore.errors import InvalidCursor
from prodcore.routing import name_key

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BYTES = 8 + 16


@dataclass(frozen=True, slots=True)
class DeletedPage:
    """Some deleted products; ``unavailable`` names the shards whose products may be missing from it."""

    items: tuple[Deleted, ...]
    next_cursor: str | None
    unavailable: tuple[str, ...]


def deleted_page(catalog: Catalog, *, name: str | None = None, cursor: str | None = None, limit: int) -> DeletedPage:
    """The deleted products after ``cursor``, with ``name`` only those of that name.

    Raises InvalidCursor, UnroutableName.
    """
    before = _decode(cursor) if cursor else None
    key = None if name is None else name_key(name)
    answers, unreachable = catalog.ask_all(lambda store: store.deleted(before, limit + 1, key))
    merged = heapq.merge(*answers.values(), key=_moment, reverse=True)
    items = tuple(islice(merged, limit + 1))
    following = _encode(_moment(items[limit - 1])) if len(items) > limit else None
    return DeletedPage(items[:limit], following, tuple(sorted(unreachable)))


def _moment(deleted: Deleted) -> Moment:
    return deleted.at, deleted.product.id


def _encode(moment: Moment) -> str:
    milliseconds = (moment[0] - _EPOCH) // timedelta(milliseconds=1)
    return base64.urlsafe_b64encode(milliseconds.to_bytes(8, "big") + moment[1].bytes).decode()


def _decode(cursor: str) -> Moment:
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        if len(raw) != _BYTES:
            raise ValueError
        return _EPOCH + timedelta(milliseconds=int.from_bytes(raw[:8], "big")), UUID(bytes=raw[8:])
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidCursor(hint="Start again from the first page") from None
