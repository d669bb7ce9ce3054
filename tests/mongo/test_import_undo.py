"""Taking an import back, over two real replica sets: every product as it was, and nothing that others did is lost."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from prodcore.catalog.catalog import now
from prodcore.catalog.imports import undo_id, undo_part
from prodcore.catalog.stores import ImportRecord
from prodcore.catalog.upsert import new_item, upsert
from prodcore.errors import InvalidCursor, ProductDeleted, SkuTaken, VersionConflict
from tests.support.products import ANA, EVA, draft, patch

NAMES = ["Arroz", "Café", "Manzana", "Naranja", "Pan", "Zanahoria"]


@pytest.fixture
def imported(catalog):
    """Imports items and gives the import's id."""

    def do(*items, by="name"):
        import_id = uuid4()
        new = [new_item({"price": "1.20", **item} if by == "name" else item, by=by) for item in items]
        outcomes = upsert(catalog, new, replace(EVA, import_id=str(import_id)), found_by=by)
        assert {outcome.status for outcome in outcomes} <= {"created", "changed", "unchanged"}
        return import_id

    return do


def undo(catalog, import_id, limit=500):
    """All of it, part by part: status → names."""
    told, cursor = {}, None
    while True:
        part = undo_part(catalog, import_id, ANA, cursor, limit)
        assert not part.unavailable
        for undone in part.products:
            told.setdefault(undone.status, []).append(undone.product.name)
        cursor = part.cursor
        if cursor is None:
            return {status: sorted(names) for status, names in told.items()}


def contents(raw_products):
    """All that stands in the live products but what every write leaves."""
    left_out = {"version": 0, "updated_at": 0, "updated_by": 0, "write_id": 0, "history": 0}
    return {
        name: list(collection.find({"deleted": {"$exists": False}}, left_out, sort=[("_id", 1)]))
        for name, collection in raw_products.items()
    }


def test_every_product_is_as_it_was_before(catalog, raw_products, imported):
    for name in NAMES[:4]:
        catalog.create(draft(name, stock=1, tags=["a"], sku=f"S-{name[0]}", currency="USD"), ANA)
    before = contents(raw_products)
    import_id = imported(
        *({"name": name, "stock": 5, "tags": ["b"], "sku": None, "category": "x"} for name in NAMES),
        {"name": "CAFÉ", "variant": "molido"},
    )
    assert contents(raw_products) != before
    assert undo(catalog, import_id) == {"deleted": ["CAFÉ", "Pan", "Zanahoria"], "restored": sorted(NAMES[:4])}
    assert contents(raw_products) == before
    last = catalog.history(catalog.find("Arroz").id)[0]
    assert (last.by.username, last.by.import_id, last.was["stock"]) == ("ana", str(undo_id(import_id)), 5)


def test_undone_again_it_finds_nothing_to_do(catalog, raw_products, imported):
    catalog.create(draft("Arroz"), ANA)
    import_id = imported({"name": "Arroz", "stock": 5}, {"name": "Pan"})
    assert undo(catalog, import_id) == {"deleted": ["Pan"], "restored": ["Arroz"]}
    after = contents(raw_products)
    assert undo(catalog, import_id) == {"already": ["Arroz", "Pan"]}
    catalog.edit(catalog.find("Arroz").id, patch(stock=9), EVA, 3)
    assert undo(catalog, import_id) == {"already": ["Arroz", "Pan"]}
    assert contents(raw_products)["rsB"] == after["rsB"]


def test_what_was_changed_since_is_left_and_told_with_who_did_it(catalog, imported):
    arroz = catalog.create(draft("Arroz", stock=1), ANA)
    sal = catalog.create(draft("Sal"), ANA)
    import_id = imported(*({"name": name, "stock": 5} for name in ("Arroz", "Pan", "Café", "Sal", "Zumo")))
    catalog.edit(arroz.id, patch(price="9"), EVA, 2)
    catalog.edit(catalog.find("Pan").id, patch(stock=6), EVA, 1)
    catalog.delete(catalog.find("Café").id, EVA, 1)
    catalog.delete(sal.id, EVA, 2)
    assert undo(catalog, import_id) == {"refused": ["Arroz", "Pan", "Sal"], "already": ["Café"], "deleted": ["Zumo"]}
    refused = [one for one in undo_part(catalog, import_id, ANA).products if one.status == "refused"]
    assert all(isinstance(one.error, VersionConflict) for one in refused)
    assert {(one.product.name, one.error.message) for one in refused} == {
        ("Arroz", "was edited since, by eva"),
        ("Pan", "was edited since, by eva"),
        ("Sal", "was deleted since, by eva"),
    }
    assert (catalog.get(arroz.id).stock, catalog.find("Pan").stock) == (5, 6)


def test_two_imports_are_taken_back_the_last_one_first(catalog, raw_products, imported):
    catalog.create(draft("Arroz", stock=1), ANA)
    before = contents(raw_products)
    first = imported({"name": "Arroz", "stock": 2}, {"name": "Pan"})
    second = imported({"name": "Arroz", "stock": 3}, {"name": "Pan", "stock": 3})
    assert undo(catalog, first) == {"refused": ["Arroz", "Pan"]}
    assert undo(catalog, second) == {"restored": ["Arroz", "Pan"]}
    assert catalog.find("Arroz").stock == 2
    assert undo(catalog, first) == {"restored": ["Arroz"], "deleted": ["Pan"]}
    assert contents(raw_products) == before


