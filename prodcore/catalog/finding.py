"""What stands around a list: how long it is, by what it can be narrowed, a product by its code, another spelling.

That is bounded: so many documents of each shard, read along an index, or it is left out. And a list as a whole.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice, product
from operator import methodcaller
from typing import Any, TypeVar
from uuid import UUID

from prodcore.catalog.catalog import Catalog
from prodcore.catalog.listing import MAX_PAGE, Listing
from prodcore.catalog.stores import EVERYTHING, ProductStore, Query
from prodcore.deadline import budget
from prodcore.errors import QueryTooBroad
from prodcore.product.fields import FILTERED, Field, FieldRefused
from prodcore.product.model import SHOWN, show_fields
from prodcore.product.terms import beginnings, split_words
from prodcore.routing import fold
from prodcore.support.request_notes import fresh_reads

T = TypeVar("T")

MOST_COUNTED = 1_000
"""Matches that each shard counts."""
MOST_LABELLED = 1_000
"""Products that each shard tells the labels of."""
MOST_FACETS = 12
MOST_NAMES = 300
"""Names of each shard that a word is compared with, for each of its beginnings."""
_MOST_WORDS = 3
_MOST_SPELLINGS = 3
_ALIKE = 0.7
"""How alike two words are at least, by difflib's measure, for one to be proposed instead of the other."""
_MOST_WITH_CODE = 5


@dataclass(frozen=True, slots=True)
class Matches:
    """How many products match, or at least how many where there are ``more``.

    ``approximate`` while a range moves or a shard is unreachable.
    """

    products: int
    more: bool = False
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class Facet:
    """A category or a tag, and in how many products of a list it is."""

    value: str
    matches: Matches


@dataclass(frozen=True, slots=True)
class Facets:
    """By what a list can be narrowed, the most frequent first."""

    categories: tuple[Facet, ...] = ()
    tags: tuple[Facet, ...] = ()


def count_matches(catalog: Catalog, query: Query, most: int = MOST_COUNTED) -> Matches | None:
    """How many products a list has, counted up to ``most`` a shard; None where even that takes too long."""
    try:
        answers, is_rough = _ask(catalog, query, lambda store: store.matches(query, most))
    except QueryTooBroad:
        return None
    return Matches(sum(answers), any(count >= most for count in answers), is_rough)


def facets(catalog: Catalog, query: Query) -> Facets:
    """The most frequent categories and tags of a list; empty where that takes too long.

    They are counted exactly in a list of at most ``MOST_LABELLED`` products a shard. In a longer one their numbers are
    what the first of them have at least, and those of the whole catalogue are estimated from some that are drawn.
    """
    whole = query == replace(EVERYTHING, sort=query.sort)
    try:
        answers, is_rough = _ask(catalog, query, lambda store: _labels(store, query, whole=whole))
    except QueryTooBroad:
        return Facets()
    is_rough |= any(weight > 1 for _labelled, weight in answers)
    more = not whole and any(len(labelled) >= MOST_LABELLED for labelled, _weight in answers)
    weighed = [(labels, weight) for labelled, weight in answers for labels in labelled]
    categories = _frequent((category, weight) for (category, _tags), weight in weighed)
    tags = _frequent((tag, weight) for (_category, tags), weight in weighed for tag in tags)
    chosen = {fold(tag) for tag in query.tags}
    return Facets(
        tuple(Facet(v, Matches(n, more, is_rough)) for v, n in categories if query.category is None),
        tuple(Facet(v, Matches(n, more, is_rough)) for v, n in tags if fold(v) not in chosen),
    )


def _labels(store: ProductStore, query: Query, *, whole: bool) -> tuple[list[tuple[str, Sequence[str]]], float]:
    """What a shard's products of a list are labelled with, and for how many each of them stands."""
    labelled = store.labels(query, MOST_LABELLED)
    if not whole or len(labelled) < MOST_LABELLED:
        return labelled, 1.0
    return labelled, max(1.0, store.count().products / len(labelled))


