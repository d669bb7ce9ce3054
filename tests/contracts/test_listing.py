"""Lists over two shards: search, filters, orders, cursors, fields."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest

from prodcore.catalog import Query, Sort, search_words
from prodcore.catalog.finding import Matches, count_matches, cursor_before, facets, other_spellings, with_code
from prodcore.catalog.listing import decode_cursor, encode_cursor
from prodcore.catalog.stores import SORTS, TRAFFIC_CATEGORY
from prodcore.deadline import budget
from prodcore.errors import InvalidCursor, InvalidInput, ShardNotFound, ShardUnavailable
from tests.support.products import (
    A_TO_M,
    ANA,
    EVA,
    N_TO_Z,
    draft,
    everything,
    fill,
    names,
    pages,
    patch,
    products_with_equals,
)


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
    "two letters": (Query(search_words("le")), lambda p: p.key[0].startswith("le")),
    "word": (Query(search_words("lec")), lambda p: any(w.startswith("lec") for w in p.key[0].split())),
    "words": (
        Query(search_words("l caf")),
        lambda p: {"l", "caf"} <= {w[:n] for w in p.key[0].split() for n in (1, 3)},
    ),
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
@pytest.mark.parametrize("limit", [1, 7, 50, 119])
def test_the_page_before_is_the_one_that_was_read_before(filled, made, sort, limit):
    query = Query(sort=Sort.parse(sort))
    forward = list(pages(filled, query, limit))
    assert forward[0].before is None
    for earlier, page in pairwise(forward):
        cursor = cursor_before(filled, query, page.before, limit)
        assert filled.page(query, cursor=cursor, limit=limit).items == earlier.items
        assert (cursor is None) == (earlier is forward[0])


def test_a_short_first_page_is_no_page_before(filled):
    start = filled.page(Query(), limit=3)
    page = filled.page(Query(), cursor=start.next_cursor, limit=10)
    assert cursor_before(filled, Query(), page.before, 10) is None


def test_a_place_of_another_list_is_no_page_before(filled):
    page = filled.page(Query(), cursor=filled.page(Query(), limit=3).next_cursor, limit=3)
    with pytest.raises(InvalidCursor):
        cursor_before(filled, Query(active=True), page.before, 3)


@pytest.mark.parametrize("sort", ["name", "-price"])
def test_a_list_that_began_at_a_time_that_is_yet_to_come_is_no_list_of_ours(filled, sort):
    query = Query(sort=Sort.parse(sort))
    made = decode_cursor(filled.page(query, limit=3).next_cursor, query)
    later = {shard: time + (3600 << 32) for shard, time in filled.moves.times().items()}
    with pytest.raises(InvalidCursor):
        filled.page(query, cursor=encode_cursor(replace(made, times=later), query), limit=3)


@pytest.mark.parametrize("sort", ["name", "stock", "-updated"])
def test_records_of_a_running_drill_are_in_no_list_but_their_own(catalog, sort):
    catalog.create(draft("Arroz simulado", category="Cocina"), ANA)
    for n in range(3):
        catalog.create(draft(f"Arroz {n} simulado", category=TRAFFIC_CATEGORY, stock=n), ANA)
    for query in (Query(), Query(words=("simulado",)), Query(stock_max=5)):
        query = replace(query, sort=Sort.parse(sort))
        assert names(catalog.page(query)) == ["Arroz simulado"]
        assert count_matches(catalog, query) == Matches(1)
        assert [facet.value for facet in facets(catalog, query).categories] == ["Cocina"]
    own = Query(category="Prodctl FAILOVER-test", sort=Sort.parse(sort))
    assert len(catalog.page(own).items) == count_matches(catalog, own).products == 3


@pytest.mark.parametrize("name", _FILTERS)
def test_matches_are_counted_up_to_a_bound(filled, made, name):
    query, holds = _FILTERS[name]
    expected = sum(map(holds, made))
    assert count_matches(filled, query) == Matches(expected)
    found = count_matches(filled, query, 2)
    assert found.more
    assert 2 <= found.products <= min(4, expected)


def test_deleted_and_moved_products_are_counted_where_they_are(filled, made):
    first, second = (product for product in made[:2])
    filled.delete(first.id, ANA, first.version)
    target = "Zumo movido" if second.shard == "rsA" else "Azúcar movida"
    filled.edit(second.id, patch(name=target), ANA, second.version)
    assert count_matches(filled, Query()) == Matches(len(made) - 1)
    assert count_matches(filled, Query(search_words("mov"))) == Matches(1)


def test_a_list_is_narrowed_by_the_labels_that_its_products_have(filled, made):
    found = facets(filled, Query())
    assert {facet.value: facet.matches.products for facet in found.categories} == {
        category: sum(product.category == category for product in made) for category in ("Lácteos", "Despensa")
    }
    assert {facet.value for facet in found.tags} == {"bio", "sin gluten", "Ñ, y coma"}
    narrowed = facets(filled, Query(category="despensa", tags=("BIO",)))
    assert narrowed.categories == ()
    assert {facet.value: facet.matches.products for facet in narrowed.tags} == {
        tag: sum({"bio", tag} <= {*product.tags} and product.category == "Despensa" for product in made)
        for tag in ("sin gluten", "Ñ, y coma")
    }


def test_a_code_is_found_in_any_shard_in_capitals_and_with_zeros(catalog):
    tea = catalog.create(draft("Té", sku="Te-1", barcode="0012345678905"), ANA)
    rice = catalog.create(draft("Arroz", barcode="012345678905"), ANA)
    bread = catalog.create(draft("Pan", sku="PAN-1"), ANA)
    catalog.create(draft("Café", sku="TE-10"), ANA)

    def found(typed):
        return {values["id"] for values in with_code(catalog, typed, ("id",))}

    assert found("Te-1") == {tea.id}
    assert found("012345678905") == {tea.id, rice.id}
    assert found("pan-1") == {bread.id}
    assert [no_code for no_code in ("PAN 1", "café", "", "012345678906", "x" * 200) if found(no_code)] == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("azuca", None), ("azukar", "azúcar"), ("quezo", "queso"), ("lehce arroz", "leche arroz"), ("xyzxyz", None)],
)
def test_another_spelling_is_proposed_where_it_finds_something(filled, typed, meant):
    found = other_spellings(filled, Query(search_words(typed)))
    assert (meant in found) if meant else found in ([], [typed])


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
