"""Ranges move from one replica set to another, under writers and readers, and whoever dies."""

import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from prodcore.app.drills import serve_actions
from prodcore.app.range_moves import RangeMoves, serve_moves
from prodcore.app.shards import open_shards
from prodcore.app.wiring import catalog_over, open_board, open_replica_sets
from prodcore.catalog import Sort
from prodcore.catalog.bulk import delete_many, replace_many
from prodcore.catalog.catalog import now
from prodcore.catalog.upsert import upsert
from prodcore.deadline import budget
from prodcore.errors import Conflict, ProductExists, ShardNotFound, StaleShardMap
from prodcore.mongo.products.checks import upgrade_products
from prodcore.processes.orders import ActionKind, ClusterAction
from prodcore.routing import DEFAULT_MAP
from prodcore.settings import load_settings
from prodcore.sharding.mover import Bounds, RangeMover
from prodcore.sharding.trust import install_map
from tests.support.daily import daily
from tests.support.products import ANA, Killed, draft, item, listed, patch
from tests.support.waiting import wait_until

STEPS = ["announced", "taken", "refused", "given", "intended", "received", "committed", "published", "carried"]


@pytest.fixture(scope="module")
def operator(cluster):
    with open_shards(load_settings(**cluster.addresses("operator"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def opened(settings):
    """The sets as webapp opens them."""
    with open_replica_sets(settings) as sets:
        yield sets


@pytest.fixture
def shards(operator, raw_products, raw_clients):
    """All shards; at the end the map is the first one again."""
    raw_clients["rsU"]["prodctl_meta"]["range_moves"].delete_many({})
    yield operator
    raw_clients["rsU"]["prodctl_meta"]["shard_map"].delete_many({})
    for name in raw_products:
        raw_clients[name]["products_db"]["owned_ranges"].delete_many({})
    install_map(DEFAULT_MAP, operator.maps, operator.owned)


@pytest.fixture
def start(settings, shards, opened):
    """Starts a process that looks for a newer map only when it is told to."""
    return lambda: catalog_over(settings, *opened)


@pytest.fixture
def routers(start):
    return [start() for _ in range(3)]


@pytest.fixture
def mover(shards, routers):
    """Makes movers that wait until all processes know the map, or those that are given."""

    def make(lower="g", upper="n", *, known_to=routers, step=lambda _name: None):
        def wait(_seconds):
            for router in known_to:
                router.current_map.follow()

        carrier = shards.carrier(step=step)
        moves = {name: store.moves for name, store in shards.stores.items()}
        bounds = Bounds(lower, upper)
        return RangeMover(bounds, shards.maps, shards.owned, moves, carrier, wait=wait, step=step)

    return make


def move(mover, source="rsA", target="rsB"):
    mover.announce(target)
    assert mover.give(target)
    assert mover.carry(source, target)


def purge(raw_products):
    """What the servers do twenty minutes later."""
    for products in raw_products.values():
        products.delete_many({"move.state": "moved"})


def findings(shards):
    return [(f.kind, f.text) for f in shards.findings(lambda _looked: None)]


def test_range_moves_with_live_and_deleted_products_and_is_the_targets_alone_at_the_end(
    shards, routers, mover, raw_products
):
    router = routers[0]
    names = ("fresa", "gato", "higo", "kiwi", "pan")
    made = {name: router.create(draft(name, sku=f"S-{name}", tags=["bio"]), ANA) for name in names}
    router.delete(made["kiwi"].id, ANA, 1)
    edited = router.edit(made["gato"].id, patch(stock=4), ANA, 1)
    work = mover()
    move(work)
    assert {d["name"] for d in raw_products["rsB"].find({"deleted": {"$exists": False}})} == {"gato", "higo", "pan"}
    assert raw_products["rsA"].count_documents({"move.state": {"$ne": "moved"}}) == 1
    assert router.get(edited.id) == replace(edited, shard="rsB", change=None)
    assert [c.action for c in router.history(edited.id)] == ["edited", "created"]
    assert findings(shards) == []
    restored = router.restore(made["kiwi"].id, ANA, 2)
    assert (restored.shard, restored.version, restored.sku) == ("rsB", 3, "S-kiwi")
    assert not work.close()
    purge(raw_products)
    assert work.close()
    assert str(shards.maps.load().range_for("higo")) == "g ≤ key < n"
    assert shards.maps.load().range_for("higo").holders == ("rsB",)
    assert findings(shards) == []


@pytest.mark.parametrize("length", daily(["short", "long"], 0))
def test_everybody_works_on_while_a_range_moves_and_goes_back(shards, routers, mover, raw_products, length):
    router, (count, moves) = routers[0], {"short": (15, 1), "long": (60, 3)}[length]
    names = [f"{letter}{n:03}" for letter in "fhip" for n in range(count)]
    assert all(o.error is None for o in upsert(router, [item(name) for name in names], ANA))
    kept = {p.id for p in listed(router)}
    over, failures, looked, made = threading.Event(), [], [], []

    def repeat(work):
        def run():
            turn = 0
            while not over.is_set():
                turn += 1
                try:
                    with budget(40):
                        work(turn)
                except Exception as error:  # noqa: BLE001  each is a failure of the test
                    failures.append((work.__name__, turn, repr(error)))

        return threading.Thread(target=run, daemon=True)

    def create(turn):
        made.append(routers[turn % 3].create(draft(f"{'hk'[turn % 2]} nuevo {turn}"), ANA).id)

    def edit(turn):
        seen = routers[turn % 3].find(names[count + turn % (2 * count)])
        assert routers[turn % 3].edit(seen.id, patch(stock=turn), ANA, seen.version).stock == turn

    def rename(turn):
        seen = routers[0].create(draft(f"a viajero {turn}"), ANA, uuid4())
        there = routers[1].edit(seen.id, patch(name=f"h viajero {turn}"), ANA, 1)
        again = routers[2].edit(seen.id, patch(name=f"i viajero {turn}"), ANA, there.version)
        routers[0].delete(seen.id, ANA, again.version)

    def bring_in(turn):
        part = [item(name, stock=turn) for name in (*names[-count:], f"j importado {turn}")]
        assert [o.error for o in upsert(routers[2], part, ANA)] == [None] * len(part)

    def read(turn):
        order = Sort.parse(["name", "-name", "price", "name"][turn % 4])
        made_before = set(made)
        found = [p.id for p in listed(routers[turn % 3], 50, sort=order)]
        stay = [i for i in found if i in kept or i in made_before]
        assert len(stay) == len(set(stay)), "a product was shown twice"
        assert kept <= set(found), f"missed {len(kept - set(found))} in {order}"
        assert made_before <= set(found), f"missed {len(made_before - set(found))} new ones in {order}"
        looked.append(turn)

    threads = [repeat(work) for work in (create, edit, rename, bring_in, read)]
    for thread in threads:
        thread.start()
    work = mover()
    try:
        move(work)
        for _ in range(moves):
            assert work.give("rsA")
            assert work.carry("rsB", "rsA")
            move(work)
    finally:
        over.set()
        for thread in threads:
            thread.join(20)
    assert failures == []
    assert looked
    left = {"name_key": {"$gte": "g", "$lt": "n"}, "move.state": {"$ne": "moved"}}
    assert raw_products["rsA"].count_documents(left) == 0
    assert findings(shards) == []


@pytest.mark.parametrize("step", daily(STEPS, 1, 2, 5))
def test_mover_that_dies_is_followed_by_another_one(shards, start, routers, mover, raw_products, step):
    router = routers[0]
    made = [router.create(draft(name), ANA) for name in ("gato", "higo", "kiwi")]
    router.delete(made[2].id, ANA, 1)

    def die(name):
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        move(mover(step=die))
    assert start().find("gato").id == made[0].id  # one that starts just then
    assert sorted(p.name for p in listed(router, 1)) == ["gato", "higo"]
    assert router.edit(made[1].id, patch(name="hinojo"), ANA, 1).name == "hinojo"
    assert router.create(draft("jamon"), ANA).shard in ("rsA", "rsB")
    assert upsert(router, [item("gato", stock=9)], ANA)[0].error is None
    work = mover()
    move(work)
    router.moves.sweep(timedelta(0))
    purge(raw_products)
    assert work.close()
    assert sorted(p.name for p in listed(router, 1)) == ["gato", "hinojo", "jamon"]
    assert router.restore(made[2].id, ANA, 2).shard == "rsB"
    assert findings(shards) == []


def test_process_that_slept_from_the_beginning_to_the_end_misplaces_and_misses_nothing(
    routers, mover, raw_products, shards
):
    sleeper, router, _other = routers
    gato, higo, kiwi = (sleeper.create(draft(name), ANA) for name in ("gato", "higo", "kiwi"))
    work = mover(known_to=[router])
    work.announce("rsB")
    assert work.give("rsB")
    assert sleeper.shard_map == DEFAULT_MAP
    taken = router.create(draft("hielo"), ANA)
    with pytest.raises(ProductExists):  # rsA, which still has it, refuses that it gets another name
        sleeper.edit(gato.id, patch(name="hielo"), ANA, 1)
    assert (taken.shard, sleeper.shard_map == DEFAULT_MAP) == ("rsB", False)
    sleeper = routers[2]
    assert sleeper.shard_map == DEFAULT_MAP
    new = sleeper.next_version(higo, higo, ANA)
    assert replace_many(sleeper, "rsA", [new]) == [None]  # an edit keeps its keys
    assert sleeper.edit(kiwi.id, patch(stock=3), ANA, 1).stock == 3
    assert work.carry("rsA", "rsB")
    with pytest.raises(StaleShardMap):
        sleeper.store("rsA").insert(sleeper.draft(draft("kaki"), ANA))
    assert delete_many(sleeper, "rsA", [sleeper.get(higo.id)], ANA) == [None]
    assert sleeper.create(draft("kaki"), ANA, uuid4()).shard == "rsB"
    assert findings(shards) == []


@pytest.mark.parametrize(
    ("lower", "upper", "target", "error", "text"),
    [
        ("a", "n", "rsA", Conflict, "is already on rsA"),
        ("", "n", "rsC", ShardNotFound, "there is no shard rsC"),
        ("", "c", "rsB", Conflict, "belongs to several shards: rsB, rsA"),
    ],
)
def test_what_cannot_move_is_said_before_anything_changes(mover, shards, lower, upper, target, error, text):
    with pytest.raises(error, match=text):
        mover(lower, upper).plan(target)
    assert shards.maps.load() == DEFAULT_MAP


def test_range_that_is_being_moved_is_not_moved_in_part(mover):
    mover("g", "n").announce("rsB")
    with pytest.raises(Conflict, match="still has products or old locations"):
        mover("c", "k").plan("rsB")


def test_order_is_kept_and_only_one_is_carried_out_at_once(moves):
    first, second = (moves.plan_move(Bounds(*bounds), "rsB", "ana") for bounds in (("g", "n"), ("c", "g")))
    moves.give_order(first)
    moves.give_order(first)
    with pytest.raises(Conflict, match="another range is being moved"):
        moves.give_order(second)
    assert moves.order_at_work().id == first.id
    moves.want(first, "pause")
    assert moves.carry_out(first.id, lambda _order, _text: None).wanted == "pause"
    moves.want(first, "abort")
    moves.carry_out(first.id, lambda _order, _text: None)
    assert [order.state(now()) for order in moves.latest_orders(5)] == ["aborted"]
    moves.give_order(second)


@pytest.fixture
def moves(shards):
    return RangeMoves(shards)


@pytest.fixture
def served(cluster):
    """Serves orders as the supervised program does, within the block; what it logs."""

    @contextmanager
    def serve():
        stop, logged = threading.Event(), []
        operator = load_settings(**cluster.addresses("operator"))
        thread = threading.Thread(target=serve_moves, args=(operator, stop, logged.append, 0.5), daemon=True)
        thread.start()
        try:
            yield logged
        finally:
            stop.set()
            thread.join(30)

    return serve


def age(raw_clients, order, seconds):
    """As if whoever is at work had been seen so long ago."""
    orders = raw_clients["rsU"]["prodctl_meta"]["range_moves"]
    earlier = {"$subtract": ["$$NOW", seconds * 1000]}
    orders.update_one({"_id": order.id}, [{"$set": {"worker": "host:9:9", "seen_at": earlier}}])


def test_one_at_a_time_is_at_work_on_an_order_until_it_is_gone(moves, shards, raw_clients):
    order = moves.plan_move(Bounds("g", "n"), "rsB", "ana")
    moves.give_order(order)
    orders = shards.orders
    assert (orders.claim(order.id, "a"), orders.claim(order.id, "b"), orders.claim(order.id, "a")) == (
        True,
        False,
        True,
    )
    assert (orders.note(order.id, "a", 5, 1.0), orders.note(order.id, "b", 5, 1.0)) == (True, False)
    assert (moves.order_at_work().carried, moves.order_at_work().is_waiting(now())) == (5, False)
    orders.release(order.id, "b")
    assert not orders.claim(order.id, "b")
    age(raw_clients, order, 3)
    assert not orders.claim(order.id, "b")
    age(raw_clients, order, 16)
    assert moves.order_at_work().is_waiting(now())
    assert orders.claim(order.id, "b")


def test_program_goes_on_where_whoever_was_at_work_has_died(moves, served, routers, mover, raw_products, raw_clients):
    names = [f"gato {number}" for number in range(20)]
    assert all(o.error is None for o in upsert(routers[0], [item(name) for name in names], ANA))
    order = moves.plan_move(Bounds("g", "n"), "rsB", "ana")
    moves.give_order(order)
    work = mover()
    work.announce("rsB")
    assert work.give("rsB")
    age(raw_clients, order, 16)
    with served() as logged:
        ended = moves.carry_out(order.id, lambda _order, _text: None, patience=60)
        assert (ended.state(now()), ended.carried, ended.trouble) == ("settling", 20, "")
        purge(raw_products)
        wait_until(lambda: moves.latest_orders(1)[0].state(now()) == "done", "the order is done", 30)
    assert "ana ordered the move of g ≤ key < n to rsB" in logged
    assert moves.shards.maps.load().range_for("gato").holders == ("rsB",)


def test_move_that_cannot_go_on_is_paused_with_the_reason(moves, served, routers, mover, raw_products):
    gato = routers[0].create(draft("gato"), ANA)
    order = moves.plan_move(Bounds("g", "n"), "rsB", "ana")
    moves.give_order(order)
    twin = raw_products["rsA"].find_one({"_id": gato.id}) | {"_id": uuid4()}
    raw_products["rsB"].insert_one(twin, bypass_document_validation=True)
    work = mover()
    work.announce("rsB")
    assert work.give("rsB")
    with served():
        ended = moves.carry_out(order.id, lambda _order, _text: None, patience=60)
    assert (ended.state(now()), ended.trouble[:25]) == ("paused", "1 product stays on rsA: a")
    raw_products["rsB"].delete_one({"_id": twin["_id"]})
    moves.want(ended, "move")
    assert moves.carry_out(order.id, lambda _order, _text: None).state(now()) == "settling"


def test_what_is_ordered_on_the_pages_is_done_by_the_runner(cluster, moves, served, routers, mover, tmp_path):
    routers[0].create(draft("gato"), ANA)
    work = mover()
    work.announce("rsB")
    assert work.give("rsB")
    web, operator = (load_settings(**cluster.addresses(user), state_dir=tmp_path) for user in ("web", "operator"))
    stop = threading.Event()
    thread = threading.Thread(target=serve_actions, args=(operator, cluster.members, stop, print), daemon=True)
    with open_board(web) as board, open_board(operator) as runners, served():
        runners.prepare()
        thread.start()

        def ended(kind, **arguments):
            action = ClusterAction(str(uuid4()), kind, "Ana", now(), arguments)
            board.actions.place(action)
            board.actions.place(action)
            wait_until(lambda: board.actions.get(action.id).is_over, f"{kind} has ended", 60)
            run = board.actions.get(action.id)
            return run.state.value, run.reason, dict(run.result)

        try:
            moved = {"moved": ["g ≤ key < n"]}
            assert ended(ActionKind.MOVE, lower="g", upper="n", target="rsB") == ("done", "", moved)
            [order] = moves.latest_orders(5)
            assert (order.by, order.state(now()), order.carried) == ("Ana", "settling", 1)
            counts = [(c.shard, c.products, c.approximate) for c in routers[0].counts()]
            assert sorted(counts) == [("rsA", 0, False), ("rsB", 1, False)]
            unknown = ended(ActionKind.MOVE, lower="g", upper="n", target="rsX")
            assert unknown == ("refused", "there is no shard rsX; there are rsA, rsB", {})
            assert ended(ActionKind.PAUSE, move=str(order.id))[:2] == ("refused", "no range is being moved")
        finally:
            stop.set()
            thread.join(30)


def damage(products, product, **changes):
    """Change what is derived of a product past our code, and past the rule of its shard."""
    assert products.update_one({"_id": product.id}, {"$set": changes}, bypass_document_validation=True).matched_count


@pytest.fixture
def sets(opened, raw_clients):
    """The shards, whose products another version has stored."""
    for client in raw_clients.values():
        client["products_db"]["marks"].delete_many({})
    return opened[1]


def test_what_is_still_at_the_source_is_repaired_and_upgraded(shards, sets, routers, mover, raw_products):
    made = {name: routers[0].create(draft(name), ANA) for name in ("gato", "higo", "kiwi")}
    work = mover()
    work.announce("rsB")
    assert work.give("rsB")
    damage(raw_products["rsA"], made["gato"], words=["perro"])
    damage(raw_products["rsA"], made["higo"], name_key="h")
    mended = {m.finding.product.name: m.text for m in shards.mend(shards.findings(lambda _looked: None), dry_run=False)}
    assert mended == {"gato": "recomputed", "higo": "recomputed, and moved to rsB"}
    assert findings(shards) == []
    damage(raw_products["rsA"], made["kiwi"], words=["kiwi"], facets=["$name"])
    assert upgrade_products(list(sets.values())) == 1
    assert work.carry("rsA", "rsB")
    assert {p.name: p.shard for p in listed(routers[0])} == dict.fromkeys(made, "rsB")
    assert findings(shards) == []


def test_upgrade_meets_what_moves_to_a_shard_that_it_has_left(shards, sets, routers, mover, raw_products):
    class MovesWhenLookedAt:
        """rsB, of which a range moves to rsA as soon as anybody looks at its products."""

        def __init__(self, replica_set):
            self.replica_set = replica_set
            self.name = replica_set.name

        def collection(self, name):
            if name == "products" and shards.maps.load() == DEFAULT_MAP:
                move(mover("n", "s"), "rsB", "rsA")
            return self.replica_set.collection(name)

        def __getattr__(self, name):
            return getattr(self.replica_set, name)

    pan, zumo = (routers[0].create(draft(name), ANA) for name in ("pan", "zumo"))
    for product in (pan, zumo):
        damage(raw_products["rsB"], product, words=["x"])
    upgrade_products([sets["rsA"], MovesWhenLookedAt(sets["rsB"])])
    assert raw_products["rsA"].find_one({"_id": pan.id})["words"] == list(pan.words)
    assert findings(shards) == []
