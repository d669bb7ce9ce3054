"""Opaque paging cursors: where the last page ended, bound to the query they were made for."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from prodcore.catalog.query import Position, Query
from prodcore.errors import InvalidCursor

_MAX_LENGTH = 4_000
_MAX_SHARDS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,10})?")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on: strictly after ``after``; and when it began, by shard (see ``prodcore.product.move``)."""

    after: Position
    times: Mapping[str, int] = field(default_factory=dict)


def encode_cursor(cursor: Cursor, query: Query) -> str:
    """The cursor as text.

    >>> decode_cursor(encode_cursor(Cursor(("cafe", "")), Query()), Query())
    Cursor(after=('cafe', ''), times={})
    """
    value, tie = cursor.after
    document = {"query": query.fingerprint, "after": [_plain(value), str(tie)], "times": dict(cursor.times)}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(text: str, query: Query) -> Cursor:
    """Read a cursor of this query. Raises InvalidCursor."""
    try:
        if len(text) > _MAX_LENGTH:
            raise ValueError
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        document = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        fingerprint = document["query"]
        value, tie = document["after"]
        times = document["times"]
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        raise InvalidCursor(hint="Start again from the first page") from None
    if fingerprint != query.fingerprint:
        raise InvalidCursor(
            "the cursor belongs to another search, filter or order", hint="Start again from the first page"
        )
    try:
        return Cursor(
            (_READERS[query.sort.by](value), _text(tie) if query.sort.by == "name" else UUID(tie)), _times(times)
        )
    except (ValueError, TypeError, AttributeError):
        raise InvalidCursor(hint="Start again from the first page") from None


def _plain(value: Any) -> str | int:
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(milliseconds=1)
    return format(value, "f") if isinstance(value, Decimal) else value


def _text(value: Any) -> str:
    value.encode()  # a lone surrogate cannot be asked of a server
    return str(value)


def _price(value: Any) -> Decimal:
    if not _DECIMAL.fullmatch(value):
        raise ValueError
    return Decimal(value)


def _times(times: Any) -> dict[str, int]:
    if (
        not isinstance(times, dict)
        or len(times) > _MAX_SHARDS
        or not all(type(time) is int and 0 <= time < 2**63 for time in times.values())
    ):
        raise ValueError
    return times


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LATEST_MS:
        raise ValueError
    return value


def _moment(value: Any) -> datetime:
    return _EPOCH + timedelta(milliseconds=_whole(value))


_READERS: dict[str, Callable[[Any], str | int | Decimal | datetime]] = {
    "name": _text,
    "price": _price,
    "stock": _whole,
    "updated": _moment,
    "created": _moment,
}
