"""Ranges move between shards under writers, crashes and sleeping processes: a machine of all that, beside a model."""

import os
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from prodcore.app.range_moves import AT_ONCE, Throttle
from prodcore.catalog import Catalog, Query, Sort
from prodcore.catalog.bulk import replace_many
from prodcore.catalog.catalog import now
from prodcore.catalog.current_map import GOOD_SECONDS, CurrentMap
from prodcore.catalog.imports import undo_part
from prodcore.catalog.upsert import new_item, upsert
from prodcore.errors import ProdError, ProductExists, ProductNotFound, Unavailable
from prodcore.routing import DEFAULT_MAP, Range, name_key
from prodcore.sharding.mover import READERS_KNOW_SECONDS, Bounds, RangeMover
from prodcore.sharding.trust import trusted_map
from tests.support.memory_products import MemoryClaimStore, MemoryMapStore, MemoryProductStore
from tests.support.products import ANA, Killed, draft, item, listed, patch
from tests.support.stepping import steps_of

SHARDS = ("rsA", "rsB", "rsC")
NAMES = ["7up", "agua", "fresa", "gato", "higo", "kiwi", "mora", "nata", "pan", "zumo"]
BORDERS = ["", "c", "g", "j", "n", "q"]
STEPS = ["announced", "taken", "refused", "given"]
STEPS += ["intended", "received", "committed", "published", "carried", "closed"]


class System:
    """Three shards, their map, and processes that share nothing else."""

    def __init__(self):
        self.time = 0.0
        self.claims = MemoryClaimStore()
        self.stores = {shard: MemoryProductStore(shard) for shard in SHARDS}
        self.owned = {shard: store.owned for shard, store in self.stores.items()}
        self.maps = MemoryMapStore(DEFAULT_MAP)
        for shard in SHARDS:
            self.owned[shard].save(1, DEFAULT_MAP.owned_by(shard))

    def clock(self):
        return now() + timedelta(seconds=self.time)

    def router(self, step=lambda _name: None):
        oldest = {shard: store.oldest_map for shard, store in self.owned.items()}
        current = CurrentMap(
            trusted_map(self.maps, self.owned), self.stores, self.maps.load, oldest, clock=lambda: self.time
        )
        return Catalog(current, self.stores, self.claims, clock=self.clock, step=step)

    def wait(self, seconds):
        self.time += seconds

    def mover(self, lower, upper, on_step=lambda _name: None, wait=None, **options):
        shards = {name: store.moves for name, store in self.stores.items()}
        carrier = self.router(on_step).moves
        options |= {"wait": wait or self.wait, "step": on_step}
        return RangeMover(Bounds(lower, upper), self.maps, self.owned, shards, carrier, **options)

    def move(self, lower, upper, target, on_step=lambda _name: None, wait=None):
        mover = self.mover(lower, upper, on_step, wait)
        source = mover.plan(target)[1].shard
        mover.announce(target)
        mover.give(target)
        mover.carry(source, target)
        return mover

    def forget_places(self):
        """What the servers do twenty minutes later."""
        for store in self.stores.values():
            documents = store._shelf.documents
            for product_id in [i for i, d in documents.items() if d.kept_until]:
                del documents[product_id]
            for document in documents.values():
                document.kept = ()


def stored(system):
    """Which shard has which live product."""
    return {
        (d.product.name, shard)
        for shard, store in system.stores.items()
        for d in store._shelf.documents.values()
        if not d.deleted and d.move is None
    }


@pytest.fixture
def system():
    return System()


def test_range_moves_with_all_that_it_holds(system):
    router = system.router()
    made = {name: router.create(draft(name, sku=f"S-{name}"), ANA) for name in NAMES}
    router.delete(made["kiwi"].id, ANA, 1)
    mover = system.move("g", "n", "rsC")
    assert {(name, "rsC") for name in ("gato", "higo", "mora")} <= stored(system)
    assert router.restore(made["kiwi"].id, ANA, 2).shard == "rsC"
    for name, product in made.items():
        found = router.find(name)
        assert (found.id, found.sku, found.version) == (product.id, f"S-{name}", 3 if name == "kiwi" else 1)
    assert [p.name for p in listed(router, 2)] == sorted(NAMES)
    assert not mover.close()
    system.forget_places()
    assert mover.close()
    assert mover.close()
    router.current_map.follow()
    assert router.shard_map.range_for("kiwi") == Range("g", "n", "rsC")
    assert [p.name for p in listed(router, 2, sort=Sort("price"))] != []
    assert trusted_map(system.maps, system.owned) == router.shard_map


