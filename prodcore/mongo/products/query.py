"""How a list asks one shard: the indexes, the filter, the order, the fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import pymongo
from bson.decimal128 import Decimal128
from pymongo import ASCENDING, DESCENDING, IndexModel, ReadPreference
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from prodcore.catalog.stores import TRAFFIC_CATEGORY, Batch, ListRow, Position, Query, Slice, Sort
from prodcore.deadline import remaining
from prodcore.errors import InvalidCursor, QueryTooBroad
from prodcore.mongo.client.replica_set import Document, find_at_once
from prodcore.mongo.products.document import MARK, as_completed_moves, as_move, as_timestamp
from prodcore.product.fields import FILTERED, STORED_DEFAULTS
from prodcore.product.terms import ANY, INACTIVE, category_term, tag_term, to_be_met
from prodcore.routing import LAST, covers, prefix_range

LIST_SECONDS = 3.0
"""A list that takes a shard longer is given up: no index serves it."""

_NAME_ORDER = ("name_key", "variant_key")
_ORDERS = {
    "name": _NAME_ORDER,
    "price": ("price", "_id"),
    "stock": ("stock", "_id"),
    "updated": ("updated_at", "_id"),
    "created": ("created_at", "_id"),
}
_FACETED = ("price", "stock")
"""The orders whose index begins with the facets."""

_AFTER_MARK = chr(ord(MARK) + 1)
_ONE_INSTANT = ReadConcern("snapshot")
"""A list meets each place at one instant: what moves while the server looks is met before it or after, not missed."""

GLANCE_SECONDS = 0.5
"""What stands beside a list, its length and the like, is left out where it takes a shard longer."""
_ELSEWHERE = {"move.state": {"$in": ["moved", "pending"]}}
"""Documents of a move that are not the product: the place that it left, and the copy that is not seen yet."""
_OF_DRILLS = {"words": category_term(TRAFFIC_CATEGORY)}
_SHOWN = {"category": {"$ne": TRAFFIC_CATEGORY}}
"""What lists show: by a field that no index has, so that none is chosen for it."""
_LIVE: Document = {"deleted": {"$exists": False}}

_INVALID_OPTIONS = 72
"""The server's code for a time that it has not reached."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST = {"price": 0, "stock": 0, "updated_at": _EPOCH, "created_at": _EPOCH}
"""Products have these at least; deleted ones have none."""

_A_PRODUCTS = {"_id": {"$gte": UUID(int=0)}}
"""A product's id. Not the text that a kept place has: comparisons with a text meet texts alone, so a list that went on
behind one would leave out every product of the same value."""


def _index(name: str, *fields: str, **options: Any) -> IndexModel:
    return IndexModel([(field, ASCENDING) for field in fields], name=name, **options)


INDEXES = (
    _index("name_key_variant_key", *_NAME_ORDER, unique=True),
    _index("words", "words", *_NAME_ORDER),
    _index("facets_price", "facets", *_ORDERS["price"]),
    _index("facets_stock", "facets", *_ORDERS["stock"]),
    _index("updated", *_ORDERS["updated"]),
    _index("created", *_ORDERS["created"]),
    *(_index(row.name, row.name, sparse=True) for row in FILTERED),
    _index("deleted", "deleted.at", "_id", partialFilterExpression={"deleted.at": {"$exists": True}}),
    _index("move", "move.state", sparse=True),
    _index("purge_at", "purge_at", sparse=True, expireAfterSeconds=0),
    _index("history_item", "history.item", partialFilterExpression={"history.item": {"$exists": True}}),
    _index("history_import", "history.import", "_id", partialFilterExpression={"history.import": {"$exists": True}}),
)
"""Every filter is served in name order, category and tag by price and stock too;
``docs/explanation/architecture.md`` has the rest."""


def read_batch(products: Collection[Document], part: Slice, shard: str) -> Batch:
    """The first documents of a slice. Raises QueryTooBroad."""
    documents: list[Document] = []
    products = products.with_options(read_concern=_ONE_INSTANT)
    shown = projection(part.fields) | dict.fromkeys(["name_key", *_ORDERS[part.query.sort.by]], 1)
    not_before = part.not_before if products.read_preference == ReadPreference.PRIMARY else 0  # others may be behind
    since = as_timestamp(not_before) if not_before else None  # the server refuses a time of null
    order, is_whole = _sort(part.query), True
    with _at_most(LIST_SECONDS, products, not_before):
        for condition in _conditions(part):
            wanted = part.limit - len(documents)
            if wanted and is_whole:
                found, is_whole = find_at_once(products, condition, shown, most=wanted, order=order, not_before=since)
                documents += found
    goes_on = len(documents) == part.limit or not is_whole
    end = _position(documents[-1], part.query) if goes_on else None
    return Batch([_row(document, part, shard) for document in visible(documents, part)], end)


