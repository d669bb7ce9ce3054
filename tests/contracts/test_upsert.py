"""Many products at once, over two shards: what becomes of each item, found by name or by SKU."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest

from prodcore.catalog.upsert import Item, new_item, upsert
from prodcore.errors import InvalidInput, ProductExists, SkuTaken
from tests.support.products import ANA, EVA, draft, item, patch

NAMES = ["Arroz", "Café", "Manzana", "Águila", "Naranja", "Pan", "Zanahoria", "Ñandú", "7up"]


def by_sku(sku, **fields):
    return new_item({"sku": sku, **fields}, by="sku")


def statuses(outcomes):
    return [outcome.status for outcome in outcomes]


def test_each_item_is_told_what_became_of_it(catalog):
    catalog.create(draft("Arroz", stock=1), ANA)
    same = catalog.create(draft("Pan"), ANA)
    taken = catalog.create(draft("Zumo", sku="Z-1"), ANA)
    outcomes = upsert(
        catalog,
        [
            item("arroz", stock=2),
            item("Pan"),
            item("Café"),
            item("CAFÉ", price="9"),
            item("Kiwi", sku="Z-1"),
            item("Café"),
        ],
        EVA,
    )
    assert statuses(outcomes) == ["changed", "unchanged", "created", "refused", "refused", "unchanged"]
    assert isinstance(outcomes[4].error, SkuTaken)
    assert catalog.find("Arroz").stock == 2
    assert catalog.get(same.id).version == 1
    assert catalog.get(taken.id).version == 1


def test_repeated_with_its_ids_it_says_the_same(catalog):
    items = [Item(item(name).changes, uuid4()) for name in NAMES]
    assert set(statuses(upsert(catalog, items, ANA))) == {"created"}
    assert set(statuses(upsert(catalog, items, ANA))) == {"created"}
    fresh = [replace(one, product_id=uuid4()) for one in items]
    assert set(statuses(upsert(catalog, fresh, ANA))) == {"unchanged"}
    assert sum(shard.products for shard in catalog.counts()) == len(items)


def test_fields_that_an_item_does_not_give_stay(catalog):
    made = catalog.create(draft("Pan", stock=5, category="Horno", currency="USD", sku="P-1"), ANA)
    upsert(catalog, [new_item({"name": "Pan", "price": "2", "currency": None})], EVA)
    upsert(catalog, [new_item({"name": "Pan", "tags": ["bio"]})], EVA)
    kept = catalog.get(made.id)
    assert (kept.price, kept.stock, kept.category, kept.currency) == (Decimal(2), 5, "Horno", "USD")
    assert (kept.tags, kept.sku, kept.version) == (("bio",), "P-1", 3)
    upsert(catalog, [new_item({"name": "Pan", "sku": None})], EVA)
    assert catalog.get(made.id).sku is None


def test_a_new_product_needs_a_price_and_one_that_exists_does_not(catalog):
    catalog.create(draft("Pan"), ANA)
    outcomes = upsert(catalog, [new_item({"name": "Pan", "stock": 3}), new_item({"name": "Sal", "stock": 3})], EVA)
    assert statuses(outcomes) == ["changed", "refused"]
    assert [(p.field, p.code) for p in outcomes[1].error.problems] == [("price", "missing")]


@pytest.mark.parametrize(
    ("fields", "by", "field"),
    [
        ({"price": "1"}, "name", "name"),
        ({"name": "Pan"}, "sku", "sku"),
        ({"sku": None, "name": "Pan"}, "sku", "sku"),
        ({"name": "Pan", "price": "-1"}, "name", "price"),
        ({"name": "Pan", "cost": 1}, "name", "cost"),
        ({"name": {"$ne": None}}, "name", "name"),
    ],
)
def test_an_item_that_is_no_product_is_refused_with_its_field(fields, by, field):
    with pytest.raises(InvalidInput) as refused:
        new_item(fields, by=by)
    assert [p.field for p in refused.value.problems] == [field]


def test_a_dry_run_says_what_would_become_of_each_item_and_writes_nothing(catalog):
    old = catalog.create(draft("Pan", price="1.2000", tags=["a"]), ANA)
    catalog.create(draft("Zumo", sku="Z-1"), ANA)
    before = catalog.page().items
    items = [
        item("PAN", price="1.25", stock=4, tags=["a", "b"]),
        item("Sal"),
        item("Zumo"),
        item("Kiwi", sku="Z-1"),
        new_item({"name": "Mijo"}),
    ]
    outcomes = upsert(catalog, items, EVA, dry_run=True)
    assert statuses(outcomes) == ["changed", "created", "unchanged", "refused", "refused"]
    assert outcomes[0].product_id == old.id
    assert outcomes[0].differences == (
        {"field": "name", "old": "Pan", "new": "PAN"},
        {"field": "tags", "old": ["a"], "new": ["a", "b"]},
        {"field": "price", "old": "1.2000", "new": "1.25"},
        {"field": "stock", "old": 0, "new": 4},
    )
    assert catalog.page().items == before
    assert statuses(upsert(catalog, items, EVA)) == statuses(outcomes)


def test_by_sku_the_product_that_has_it_is_changed_in_whatever_shard(catalog):
    arroz = catalog.create(draft("Arroz", sku="A-1"), ANA)
    zumo = catalog.create(draft("Zumo", sku="Z-1", variant="1 L"), ANA)
    items = [
        by_sku("A-1", stock=7),
        by_sku("Z-1", name="Zumo de piña", variant="2 L", price="3"),
        by_sku("N-1", name="Nata", price="1"),
        by_sku("N-2", stock=1),
        by_sku("A-1", stock=8),
        by_sku("A-1", stock=7),
    ]
    outcomes = upsert(catalog, items, EVA, found_by="sku")
    assert statuses(outcomes) == ["changed", "changed", "created", "refused", "refused", "unchanged"]
    assert catalog.get(arroz.id).stock == 7
    moved = catalog.get(zumo.id)
    assert (moved.name, moved.variant, moved.price, moved.sku) == ("Zumo de piña", "2 L", Decimal(3), "Z-1")
    assert [p.field for p in outcomes[3].error.problems] == ["name", "price"]
    again = upsert(catalog, items[:3], EVA, found_by="sku")
    assert statuses(again) == ["changed", "changed", "created"]  # with its id it is the same write


def test_by_sku_a_new_name_leads_into_the_other_shard(catalog):
    arroz = catalog.create(draft("Arroz", sku="A-1", stock=5), ANA)
    outcomes = upsert(catalog, [by_sku("A-1", name="Zarroz", price="2")], EVA, found_by="sku")
    assert statuses(outcomes) == ["changed"]
    moved = catalog.get(arroz.id)
    assert (moved.name, moved.shard, moved.price, moved.stock) == ("Zarroz", "rsB", Decimal(2), 5)
    again = upsert(catalog, [by_sku("A-1", name="Zarroz", price="2")], EVA, found_by="sku")
    assert statuses(again) == ["unchanged"]


def test_by_sku_a_name_that_is_taken_is_refused_unless_its_product_has_no_sku(catalog):
    catalog.create(draft("Pan", sku="P-1"), ANA)
    sal = catalog.create(draft("Sal"), ANA)
    catalog.create(draft("Zumo", sku="Z-1"), ANA)
    items = [
        by_sku("P-2", name="Pan", price="1"),
        by_sku("S-1", name="Sal", price="1.20"),
        by_sku("Z-1", name="Pan"),
    ]
    outcomes = upsert(catalog, items, EVA, found_by="sku")
    assert statuses(outcomes) == ["refused", "changed", "refused"]
    assert isinstance(outcomes[0].error, ProductExists)
    assert isinstance(outcomes[2].error, ProductExists)
    assert catalog.get(sal.id).sku == "S-1"
    assert catalog.find("Zumo").sku == "Z-1"


@pytest.mark.parametrize("edited", [{"stock": 3, "price": "1.20"}, {"name": "Zzz"}, {"name": "Bollo"}, None], ids=str)
def test_repeated_batch_never_overwrites_what_was_done_in_between(catalog, edited):
    """An editor's edit, rename or deletion stands; the answer is the first one."""
    old = catalog.create(draft("Arroz", stock=1), ANA)
    items = [
        Item(item("Arroz", price="1.00", stock=10).changes, uuid4()),
        Item(item("Leche", price="1.00", stock=10).changes, uuid4()),
    ]
    first = upsert(catalog, items, ANA)
    assert statuses(first) == ["changed", "created"]
    for product_id, suffix in ((old.id, " a"), (first[1].product_id, " b")):
        product = catalog.get(product_id)
        if edited is None:
            catalog.delete(product.id, EVA, product.version)
        else:
            fields = {**edited, "name": edited.get("name", product.name) + suffix}
            catalog.edit(product.id, patch(**fields), EVA, product.version)
    before = list(catalog.page(limit=50).items)
    again = upsert(catalog, items, ANA)
    if edited is None:
        assert statuses(again) == ["changed", "refused"]
    else:
        assert [(o.status, o.product_id) for o in again] == [(o.status, o.product_id) for o in first]
    assert list(catalog.page(limit=50).items) == before


def test_batch_that_is_sent_twice_at_once_is_one_write(catalog, raw_products):
    for name in NAMES[::2]:
        catalog.create(draft(name), ANA)
    items = [Item(item(name, stock=7).changes, uuid4()) for name in NAMES]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: statuses(upsert(catalog, items, ANA)), range(4)))
    assert all(set(answer) <= {"created", "changed", "unchanged"} for answer in answers), answers
    assert {p.version for p in catalog.page(limit=50).items} == {1, 2}
