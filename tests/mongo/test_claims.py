"""One SKU and one id is one product over both shards, whatever races and whoever dies in between."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from prodcore.app.wiring import prepare_cluster
from prodcore.catalog import Catalog
from prodcore.catalog.upsert import new_item, upsert
from prodcore.errors import OutcomeUnknown, ProductExists, SkuTaken
from prodcore.settings import load_settings
from tests.support.products import ANA, EVA, Killed, draft, patch


@pytest.fixture
def raw_claims(raw_clients, catalog):
    """The collection of claims, without any."""
    claims = raw_clients["rsU"]["prodctl_meta"]["sku_claims"]
    claims.delete_many({})
    return claims


def holders(raw_products, sku):
    return [d["name"] for c in raw_products.values() for d in c.find({"sku": sku})]


def later(raw_claims, sku):
    """As if the writes that claimed an SKU had begun a minute ago."""
    raw_claims.update_one({"_id": sku}, {"$set": {"at": datetime.now(UTC) - timedelta(minutes=1)}})


def test_sku_is_free_at_once_when_its_product_has_it_no_more(catalog, raw_claims):
    made = catalog.create(draft("Arroz", sku="X"), ANA)
    with pytest.raises(SkuTaken):
        catalog.create(draft("Zumo", sku="X"), ANA)
    catalog.edit(made.id, patch(sku="Y"), ANA, 1)
    zumo = catalog.create(draft("Zumo", sku="X"), ANA)
    catalog.delete(zumo.id, ANA, 1)
    assert catalog.edit(made.id, patch(sku="X"), ANA, 2).sku == "X"
    with pytest.raises(SkuTaken):
        catalog.restore(zumo.id, ANA, 2)


def test_refused_create_leaves_its_sku_free(catalog, raw_claims):
    catalog.create(draft("Arroz"), ANA)
    with pytest.raises(ProductExists):
        catalog.create(draft("ARROZ", sku="X"), ANA)
    assert catalog.create(draft("Zumo", sku="X"), ANA).sku == "X"


def test_claim_of_a_write_that_died_is_waited_for_and_then_freed(catalog, raw_claims):
    catalog.claims.take([catalog.draft(draft("Arroz", sku="X"), ANA)], uuid4())
    with pytest.raises(SkuTaken):
        catalog.create(draft("Zumo", sku="X"), ANA)
    later(raw_claims, "X")
    assert catalog.create(draft("Zumo", sku="X"), ANA).sku == "X"


def test_same_create_repeated_after_it_died_is_not_in_its_own_way(catalog, raw_claims):
    product_id = uuid4()
    catalog.claims.take([catalog.draft(draft("Arroz", sku="X"), ANA, product_id)], uuid4())
    assert catalog.create(draft("Arroz", sku="X"), ANA, product_id).id == product_id


@pytest.mark.parametrize("step", ["intended", "received", "committed", "published"])
def test_rename_with_a_new_sku_that_died_keeps_it(catalog, raw_products, raw_claims, step):
    made = catalog.create(draft("Arroz"), ANA)

    def die(name):
        if name == step:
            raise Killed

    stores = {shard: catalog.store(shard) for shard in catalog.shard_map.shards}
    with pytest.raises(Killed):
        Catalog(catalog.shard_map, stores, catalog.claims.store, step=die).edit(
            made.id, patch(name="Zumo", sku="X"), ANA, 1
        )
    later(raw_claims, "X")
    with pytest.raises(SkuTaken):
        catalog.create(draft("Pan", sku="X"), ANA)
    assert catalog.get(made.id).sku == "X"
    assert holders(raw_products, "X") == ["Zumo"]


def test_products_without_an_sku_and_edits_that_leave_it_claim_nothing(catalog, raw_claims, raw_clients):
    made = catalog.create(draft("Arroz", sku="X"), ANA)
    database = raw_clients["rsU"]["prodctl_meta"]
    database.command("profile", 2)
    try:
        catalog.create(draft("Pan"), ANA)
        catalog.edit(made.id, patch(name="Zumo", stock=3), ANA, 1)
        upsert(catalog, [new_item({"name": "Pan", "price": "2"}), new_item({"name": "Zumo", "stock": 4})], ANA)
    finally:
        database.command("profile", 0)
    asked = database["system.profile"].count_documents({"ns": "prodctl_meta.sku_claims"})
    database["system.profile"].drop()
    assert asked == 0


def test_stored_skus_are_claimed_by_the_next_set_up(catalog, cluster, raw_clients, raw_claims):
    made = catalog.create(draft("Arroz", sku="X"), ANA)
    raw_claims.delete_many({})
    for shard in ("rsA", "rsB"):
        raw_clients[shard]["products_db"]["marks"].delete_many({"_id": "sku_claims"})
    prepare_cluster(load_settings(**cluster.addresses("root")))
    (claim,) = raw_claims.find()
    assert (claim["_id"], claim["product"], claim["writes"]) == ("X", made.id, [])


def test_import_by_an_sku_that_two_products_have_is_refused(catalog, raw_products):
    made = catalog.create(draft("Arroz", sku="X"), ANA)
    twin = catalog.create(draft("Zumo"), ANA)
    raw_products["rsB"].update_one({"_id": twin.id}, {"$set": {"sku": "X"}})
    (outcome,) = upsert(catalog, [new_item({"sku": "X", "stock": 3}, by="sku")], ANA, found_by="sku")
    assert outcome.status == "refused"
    assert str(made.id) in outcome.error.message
    assert catalog.get(made.id).stock == catalog.get(twin.id).stock == 0


def ids_in(raw_products, product_id):
    return [shard for shard, c in raw_products.items() if c.find_one({"_id": product_id})]


@pytest.mark.parametrize("name", ["Arroz", "Zumo"])
def test_create_that_died_before_other_shards_were_asked_is_decided_by_whoever_meets_it(catalog, raw_products, name):
    product_id = uuid4()
    product = catalog.draft(draft(name), ANA, product_id)
    enter = catalog.moves.enter
    catalog.moves.enter = lambda _move: (_ for _ in ()).throw(Killed)
    try:
        with pytest.raises(Killed):
            catalog.create(draft(name), ANA, product_id)
    finally:
        catalog.moves.enter = enter
    assert catalog.get(product_id).name == name
    other = "Zumo" if name == "Arroz" else "Arroz"
    with pytest.raises(ProductExists):
        catalog.create(draft(other), EVA, product_id)
    assert catalog.edit(product_id, patch(stock=1), EVA, 1).stock == 1
    assert "move" not in raw_products[product.shard].find_one({"_id": product_id})
    assert ids_in(raw_products, product_id) == [product.shard]


def test_read_of_a_rename_that_nobody_decided_decides_it(catalog, raw_products):
    made = catalog.create(draft("Arroz"), ANA)

    def die(name):
        if name == "intended":
            raise OutcomeUnknown

    stores = {shard: catalog.store(shard) for shard in catalog.shard_map.shards}
    with pytest.raises(OutcomeUnknown):
        Catalog(catalog.shard_map, stores, step=die).edit(made.id, patch(name="Zumo"), ANA, 1)
    seen = catalog.get(made.id)
    assert (seen.name, seen.version) == ("Zumo", 2)
    assert catalog.moves.sweep(timedelta(0)) == 0
    assert catalog.get(made.id) == seen
