"""``shard verify`` finds each kind of fault that is planted, and nothing where there is none; ``repair`` mends some."""

import csv
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from bson.decimal128 import Decimal128

from campaigns import renames as campaign
from prodcore.app.shards import open_shards
from prodcore.catalog import Catalog
from prodcore.mongo.products.document import as_document
from prodcore.mongo.products.query import INDEXES
from prodcore.product.model import ProductPatch
from prodcore.routing import DEFAULT_MAP
from prodcore.settings import load_settings
from prodcore.sharding.verify import Verifier
from prodcore.support.validation import validate
from tests.support.catalogue import CATALOGUE, PRODUCTS
from tests.support.products import ANA, EVA, Killed, draft

_INDEXES = sorted(["_id_", *(index.document["name"] for index in INDEXES)])
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def shards(cluster, catalog, raw_clients, put_back_map):
    """All shards, without products; indexes and the map are made as they should be at the end."""
    with open_shards(load_settings(**cluster.addresses("operator"))) as opened:
        yield opened
    for name in ("rsA", "rsB"):
        products = raw_clients[name]["products_db"]["products"]
        if sorted(products.index_information()) != _INDEXES or products.estimated_document_count() > 1_000:
            products.drop()  # quicker than to delete so many; the indexes are made anew


@pytest.fixture
def verified(shards):
    def look():
        return list(shards.findings(lambda _looked: None))

    return look


@pytest.fixture
def repaired(shards):
    def mend(*, dry_run=False):
        return list(shards.mend(shards.findings(lambda _looked: None), dry_run=dry_run))

    return mend


@pytest.fixture
def made(catalog):
    """A few products on both sides, one of them deleted."""
    products = {name: catalog.create(draft(name), ANA) for name in ("Arroz", "Café", "Ñandú", "Zumo", "7up", "Huevos")}
    catalog.delete(products["Huevos"].id, ANA, 1)
    return products


def kinds(findings):
    return sorted(finding.kind for finding in findings)


def put_elsewhere(raw_products, source, target, product, **changes):
    """Put a copy of a product, with changes, into a shard past our own code; the copy."""
    copy = raw_products[source].find_one({"_id": product.id}) | changes
    raw_products[target].insert_one(copy, bypass_document_validation=True)
    return copy


def left_long_ago(catalog, step, made):
    """A rename from A to Z that died after a step, two minutes ago."""

    def die(name):
        if name == step:
            raise Killed

    stores = {shard: catalog.store(shard) for shard in catalog.shard_map.shards}
    ago = Catalog(
        catalog.shard_map,
        stores,
        catalog.claims.store,
        step=die,
        clock=lambda: datetime.now(UTC) - timedelta(minutes=2),
    )
    with pytest.raises(Killed):
        ago.edit(made.id, validate(ProductPatch, {"name": "Zanahoria"}), EVA, 1)


def test_clean_shards_have_no_finding(verified, made):
    assert verified() == []


def test_place_that_a_product_with_an_sku_left_is_no_finding(verified, made, catalog):
    given = catalog.edit(made["Arroz"].id, validate(ProductPatch, {"sku": "A-1"}), ANA, made["Arroz"].version)
    catalog.edit(given.id, validate(ProductPatch, {"name": "Zanahoria"}), ANA, given.version)
    assert verified() == []


@pytest.mark.timeout(240)
def test_no_false_alarm_in_a_whole_catalogue(shards, catalog, raw_products):
    by_key = {}
    with CATALOGUE.open(encoding="utf-8-sig") as file:
        for row in csv.DictReader(file, delimiter=";"):
            fields = {
                "variant": row["presentacion"],
                "category": row["categoria"],
                "tags": [t] if (t := row["subcategoria"][:50]) else [],
            }
            product = catalog.draft(draft(row["nombre"], **fields), ANA)
            by_key[product.key] = product
    for shard in raw_products:
        catalog.store(shard).insert_many([p for p in by_key.values() if p.shard == shard])
    for product in list(by_key.values())[:40]:
        catalog.delete(product.id, ANA, 1)
    for product in list(by_key.values())[40:80]:
        catalog.edit(product.id, validate(ProductPatch, {"name": f"Zz {product.name}"[:200]}), EVA, 1)
    looked = []
    assert list(shards.findings(looked.append)) == []
    assert looked[-1] >= len(by_key) == PRODUCTS
    assert looked == sorted(looked)


