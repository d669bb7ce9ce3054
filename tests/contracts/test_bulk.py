"""Many products at once, each by its version, over two shards."""

from decimal import Decimal
from uuid import uuid4

import pytest

from prodcore.catalog.bulk import Changes, Seen, bulk_delete, bulk_edit
from prodcore.deadline import budget
from prodcore.errors import ProductDeleted, ProductNotFound, VersionConflict
from prodcore.product.model import ProductPatch
from prodcore.support.validation import validate
from tests.support.products import ANA, EVA, draft


@pytest.fixture
def made(catalog):
    """Five products in both shards."""
    names = ("Arroz", "Café", "Naranja", "Pan", "Zumo")
    fields = {"tags": ["bio", "Oferta"], "category": "x"}
    return [catalog.create(draft(name, **fields), ANA) for name in names]


def seen(products):
    return [Seen(p.id, p.version) for p in products]


def statuses(outcomes):
    return [outcome.status for outcome in outcomes]


def test_every_product_gets_the_same_values_and_keeps_the_rest(catalog, made):
    changes = Changes({"price": Decimal("9.5"), "category": "y"}, add_tags=("BIO", "nuevo"), remove_tags=("OFERTA",))
    outcomes = bulk_edit(catalog, seen(made), changes, EVA)
    assert statuses(outcomes) == ["changed"] * 5
    for old in made:
        new = catalog.get(old.id)
        assert (new.name, new.price, new.category, new.tags) == (old.name, Decimal("9.5"), "y", ("bio", "nuevo"))
        assert (new.version, new.updated_by) == (2, "eva")
        assert [change.action for change in catalog.history(old.id)] == ["edited", "created"]
    assert statuses(bulk_edit(catalog, seen(made), changes, EVA)) == ["unchanged"] * 5
    assert catalog.get(made[0].id).version == 2


def test_who_was_changed_meanwhile_or_is_gone_is_refused_and_the_others_are_not(catalog, made):
    catalog.edit(made[1].id, validate(ProductPatch, {"stock": 7}), ANA, 1)
    catalog.delete(made[3].id, ANA, 1)
    asked = [*seen(made), Seen(uuid4(), 1)]
    outcomes = bulk_edit(catalog, asked, Changes({"stock": 5}), EVA)
    assert statuses(outcomes) == ["changed", "refused", "changed", "refused", "changed", "refused"]
    assert [type(o.error) for o in outcomes if o.error] == [VersionConflict, ProductNotFound, ProductNotFound]
    assert catalog.get(made[1].id).stock == 7


def test_deleted_products_can_be_restored_and_asking_again_says_the_same(catalog, made):
    catalog.edit(made[0].id, validate(ProductPatch, {"stock": 7}), ANA, 1)
    outcomes = bulk_delete(catalog, seen(made), EVA)
    assert statuses(outcomes) == ["refused", "deleted", "deleted", "deleted", "deleted"]
    assert statuses(bulk_delete(catalog, seen(made), EVA)) == statuses(outcomes)
    with pytest.raises(ProductDeleted):
        catalog.get(made[1].id)
    assert catalog.restore(made[1].id, ANA, 2).name == "Café"
    assert statuses(bulk_delete(catalog, seen(made[1:2]), EVA)) == ["refused"]


def test_too_many_tags_are_refused_for_the_product_that_would_have_them(catalog, made):
    changes = Changes(add_tags=tuple(f"t{i}" for i in range(19)))
    catalog.store_changed(made[0], {"tags": ()}, ANA)
    outcomes = bulk_edit(catalog, [Seen(made[0].id, 2), *seen(made[1:2])], changes, EVA)
    assert statuses(outcomes) == ["changed", "refused"]


def test_silent_shards_leave_everything_as_it_is(catalog, made):
    with budget(0):
        outcomes = bulk_edit(catalog, seen(made), Changes({"stock": 5}), EVA)
    assert set(statuses(outcomes)) == {"unavailable"}
    assert {catalog.get(p.id).version for p in made} == {1}
