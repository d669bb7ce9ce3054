"""The short form of ``make races``: what many want at once is given once, also when somebody dies in between."""

import pytest

from campaigns import races
from tests.support.daily import daily

TIMES = 12
_DEATHS = [(step, victim) for step in races.STEPS for victim in races.VICTIMS]


@pytest.fixture
def raw(raw_clients, raw_products):
    return races.Raw(raw_clients)


def test_sku_is_given_once_by_creates_edits_restores_renames_and_imports_at_once(catalog, raw):
    raw.claims.delete_many({})
    assert races.race_for_skus(catalog, raw, TIMES) == []
    assert all(claim["writes"] == [] for claim in raw.claims.find())


def test_one_id_is_one_product_when_two_shards_create_it_at_once(catalog, raw):
    assert races.race_for_ids(catalog, raw, TIMES) == []


def test_one_idempotency_key_is_one_product_when_two_shards_create_it_at_once(catalog, raw):
    assert races.race_for_keys(catalog, raw, TIMES) == []
    assert sum(products.count_documents({}) for products in raw.products.values()) == TIMES


def test_list_by_name_shows_once_what_crosses_the_border_under_three_names_meanwhile(catalog, raw):
    assert races.race_lists(catalog, TIMES) == []


def test_batch_repeated_while_somebody_edits_overwrites_nothing(catalog, raw):
    assert races.race_repeats(catalog, TIMES) == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize("death", daily(_DEATHS, 0, 5, 9, 12), ids=" ".join)
def test_sku_is_given_once_when_somebody_dies_after_a_step_of_its_claim(cluster, settings, catalog, raw, death):
    killing = races.Killing(cluster, settings, catalog, raw)
    assert killing.races(*death, times=1) == []


def test_two_products_with_one_sku_are_found(catalog, raw):
    """Control."""
    sku = "TWICE"
    first, second = (catalog.create(races.draft(name), races.BY) for name in ("Arroz", "Zumo"))
    raw.products["rsA"].update_one({"_id": first.id}, {"$set": {"sku": sku}})
    assert raw.holders(sku) == [first.id]
    raw.products["rsB"].update_one({"_id": second.id}, {"$set": {"sku": sku}})
    assert sorted(raw.holders(sku)) == sorted([first.id, second.id])