@pytest.mark.timeout(240)
def test_no_false_alarm_while_products_move(verified, catalog):
    ids = campaign.fill(catalog, 20)
    found, ended = [], threading.Event()

    def look():
        while not ended.is_set():
            found.extend(verified())

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(60):
        campaign.rename(catalog, catalog.get(ids[number % len(ids)]))
    ended.set()
    looking.join(60)
    assert found == []


def test_misplaced_product_is_found_and_moved_home(verified, repaired, made, raw_products, catalog):
    put_elsewhere(raw_products, "rsA", "rsB", made["Arroz"])
    raw_products["rsA"].delete_one({"_id": made["Arroz"].id})
    (finding,) = verified()
    assert (finding.kind, finding.shard, finding.product.name) == ("misplaced", "rsB", "Arroz")
    assert [(m.done, m.text) for m in repaired(dry_run=True)] == [(False, "would be repaired")]
    assert kinds(verified()) == ["misplaced"]
    assert [(m.done, m.text) for m in repaired()] == [(True, "moved to rsA")]
    assert verified() == []
    home = catalog.find("Arroz")
    assert (home.id, home.shard, home.version) == (made["Arroz"].id, "rsA", 2)
    assert [c.action for c in catalog.history(home.id)] == ["moved", "created"]


def test_misplaced_product_whose_name_is_taken_at_home_is_left(verified, repaired, made, raw_products):
    put_elsewhere(raw_products, "rsA", "rsB", made["Arroz"], _id=uuid4())
    assert kinds(verified()) == ["misplaced", "same_name"]
    assert [m.done for m in repaired()] == [False, False]
    assert kinds(verified()) == ["misplaced", "same_name"]


def test_one_id_in_two_shards_is_found_and_left(verified, repaired, made, raw_products, catalog):
    other = catalog.draft(draft("Pan"), ANA, made["Arroz"].id)
    raw_products["rsB"].insert_one(as_document(other))
    (finding,) = verified()
    assert (finding.kind, finding.shard, finding.product.id) == ("same_id", "rsA", made["Arroz"].id)
    assert [m.done for m in repaired()] == [False]
    assert kinds(verified()) == ["same_id"]


def test_deleted_product_whose_id_lives_in_another_shard_is_found(verified, made, raw_products, catalog):
    raw_products["rsB"].insert_one(as_document(catalog.draft(draft("Pan"), ANA, made["Huevos"].id)))
    (finding,) = verified()
    assert (finding.kind, finding.shard, finding.product.state) == ("same_id", "rsA", "deleted")


def test_one_sku_in_two_products_is_found_once(verified, repaired, made, raw_products):
    def give(shard, name):
        words = replace(made[name], sku="A-1").words
        raw_products[shard].update_one({"_id": made[name].id}, {"$set": {"sku": "A-1", "words": words}})

    give("rsA", "Arroz")
    give("rsB", "Zumo")
    assert kinds(verified()) == ["same_sku"]
    give("rsA", "Café")
    assert kinds(verified()) == ["same_sku"] * 3  # each with each
    assert [m.done for m in repaired()] == [False] * 3


def test_one_name_twice_in_a_shard_without_its_unique_index_is_found(verified, repaired, made, raw_products):
    raw_products["rsA"].drop_index("name_key_variant_key")
    put_elsewhere(raw_products, "rsA", "rsA", made["Arroz"], _id=uuid4())
    assert kinds(verified()) == ["index", "same_name"]
    mended = repaired()
    assert [m.done for m in mended] == [False, False]
    assert mended[0].text == "rsA cannot build it: two products have the same"


@pytest.mark.parametrize("step", ["intended", "received", "committed", "published"])
def test_unfinished_move_is_found_at_any_step_and_finished(verified, repaired, made, catalog, step):
    left_long_ago(catalog, step, made["Arroz"])
    (finding,) = verified()
    assert (finding.kind, finding.shard) == ("unfinished_move", "rsA")
    assert [m.done for m in repaired()] == [True]
    assert verified() == []
    assert catalog.find("Zanahoria").id == made["Arroz"].id