@contextmanager
def _at_most(seconds: float, products: Collection[Document], not_before: int = 0) -> Iterator[None]:
    """Give a question up after so long.

    Raises QueryTooBroad, unless it is the request's own budget that has ended, or the server that does not answer;
    InvalidCursor for a time that is yet to come: no list of ours began then.
    """
    mine, primary = remaining() > seconds, products.database.client.primary
    try:
        with pymongo.timeout(seconds):  # the request's own budget, where less is left of it
            yield
    except PyMongoError as error:  # the server's own timeout, or ours just before it
        if not_before and isinstance(error, OperationFailure) and error.code == _INVALID_OPTIONS:
            raise InvalidCursor(hint="Start again from the first page") from None
        if not (error.timeout and mine and primary == products.database.client.primary):
            raise
        if not_before and not _has_snapshot(products, not_before):
            raise
        raise QueryTooBroad(hint="Narrow it with a filter or a longer word, or sort it by name") from None


@contextmanager
def _session_at(products: Collection[Document], not_before: int) -> Iterator[ClientSession]:
    """A session that reads nothing older; where no time is known yet (0), as of any."""
    with products.database.client.start_session() as session:
        if not_before:  # the server refuses a time of null
            session.advance_operation_time(as_timestamp(not_before))
        yield session


def _has_snapshot(products: Collection[Document], not_before: int) -> bool:
    """Whether the server can be read as of this time at once: without a majority it waits, whatever it is asked."""
    try:
        with pymongo.timeout(GLANCE_SECONDS), _session_at(products, not_before) as session:
            products.find_one({"_id": None}, session=session)
    except PyMongoError:
        return False
    return True


def count_matches(products: Collection[Document], query: Query, most: int) -> int:
    """How many products fit, counted up to ``most``; what a move has left or not yet brought does not count."""
    wanted = _fits(query)
    with _at_most(GLANCE_SECONDS, products):
        documents = products.count_documents(wanted, limit=most)
        hidden = products.count_documents({"$and": [wanted, {"$or": _hidden(query)}]}, limit=most)
    return documents - hidden


def read_labels(products: Collection[Document], query: Query, most: int) -> list[tuple[str, Sequence[str]]]:
    """Category and tags of products that fit; of a query that asks for nothing at random where there are more."""
    wanted, shown = {"$and": [_fits(query), {"$nor": _hidden(query)}]}, {"_id": 0, "category": 1, "tags": 1}
    with _at_most(GLANCE_SECONDS, products):
        found = list(products.find(wanted, shown, limit=most, batch_size=most))
        if len(found) == most and query == Query(sort=query.sort):
            found = _some(products, most, shown)
    return [(document.get("category", ""), document.get("tags", ())) for document in found]


def read_names(products: Collection[Document], beginning: str, most: int) -> list[str]:
    """Names and presentations of products that have a word which begins so, or of any."""
    shown = {"_id": 0, "name": 1, "variant": 1}
    with _at_most(GLANCE_SECONDS, products):
        found = (
            list(products.find({"words": beginning, **_SHOWN}, shown, limit=most))
            if beginning
            else _some(products, most, shown)
        )
    return [f"{document['name']} {document.get('variant', '')}" for document in found]


def _some(products: Collection[Document], most: int, shown: Document) -> list[Document]:
    """Products drawn at random: the server jumps to them, whatever there is."""
    steps: list[Document] = [
        {"$sample": {"size": most}},
        {"$match": {**_LIVE, **_SHOWN, "$nor": [_ELSEWHERE]}},
        {"$project": shown},
    ]
    return list(products.aggregate(steps))


def _fits(query: Query) -> Document:
    """A query's filters, without an order. Deleted products have nothing that could fit one."""
    return {"$and": list(_wanted(replace(query, sort=Sort()))) or [_LIVE]}


def _hidden(query: Query) -> list[Document]:
    """What a query's filters find and no list shows."""
    return [_ELSEWHERE] if query.is_of_drills else [_ELSEWHERE, _OF_DRILLS]


def _row(document: Document, part: Slice, shard: str) -> ListRow:
    row = ListRow(_position(document, part.query), values_of(document, part.fields, shard), document["_id"])
    if "move" in document or "moves" in document:  # hardly any
        move = as_move(document)
        product_id = move.product_id if move else row.product_id
        row = replace(row, product_id=product_id, move=move, completed_moves=as_completed_moves(document))
    return row


def visible(documents: Sequence[Document], part: Slice) -> Iterator[Document]:
    """Those of a shard's documents that are products of this list."""
    if part.query.sort.by == "name":
        yield from documents
    else:
        yield from (d for d in documents if covers(part.ranges, d["name_key"]))