def test_names_that_an_import_changed_go_back(catalog, raw_products, imported):
    catalog.create(draft("Arroz", sku="A-1", stock=1), ANA)
    catalog.create(draft("Pan", sku="P-1", variant="1 kg"), ANA)
    before = contents(raw_products)
    import_id = imported(
        {"sku": "A-1", "name": "Avena", "stock": 4}, {"sku": "P-1", "name": "PAN", "variant": "2 kg"}, by="sku"
    )
    assert catalog.find("Avena").stock == 4
    assert undo(catalog, import_id) == {"restored": ["Avena", "PAN"]}
    assert contents(raw_products) == before


def test_a_product_that_an_import_moved_over_the_border_comes_back(catalog, raw_products, imported):
    there = catalog.create(draft("Arroz", sku="A-1", stock=1), ANA)
    back = catalog.create(draft("Zumo", sku="Z-1"), ANA)
    before = contents(raw_products)
    import_id = imported({"sku": "A-1", "name": "Zarroz", "stock": 4}, {"sku": "Z-1", "name": "Azumo"}, by="sku")
    assert (catalog.get(there.id).shard, catalog.get(back.id).shard) == ("rsB", "rsA")
    assert undo(catalog, import_id) == {"restored": ["Azumo", "Zarroz"]}
    after = contents(raw_products)
    for shard, documents in before.items():
        known = {document["_id"]: document for document in after[shard] if "move" not in document}
        assert [{**known[d["_id"]], "moves": None} for d in documents] == [{**d, "moves": None} for d in documents]
    assert undo(catalog, import_id) == {"already": ["Arroz", "Zumo"]}


def test_a_former_sku_or_name_that_was_given_away_is_refused(catalog, imported):
    arroz = catalog.create(draft("Arroz", sku="A-1"), ANA)
    cafe = catalog.create(draft("Café", sku="C-1"), ANA)
    import_id = imported({"name": "Arroz", "sku": "A-2"})
    renaming = imported({"sku": "C-1", "name": "Cafelito"}, by="sku")
    catalog.create(draft("Pan", sku="A-1"), EVA)
    catalog.create(draft("Café"), EVA)
    (undone,) = undo_part(catalog, import_id, ANA).products
    assert (undone.status, type(undone.error)) == ("refused", SkuTaken)
    assert undo(catalog, renaming) == {"refused": ["Cafelito"]}
    assert (catalog.get(arroz.id).sku, catalog.get(cafe.id).name) == ("A-2", "Cafelito")


def test_it_goes_part_by_part_over_both_shards(catalog, imported):
    import_id = imported(*({"name": name} for name in NAMES))
    part = undo_part(catalog, import_id, ANA, limit=2)
    assert len(part.products) == 2
    assert part.cursor == str(max(p.product.id for p in part.products))
    assert undo(catalog, import_id, limit=1) == {
        "already": sorted(p.product.name for p in part.products),
        "deleted": sorted(set(NAMES) - {p.product.name for p in part.products}),
    }
    with pytest.raises(ProductDeleted):
        catalog.get(part.products[0].product.id)


@pytest.mark.parametrize("cursor", ["", "x", "rsA:", "rsX:6f1c0c2e-7a1b-4c59-9d55-0f3f4b6f2d10", "rsA:1"])
def test_a_cursor_of_somebody_else_is_refused(catalog, cursor):
    with pytest.raises(InvalidCursor):
        undo_part(catalog, uuid4(), ANA, cursor)


def test_an_index_finds_what_an_import_did(catalog, raw_products, imported):
    for name in NAMES:
        catalog.create(draft(name), ANA)
    import_id = imported({"name": "Kiwi"}, {"name": "Lima"})
    query = {"history.import": str(import_id), "_id": {"$gt": UUID(int=0)}}
    plan = raw_products["rsA"].find(query, sort=[("_id", 1)]).explain()
    assert "history_import" in str(plan["queryPlanner"]["winningPlan"])
    assert "'SORT'" not in str(plan["queryPlanner"]["winningPlan"])


def test_imports_are_remembered(catalog, raw_clients):
    raw_clients["rsA"]["products_db"]["imports"].delete_many({})
    store = catalog.store("rsA").imports
    first = ImportRecord(uuid4(), "a.csv", "ana", now())
    second = ImportRecord(uuid4(), "b.csv", "eva", now())
    store.note(first)
    store.note(second)
    store.note(replace(first, by="eve", finished_at=now(), counts={"created": 2}))
    assert store.undone(second.import_id, now())
    assert not store.undone(uuid4(), now())
    found = {record.import_id: record for record in store.recent(10)}
    assert found[first.import_id].by == "ana"
    assert found[first.import_id].counts == {"created": 2}
    assert found[second.import_id].undone_at
