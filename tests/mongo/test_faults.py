"""What the catalogue says and does while members die, hang, or lose answers."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from prodcore.app.wiring import open_catalog, open_replica_set
from prodcore.catalog import Query, Sort
from prodcore.catalog.bulk import Changes, Seen, bulk_edit, replace_many
from prodcore.catalog.upsert import upsert
from prodcore.deadline import budget
from prodcore.errors import NoPrimary, OutcomeUnknown, ShardUnavailable, Unavailable, VersionConflict
from prodcore.mongo.products.store import DocumentCount
from prodcore.product.model import ProductPatch
from prodcore.settings import load_settings
from prodcore.support.request_notes import stale_reads
from prodcore.support.validation import validate
from tests.support.faults import failing
from tests.support.products import ANA, EVA, draft, item, patch
from tests.support.survivor import wait_until_known
from tests.support.waiting import wait_until


@pytest.fixture
def members_of(cluster):
    """The addresses of a set's members."""
    return lambda name: [m.address for m in cluster.plan.members if m.replica_set == name]


@pytest.fixture
def all_of_rsb(cluster, members_of, shared_catalog):
    """All members of rsB, started again and writable at the end."""
    yield members_of("rsB")
    bring_back(cluster, shared_catalog)


def bring_back(cluster, catalog):
    """Start what does not run, and wait until the driver has heard of it."""
    cluster.up()

    def answers():
        try:
            return catalog.store("rsB").count() is not None
        except Unavailable:  # at once, for as long as the driver has heard of too few members
            return False

    wait_until(answers, "rsB answers again", 30)


@pytest.fixture
def primary_of(raw_clients):
    """The address of a set's primary, once it has one."""

    def find(name):
        host, port = raw_clients[name].admin.command("hello")["primary"].split(":")
        return f"{host}:{port}"

    return find


@pytest.mark.parametrize("times", [1, 2, 5])
def test_create_whose_connection_breaks_is_made_once(catalog, raw_clients, times):
    with failing(raw_clients["rsA"], ["insert"], closeConnection=True, times=times):
        made = catalog.create(draft("Arroz"), ANA)
    assert catalog.get(made.id) == made
    assert len(catalog.page().items) == 1


@pytest.mark.parametrize("code", [64, 91, 11600, 11602, 10107, 189])
def test_create_that_was_stored_and_answered_with_an_error_is_made_once(catalog, raw_clients, code):
    error = {"code": code, "errmsg": "made by a fail point"}
    with failing(raw_clients["rsA"], ["insert"], writeConcernError=error, times=2):
        made = catalog.create(draft("Arroz"), ANA)
    assert [p.id for p in catalog.page().items] == [made.id]


@pytest.mark.parametrize("code", [24, 43, 94, 112, 175, 187, 210, 237, 365, 11601])
def test_what_a_server_cannot_do_now_is_asked_again(catalog, raw_clients, code):
    """Interrupted, a cursor or snapshot gone, just started: not what a question or a write is refused for."""
    made = catalog.create(draft("Arroz", stock=1), ANA)
    with failing(raw_clients["rsA"], ["find", "aggregate", "update"], errorCode=code, times=3):
        assert [p.id for p in catalog.page(Query(sort=Sort.parse("stock"))).items] == [made.id]
        edited = catalog.edit(made.id, validate(ProductPatch, {"stock": 2}), ANA, 1)
    assert catalog.get(made.id) == edited


def test_edit_whose_answer_is_lost_counts_once(catalog, raw_clients):
    made = catalog.create(draft("Arroz", stock=1), ANA)
    error = {"code": 64, "errmsg": "made by a fail point"}
    with failing(raw_clients["rsA"], ["update"], writeConcernError=error, times=2):
        edited = catalog.edit(made.id, validate(ProductPatch, {"stock": 2}), ANA, 1)
    assert catalog.get(made.id) == edited
    assert edited.version == 2


def test_delete_whose_answer_is_lost_is_done(catalog, raw_clients):
    made = catalog.create(draft("Arroz"), ANA)
    error = {"code": 64, "errmsg": "made by a fail point"}
    with failing(raw_clients["rsA"], ["update"], writeConcernError=error, times=2):
        catalog.delete(made.id, ANA, 1)
    assert catalog.page().items == ()


def test_batch_whose_answer_is_lost_is_stored_once(catalog, raw_clients):
    items = [item(f"Arroz {i}") for i in range(20)]
    error = {"code": 64, "errmsg": "made by a fail point"}
    with failing(raw_clients["rsA"], ["insert"], writeConcernError=error, times=2):
        assert {o.status for o in upsert(catalog, items, ANA)} == {"created"}
    assert len(catalog.page(limit=100).items) == 20


