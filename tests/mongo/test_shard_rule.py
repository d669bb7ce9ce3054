"""Each shard refuses what it does not own, whatever map a router has: the stored map says where it is written."""

from dataclasses import replace
from uuid import uuid4

import pytest
from pymongo.errors import WriteError

from prodcore.app.shards import open_shards
from prodcore.app.wiring import open_catalog, preparation_lacks, prepare_cluster
from prodcore.catalog import Catalog
from prodcore.catalog.upsert import new_item, upsert
from prodcore.errors import Conflict, StaleShardMap
from prodcore.mongo.products.document import as_document
from prodcore.product.model import ProductPatch
from prodcore.routing import Range, ShardMap
from prodcore.settings import load_settings
from prodcore.support.validation import validate
from tests.support.products import ANA, draft

OTHER = ShardMap(2, (Range("", "a", "rsB"), Range("a", "g", "rsA"), Range("g", None, "rsB")))
"""g… to m… are rsB's, and were rsA's by the first map."""


@pytest.fixture
def operator(cluster):
    return load_settings(**cluster.addresses("operator"))


@pytest.fixture
def shards(operator, put_back_map, raw_products):
    """All shards, without products, with the first map, which is put back at the end."""
    with open_shards(operator) as opened:
        yield opened


@pytest.fixture
def router(shards, settings):
    """A process that has the first map when the owners change."""
    with open_catalog(settings) as catalog:
        yield catalog


@pytest.fixture
def change_owners(shards):
    def change():
        assert shards.maps.swap(1, OTHER)
        for name, store in shards.owned.items():
            store.save(2, OTHER.owned_by(name))

    return change


@pytest.fixture
def lost(router):
    """The same router, where no newer map is to be had."""
    stores = {shard: router.store(shard) for shard in router.shard_map.shards}
    return Catalog(router.shard_map, stores, router.claims.store)


def patch(**changes):
    return validate(ProductPatch, changes)


def test_new_cluster_refuses_a_name_in_the_shard_that_does_not_own_it(shards, raw_products, catalog):
    for shard, name in (("rsA", "Zumo"), ("rsA", "7up"), ("rsA", "Ñandú"), ("rsB", "Arroz"), ("rsB", "Manzana")):
        with pytest.raises(WriteError) as refused:
            raw_products[shard].insert_one(as_document(catalog.draft(draft(name), ANA)))
        assert refused.value.code == 121
    assert list(shards.findings(lambda _looked: None)) == []


def test_router_with_an_old_map_creates_by_the_stored_one(router, change_owners, raw_products):
    change_owners()
    made = router.create(draft("Gato", sku="G-1"), ANA)
    assert (made.shard, router.shard_map) == ("rsB", OTHER)
    entered = router.create(draft("Higo"), ANA, uuid4())
    assert entered.shard == "rsB"
    assert raw_products["rsA"].count_documents({}) == 0
    assert router.get(made.id).name == "Gato"


def test_router_with_an_old_map_renames_and_imports_by_the_stored_one(router, change_owners, raw_products):
    ids = [router.create(draft(name), ANA).id for name in ("Arroz", "Zumo")]
    change_owners()
    first, second = (router.edit(i, patch(name=f"Gato {n}"), ANA, 1) for n, i in enumerate(ids))
    assert (first.shard, second.shard) == ("rsB", "rsB")
    assert raw_products["rsA"].count_documents({"move.state": {"$ne": "moved"}}) == 0


def test_import_of_a_router_with_an_old_map_goes_where_the_stored_one_says(router, change_owners, raw_products):
    change_owners()
    items = [new_item({"name": name, "price": "1"}) for name in ("Arroz", "Gato", "Higo", "Zumo")]
    assert [o.status for o in upsert(router, items, ANA)] == ["created"] * 4
    assert sorted(d["name"] for d in raw_products["rsA"].find()) == ["Arroz"]
    assert sorted(d["name"] for d in raw_products["rsB"].find()) == ["Gato", "Higo", "Zumo"]


