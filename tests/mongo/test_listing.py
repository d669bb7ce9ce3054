"""Lists over two real replica sets: search, filters, orders, cursors, fields."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from prodcore.catalog import Catalog, Query, Sort, search_words
from prodcore.catalog.stores import SORTS
from prodcore.deadline import budget
from prodcore.errors import InvalidCursor, InvalidInput, QueryTooBroad, ShardUnavailable
from prodcore.mongo.products import query as product_query
from prodcore.routing import DEFAULT_MAP
from tests.support.products import ANA, EVA, draft, names

A_TO_M = ["Arroz", "Café", "Manzana", "Águila"]
N_TO_Z = ["Naranja", "Pan", "Zanahoria", "Ñandú", "7up"]


def pages(catalog, query=None, limit=50):
    """All pages, one after the other."""
    cursor = None
    while True:
        page = catalog.page(query or Query(), cursor=cursor, limit=limit)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


def everything(catalog, query=None, limit=50):
    return [product for page in pages(catalog, query, limit) for product in page.items]


@pytest.fixture(scope="module")
def made():
    """Products with many equal prices, stocks and times."""
    chance = random.Random(4)  # noqa: S311  a test's own dice
    moments = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    words = ["arroz", "azúcar", "café", "leche", "maíz", "nata", "ñora", "pan", "queso", "zumo"]
    products = []
    catalog = Catalog(DEFAULT_MAP, {}, clock=lambda: chance.choice(moments))
    for number in range(120):
        name = f"{chance.choice(words)} {chance.choice(words)}"
        fields = {
            "variant": f"{number}",
            "category": chance.choice(["", "Lácteos", "Despensa"]),
            "tags": chance.sample(["bio", "sin gluten", "Ñ, y coma"], chance.randint(0, 2)),
            "price": chance.choice(["0", "1", "1.00", "2.5", "10"]),
            "stock": chance.choice([0, 0, 5, 40]),
            "active": chance.random() < 0.8,
        }
        product_id = UUID(int=chance.getrandbits(128), version=4)
        products.append(catalog.draft(draft(name, **fields), ANA, product_id))
    return products


@pytest.fixture
def filled(catalog, made):
    """The catalogue with ``made``, each in its shard."""
    for shard in catalog.shard_map.shards:
        catalog.store(shard).insert_many([product for product in made if product.shard == shard])
    return catalog


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


def test_name_order_asks_only_the_shards_that_the_page_is_made_of(catalog, raw_clients):
    for name in A_TO_M + N_TO_Z:
        catalog.create(draft(name), ANA)

    def queries():
        return {n: c.admin.command("serverStatus")["opcounters"]["query"] for n, c in raw_clients.items()}

    first = catalog.page(limit=2)
    before = queries()
    catalog.page(limit=2, cursor=first.next_cursor)
    after = queries()
    assert (after["rsA"] - before["rsA"], after["rsB"] - before["rsB"]) == (1, 0)


def test_edited_category_tags_and_state_are_found_anew(catalog):
    made = catalog.create(draft("Pan", category="Horno", tags=["bio"]), ANA)
    changed = {"category": "Panadería", "tags": ("fresco",), "active": False}
    catalog.store_changed(made, changed, ANA)
    for query in (Query(category="horno"), Query(tags=("bio",)), Query(active=True)):
        assert names(catalog.page(query)) == []
    for query in (Query(category="panaderia"), Query(tags=("FRESCO",)), Query(active=False)):
        assert names(catalog.page(query)) == ["Pan"]
        assert names(catalog.page(replace(query, sort=Sort("price")))) == ["Pan"]


def test_only_the_fields_that_are_asked_for_are_read(filled, raw_clients):
    database = raw_clients["rsA"]["products_db"]
    database.command("profile", 2)
    try:
        page = filled.rows(Query(shard="rsA"), fields=("price", "name", "sku"), limit=3)
    finally:
        database.command("profile", 0)
    paged = {"command.find": "products", "command.limit": {"$exists": True}, "command.projection.name": 1}  # no sweep
    asked = list(database["system.profile"].find(paged).sort("ts", -1).limit(1))
    database["system.profile"].drop()
    assert [set(values) for values in page.items] == [{"price", "name", "sku"}] * 3
    assert set(asked[0]["command"]["projection"]) == {
        "_id",
        "move",
        "moves",
        "price",
        "name",
        "sku",
        "name_key",
        "variant_key",
    }


def test_cursor_of_another_list_odd_limits_and_unknown_shards_are_refused(filled):
    page = filled.page(limit=1)
    for other in (Query(("a",)), Query(category="x"), Query(sort=Sort("price")), Query(sort=Sort("name", True))):
        with pytest.raises(InvalidCursor):
            filled.page(other, limit=1, cursor=page.next_cursor)
    for limit in (0, -1, 201):
        with pytest.raises(InvalidInput):
            filled.page(limit=limit)
    with pytest.raises(InvalidInput) as caught:
        filled.page(Query(shard="rsX"))
    assert caught.value.problems[0].field == "shard"


def test_documents_that_only_keep_a_place_are_in_no_list(catalog, raw_products):
    catalog.create(draft("Zumo"), ANA)
    raw_products["rsB"].insert_one({"name_key": "\U0010ffff1", "variant_key": "", "deleted": {"product": {}}})
    for sort in SORTS:
        assert [p.name for p in everything(catalog, Query(sort=Sort.parse(sort)))] == ["Zumo"]


def test_documents_outside_the_ranges_of_their_shard_are_in_no_list(filled, made, raw_products):
    strays = list(raw_products["rsB"].find().limit(5))
    raw_products["rsA"].insert_many(strays)
    for sort in SORTS:
        assert len(everything(filled, Query(sort=Sort.parse(sort)), 10)) == len(made)


def test_reading_goes_on_where_a_whole_batch_is_not_to_be_seen(filled, made, raw_products):
    """More strays than a page has places, at the head of the list."""
    stray = raw_products["rsB"].find_one()
    strays = [{**stray, "_id": UUID(int=i), "variant_key": f"{i}", "price": -1} for i in range(1, 40)]
    raw_products["rsA"].insert_many([{**s, "price": stray["price"]} for s in strays])
    read = everything(filled, Query(sort=Sort("price")), limit=5)
    assert len(read) == len(made)


def test_partial_page_names_the_silent_shards_and_may_be_refused(filled):
    with budget(0):
        page = filled.page()
    assert (page.items, page.unavailable) == ((), ("rsA", "rsB"))
    with pytest.raises(ShardUnavailable, match="rsA, rsB"):
        page.require_all()


def test_list_that_takes_too_long_says_how_to_narrow_it(filled, monkeypatch):
    monkeypatch.setattr(product_query, "LIST_SECONDS", 1e-6)
    with pytest.raises(QueryTooBroad) as caught:
        filled.page(Query(search_words("a"), sort=Sort("price")))
    assert "Narrow" in caught.value.hint


@pytest.mark.parametrize(
    "query",
    [
        Query(),
        Query(search_words("leche")),
        Query(search_words("lec")),
        Query(category="lácteos"),
        Query(tags=("bio", "sin gluten")),
        Query(active=False),
        Query(sort=Sort("price")),
        Query(sort=Sort("price", descending=True), category="lácteos"),
        Query(sort=Sort("price"), tags=("bio",)),
        Query(sort=Sort("price"), price_min=Decimal(2)),
        Query(sort=Sort("stock"), category="despensa", stock_max=0),
        Query(sort=Sort("updated", descending=True)),
        Query(sort=Sort("created")),
    ],
    ids=str,
)
def test_no_common_list_is_sorted_in_memory(filled, raw_clients, query):
    """The server's own plan of the second page, as the profiler saw it: an index gives the order."""
    first = filled.page(replace(query, shard="rsA"), limit=2)
    assert first.next_cursor
    database = raw_clients["rsA"]["products_db"]
    database.command("profile", 2)
    try:
        filled.page(replace(query, shard="rsA"), limit=2, cursor=first.next_cursor)
    finally:
        database.command("profile", 0)
    plans = list(database["system.profile"].find({"command.find": "products"}))
    database["system.profile"].drop()
    assert plans
    assert not any(plan.get("hasSortStage") for plan in plans)
    assert all("COLLSCAN" not in plan["planSummary"] for plan in plans)