def test_young_move_is_no_finding(verified, made, catalog, raw_products):
    left_long_ago(catalog, "received", made["Arroz"])
    for products in raw_products.values():
        products.update_many({"move": {"$exists": True}}, {"$set": {"move.since": datetime.now(UTC)}})
    assert verified() == []


def test_what_an_undone_move_left_is_found_and_removed(verified, repaired, made, catalog, raw_products):
    left_long_ago(catalog, "received", made["Arroz"])
    raw_products["rsA"].update_one({"_id": made["Arroz"].id}, {"$unset": {"move": "", "intention": ""}})
    (finding,) = verified()
    assert (finding.kind, finding.shard) == ("leftover", "rsB")
    assert [m.text for m in repaired()] == ["removed"]
    assert verified() == []
    assert catalog.find("Arroz").version == 1


def test_document_that_should_have_gone_is_found(verified, made, raw_products):
    raw_products["rsA"].drop_index("purge_at")  # so nobody removes it
    raw_products["rsA"].update_one({"_id": made["Huevos"].id}, {"$set": {"purge_at": LONG_AGO}})
    assert kinds(verified()) == ["index", "leftover"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"$set": {"price": Decimal128("-1")}}, "price: "),
        ({"$set": {"stock": -4}}, "stock: "),
        ({"$set": {"name": 5}}, "name: "),
        ({"$set": {"tags": "bio"}}, "tags is not a list"),
        ({"$set": {"updated_by": None}}, "updated_by is not a str"),
        ({"$unset": {"currency": ""}}, "cannot be read as a product: KeyError 'currency'"),
        ({"$set": {"price": 1.5}}, "cannot be read as a product"),
        ({"$set": {"move": 3}}, "cannot be read as a product"),
    ],
)
def test_document_that_is_no_product_is_found_and_left(verified, repaired, made, raw_products, change, fault):
    raw_products["rsB"].update_one({"_id": made["Zumo"].id}, change)
    before = raw_products["rsB"].find_one({"_id": made["Zumo"].id})
    (finding,) = verified()
    assert (finding.kind, finding.shard, finding.product.id) == ("invalid", "rsB", made["Zumo"].id)
    assert finding.text.startswith(fault)
    assert [m.done for m in repaired()] == [False]
    assert raw_products["rsB"].find_one({"_id": made["Zumo"].id}) == before


def test_damaged_document_with_any_id_hides_no_other(verified, made, raw_products):
    raw_products["rsA"].insert_many(
        [{"_id": 1, "name_key": "1"}, {"_id": "text", "name_key": "2"}], bypass_document_validation=True
    )
    raw_products["rsA"].update_one({"_id": made["Arroz"].id}, {"$set": {"words": []}})
    assert kinds(verified()) == ["derived", "invalid", "invalid"]


@pytest.mark.parametrize(
    "change", [{"name_key": "arros"}, {"variant_key": "x"}, {"words": ["arroz"]}, {"facets": [""]}]
)
def test_wrong_derived_fields_are_found_and_computed_anew(verified, repaired, made, raw_products, catalog, change):
    before = raw_products["rsA"].find_one({"_id": made["Arroz"].id})
    raw_products["rsA"].update_one({"_id": made["Arroz"].id}, {"$set": change})
    (finding,) = verified()
    assert (finding.kind, finding.text) == ("derived", f"wrong: {next(iter(change))}")
    assert [m.text for m in repaired()] == ["recomputed"]
    assert verified() == []
    assert raw_products["rsA"].find_one({"_id": made["Arroz"].id}) == before


def test_wrong_key_of_a_deleted_product_is_found_and_computed_anew(verified, repaired, made, raw_products, catalog):
    raw_products["rsA"].update_one({"_id": made["Huevos"].id}, {"$set": {"deleted.name_key": "x"}})
    assert [f.text for f in verified()] == ["wrong: deleted.name_key"]
    assert [m.done for m in repaired()] == [True]
    assert verified() == []
    assert catalog.restore(made["Huevos"].id, ANA, 2).name == "Huevos"


def test_right_key_that_another_product_has_is_left(verified, repaired, made, raw_products):
    raw_products["rsA"].update_one({"_id": made["Arroz"].id}, {"$set": {"name": "Café"}})
    assert kinds(verified()) == ["derived", "same_name"]
    mended = repaired()
    assert [m.done for m in mended] == [False, False]
    assert raw_products["rsA"].find_one({"_id": made["Arroz"].id})["name_key"] == "arroz"


