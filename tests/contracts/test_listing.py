"""Lists over two shards: search, filters, orders, cursors, fields."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from prodcore.catalog import Query, Sort, search_words
from prodcore.catalog.stores import SORTS
from prodcore.deadline import budget
from prodcore.errors import InvalidCursor, InvalidInput, ShardNotFound, ShardUnavailable
from tests.support.products import A_TO_M, ANA, EVA, N_TO_Z, draft, everything, fill, names, pages, products_with_equals


@pytest.fixture(scope="module")
def made():
    return products_with_equals()


@pytest.fixture
def filled(catalog, made):
    """The catalogue with ``made``, each in its shard."""
    return fill(catalog, made)


_ORDER = {
    "name": lambda p: p.key,
    "price": lambda p: (p.price, p.id),
    "stock": lambda p: (p.stock, p.id),
    "updated": lambda p: (p.updated_at, p.id),
    "created": lambda p: (p.created_at, p.id),
}

_FILTERS = {
    "none": (Query(), lambda p: True),
    "category": (Query(category="LACTEOS"), lambda p: p.category == "Lácteos"),
    "no category": (Query(category=""), lambda p: not p.category),
    "tag": (Query(tags=("BIO",)), lambda p: "bio" in p.tags),
    "two tags": (Query(tags=("sin gluten", "ñ, Y coma")), lambda p: {"sin gluten", "Ñ, y coma"} <= {*p.tags}),
    "price": (Query(price_min=Decimal(1), price_max=Decimal("2.50")), lambda p: 1 <= p.price <= Decimal("2.5")),
    "stock": (Query(stock_max=0), lambda p: p.stock == 0),
    "at least in stock": (Query(stock_min=5), lambda p: p.stock >= 5),
    "active": (Query(active=True), lambda p: p.active),
    "inactive": (Query(active=False), lambda p: not p.active),
    "shard": (Query(shard="rsA"), lambda p: "a" <= p.key[0] < "n"),
    "updated": (Query(updated_since=datetime(2026, 1, 2, tzinfo=UTC)), lambda p: p.updated_at.day >= 2),
    "word": (Query(search_words("le")), lambda p: any(w.startswith("le") for w in p.key[0].split())),
    "whole word": (Query(search_words("LECHE")), lambda p: "leche" in p.key[0].split()),
    "ñ": (Query(search_words("ñor")), lambda p: "ñora" in p.name.split()),
    "all": (
        Query(search_words("caf"), category="despensa", price_max=Decimal(5), stock_min=0, active=True),
        lambda p: "cafe" in p.key[0].split() and p.category == "Despensa" and p.price <= 5 and p.active,
    ),
}


@pytest.mark.parametrize("sort", SORTS)
def test_every_filter_in_every_order_gives_what_plain_python_gives(filled, made, sort):
    order = Sort.parse(sort)
    for name, (query, holds) in _FILTERS.items():
        expected = sorted(filter(holds, made), key=_ORDER[order.by], reverse=order.descending)
        assert name == "none" or 0 < len(expected) < len(made), name
        found = everything(filled, replace(query, sort=order), limit=7)
        assert [p.id for p in found] == [p.id for p in expected], (sort, name)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 50, 119, 120, 121, 200])
def test_pages_of_any_size_make_the_same_list(filled, made, sort, limit):
    order = Sort.parse(sort)
    expected = sorted(made, key=_ORDER[order.by], reverse=order.descending)
    read = list(pages(filled, Query(sort=order), limit))
    assert [p.id for page in read for p in page.items] == [p.id for p in expected]
    assert all(len(page.items) == limit for page in read[:-1])


@pytest.mark.parametrize("sort", SORTS)
def test_who_stays_is_listed_once_while_others_come_and_go(filled, made, sort):
    order = Sort.parse(sort)
    staying = {p.id for p in made[::2]}
    leaving = iter(made[1::2])
    seen = []
    for number, page in enumerate(pages(filled, Query(sort=order), 9)):
        seen += [p.id for p in page.items]
        gone = next(leaving)
        filled.delete(gone.id, ANA, 1)
        filled.create(draft(f"nuevo {number}", price="1", stock=5), EVA)
        filled.create(draft(f"bueno {number}", price="10"), EVA)
    kept = [product_id for product_id in seen if product_id in staying]
    assert len(kept) == len(set(kept)) == len(staying)


def test_list_is_in_key_order_over_both_shards(catalog):
    for name in reversed(A_TO_M + N_TO_Z):
        catalog.create(draft(name), ANA)
    expected = ["7up", "Águila", "Arroz", "Café", "Manzana", "Naranja", "Ñandú", "Pan", "Zanahoria"]
    assert [p.name for p in everything(catalog)] == expected
    assert [p.name for p in everything(catalog, Query(sort=Sort("name", descending=True)))] == expected[::-1]


def test_edited_category_tags_and_state_are_found_anew(catalog):
    made = catalog.create(draft("Pan", category="Horno", tags=["bio"]), ANA)
    changed = {"category": "Panadería", "tags": ("fresco",), "active": False}
    catalog.store_changed(made, changed, ANA)
    for query in (Query(category="horno"), Query(tags=("bio",)), Query(active=True)):
        assert names(catalog.page(query)) == []
    for query in (Query(category="panaderia"), Query(tags=("FRESCO",)), Query(active=False)):
        assert names(catalog.page(query)) == ["Pan"]
        assert names(catalog.page(replace(query, sort=Sort("price")))) == ["Pan"]


def test_cursor_of_another_list_odd_limits_and_unknown_shards_are_refused(filled):
    page = filled.page(limit=1)
    for other in (Query(("a",)), Query(category="x"), Query(sort=Sort("price")), Query(sort=Sort("name", True))):
        with pytest.raises(InvalidCursor):
            filled.page(other, limit=1, cursor=page.next_cursor)
    for limit in (0, -1, 201):
        with pytest.raises(InvalidInput):
            filled.page(limit=limit)
    with pytest.raises(ShardNotFound, match="there is no shard rsX; there are rsA, rsB"):
        filled.page(Query(shard="rsX"))


def test_partial_page_names_the_silent_shards_and_may_be_refused(filled):
    with budget(0):
        page = filled.page()
    assert (page.items, page.unavailable) == ((), ("rsA", "rsB"))
    with pytest.raises(ShardUnavailable, match="rsA, rsB"):
        page.require_all()
