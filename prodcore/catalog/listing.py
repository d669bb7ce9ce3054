"""Lists of products over shards: pages in key order, by cursor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prodcore.catalog.cursor import decode_cursor, encode_cursor
from prodcore.catalog.ports import Key, ProductStore, Slice
from prodcore.errors import InvalidInput, Problem, Unavailable
from prodcore.product import Product
from prodcore.routing import ShardMap, fold

MAX_PAGE = 200
MAX_SEARCH_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Products in key order; ``unavailable`` names the shards whose products may be missing from it."""

    items: tuple[Product, ...]
    next_cursor: str | None
    unavailable: tuple[str, ...] = ()


def page(
    shard_map: ShardMap, store: Callable[[str], ProductStore], *, search: str, cursor: str | None, limit: int
) -> Page:
    """A page in name order over all shards.

    One indexed query on one shard, and one more for each range border that the page crosses. A shard that does
    not answer is left out and named in ``Page.unavailable``.
    """
    words = search_words(search)
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(problems=[Problem("limit", "out_of_range", f"must be from 1 to {MAX_PAGE}")])
    after = decode_cursor(cursor, words) if cursor else None
    items: list[Product] = []
    unavailable: dict[str, None] = {}
    for owned in shard_map.ranges_from(after[0] if after else ""):
        part = Slice(owned.lower, owned.upper, after, words, limit + 1 - len(items))
        try:
            items += store(owned.shard).page(part)
        except Unavailable:
            unavailable[owned.shard] = None
        if len(items) > limit:
            break
    last: Key | None = items[limit - 1].key if len(items) > limit else None
    return Page(tuple(items[:limit]), encode_cursor(last, words) if last else None, tuple(sorted(unavailable)))


def search_words(search: str) -> tuple[str, ...]:
    """The folded word prefixes of a search; all must match. Raises InvalidInput for one that is too long."""
    if len(search) > MAX_SEARCH_LENGTH:
        raise InvalidInput(
            problems=[Problem("search", "string_too_long", f"must be at most {MAX_SEARCH_LENGTH} characters")]
        )
    return tuple(dict.fromkeys(fold(search).split()))