@pytest.mark.parametrize("name", ["words", "purge_at"])
def test_missing_index_is_found_and_made(verified, repaired, made, raw_products, name):
    before = raw_products["rsA"].index_information()
    raw_products["rsA"].drop_index(name)
    assert [(f.kind, f.shard, f.text) for f in verified()] == [("index", "rsA", f"{name} is missing")]
    assert [m.done for m in repaired()] == [True]
    assert verified() == []
    assert raw_products["rsA"].index_information() == before


def test_index_with_other_options_is_found_and_made_anew(verified, repaired, made, raw_products):
    before = raw_products["rsB"].index_information()
    raw_products["rsB"].drop_index("sku")
    raw_products["rsB"].create_index("sku", name="sku")  # not sparse
    assert [f.text for f in verified()] == ["sku is not as it should be"]
    assert [m.done for m in repaired()] == [True]
    assert raw_products["rsB"].index_information() == before


@pytest.mark.parametrize(
    ("copy", "text"),
    [
        (None, "has no copy of its ranges"),
        ({"map_version": 0}, "its copy is of map version 0, the map is version 1"),
        ({"ranges": [{"lower": "a", "upper": "m", "shard": "rsA"}]}, "has other ranges than the map"),
    ],
)
def test_copy_that_disagrees_with_the_map_is_found_and_written(
    verified, repaired, made, raw_clients, shards, copy, text
):
    copies = raw_clients["rsA"]["products_db"]["owned_ranges"]
    if copy is None:
        copies.delete_many({})
    else:
        copies.update_one({}, {"$set": copy})
    (finding,) = verified()
    assert (finding.kind, finding.shard) == ("map", "rsA")
    assert text in finding.text
    assert [m.done for m in repaired()] == [True]
    assert verified() == []
    assert shards.owned["rsA"].load() == (shards.maps.load().version, DEFAULT_MAP.owned_by("rsA"))


def test_copy_that_is_newer_than_the_map_is_found_and_left(verified, repaired, made, raw_clients):
    raw_clients["rsA"]["products_db"]["owned_ranges"].update_one({}, {"$set": {"map_version": 7}})
    assert kinds(verified()) == ["map"]
    assert [m.done for m in repaired()] == [False]


def test_without_a_stored_map_that_is_the_finding(verified, made, raw_clients):
    raw_clients["rsU"]["prodctl_meta"]["shard_map"].delete_many({})
    assert [(f.kind, f.text) for f in verified()] == [("map", "no shard map is stored")]


def test_product_that_changed_while_we_looked_is_no_twin(shards, made, raw_products, catalog):
    other = catalog.draft(draft("Pan"), ANA, made["Arroz"].id)
    raw_products["rsB"].insert_one(as_document(other))

    class Edited:
        """Its product changes after the others were asked."""

        def __init__(self, shard):
            self._shard = shard

        def __getattr__(self, name):
            return getattr(self._shard, name)

        def alike(self, seen):
            raw_products["rsA"].update_one({"_id": made["Arroz"].id}, {"$inc": {"version": 1}})
            return self._shard.alike(seen)

    looked = Verifier(DEFAULT_MAP, {"rsA": Edited(shards.checked["rsA"]), "rsB": shards.checked["rsB"]})
    assert list(looked.findings()) == []


def test_sku_that_nobody_claimed_is_found_and_claimed(shards, catalog, raw_clients, verified, repaired):
    claims = raw_clients["rsU"]["prodctl_meta"]["sku_claims"]
    made = catalog.create(draft("Arroz", sku="V-1"), ANA)
    other = catalog.create(draft("Zumo", sku="V-2"), ANA)
    claims.delete_one({"_id": "V-1"})
    claims.update_one({"_id": "V-2"}, {"$set": {"product": made.id}})
    assert kinds(verified()) == ["sku_claim", "sku_claim"]
    assert [mended.done for mended in repaired()] == [True, True]
    assert verified() == []
    assert {c["_id"]: c["product"] for c in claims.find({"_id": {"$regex": "^V-"}})} == {
        "V-1": made.id,
        "V-2": other.id,
    }