def _frequent(weighed: Iterable[tuple[str, float]]) -> list[tuple[str, int]]:
    """The most frequent values with their numbers, however they are spelled, each in its most frequent spelling."""
    spellings: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for value, weight in weighed:
        if value:
            spellings[fold(value)][value] += weight
    found = [(max(spelled, key=lambda s: spelled[s]), round(sum(spelled.values()))) for spelled in spellings.values()]
    return sorted(found, key=lambda pair: (-pair[1], fold(pair[0])))[:MOST_FACETS]


def _ask(catalog: Catalog, query: Query, question: Callable[[ProductStore], T]) -> tuple[list[T], bool]:
    """What the shards of a query answer, and whether that may be off: one is unreachable, or a range moves."""
    is_rough = bool(catalog.shard_map.moving)
    store = catalog.store(query.shard) if query.shard is not None else None
    answers, unreachable = catalog.ask_all(lambda each: question(each) if store in (None, each) else None)
    return [answer for answer in answers.values() if answer is not None], is_rough or bool(unreachable)


def with_code(catalog: Catalog, typed: str, fields: tuple[str, ...]) -> list[dict[str, Any]]:
    """The products whose SKU or barcode this is, as typed or in capital or small letters; none where it is no code.

    They are found in any shard by the index of codes; ``fields`` of them are read, their ids among them.
    """
    if not typed.isascii() or not typed.isprintable() or " " in typed:
        return []
    found: dict[UUID, dict[str, Any]] = {}
    for row in FILTERED:
        if not _can_be(row, typed):
            continue
        spellings = tuple(dict.fromkeys(s for case in (typed, typed.upper(), typed.lower()) for s in row.same(case)))
        page = catalog.rows(Query(codes=((row.name, spellings),)), limit=_MOST_WITH_CODE, fields=fields)
        found |= {values["id"]: values for values in page.items}
    return list(found.values())


def _can_be(row: Field, typed: str) -> bool:
    if len(typed) > (row.max_length or len(typed)):
        return False
    try:
        if row.check:
            row.check(typed)
    except FieldRefused:
        return False
    return True


def other_spellings(catalog: Catalog, query: Query) -> list[str]:
    """What somebody may have meant by a search that finds nothing: searches that find something, the likeliest first.

    Each word that no name has is compared with those of at most ``MOST_NAMES`` names of a shard for each of its
    beginnings, and of as many at random for one whose first letter is wrong.
    """
    words = query.words[:_MOST_WORDS]
    if len(query.words) > len(words):
        return []
    try:
        choices = [_instead(catalog, query, word) for word in words]
        phrases = [" ".join(choice) for choice in islice(product(*choices), 2 * _MOST_SPELLINGS)]
        asked = {phrase: replace(query, words=split_words(phrase)) for phrase in phrases}
        found = [
            phrase for phrase in phrases if (matches := count_matches(catalog, asked[phrase], 1)) and matches.products
        ]
    except QueryTooBroad:
        return []
    return found[:_MOST_SPELLINGS]


def _instead(catalog: Catalog, query: Query, word: str) -> list[str]:
    """Words of products that are like this one; the word itself where a product's begins so."""
    known: dict[str, str] = {}
    for beginning in (*beginnings(word), ""):
        answers, _is_rough = _ask(catalog, query, methodcaller("names", beginning, MOST_NAMES))
        known |= {folded: spelled for names in answers for name in names for folded, spelled in _spelled(name)}
    if any(folded.startswith(word) for folded in known):
        return [word]
    return [known[folded] for folded in get_close_matches(word, known, _MOST_SPELLINGS, _ALIKE)]


def _spelled(name: str) -> Iterable[tuple[str, str]]:
    """The words of a name, folded and as they are written."""
    for written in re.findall(r"\w+", name):
        if len(folded := split_words(written)) == 1 and not written.isdecimal():
            yield folded[0], written.lower()


def cursor_before(catalog: Catalog, query: Query, before: str, limit: int) -> str | None:
    """The cursor of the page that ends where another one begins (``Page.before``); None where that is the first page.

    Raises InvalidCursor.
    """
    return Listing(catalog.shard_map, catalog.store, catalog.moves).cursor_before(query, before, limit)


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