def test_replaced_batch_whose_answer_is_lost_counts_once(catalog, raw_clients):
    upsert(catalog, [item(f"Arroz {i}") for i in range(20)], ANA)
    error = {"code": 64, "errmsg": "made by a fail point"}
    with failing(raw_clients["rsA"], ["update"], writeConcernError=error, times=2):
        outcomes = upsert(catalog, [item(f"Arroz {i}", stock=9) for i in range(20)], ANA)
    assert {o.status for o in outcomes} == {"changed"}
    assert {(p.version, p.stock) for p in catalog.page(limit=100).items} == {(2, 9)}


@pytest.fixture
def meanwhile(catalog, monkeypatch):
    """Somebody writes between a write and the look at what became of it."""
    store = catalog.store("rsA")

    def arrange(name, write, *, after):
        original = getattr(store, name)

        def call(*arguments):
            monkeypatch.setattr(store, name, original)
            done = original(*arguments) if after else None
            write()
            return done if after else original(*arguments)

        monkeypatch.setattr(store, name, call)

    return arrange


def test_write_whose_answer_is_lost_is_known_by_its_history_though_others_wrote_since(catalog, raw_clients, meanwhile):
    error = {"code": 64, "errmsg": "made by a fail point"}
    product_id = uuid4()
    meanwhile("_settle", lambda: catalog.edit(product_id, patch(name="Aceite"), EVA, 1), after=False)
    with failing(raw_clients["rsA"], ["insert"], writeConcernError=error):
        assert catalog.create(draft("Arroz"), ANA, product_id).name == "Arroz"
    meanwhile("_settle", lambda: catalog.edit(product_id, patch(stock=9), EVA, 3), after=False)
    with failing(raw_clients["rsA"], ["update"], writeConcernError=error):
        assert catalog.edit(product_id, patch(price="7"), ANA, 2).version == 3
    now = catalog.get(product_id)
    assert (now.version, now.name, now.stock, str(now.price)) == (4, "Aceite", 9, "7")


def test_a_product_of_a_batch_that_somebody_edited_right_after_is_told_as_written(catalog, meanwhile):
    first, stale = (catalog.create(draft(name), ANA) for name in ("Arroz", "Aceite"))
    catalog.edit(stale.id, patch(stock=9), EVA, 1)
    meanwhile("_bulk_write", lambda: catalog.edit(first.id, patch(stock=7), EVA, 2), after=True)
    outcomes = bulk_edit(catalog, [Seen(first.id, 1), Seen(stale.id, 2)], Changes({"category": "Cocina"}), ANA)
    assert {o.status for o in outcomes} == {"changed"}
    new = [catalog.next_version(p, replace(p, stock=1), ANA) for p in (catalog.get(first.id), stale)]
    meanwhile("_bulk_write", lambda: catalog.edit(first.id, patch(stock=8), EVA, new[0].version), after=True)
    assert [type(error) for error in replace_many(catalog, "rsA", new)] == [type(None), VersionConflict]


def test_write_that_is_not_answered_in_time_is_said_to_be_unknown_and_names_the_product(catalog, raw_clients):
    with (
        failing(raw_clients["rsA"], ["insert"], blockConnection=True, blockTimeMS=2000, times=1),
        budget(1.0),
        pytest.raises(OutcomeUnknown) as caught,
    ):
        catalog.create(draft("Arroz"), ANA)
    assert UUID(caught.value.details["product_id"])


def test_batch_that_is_not_answered_in_time_says_unknown_for_each_item_sent(catalog, raw_clients):
    items = [item("Arroz"), item("Café"), item("Zumo")]
    with failing(raw_clients["rsA"], ["insert"], blockConnection=True, blockTimeMS=2000, times=1), budget(1.0):
        outcomes = upsert(catalog, items, ANA)
    assert [o.status for o in outcomes] == ["unknown", "unknown", "unavailable"]


def test_shard_whose_members_are_all_killed_is_named_and_the_other_works(catalog, cluster, all_of_rsb):
    arroz = catalog.create(draft("Arroz"), ANA)
    zumo = catalog.create(draft("Zumo"), ANA)
    for address in all_of_rsb:
        cluster.members.kill(address)

    with pytest.raises(ShardUnavailable) as caught:
        catalog.create(draft("Naranja"), ANA)
    assert caught.value.details["shard"] == "rsB"

    assert catalog.create(draft("Café"), ANA).shard == "rsA"
    assert catalog.get(arroz.id) == arroz
    page = catalog.page()
    assert [p.name for p in page.items] == ["Arroz", "Café"]
    assert page.unavailable == ("rsB",)
    assert {c.shard: c.products for c in catalog.counts()} == {"rsA": 2, "rsB": None}
    with pytest.raises(Unavailable):  # it may be in rsB: that is no "not found"
        catalog.get(zumo.id)


