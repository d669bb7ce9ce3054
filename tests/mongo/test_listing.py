"""What lists ask MongoDB: which shards, fields and indexes; and documents that are in no list."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from pymongo.write_concern import WriteConcern

from prodcore.catalog import Query, Sort, search_words
from prodcore.catalog.stores import SORTS, Slice
from prodcore.deadline import budget
from prodcore.errors import QueryTooBroad, Unavailable
from prodcore.mongo.client.replica_set import ReplicaSet
from prodcore.mongo.products import query as product_query
from tests.support.faults import without_majority
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


def test_list_is_read_before_it_is_known_what_a_majority_has(catalog, monkeypatch):
    """By a process that has just started, of a set whose members all died: nobody has told it a time yet."""
    catalog.create(draft("Arroz"), ANA)
    monkeypatch.setattr(ReplicaSet, "known_time", 0)
    for sort in ("name", "-stock"):
        assert [p.name for p in catalog.page(Query(sort=Sort.parse(sort))).items] == ["Arroz"]


def test_list_of_a_set_without_majority_is_not_called_too_broad(
    catalog, raw_clients, raw_products, direct_client, monkeypatch
):
    """The server waits for what it is not to miss, whatever it is asked."""
    monkeypatch.setattr(product_query, "LIST_SECONDS", 0.5)
    catalog.create(draft("Arroz"), ANA)
    ahead = raw_products["rsA"].with_options(write_concern=WriteConcern(w=1))
    with without_majority(raw_clients, direct_client, "rsA"), raw_clients["rsA"].start_session() as session:
        ahead.update_one({"name": "Arroz"}, {"$set": {"stock": 5}}, session=session)
        at = session.operation_time.time << 32 | session.operation_time.inc
        part = Slice(Query(sort=Sort("stock")), catalog.shard_map.held_by("rsA"), None, 8, ("name",), not_before=at)
        with budget(2.0), pytest.raises(Unavailable):
            catalog.store("rsA").page(part)
    assert [row.values["name"] for row in catalog.store("rsA").page(part).rows] == ["Arroz"]


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
