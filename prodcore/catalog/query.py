"""What a list asks for: words, filters and order."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Literal, Self, get_args
from uuid import UUID

from prodcore.errors import InvalidInput, Problem
from prodcore.product.terms import split_words

SortBy = Literal["name", "price", "stock", "updated", "created"]

Position = tuple[str | int | Decimal | datetime, str | UUID]
"""A place in a list: (name key, variant key) in name order, else (the value that it is sorted by, id)."""

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
    """Folded beginnings of words; a product must have a word for each."""
    category: str | None = None
    tags: tuple[str, ...] = ()
    price_min: Decimal | None = None
    price_max: Decimal | None = None
    stock_min: int | None = None
    stock_max: int | None = None
    active: bool | None = None
    shard: str | None = None
    updated_since: datetime | None = None
    sort: Sort = Sort()

    @property
    def fingerprint(self) -> str:
        """What binds a cursor to the list that it was made for."""
        return _fingerprint(self)


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
