"""The short form of ``make rename-campaign``: renames under readers, and kill -9 at every step."""

from datetime import timedelta

import pytest

from campaigns import renames as campaign
from prodcore.deadline import budget
from prodcore.errors import Unavailable
from prodcore.product.model import ProductPatch
from prodcore.support.validation import validate
from tests.support.products import ANA


def test_readers_see_each_product_once_while_they_are_renamed(catalog):
    ids = campaign.fill(catalog, 30)
    readings = campaign.renames_under_readers(catalog, ids, 60)
    assert readings.wrong == []
    assert readings.unavailable == 0
    assert set(readings.done) == {"each", "search", "list", "by_price"}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("victim", ["process", "source", pytest.param("target", marks=pytest.mark.nightly)])
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


@pytest.fixture
def rsb_stops_at(cluster, catalog):
    """The catalogue, in which all members of rsB are killed after a step of a move; they run again at the end."""

    def make(step):
        def stop(name):
            if name == step:
                for member in (m for m in cluster.plan.members if m.replica_set == "rsB"):
                    cluster.members.kill(member.address)

        return campaign.stepping(catalog, stop)

    yield make
    cluster.up()
    with budget(60):
        catalog.store("rsB").count()


@pytest.mark.timeout(240)
def test_rename_into_a_shard_that_is_down_leaves_the_product_as_it_was(catalog, rsb_stops_at):
    (product_id, _other) = campaign.fill(catalog, 2)
    made = catalog.get(product_id)
    with budget(20), pytest.raises(Unavailable):
        campaign.rename(rsb_stops_at("intended"), made)
    edited = catalog.edit(product_id, validate(ProductPatch, {"stock": 5}), ANA, made.version)
    assert (edited.name, edited.version) == (made.name, made.version + 1)
    with budget(20), pytest.raises(Unavailable):  # now it is seen beforehand
        campaign.rename(catalog, edited)


@pytest.mark.timeout(240)
def test_rename_that_was_decided_when_the_shard_went_down_is_acknowledged_and_kept(cluster, catalog, rsb_stops_at):
    (product_id, _other) = campaign.fill(catalog, 2)
    made = catalog.get(product_id)
    with budget(20):
        moved = campaign.rename(rsb_stops_at("committed"), made)
        with pytest.raises(Unavailable):
            catalog.get(product_id)
    cluster.up()
    with budget(60):
        assert catalog.get(product_id) == moved
        assert catalog.moves.sweep(timedelta(0)) == 0
        assert [p.id for p in catalog.page().items].count(product_id) == 1