def test_counts_are_approximate_while_products_are_under_way_and_exact_as_soon_as_they_have_moved(system):
    """Not for the twenty minutes in which the former shard keeps old locations."""
    router = system.router()
    for name in NAMES:
        router.create(draft(name), ANA)

    def counts():
        router.current_map.follow()
        return {c.shard: (c.products, c.approximate) for c in router.counts()}

    before = counts()
    seen = {step: counts() for step in steps_of(lambda on_step: system.move("g", "n", "rsC", on_step))}
    assert any(rough for _products, rough in seen["received"].values())
    assert seen["committed"]["rsC"][1]
    assert seen["committed"]["rsA"][0] == before["rsA"][0] - 4
    assert [r.other for r in router.shard_map.moving] == ["rsA"]
    assert counts() == {"rsA": (2, False), "rsB": (4, False), "rsC": (4, False)}


def once_after(store, name, then):
    """After the first answer to this question let something happen, as it may at any time."""
    question = getattr(store, name)

    def ask(*arguments):
        setattr(store, name, question)
        try:
            return question(*arguments)
        finally:
            then()

    setattr(store, name, ask)


QUESTIONS = {
    "get_many": lambda router, pan: router.get_many([pan.id])[0].keys() == {pan.id},
    "find_skus": lambda router, pan: [p.id for p in router.find_skus(["S-1"])[0]["S-1"]] == [pan.id],
    "sku_owners": lambda router, pan: router.sku_owners(["S-1"]) == {"S-1": pan.id},
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_product_that_moves_to_a_shard_that_has_answered_is_found(system, question):
    router = system.router()
    pan = router.create(draft("pan", sku="S-1"), ANA)
    once_after(system.stores["rsA"], question, lambda: system.move("n", "q", "rsA"))
    assert QUESTIONS[question](router, pan)


@pytest.mark.parametrize(
    ("shard", "question", "target"), [("rsA", "get_deleted", "rsA"), ("rsB", "get", "rsA"), ("rsB", "get", "rsC")]
)
def test_deleted_product_is_restored_though_it_moves_as_it_is_looked_for(system, shard, question, target):
    pan = system.router().create(draft("pan"), ANA)
    system.router().delete(pan.id, ANA, 1)
    once_after(system.stores[shard], question, lambda: system.move("n", "q", target))
    assert system.router().restore(pan.id, ANA, 2).name == "pan"


def test_history_of_a_product_that_moves_as_it_is_read_is_whole(system):
    router = system.router()
    pan = router.create(draft("pan"), ANA)
    once_after(system.stores["rsB"], "get", lambda: system.move("n", "q", "rsC"))
    assert [change.action for change in router.history(pan.id)] == ["created"]


def imported(router, **fields):
    import_id = uuid4()
    outcomes = upsert(router, [item(name, **fields) for name in NAMES], replace(ANA, import_id=str(import_id)))
    assert [outcome.error for outcome in outcomes] == [None] * len(NAMES)
    return import_id


def undone(router, import_id, cursor=None, limit=500):
    """What became of the products of the next part, and where the one after it begins."""
    part = undo_part(router, import_id, ANA, cursor, limit)
    assert not part.unavailable
    return [(one.product.name, one.status) for one in part.products], part.cursor


@pytest.mark.parametrize(("lower", "upper", "target"), [("a", "n", "rsB"), ("n", None, "rsA"), ("a", "n", "rsC")])
@pytest.mark.parametrize("parts", range(0, len(NAMES), 3))
def test_undo_of_an_import_takes_all_back_though_a_range_moves(system, parts, lower, upper, target):
    router = system.router()
    for name in NAMES[::2]:
        router.create(draft(name, stock=3), ANA)
    import_id = imported(router, stock=8)
    done, cursor = [], None
    for _ in range(parts):
        part, cursor = undone(router, import_id, cursor, 1)
        done += part
    system.move(lower, upper, target)
    while True:
        part, cursor = undone(router, import_id, cursor, 2)
        done += part
        if cursor is None:
            break
    kept = [name for name in NAMES if name in NAMES[::2]]
    assert sorted(done) == sorted((name, "restored" if name in kept else "deleted") for name in NAMES)
    assert {(p.name, p.stock) for p in listed(router)} == {(name, 3) for name in kept}


def test_undo_follows_what_moves_between_its_look_and_its_write(system):
    router = system.router()
    made = router.create(draft("gato", sku="S-1"), ANA)
    author = replace(ANA, import_id=str(uuid4()))
    assert upsert(router, [new_item({"sku": "S-1", "name": "higo"}, by="sku")], author, found_by="sku")[0].error is None
    stores = [system.stores[shard] for shard in ("rsA", "rsB", "rsC")]
    once_after(stores[0].imports, "touched", lambda: once_after(stores[0].imports, "touched", move_away))

    def move_away():
        system.move("g", "n", "rsC")

    assert undone(router, UUID(author.import_id))[0] == [("higo", "restored")]
    assert (router.get(made.id).name, router.get(made.id).shard) == ("gato", "rsC")


class Probed:
    """A shard as others meet it; ``asked`` of them while a mover looks for them."""

    answer = lag = 0.0
    asked = answered = 0

    def answer_seconds(self):
        return self.answer

    def lag_seconds(self):
        return self.lag

    def served(self):
        self.answered += 1
        return self.answered, 0


class Throttled:
    """A mover's waits, and how many batches it may carry at once, as others ask for products and wait."""

    def __init__(self):
        self.time, self.waits, self.probed = 0.0, [], Probed()
        self.throttle = Throttle([self.probed, Probed()], self.wait, clock=lambda: self.time)

    def wait(self, seconds):
        self.waits.append(seconds)
        self.time += seconds
        self.probed.answered += self.probed.asked

    def at_once(self, answer, lag=0, asked=0):
        self.probed.answer, self.probed.lag, self.probed.asked = answer, lag, asked
        for _ in range(8):
            self.throttle.probe()
        return self.throttle.at_once()


def test_mover_waits_while_others_wait_for_it_and_then_goes_on():
    mover = Throttled()
    assert mover.throttle.at_once() == 1  # nothing is known yet
    seen = [(0.02, 0), (0.03, 0), (0.03, 0), (0.02, 5), (0.02, 0), (0.02, 0), (0.02, 0), (0.025, 0)]
    assert {mover.at_once(answer, lag, asked=40) for answer, lag in seen} == {1}
    assert mover.waits == [0.25, 0.05, 0.1, 0.2, 0.1, 0.05]


def test_mover_that_is_alone_carries_several_batches_at_once_until_somebody_comes_or_a_secondary_lags():
    mover = Throttled()
    assert (mover.at_once(0.02), mover.at_once(0.9)) == (AT_ONCE, AT_ONCE)
    assert mover.waits == [0.25]
    assert mover.at_once(0.02, lag=5) == 1
    assert mover.at_once(0.02) == AT_ONCE
    mover.time += 11
    assert (mover.at_once(0.9, asked=40), mover.at_once(0.9, asked=40)) == (1, 1)
    mover.time += 11
    assert [mover.at_once(0.02) for _ in range(4)][-1] == AT_ONCE


def test_several_batches_at_once_carry_what_one_after_the_other_does(system, monkeypatch):
    monkeypatch.setattr("prodcore.sharding.mover.BATCH", 2)
    router = system.router()
    for name in NAMES:
        router.create(draft(name), ANA)
    batches = []
    mover = system.mover("c", "n", at_once=lambda: 3, on_batch=batches.append)
    mover.announce("rsC")
    assert mover.give("rsC")
    assert mover.carry("rsA", "rsC")
    assert {name for name, shard in stored(system) if shard == "rsC"} == {"fresa", "gato", "higo", "kiwi", "mora"}
    assert sorted(batches) == [1, 2, 2]


def test_batch_that_fails_keeps_none_of_the_others_back(system, monkeypatch):
    monkeypatch.setattr("prodcore.sharding.mover.BATCH", 1)
    router = system.router()
    for name in ("gato", "higo", "kiwi"):
        router.create(draft(name), ANA)
    mover = system.mover("g", "n", at_once=lambda: 3)
    mover.announce("rsC")
    mover.give("rsC")
    question = system.stores["rsC"].moves.receive

    def refuse_one(parcels, until):
        if parcels[0].product.name == "higo":
            raise Unavailable("rsC does not answer", shard="rsC")
        return question(parcels, until)

    monkeypatch.setattr(system.stores["rsC"].moves, "receive", refuse_one)
    with pytest.raises(Unavailable):
        mover.carry("rsA", "rsC")
    assert {name for name, shard in stored(system) if shard == "rsC"} == {"gato", "kiwi"}
    monkeypatch.undo()
    assert mover.carry("rsA", "rsC")
    assert {name for name, shard in stored(system) if shard == "rsC"} == {"gato", "higo", "kiwi"}


def test_product_that_is_renamed_out_of_the_range_as_it_is_found_does_not_hold_up_the_mover(system):
    router = system.router()
    made = router.create(draft("gato"), ANA)
    router.create(draft("higo"), ANA)
    once_after(system.stores["rsA"].moves, "staying", lambda: router.edit(made.id, patch(name="abeto"), ANA, 1))
    system.move("g", "n", "rsC")
    assert stored(system) == {("abeto", "rsA"), ("higo", "rsC")}


def test_range_goes_back_where_its_move_is_aborted(system):
    router = system.router()
    for name in NAMES:
        router.create(draft(name), ANA)
    mover = system.move("g", "n", "rsC")
    created = router.create(draft("guisante"), ANA)
    assert created.shard == "rsC"
    assert mover.give("rsA")
    assert mover.carry("rsC", "rsA")
    assert {shard for _name, shard in stored(system)} == {"rsA", "rsB"}
    assert [p.name for p in listed(router, 3)] == sorted([*NAMES, "guisante"])
    system.forget_places()
    assert mover.close()
    assert system.maps.load().owned_by("rsC") == ()


@pytest.mark.parametrize("step", STEPS)
def test_mover_that_dies_after_a_step_is_followed_by_another_one(system, step):
    router = system.router()
    made = [router.create(draft(name), ANA) for name in NAMES]

    def die(name):
        if name == step:
            raise Killed

    def die_moving():
        dying = system.move("g", "n", "rsC", die)
        system.forget_places()
        dying.close()

    mover = system.mover("g", "n")
    with pytest.raises(Killed):
        die_moving()
    assert sorted(p.name for p in listed(router, 3)) == sorted(NAMES)
    assert router.create(draft("jamon"), ANA).shard in SHARDS
    assert router.edit(made[4].id, patch(stock=3), ANA, 1).stock == 3
    system.router()  # one that starts just then
    if step != "closed":
        system.move("g", "n", "rsC")
    assert {s for n, s in stored(system) if "g" <= name_key(n) < "n"} == {"rsC"}
    system.wait(10)
    router.moves.sweep()
    system.forget_places()
    assert mover.close()
    assert [p.name for p in listed(router, 3)] == sorted([*NAMES, "jamon"])


def test_process_that_slept_through_a_move_answers_by_the_map_of_now(system):
    sleeper, router = system.router(), system.router()
    kept = sleeper.create(draft("gato"), ANA)
    renamed = sleeper.create(draft("higo"), ANA)
    mover = system.move("g", "n", "rsC")
    system.forget_places()
    mover.close()
    made = router.create(draft("kiwi"), ANA)
    assert sleeper.shard_map == DEFAULT_MAP
    assert sleeper.find("kiwi").id == made.id
    sleeper = system.router()
    system.move("g", "n", "rsB")
    made = system.router().create(draft("lima"), ANA)
    assert [p.name for p in listed(sleeper)] == ["gato", "higo", "kiwi", "lima"]
    assert sleeper.edit(renamed.id, patch(name="limon"), ANA, 1).shard == "rsB"
    assert sleeper.edit(kept.id, patch(stock=2), ANA, 1).stock == 2


def test_sleeper_cannot_rename_within_a_range_that_its_shard_lost(system):
    sleeper, router = system.router(), system.router()
    made = sleeper.create(draft("gato"), ANA)
    mover = system.mover("g", "n")
    mover.announce("rsC")
    mover.give("rsC")
    taken = router.create(draft("higo"), ANA)
    with pytest.raises(ProductExists):
        sleeper.edit(made.id, patch(name="higo"), ANA, 1)
    assert (taken.shard, router.get(made.id).name) == ("rsC", "gato")


def test_sleeping_process_that_can_reach_no_map_answers_nothing_by_its_own(system):
    sleeper = system.router()
    system.move("g", "n", "rsC")
    system.router().create(draft("kiwi"), ANA)
    system.maps.is_silent = True
    with pytest.raises(Unavailable):
        sleeper.find("kiwi")
    system.maps.is_silent = False
    assert sleeper.find("kiwi").shard == "rsC"


def test_repeated_create_is_the_same_product_wherever_it_is(system):
    router, product_id = system.router(), uuid4()
    made = router.create(draft("gato"), ANA, product_id)
    mover = system.mover("g", "n")
    mover.announce("rsC")
    mover.give("rsC")
    assert router.create(draft("gato"), ANA, product_id) == made
    mover.carry("rsA", "rsC")
    assert router.create(draft("gato"), ANA, product_id).id == made.id


def test_readers_are_waited_for_longer_than_they_trust_their_map():
    assert READERS_KNOW_SECONDS > GOOD_SECONDS * 1.1


class Moving(RuleBasedStateMachine):
    """Two processes, one of which sleeps for long times, a third that dies, and what each product should be."""

    def __init__(self):
        super().__init__()
        self.system = System()
        self.routers = [self.system.router() for _ in range(3)]
        self.model = {}
        self.order = self.work = None
        self.begun = []

    @initialize(names=st.sets(st.sampled_from(NAMES), min_size=3))
    def fill(self, names):
        for name in sorted(names):
            self.model[self.routers[0].create(draft(name), ANA).id] = name

    def teardown(self):
        if self.work:
            self.work.close()

    def router(self, n):
        return self.routers[n]

    @rule(n=st.integers(0, 2), name=st.sampled_from(NAMES), own=st.booleans())
    def create(self, n, name, own):
        try:
            made = self.router(n).create(draft(name), ANA, None if own else uuid4())
        except ProductExists:
            assert name in self.model.values()
        else:
            assert name not in self.model.values()
            self.model[made.id] = name

    @precondition(lambda self: self.model)
    @rule(n=st.integers(0, 2), data=st.data(), name=st.sampled_from(NAMES))
    def rename(self, n, data, name):
        product_id = data.draw(st.sampled_from(sorted(self.model, key=self.model.get)))
        now_at = self.router(n).get(product_id)
        try:
            self.router(n).edit(product_id, patch(name=name), ANA, now_at.version)
        except ProductExists:
            assert name in self.model.values()
        else:
            assert name not in {other for i, other in self.model.items() if i != product_id}
            self.model[product_id] = name
            for begun in self.begun:  # within one shard it may be missed or met twice
                begun[3].add(product_id)

    @precondition(lambda self: self.model)
    @rule(n=st.integers(0, 2), data=st.data(), stock=st.integers(1, 99))
    def edit(self, n, data, stock):
        product_id = data.draw(st.sampled_from(sorted(self.model, key=self.model.get)))
        router = self.router(n)
        seen = router.get(product_id)
        edited = router.edit(product_id, patch(stock=stock), ANA, seen.version)
        assert edited.stock == stock
        many = [router.next_version(edited, edited, ANA)]
        assert replace_many(router, seen.shard, many) == [None]

    @precondition(lambda self: self.model)
    @rule(n=st.integers(0, 2), data=st.data())
    def delete_and_restore(self, n, data):
        product_id = data.draw(st.sampled_from(sorted(self.model, key=self.model.get)))
        router = self.router(n)
        seen = router.get(product_id)
        router.delete(product_id, ANA, seen.version)
        self.advance(data.draw(st.integers(0, 3)))
        assert self.router(2 - n).restore(product_id, ANA, seen.version + 1).name == self.model[product_id]
        for begun in self.begun:
            begun[3].add(product_id)

    @rule(n=st.integers(0, 2), names=st.lists(st.sampled_from(NAMES), unique=True, max_size=4), stock=st.integers(1, 9))
    def bring_in(self, n, names, stock):
        outcomes = upsert(self.router(n), [item(name, stock=stock) for name in names], ANA)
        for name, outcome in zip(names, outcomes, strict=True):
            assert outcome.error is None
            if name not in self.model.values():
                self.model[outcome.product_id] = name

    @precondition(lambda self: self.order is None)
    @rule(borders=st.tuples(st.integers(0, 5), st.integers(1, 5)), to=st.sampled_from(SHARDS))
    def order_move(self, borders, to):
        first, width = borders
        upper = dict(enumerate(BORDERS)).get(first + width)
        order = (BORDERS[first], upper)
        try:
            self.source = self.system.mover(*order).plan(to)[1].shard
        except ProdError:
            return
        self.order, self.target, self.work = order, to, None

    @precondition(lambda self: self.order is not None)
    @rule(steps=st.integers(1, 12), dies=st.booleans())
    def go_on(self, steps, dies):
        self.advance(steps)
        if dies and self.work:
            self.work.close()
            self.work = None

    def advance(self, steps):
        """Let the mover take some steps; one that died begins anew."""
        if self.order is None:
            return
        self.work = self.work or self.carried_out()
        for _ in range(steps):
            if next(self.work, None) is None:
                self.work = None
                return

    def carried_out(self):
        """The move, stopping after each step that a mover may die after: it runs in a thread of its own."""
        yield from steps_of(self.whole_move)

    def whole_move(self, on_step):
        def wait(seconds):
            on_step("waited")
            self.system.wait(seconds)

        lower, upper = self.order
        mover = self.system.mover(lower, upper, on_step, wait)
        if mover.announce(self.target):
            mover.give(self.target)
            mover.carry(self.source, self.target)
        on_step("moved")
        self.system.wait(1500)
        self.system.forget_places()
        self.begun.clear()
        mover.close()
        self.order = None

    @rule(n=st.integers(0, 1))
    def look(self, n):
        """What a process does every few seconds; the third one sleeps."""
        self.router(n).current_map.follow()
        self.router(n).moves.sweep(timedelta(0))

    @rule(seconds=st.sampled_from([1, 6, 11]))
    def time_passes(self, seconds):
        self.system.wait(seconds)

    @rule(n=st.integers(0, 2), limit=st.integers(1, 3), order=st.sampled_from(["name", "-name", "price"]))
    def begin_list(self, n, limit, order):
        query = Query(sort=Sort.parse(order))
        page = self.router(n).page(query, limit=limit)
        self.begun.append([query, page, [p.id for p in page.items], set(), set(self.model)])

    @rule(n=st.integers(0, 2))
    def list_on(self, n):
        for begun in self.begun:
            query, page, seen, _renamed, _there = begun
            if page.next_cursor:
                begun[1] = self.router(n).page(query, limit=2, cursor=page.next_cursor)
                seen += [p.id for p in begun[1].items]
        for query, _page, seen, renamed, there in [b for b in self.begun if b[1].next_cursor is None]:
            stay = [i for i in seen if i not in renamed]
            assert len(stay) == len(set(stay)), query.sort
            assert there & set(self.model) - renamed <= set(stay), query.sort
        self.begun = [b for b in self.begun if b[1].next_cursor]

    @rule(n=st.integers(0, 2), order=st.sampled_from(["name", "-name", "price"]))
    def list_all(self, n, order):
        found = [p.id for p in listed(self.router(n), 2, sort=Sort.parse(order))]
        assert sorted(found, key=str) == sorted(self.model, key=str)

    @rule(n=st.integers(0, 2), name=st.sampled_from(NAMES))
    def find(self, n, name):
        try:
            assert self.model[self.router(n).find(name).id] == name
        except ProductNotFound:
            assert name not in self.model.values()

    @invariant()
    def names_are_once_and_where_they_belong(self):
        there = stored(self.system)
        names = [name for name, _shard in there]
        assert len(names) == len(set(names))
        current = self.system.maps.load()
        for name, shard in there:
            assert shard in current.range_for(name_key(name)).holders


Moving.TestCase.settings = settings(
    max_examples=int(os.environ.get("RANGE_MOVE_RUNS", "40")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestMoving = Moving.TestCase