def test_shard_without_a_majority_shows_what_is_left_of_it_to_those_who_ask_and_takes_no_write(
    catalog, cluster, all_of_rsb, primary_of
):
    arroz, zumo = catalog.create(draft("Arroz"), ANA), catalog.create(draft("Zumo", price="2"), ANA)
    primary = primary_of("rsB")
    other, survivor = (address for address in all_of_rsb if address != primary)
    wait_until_known(cluster, survivor, zumo.id)
    for address in (primary, other):
        cluster.members.kill(address)
    with budget(10), pytest.raises(Unavailable):
        catalog.create(draft("Naranja"), ANA)
    with budget(10), stale_reads() as stale:
        assert [p.name for p in catalog.page().items] == ["Arroz", "Zumo"]
        assert [p.name for p in catalog.page(Query(sort=Sort("price"))).items] == ["Arroz", "Zumo"]
        assert catalog.page().unavailable == ()
        assert (catalog.get(zumo.id), catalog.find("zumo")) == (zumo, zumo)
        assert catalog.get(arroz.id) == arroz
        assert {c.shard: c.products for c in catalog.counts()} == {"rsA": 1, "rsB": 1}
    assert stale == {"rsB"}
    assert catalog.page().unavailable == ("rsB",), "nobody gets it unasked"
    with pytest.raises(Unavailable):
        catalog.edit(zumo.id, validate(ProductPatch, {"stock": 2}), ANA, 1)
    bring_back(cluster, catalog)
    with budget(30):
        assert catalog.edit(zumo.id, validate(ProductPatch, {"stock": 2}), ANA, 1).version == 2


def test_counts_are_right_although_every_member_forgot_its_own_number(
    catalog, cluster, direct_client, all_of_rsb, raw_clients
):
    def products():
        return {count.shard: count.products for count in catalog.counts()}["rsB"]

    assert products() == 0
    rsb = raw_clients["rsB"]["products_db"]["products"]
    assert any(forget_numbers(catalog, cluster, direct_client, all_of_rsb, rsb, products) for _try in range(6)), (
        "this shows nothing"
    )
    catalog.create(draft("Zumo de uva"), ANA)
    assert products() == 51


def test_count_is_right_after_all_is_deleted_although_the_members_own_number_was_too_low(
    cluster, catalog, direct_client, all_of_rsb, raw_clients
):
    """A member's own number does not go below zero: from there on it is wrong by less than it was before."""
    name = "counted_after_a_crash"  # of its own: how wrong a number is depends on all that was there before
    stored = raw_clients["rsB"]["products_db"][name]
    with closing(open_replica_set(load_settings(**cluster.addresses("root")), "db2_url")) as replica_set, budget(120):
        count = DocumentCount(replica_set, name)
        assert any(lose_number(cluster, catalog, direct_client, all_of_rsb, stored, count) for _try in range(6)), (
            "this shows nothing"
        )
        stored.delete_many({})
        assert count.now().products == 0
        stored.insert_one({})
        assert count.now().products == 1
    stored.drop()


def lose_number(cluster, catalog, direct_client, addresses, stored, count):
    """Leave 20 documents; whether the primary says fewer after it, as it does if it had not saved the last ones."""
    stored.drop()
    stored.insert_many({} for _ in range(5))
    save(direct_client, addresses)
    stored.insert_many({} for _ in range(15))
    for address in addresses:
        cluster.members.kill(address)
    bring_back(cluster, catalog)
    assert count.now().products == 20
    return stored.estimated_document_count() < 20


def forget_numbers(catalog, cluster, direct_client, addresses, stored, products):
    """Leave 50 products; whether the primary says something else after it, 300 the first time.

    It does not if it saved its number just before, which members do once a minute; the others may be wrong all the
    same, and are wrong by more after the next time.
    """
    stored.delete_many({})
    with budget(30):
        upsert(catalog, [item(f"Zumo {i}", stock=i) for i in range(300)], ANA)
        assert products() == 300, "counted on, from the number that was right before"
    save(direct_client, addresses)
    stored.delete_many({"stock": {"$lt": 250}})  # repeated from the oplog after the kill, and not subtracted there
    for address in addresses:
        cluster.members.kill(address)
    bring_back(cluster, catalog)
    with budget(30):
        assert products() == 50
    return stored.estimated_document_count() != 50