def _conditions(part: Slice) -> list[Document]:
    """What the documents have: one condition after the other, in the order of the list.

    After a place there are two, the products that are equal in what is sorted by, and those that are not: each is one
    stretch of an index, however many products have the same price. Few have the same name: there it is one.
    """
    beyond = "$lt" if part.query.sort.descending else "$gt"
    field, tie = _ORDERS[part.query.sort.by]
    wanted = [*_wanted(part.query), *([] if part.query.is_of_drills else [_SHOWN])]
    if field == "name_key":
        return [{"$and": [*wanted, *_in_range(part)]}]
    wanted.append(_A_PRODUCTS)  # which came back stands for itself: its old location is only one by name
    if part.after is None:
        return [{"$and": [*wanted, {field: {"$gte": _LEAST[field]}}]}]
    place, last = part.after
    value = Decimal128(place) if isinstance(place, Decimal) else place
    equal, different = {field: value, tie: {beyond: last}}, {field: {beyond: value}}
    return [{"$and": [*wanted, equal]}, {"$and": [*wanted, different]}]


def _in_range(part: Slice) -> Iterator[Document]:
    (owned,) = part.ranges
    yield {"name_key": {"$gte": owned.lower, "$lt": owned.upper or LAST}}  # what begins with LAST only keeps a place
    if part.after:
        name, variant = part.after
        beyond, same = ("$gt", {"$gte": variant})
        if part.query.sort.descending:
            beyond, same = ("$lt", {"$lt": f"{variant}{_AFTER_MARK}"})
        yield {"name_key": {f"{beyond}e": name}}
        yield {"$or": [{"name_key": {beyond: name}}, {"name_key": name, "variant_key": same}]}


def _wanted(query: Query) -> Iterator[Document]:
    """The query's filters."""
    for term, beginning in to_be_met(query.words):
        if term:
            yield {"words": term}
        if beginning:
            lower, upper = prefix_range(beginning)
            begins = {"$elemMatch": {"$gte": lower, "$lt": upper}}
            yield {"$or": [{"long_words": begins}, {"words": begins}]}
    for name, spellings in query.codes:
        yield {name: {"$in": list(spellings)}}
    yield from _facets(query)
    if query.active:
        yield {"active": True}
    bounds: dict[str, Document] = {
        "price": {"$gte": _decimal(query.price_min), "$lte": _decimal(query.price_max)},
        "stock": {"$gte": query.stock_min, "$lte": query.stock_max},
        "updated_at": {"$gte": query.updated_since},
    }
    for field, bound in bounds.items():
        given = {operator: value for operator, value in bound.items() if value is not None}
        if given:
            yield {field: given}


def _facets(query: Query) -> Iterator[Document]:
    """Category, tags and state: words in name order, facets where the order or a filter is by price or stock."""
    terms = [tag_term(tag) for tag in query.tags]
    if query.category is not None:
        terms.append(category_term(query.category))
    if query.active is False:
        terms.append(INACTIVE)
    faceted = query.sort.by in _FACETED
    if terms and not faceted:
        yield {"words": {"$all": terms}}
    bounds = (query.price_min, query.price_max, query.stock_min, query.stock_max)
    if faceted or any(bound is not None for bound in bounds):
        yield {"facets": {"$all": terms or [ANY]}}


def _decimal(price: Decimal | None) -> Decimal128 | None:
    return None if price is None else Decimal128(price)


def _sort(query: Query) -> list[tuple[str, int]]:
    direction = DESCENDING if query.sort.descending else ASCENDING
    return [(field, direction) for field in _ORDERS[query.sort.by]]


def projection(fields: tuple[str, ...]) -> dict[str, int]:
    """What is read of a product of which these fields are asked for: what it is to moves, too."""
    stored = {"_id" if field == "id" else field for field in fields} - {"shard"}
    return dict.fromkeys(["_id", *stored, "move", "moves"], 1)


def _position(document: Document, query: Query) -> Position:
    field, tie = _ORDERS[query.sort.by]
    value = document[field]
    if field == "name_key":
        return value, document[tie].partition(MARK)[0]
    return (value.to_decimal() if isinstance(value, Decimal128) else value), document[tie]


_DEFAULTS = tuple(STORED_DEFAULTS.items())


def values_of(document: Document, fields: tuple[str, ...], shard: str) -> dict[str, Any]:
    """The fields that were asked for, as ``Product`` has them; takes the document over.

    Most values are as they should be, so only the others are touched: this is half of what a page costs beside MongoDB.
    """
    document["shard"] = shard
    for name, default in _DEFAULTS:
        document.setdefault(name, default)
    if "_id" in document:
        document["id"] = document["_id"]
    if "price" in document:
        document["price"] = as_decimal(document["price"].bid)
    if "tags" in document:
        document["tags"] = tuple(document["tags"])
    return {name: document[name] for name in fields}


@lru_cache(maxsize=10_000)
def as_decimal(bid: bytes) -> Decimal:
    """A price; many products have the same, and reading one takes longer than finding it here."""
    return Decimal128.from_bid(bid).to_decimal()
