"""Products over two shards."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from uuid import uuid4

import pytest

from prodcore.deadline import budget
from prodcore.errors import (
    ProductExists,
    ProductNotFound,
    SkuTaken,
    Unavailable,
    VersionConflict,
)
from tests.support.products import A_TO_M, ANA, EVA, N_TO_Z, draft, everything, patch


def test_created_product_reads_back_the_same(catalog):
    made = catalog.create(
        draft("Café molido", variant="250 g", sku="CAF-1", tags=["bio"], price="3.4500", stock=7, description="Fuerte"),
        ANA,
    )
    assert catalog.get(made.id) == made
    assert catalog.find("  CAFE   MOLIDO", "250 G") == made
    assert (made.version, made.updated_by, made.shard, made.currency) == (1, "ana", "rsA", "EUR")


def test_same_name_in_other_spelling_is_refused_and_other_variant_is_not(catalog):
    catalog.create(draft("Año nuevo"), ANA)
    for spelling in ("año nuevo", "AN\u0303O NUEVO", "  Año   Nuevo ", "ＡÑＯ ＮＵＥＶＯ"):
        with pytest.raises(ProductExists):
            catalog.create(draft(spelling), ANA)
    catalog.create(draft("Ano nuevo"), ANA)
    catalog.create(draft("Año nuevo", variant="12 uvas"), ANA)


def test_create_repeated_with_its_id_is_the_same_write(catalog):
    product_id = uuid4()
    catalog.create(draft("Pan"), ANA, product_id)
    catalog.create(draft("Pan"), ANA, product_id)
    assert len(everything(catalog)) == 1


@pytest.mark.parametrize("name", ["Panecillo", "Aceite"])
def test_create_repeated_under_its_id_has_the_first_answer_whatever_became_of_the_product(catalog, name):
    first = catalog.create(draft("Pan", sku="P-1"), ANA, uuid4())

    def repeated():
        return catalog.create(draft("Pan", sku="P-1"), ANA, first.id).as_dict()

    assert repeated() == first.as_dict()
    catalog.edit(first.id, patch(name=name, sku=None), EVA, 1)
    assert repeated() == first.as_dict()
    catalog.create(draft("Pan", sku="P-1"), EVA)
    assert repeated() == first.as_dict()
    catalog.delete(first.id, EVA, 2)
    assert repeated() == first.as_dict()


def test_another_product_under_an_id_is_told_that_the_id_was_used(catalog):
    made = catalog.create(draft("Pan"), ANA, uuid4())
    for name in ("Queso", "Aceite"):
        with pytest.raises(ProductExists, match=f"with the id {made.id}"):
            catalog.create(draft(name), ANA, made.id)


def test_of_fifty_creates_of_one_name_one_wins(catalog):
    spellings = ["Ñandú", "ÑANDÚ", "N\u0303andu\u0301", " ñandú", "ñandu"] * 10
    barrier = threading.Barrier(len(spellings))

    def create(name):
        barrier.wait(timeout=30)
        try:
            catalog.create(draft(name), ANA)
        except ProductExists:
            return "refused"
        return "created"

    with ThreadPoolExecutor(len(spellings)) as pool:
        results = list(pool.map(create, spellings))
    assert (results.count("created"), results.count("refused")) == (1, 49)


def test_edit_of_the_seen_version_makes_the_next_one(catalog):
    made = catalog.create(draft("Pan"), ANA)
    edited = catalog.edit(made.id, patch(price="2", stock=5), EVA, 1)
    assert (edited.version, edited.price, edited.stock, edited.updated_by) == (2, Decimal(2), 5, "eva")
    assert catalog.get(made.id) == edited


def test_edit_of_a_stale_version_is_refused_and_loses_nothing(catalog):
    made = catalog.create(draft("Pan"), ANA)
    catalog.edit(made.id, patch(stock=5), EVA, 1)
    with pytest.raises(VersionConflict) as caught:
        catalog.edit(made.id, patch(stock=9), ANA, 1)
    assert caught.value.details["version"] == 2
    assert catalog.get(made.id).stock == 5


def test_edit_that_changes_nothing_writes_nothing(catalog):
    made = catalog.create(draft("Pan"), ANA)
    assert catalog.edit(made.id, patch(name="Pan"), EVA, 1).version == 1


def test_of_two_hundred_edits_by_two_editors_each_is_kept_or_refused(catalog):
    made = catalog.create(draft("Pan"), ANA)
    kept = []

    def edit_often(who):
        for _ in range(50):
            seen = catalog.get(made.id)
            with suppress(VersionConflict):
                kept.append(catalog.edit(made.id, patch(stock=seen.stock + 1), who, seen.version).version)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(edit_often, [ANA, EVA]))
    final = catalog.get(made.id)
    assert sorted(kept) == list(range(2, final.version + 1))
    assert final.stock == len(kept)


def test_rename_inside_a_range_is_found_under_the_new_name_only(catalog):
    made = catalog.create(draft("Pan"), ANA)
    catalog.edit(made.id, patch(name="Ostra"), ANA, 1)
    assert catalog.find("ostra").id == made.id
    with pytest.raises(ProductNotFound):
        catalog.find("Pan")


def test_rename_onto_another_product_is_refused(catalog):
    made = catalog.create(draft("Pan"), ANA)
    catalog.create(draft("Queso"), ANA)
    with pytest.raises(ProductExists):
        catalog.edit(made.id, patch(name="QUESO"), ANA, 1)
    assert catalog.get(made.id) == made


def test_sku_of_another_product_is_refused_in_either_shard(catalog):
    catalog.create(draft("Arroz", sku="X-1"), ANA)
    with pytest.raises(SkuTaken):
        catalog.create(draft("Zumo", sku="X-1"), ANA)
    other = catalog.create(draft("Zumo", sku="X-2"), ANA)
    with pytest.raises(SkuTaken):
        catalog.edit(other.id, patch(sku="X-1"), ANA, 1)
    assert catalog.edit(other.id, patch(sku=None), ANA, 1).sku is None


def test_deleted_product_is_gone_and_a_stale_delete_is_refused(catalog):
    made = catalog.create(draft("Pan"), ANA)
    catalog.edit(made.id, patch(stock=5), EVA, 1)
    with pytest.raises(VersionConflict):
        catalog.delete(made.id, ANA, 1)
    catalog.delete(made.id, ANA, 2)
    with pytest.raises(ProductNotFound):
        catalog.get(made.id)
    with pytest.raises(ProductNotFound):
        catalog.delete(made.id, ANA, 2)


def test_counts_are_by_shard(catalog):
    for name in A_TO_M + N_TO_Z:
        catalog.create(draft(name), ANA)
    assert {c.shard: c.products for c in catalog.counts()} == {"rsA": 4, "rsB": 5}


def test_keys_are_drawn_from_products_alone(catalog):
    """Not from what a moved product has left, nor from deleted ones: the picture of all products stands on them."""
    catalog.create(draft("Arroz"), ANA)
    moved = catalog.create(draft("Aceite"), ANA)
    catalog.edit(moved.id, patch(name="Zumo"), ANA, 1)
    gone = catalog.create(draft("Azafrán"), ANA)
    catalog.delete(gone.id, ANA, 1)
    assert {shard: catalog.store(shard).some_keys(50) for shard in ("rsA", "rsB")} == {
        "rsA": ["arroz"],
        "rsB": ["zumo"],
    }


def test_size_is_about_that_of_products_alone(catalog):
    """What the server counts of all documents holds deleted ones, too, and is wrong after a crash."""
    catalog.create(draft("Arroz"), ANA)
    alone = catalog.store("rsA").size()
    assert alone > 0
    for number in range(4):
        gone = catalog.create(draft(f"Aceite {number}"), ANA)
        catalog.delete(gone.id, ANA, 1)
    assert catalog.store("rsA").size() == alone


def test_budget_that_is_spent_ends_a_read_at_once(catalog):
    made = catalog.create(draft("Pan"), ANA)
    with budget(0):
        assert catalog.page().unavailable == ("rsA", "rsB")
        with pytest.raises(Unavailable):
            catalog.get(made.id)
