"""What was done to products: their history, and deleting what can be restored."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from prodcore.catalog.listing import deleted_page
from prodcore.catalog.upsert import new_item, upsert
from prodcore.errors import (
    InvalidCursor,
    ProductDeleted,
    ProductExists,
    ProductNotFound,
    SkuTaken,
    VersionConflict,
)
from tests.support.products import ANA, EVA, draft, patch


def summary(catalog, product_id):
    return [(c.version, c.by.username, c.action, dict(c.was)) for c in catalog.history(product_id)]


def test_every_change_is_in_the_history_with_what_it_replaced(catalog):
    made = catalog.create(draft("Pan", tags=["bio"], sku="P-1"), ANA)
    catalog.edit(made.id, patch(price="2.5", tags=["bio", "nuevo"], sku=None), EVA, 1)
    catalog.edit(made.id, patch(name="Pan blanco"), ANA, 2)
    catalog.delete(made.id, EVA, 3)
    catalog.restore(made.id, ANA, 4)
    assert summary(catalog, made.id) == [
        (5, "ana", "restored", {}),
        (4, "eva", "deleted", {}),
        (3, "ana", "renamed", {"name": "Pan"}),
        (2, "eva", "edited", {"price": Decimal("1.20"), "tags": ("bio",), "sku": "P-1"}),
        (1, "ana", "created", {}),
    ]
    last = catalog.history(made.id)[0]
    assert last.by == ANA
    assert datetime.now(UTC) - last.at < timedelta(seconds=10)


def test_edit_that_changes_nothing_is_not_in_the_history(catalog):
    made = catalog.create(draft("Pan"), ANA)
    catalog.edit(made.id, patch(name="Pan", price="1.20"), EVA, 1)
    assert [c.action for c in catalog.history(made.id)] == ["created"]


def test_of_two_editors_with_a_hundred_writes_each_every_one_is_in_the_history_or_was_refused(catalog):
    made = catalog.create(draft("Pan"), ANA)
    version_of = {}

    def edit_often(who):
        done = refused = 0
        for number in range(100):
            seen = catalog.get(made.id)
            try:
                new = catalog.edit(made.id, patch(description=f"{who.username} {number}"), who, seen.version)
            except VersionConflict:
                refused += 1
            else:
                done += 1
                version_of[new.version] = (who.username, new.description)
        return done, refused

    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(edit_often, [ANA, EVA]))
    changes = {c.version: c for c in catalog.history(made.id) if c.action == "edited"}
    assert sum(done for done, _ in counts) == len(version_of) == len(changes)
    assert all(done + refused == 100 for done, refused in counts)
    assert {v: who for v, (who, _) in version_of.items()} == {v: c.by.username for v, c in changes.items()}
    for version, (_, description) in version_of.items():
        if version + 1 in changes:
            assert changes[version + 1].was == {"description": description}


def test_deleted_product_is_in_no_list_and_under_no_name_and_says_that_it_can_be_restored(catalog):
    made = catalog.create(draft("Pan", sku="P-1"), ANA)
    catalog.delete(made.id, EVA, 1)
    with pytest.raises(ProductDeleted) as caught:
        catalog.get(made.id)
    assert caught.value.details["version"] == 2
    assert "restore" in caught.value.hint
    with pytest.raises(ProductNotFound):
        catalog.find("Pan")
    assert catalog.page().items == ()
    assert catalog.sku_owners(["P-1"]) == {}
    assert {c.shard: c.products for c in catalog.counts()} == {"rsA": 0, "rsB": 0}
    with pytest.raises(ProductDeleted):
        catalog.edit(made.id, patch(stock=1), ANA, 2)
    with pytest.raises(ProductDeleted):
        catalog.delete(made.id, ANA, 2)


def test_restored_product_is_as_it_was(catalog):
    made = catalog.create(draft("Pan", variant="1 kg", sku="P-1", tags=["bio"], description="Bueno"), ANA)
    catalog.delete(made.id, EVA, 1)
    back = catalog.restore(made.id, EVA, 2)
    assert back.content() == made.content()
    assert (back.version, back.created_at, back.updated_by) == (3, made.created_at, "eva")
    assert catalog.get(made.id) == catalog.find("pan", "1 KG") == catalog.page().items[0] == back


def test_name_of_a_deleted_product_is_free_and_restoring_it_is_refused_then(catalog):
    made = catalog.create(draft("Pan"), ANA)
    catalog.delete(made.id, ANA, 1)
    other = catalog.create(draft("PAN"), EVA)
    with pytest.raises(ProductExists):
        catalog.restore(made.id, ANA, 2)
    catalog.edit(other.id, patch(name="Queso"), EVA, 1)
    assert catalog.restore(made.id, ANA, 2).version == 3


def test_restoring_needs_the_sku_to_be_free(catalog):
    made = catalog.create(draft("Pan", sku="P-1"), ANA)
    catalog.delete(made.id, ANA, 1)
    catalog.create(draft("Arroz", sku="P-1"), EVA)
    with pytest.raises(SkuTaken):
        catalog.restore(made.id, ANA, 2)


def test_restoring_another_version_or_what_is_not_deleted_is_refused(catalog):
    made = catalog.create(draft("Pan"), ANA)
    with pytest.raises(VersionConflict):
        catalog.restore(made.id, ANA, 1)
    catalog.delete(made.id, ANA, 1)
    with pytest.raises(VersionConflict):
        catalog.restore(made.id, ANA, 1)
    with pytest.raises(ProductNotFound):
        catalog.restore(uuid4(), ANA, 1)


def test_create_repeated_after_the_delete_brings_nothing_back(catalog):
    product_id = uuid4()
    catalog.create(draft("Pan"), ANA, product_id)
    catalog.delete(product_id, ANA, 1)
    assert catalog.create(draft("Pan"), ANA, product_id).version == 1
    (outcome,) = upsert(catalog, [new_item({"name": "Pan", "price": "1.20"}, product_id)], ANA)
    assert outcome.status == "refused"
    assert catalog.page().items == ()


def test_deleted_products_are_listed_over_both_shards_the_last_one_first(catalog):
    names = ["Arroz", "Pan", "Café", "Queso", "Zumo"]
    for name in names:
        made = catalog.create(draft(name), ANA)
        catalog.delete(made.id, EVA, 1)
    found, cursor = [], None
    while True:
        page = deleted_page(catalog, cursor=cursor, limit=2)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [d.product.name for d in found] == names[::-1]
    assert {d.by for d in found} == {"eva"}
    assert all(d.until - d.at == timedelta(days=30) for d in found)
    assert [d.product.name for d in deleted_page(catalog, name="CAFE", limit=50).items] == ["Café"]
    with pytest.raises(InvalidCursor):
        deleted_page(catalog, cursor="Zm9v", limit=2)
