"""Moves whose old location has gone with time."""

from uuid import uuid4

from tests.support.products import ANA, EVA, draft, names, patch


def test_create_repeated_after_the_product_moved_makes_no_twin(catalog, raw_products):
    product_id = uuid4()
    made = catalog.create(draft("Arroz"), ANA, product_id)
    catalog.edit(product_id, patch(name="Zumo"), ANA, 1)
    raw_products["rsA"].delete_one({"_id": product_id})
    again = catalog.create(draft("Arroz"), ANA, product_id)
    assert (again.id, again.name, again.version) == (made.id, "Arroz", 1)  # the first answer
    assert catalog.get(product_id).name == catalog.find("Zumo").name == "Zumo"
    assert [(p.id, p.name) for p in catalog.page().items] == [(product_id, "Zumo")]


def test_places_that_are_kept_are_no_products_and_go_with_time(catalog, raw_products):
    made = catalog.create(draft("1 uno"), ANA)
    for version, name in enumerate(["Ana", "Yema", "Ana", "Zumo"], 1):
        catalog.edit(made.id, patch(name=name), ANA, version)
    kept = list(raw_products["rsB"].find({"_id": {"$type": "string"}}))
    assert len(kept) == 2
    assert all(d["purge_at"] for d in kept)
    assert catalog.create(draft("1 uno"), EVA).shard == "rsB"
    assert {c.shard: c.products for c in catalog.counts()} == {"rsA": 0, "rsB": 2}
    assert names(catalog.page()) == ["1 uno", "Zumo"]
