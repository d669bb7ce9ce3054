"""The short form of ``make rename-campaign``: renames under readers, and kill -9 at every step."""

import pytest

from bench import rename_campaign as campaign


def test_readers_see_each_product_once_while_they_are_renamed(catalog):
    ids = campaign.fill(catalog, 30)
    readings = campaign.renames_under_readers(catalog, ids, 60)
    assert readings.wrong == []
    assert readings.unavailable == 0
    assert set(readings.done) == {"each", "search", "list", "by_price"}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("victim", campaign.VICTIMS)
def test_killed_at_any_step_a_move_leaves_the_product_once(cluster, settings, catalog, raw_products, victim):
    ids = campaign.fill(catalog, 25)
    killing = campaign.Killing(cluster, settings, catalog)
    with campaign.readers(catalog, ids) as readings:
        wrong = [text for i, step in enumerate(campaign.STEPS) for text in killing.rename(ids[i], step, victim)]
    assert wrong == []
    assert readings.wrong == []
    assert set(readings.done) == {"each", "search", "list", "by_price"}
    unpublished = {"move": {"$exists": True}, "purge_at": {"$exists": False}}
    assert sum(collection.count_documents(unpublished) for collection in raw_products.values()) == 0