def save(direct_client, addresses):
    """Have each member save all that is stored now.

    A checkpoint holds what the member knows to be on a majority. A secondary may learn that a moment later, and one
    that comes back from a checkpoint where it had no product counts them as it repeats the oplog.
    """
    deadline = time.monotonic() + 30
    stored = None
    for address in addresses:
        with direct_client(address) as member:
            while True:
                member.admin.command("fsync")
                status = member.admin.command("replSetGetStatus")
                stored = stored or max(m["optime"]["ts"] for m in status["members"])
                if status["lastStableRecoveryTimestamp"] >= stored:
                    break
                assert time.monotonic() < deadline, f"{address} saved nothing newer"


def test_shard_whose_members_all_hang_is_named_and_the_other_works(catalog, cluster, all_of_rsb):
    catalog.create(draft("Arroz"), ANA)
    for address in all_of_rsb:
        cluster.members.pause(address)
    try:
        with budget(8), pytest.raises((ShardUnavailable, OutcomeUnknown)) as caught:
            catalog.create(draft("Naranja"), ANA)
        assert caught.value.details["shard"] == "rsB"
        with pytest.raises(Unavailable):
            catalog.find("Zumo")
        assert [p.name for p in catalog.page().items] == ["Arroz"]
    finally:
        for address in all_of_rsb:
            cluster.members.resume(address)


def test_writes_go_on_through_the_death_of_a_primary(catalog, cluster, primary_of):
    victim = primary_of("rsA")

    def create(i):
        return catalog.create(draft(f"Arroz {i:03}"), ANA).id

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(create, i) for i in range(200)]
        cluster.members.kill(victim)
        made = {future.result() for future in futures}
    cluster.members.start(victim)
    assert {p.id for p in catalog.page(limit=200).items} == made


def test_new_primary_is_not_read_before_it_shows_all_that_was_acknowledged(
    catalog, cluster, settings, direct_client, members_of, primary_of
):
    first = primary_of("rsA")
    second, third = (address for address in members_of("rsA") if address != first)
    with direct_client(second) as one:
        if one.admin.command("replSetGetStatus")["syncSourceHost"] == third:  # it would look for another one after 30 s
            second, third = third, second
    made = catalog.create(draft("Arroz", stock=1), ANA)
    stop_copying = {"configureFailPoint": "stopReplProducer"}
    with direct_client(third) as copying_nothing:
        copying_nothing.admin.command({**stop_copying, "mode": "alwaysOn"})
        for stock in (2, 3):
            made = catalog.edit(made.id, validate(ProductPatch, {"stock": stock}), ANA, made.version)
        cluster.members.kill(first)
        try:
            with closing(open_replica_set(settings, "db1_url")) as seen:
                primary = lambda: f"{seen.primary[0][0]}:{seen.primary[0][1]}" if seen.primary else ""  # noqa: E731
                wait_until(lambda: primary() == second, "the client to see the member that has all", 30)
                with budget(1.0), pytest.raises(NoPrimary):
                    seen.read(lambda: seen.collection("products").find_one({"_id": made.id}))
        finally:
            copying_nothing.admin.command({**stop_copying, "mode": "off"})
            cluster.members.start(first)
    assert catalog.get(made.id) == made


def test_catalogue_opens_from_the_shards_copies_while_the_users_set_is_down(cluster, settings, members_of):
    for address in members_of("rsU"):
        cluster.members.kill(address)
    try:
        with open_catalog(settings) as opened:
            assert opened.shard_map.version >= 1
            assert opened.where("Ñandú").shard == "rsB"
    finally:
        cluster.up()


def created_again(catalog):
    """Once: as soon as its members are seen to answer."""
    made = []

    def create():
        with suppress(Unavailable):
            made.append(catalog.create(draft("Café"), ANA))
        return made

    wait_until(create, "the shard to take writes again", 30)
    return made[0]


def test_write_without_a_majority_is_refused_or_unknown_never_acknowledged(catalog, cluster, members_of, primary_of):
    primary = primary_of("rsA")
    others = [address for address in members_of("rsA") if address != primary]
    for address in others:
        cluster.members.pause(address)
    try:
        with budget(3), pytest.raises((NoPrimary, OutcomeUnknown)):
            catalog.create(draft("Arroz"), ANA)
    finally:
        for address in others:
            cluster.members.resume(address)
    with budget(30):
        assert created_again(catalog).shard == "rsA"
