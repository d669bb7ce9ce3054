"""What lists ask MongoDB: which shards, fields and indexes; and documents that are in no list."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from prodcore.catalog import Query, Sort, search_words
from prodcore.catalog.stores import SORTS
from prodcore.errors import QueryTooBroad
from prodcore.mongo.products import query as product_query
from tests.support.products import A_TO_M, ANA, N_TO_Z, draft, everything, fill, products_with_equals


@pytest.fixture(scope="module")
def made():
    return products_with_equals()


@pytest.fixture
def filled(catalog, made):
    """The catalogue with ``made``, each in its shard."""
    return fill(catalog, made)


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


def test_documents_that_only_keep_a_place_are_in_no_list(catalog, raw_products):
    catalog.create(draft("Zumo"), ANA)
    raw_products["rsB"].insert_one({"name_key": "\U0010ffff1", "variant_key": "", "deleted": {"product": {}}})
    for sort in SORTS:
        assert [p.name for p in everything(catalog, Query(sort=Sort.parse(sort)))] == ["Zumo"]


def test_documents_outside_the_ranges_of_their_shard_are_in_no_list(filled, made, raw_products):
    strays = list(raw_products["rsB"].find().limit(5))
    raw_products["rsA"].insert_many(strays, bypass_document_validation=True)
    for sort in SORTS:
        assert len(everything(filled, Query(sort=Sort.parse(sort)), 10)) == len(made)


def test_reading_goes_on_where_a_whole_batch_is_not_to_be_seen(filled, made, raw_products):
    """More strays than a page has places, at the head of the list."""
    stray = raw_products["rsB"].find_one()
    strays = [{**stray, "_id": UUID(int=i), "variant_key": f"{i}", "price": -1} for i in range(1, 40)]
    strays = [{**s, "price": stray["price"]} for s in strays]
    raw_products["rsA"].insert_many(strays, bypass_document_validation=True)
    read = everything(filled, Query(sort=Sort("price")), limit=5)
    assert len(read) == len(made)


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
