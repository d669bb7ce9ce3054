"""How many products there are, as every page and command says it."""

from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import pytest
from pymongo.errors import OperationFailure
from pymongo.write_concern import WriteConcern

from prodcore.app.wiring import open_replica_set
from prodcore.catalog.stores import TRAFFIC_CATEGORY
from prodcore.mongo.products.store import MongoProductStore
from tests.support.faults import without_majority
from tests.support.products import ANA, draft, patch
from tests.support.waiting import wait_until


@pytest.fixture
def fresh_store(settings, catalog):
    """A store that has counted nothing yet, as that of a worker that just started."""
    with closing(open_replica_set(settings, "db2_url")) as replica_set:
        yield MongoProductStore(replica_set)


def test_count_taken_while_the_majority_lags_is_not_wrong_for_good(
    catalog, fresh_store, raw_clients, raw_products, direct_client
):
    catalog.create(draft("Zumo"), ANA)
    with without_majority(raw_clients, direct_client, "rsB"):
        copy = raw_products["rsB"].find_one()
        ahead = raw_products["rsB"].with_options(write_concern=WriteConcern(w=1))
        for i in range(5):
            ahead.insert_one({**copy, "_id": uuid4(), "variant_key": f"{i}"})
        fresh_store.count()
    wait_until(lambda: raw_products["rsB"].count_documents({}) == 6, "all members to have it", 30)
    count = fresh_store.count()
    assert (count.products, count.approximate) == (6, False)


def test_count_while_others_write_says_that_it_is_approximate(catalog, fresh_store, monkeypatch):
    catalog.create(draft("Zumo"), ANA)
    counted = fresh_store._count._counted

    def write_meanwhile():
        catalog.create(draft(f"Zumo {uuid4()}"), ANA)
        return counted()

    monkeypatch.setattr(fresh_store._count, "_counted", write_meanwhile)
    assert fresh_store.count().approximate


def test_a_number_that_holds_what_is_just_being_written_is_not_taken_for_good(
    catalog, fresh_store, raw_clients, raw_products, monkeypatch
):
    """A primary's own number holds a document from the moment it is written, before it is there or is given up."""
    catalog.create(draft("Zumo"), ANA)
    with raw_clients["rsB"].start_session() as session:
        another = {**raw_products["rsB"].find_one(), "_id": uuid4(), "variant_key": "x"}
        session.start_transaction()
        raw_products["rsB"].insert_one(another, session=session)
        monkeypatch.setattr(fresh_store._count, "_pause", lambda _seconds: session.abort_transaction())
        assert fresh_store.count().approximate


def test_a_primary_of_another_term_is_counted_anew(catalog, fresh_store, raw_clients, direct_client, monkeypatch):
    """It may have been killed in between: its own number is another one then, and not by what it was wrong before."""
    catalog.create(draft("Zumo"), ANA)
    assert fresh_store.count().products == 1
    counted, answers = fresh_store._count._counted, []
    monkeypatch.setattr(fresh_store._count, "_counted", lambda: answers.append(counted()) or answers[-1])
    fresh_store.count()
    assert answers == []

    elect_others(raw_clients["rsB"], direct_client)
    assert fresh_store.count().products == 1
    assert len(answers) == 1


def test_a_number_of_a_primary_that_was_just_elected_is_not_taken_for_that_of_the_one_before(
    catalog, fresh_store, raw_clients, direct_client, monkeypatch
):
    catalog.create(draft("Zumo"), ANA)
    known, _ = fresh_store._count._compared()
    fresh_store._count._difference = replace(known, documents=known.documents + 300)  # as if it were wrong by so many
    estimated = fresh_store._count._estimated

    def elected_meanwhile():
        monkeypatch.undo()
        elect_others(raw_clients["rsB"], direct_client)
        return estimated()

    monkeypatch.setattr(fresh_store._count, "_estimated", elected_meanwhile)
    assert fresh_store.count().products == 1


def test_a_collection_that_was_made_anew_is_counted_anew(catalog, fresh_store, raw_clients, raw_products):
    """Whatever the former one's number was wrong by, as after a restore that drops first."""
    catalog.create(draft("Zumo"), ANA)
    fresh_store._count._difference = None
    before, _ = fresh_store._count._compared()
    fresh_store._count._difference = replace(before, documents=before.documents - 300)
    kept = raw_products["rsB"].find_one()
    indexes = raw_products["rsB"].index_information()
    raw_products["rsB"].drop()
    raw_products["rsB"].insert_one(kept)
    for name, index in indexes.items():
        if name != "_id_":
            raw_products["rsB"].create_index(
                index.pop("key"), name=name, **{k: v for k, v in index.items() if k != "v"}
            )
    assert fresh_store.count().products == 1


def elect_others(client, direct_client):
    """Another member becomes primary, and then the former one again."""
    hello = client.admin.command("hello")
    with (
        direct_client(hello["me"]) as primary,
        direct_client(next(m for m in hello["hosts"] if m != hello["me"])) as other,
    ):
        for candidate in (other, primary):
            wait_until(lambda: not stood_up(candidate), "it to be elected", 60)  # noqa: B023  waited for at once


def stood_up(candidate):
    """Why it was not elected; the others may have to catch up first."""
    try:
        candidate.admin.command("replSetStepUp")
    except OperationFailure as error:
        return str(error)
    return None


def test_deleted_moved_and_drill_records_do_not_count(catalog, fresh_store):
    catalog.create(draft("Zumo"), ANA)
    catalog.create(draft("Zumo de un simulacro", category=TRAFFIC_CATEGORY), ANA)
    gone = catalog.create(draft("Zanahoria"), ANA)
    catalog.delete(gone.id, ANA, 1)
    moved = catalog.create(draft("Yema"), ANA)
    for version, name in enumerate(["Ana", "Yogur", "Bea"], 1):
        catalog.edit(moved.id, patch(name=name), ANA, version)
    assert fresh_store.count().products == 1
    assert {c.shard: c.products for c in catalog.counts()} == {"rsA": 1, "rsB": 1}


def test_what_a_shard_has_served_counts_reads_and_writes_of_all_clients(catalog, fresh_store):
    made = catalog.create(draft("Zumo"), ANA)
    reads, writes = fresh_store.moves.served()
    for _ in range(5):
        catalog.get(made.id)
    catalog.edit(made.id, patch(stock=3), ANA, 1)
    read, written = (after - before for after, before in zip(fresh_store.moves.served(), (reads, writes), strict=True))
    assert read >= 5 + 1, "and its own look, which whoever takes the difference leaves out"
    assert written >= 1