def test_router_that_can_read_no_newer_map_writes_nothing_and_says_so(lost, change_owners, raw_products):
    rice, juice = (lost.create(draft(name), ANA) for name in ("Arroz", "Zumo"))
    change_owners()
    for write in (
        lambda: lost.create(draft("Gato", sku="G-1"), ANA),
        lambda: lost.create(draft("Gato"), ANA, uuid4()),
        lambda: lost.edit(rice.id, patch(name="Gato"), ANA, 1),
        lambda: lost.edit(juice.id, patch(name="Gato"), ANA, 1),
    ):
        with pytest.raises(StaleShardMap) as refused:
            write()
        assert refused.value.details["shard"] == "rsA"
        assert "rsA does not own the name 'Gato'" in refused.value.message
    (outcome,) = upsert(lost, [new_item({"name": "Gato", "price": "1"})], ANA)
    assert (outcome.status, outcome.error.code) == ("unavailable", "stale_shard_map")
    assert raw_products["rsA"].count_documents({}) + raw_products["rsB"].count_documents({}) == 2
    assert lost.edit(juice.id, patch(stock=7), ANA, 1).stock == 7  # no move of it was left unfinished


def test_products_of_before_the_change_can_be_edited_renamed_deleted_and_brought_home(
    router, change_owners, shards, raw_products
):
    kept, renamed, deleted = (router.create(draft(name), ANA) for name in ("Gato", "Higo", "Limón"))
    change_owners()
    kept = router.edit(kept.id, patch(stock=3), ANA, 1)
    assert router.edit(renamed.id, patch(name="Zumo"), ANA, 1).shard == "rsB"
    router.delete(deleted.id, ANA, 1)
    assert [f.kind for f in shards.findings(lambda _looked: None)] == ["misplaced"]
    assert [m.done for m in shards.mend(shards.findings(lambda _looked: None), dry_run=False)] == [True]
    assert raw_products["rsB"].find_one({"_id": kept.id})["stock"] == 3
    assert list(shards.findings(lambda _looked: None)) == []


def test_undone_rename_of_a_product_that_is_not_at_home_leaves_it_as_it_was(router, change_owners):
    stray = router.create(draft("Gato"), ANA)
    taken = router.create(draft("Zumo"), ANA)
    change_owners()
    with pytest.raises(Exception, match="exists already"):
        router.moves.move(replace(stray, name=taken.name, version=2), "rsA", "rsB")
    assert router.edit(stray.id, patch(stock=2), ANA, 1).stock == 2


def test_missing_rule_is_found_by_verify_and_by_the_upgrade_and_made(shards, raw_clients, operator, cluster):
    for mend in (
        lambda: list(shards.mend(shards.findings(lambda _looked: None), dry_run=False)),
        lambda: prepare_cluster(load_settings(**cluster.addresses("root"))),
    ):
        raw_clients["rsA"]["products_db"].command("collMod", "products", validator={}, validationLevel="strict")
        assert [(f.kind, f.shard) for f in shards.findings(lambda _looked: None)] == [("rule", "rsA")]
        assert [(action, what) for action, what, _why in preparation_lacks(operator)] == [("set", "the rule of rsA")]
        mend()
        assert list(shards.findings(lambda _looked: None)) == []
        assert list(preparation_lacks(operator)) == []


def test_only_operators_may_change_the_rule(settings, put_back_map):
    with open_shards(settings) as of_web, pytest.raises(Conflict, match="may not set its rule") as refused:
        of_web.owned["rsA"].save(2, OTHER.owned_by("rsA"))
    assert "local up" in refused.value.hint


def test_rule_of_an_older_map_does_not_stay_over_that_of_a_newer_one(shards, change_owners, raw_products, catalog):
    change_owners()
    shards.owned["rsA"].save(1, catalog.shard_map.owned_by("rsA"))  # whoever is late
    assert shards.owned["rsA"].load() == (2, OTHER.owned_by("rsA"))
    with pytest.raises(WriteError):
        raw_products["rsA"].insert_one(as_document(catalog.draft(draft("Gato"), ANA)))


def test_split_changes_no_rule(shards, raw_clients):
    def rule():
        (products,) = raw_clients["rsA"]["products_db"].list_collections(filter={"name": "products"})
        return products["options"]

    before = rule()
    shards.split("g")
    assert rule() == before
    assert list(shards.findings(lambda _looked: None)) == []
