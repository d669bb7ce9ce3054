"""Renames over the border between two shards, and what is left when somebody dies in between."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest

from prodcore.catalog import Catalog, Query, Sort, search_words
from prodcore.catalog.upsert import new_item, upsert
from prodcore.errors import (
    ProdError,
    ProductDeleted,
    ProductExists,
    ProductNotFound,
    VersionConflict,
)
from tests.support.products import ANA, EVA, Killed, draft, listed, patch

STEPS = ["intended", "received", "committed", "published"]
AT_ONCE = timedelta(0)


@pytest.fixture
def dying_at(catalog):
    """The catalogue of a process that dies after a step of a move."""

    def make(step):
        def die(name):
            if name == step:
                raise Killed

        stores = {shard: catalog.store(shard) for shard in catalog.shard_map.shards}
        return Catalog(catalog.shard_map, stores, catalog.claims.store, clock=catalog._clock, step=die)

    return make


@pytest.fixture
def left_at(catalog, dying_at):
    """A product whose rename from Arroz to Zumo was left after a step."""

    def make(step):
        made = catalog.create(draft("Arroz", sku="A-1", tags=["bio"]), ANA)
        with pytest.raises(Killed):
            dying_at(step).edit(made.id, patch(name="Zumo", stock=7), EVA, 1)
        return made

    return make


def is_there_once(catalog, product_id, name):
    """By id, by name, in lists in two orders, whole and in pages, and in a search: exactly once."""
    seen = catalog.get(product_id)
    assert seen.name == name
    assert catalog.find(name).id == product_id
    for query in ({}, {"words": search_words(name)}):
        for limit in (1, 200):
            assert [(p.id, p.name) for p in listed(catalog, limit, **query)] == [(product_id, name)]
    return seen


def in_shards(catalog, product_id):
    """What each shard's own store has under this id, by shard."""
    found = {shard: catalog.store(shard).get_many([product_id]) for shard in catalog.shard_map.shards}
    return {shard: products[product_id] for shard, products in found.items() if products}


def nothing_is_left(catalog, product_id):
    """One shard has the product, and at most one more keeps its old location for a while."""
    documents = in_shards(catalog, product_id)
    (shard,) = [shard for shard, product in documents.items() if not product.move]
    assert all(product.move.state == "moved" for product in documents.values() if product.move)
    for each in catalog.shard_map.shards:
        assert catalog.store(each).moves.unfinished(catalog._clock() + timedelta(1)) == []
    return catalog.store(shard).moves.traces([product_id])[product_id]


def test_rename_over_the_border_moves_the_product_with_its_history(catalog):
    made = catalog.create(draft("Arroz", sku="A-1", tags=["bio"]), ANA)
    moved = catalog.edit(made.id, patch(name="Zumo", stock=7), EVA, 1)
    assert (moved.shard, moved.version, moved.stock, moved.sku, moved.tags) == ("rsB", 2, 7, "A-1", ("bio",))
    assert is_there_once(catalog, made.id, "Zumo") == moved
    with pytest.raises(ProductNotFound):
        catalog.find("Arroz")
    last, first = catalog.history(made.id)
    assert (last.action, last.source, last.target, last.by.username) == ("moved", "rsA", "rsB", "eva")
    assert dict(last.was) == {"name": "Arroz", "stock": 0}
    assert first.action == "created"
    nothing_is_left(catalog, made.id)
    assert {c.shard: c.products for c in catalog.counts()} == {"rsA": 0, "rsB": 1}


def test_old_name_is_free_at_once_and_the_way_back_is_open(catalog):
    made = catalog.create(draft("Arroz"), ANA)
    catalog.edit(made.id, patch(name="Zumo"), ANA, 1)
    other = catalog.create(draft("Arroz"), ANA)
    with pytest.raises(ProductExists):
        catalog.edit(made.id, patch(name="Arroz"), ANA, 2)
    catalog.edit(other.id, patch(name="Ostra"), ANA, 1)
    back = catalog.edit(made.id, patch(name="Arroz"), ANA, 2)
    assert (back.shard, back.version) == ("rsA", 3)
    assert {p.name for p in listed(catalog)} == {"Arroz", "Ostra"}
    assert [c.action for c in catalog.history(made.id)] == ["moved", "moved", "created"]
    nothing_is_left(catalog, made.id)


def test_taken_name_is_refused_and_nothing_is_left(catalog):
    made = catalog.create(draft("Arroz"), ANA)
    catalog.create(draft("Zumo"), ANA)
    with pytest.raises(ProductExists):
        catalog.edit(made.id, patch(name="ZUMO"), ANA, 1)
    assert catalog.get(made.id) == made
    nothing_is_left(catalog, made.id)


def test_name_that_is_taken_just_then_undoes_the_move(catalog):
    made = catalog.create(draft("Arroz"), ANA)

    def take(step):
        if step == "intended":
            catalog.create(draft("Zumo"), EVA)

    stores = {shard: catalog.store(shard) for shard in catalog.shard_map.shards}
    renaming = Catalog(catalog.shard_map, stores, catalog.claims.store, clock=catalog._clock, step=take)
    with pytest.raises(ProductExists):
        renaming.edit(made.id, patch(name="Zumo"), ANA, 1)
    assert catalog.get(made.id) == made
    assert in_shards(catalog, made.id).keys() == {"rsA"}
    nothing_is_left(catalog, made.id)
    assert catalog.edit(made.id, patch(stock=1), ANA, 1).version == 2


@pytest.mark.parametrize("step", STEPS)
def test_product_whose_mover_died_is_there_once_and_the_sweep_finishes(catalog, left_at, step):
    made = left_at(step)
    assert [p.id for p in listed(catalog, 1)] == [made.id]
    is_there_once(catalog, made.id, "Zumo")  # whoever reads it decides the move
    assert catalog.moves.sweep(AT_ONCE) == 0
    moved = is_there_once(catalog, made.id, "Zumo")
    assert (moved.version, moved.stock, moved.sku) == (2, 7, "A-1")
    nothing_is_left(catalog, made.id)
    assert len(catalog.history(made.id)) == 2
    assert catalog.moves.sweep(AT_ONCE) == 0
    with pytest.raises(ProductNotFound):
        catalog.find("Arroz")


@pytest.mark.parametrize("step", STEPS)
def test_edit_finishes_the_move_that_it_meets_and_is_stale_then(catalog, left_at, step):
    made = left_at(step)
    with pytest.raises(VersionConflict) as caught:
        catalog.edit(made.id, patch(stock=1), ANA, 1)
    assert caught.value.details["version"] == 2
    assert catalog.edit(made.id, patch(stock=1), ANA, 2).version == 3
    assert is_there_once(catalog, made.id, "Zumo").stock == 1
    catalog.moves.sweep(AT_ONCE)
    nothing_is_left(catalog, made.id)


@pytest.mark.parametrize("step", STEPS)
def test_delete_after_a_move_that_was_left_stays_a_delete(catalog, left_at, step):
    made = left_at(step)
    with pytest.raises(VersionConflict):
        catalog.delete(made.id, ANA, 1)
    catalog.delete(made.id, ANA, 2)
    assert catalog.moves.sweep(AT_ONCE) == 0
    assert listed(catalog) == []
    with pytest.raises(ProductDeleted):
        catalog.get(made.id)
    assert [c.action for c in catalog.history(made.id)] == ["deleted", "moved", "created"]
    assert catalog.restore(made.id, ANA, 3).name == "Zumo"
    is_there_once(catalog, made.id, "Zumo")


@pytest.mark.parametrize("step", STEPS)
def test_import_that_meets_a_move_goes_on_with_its_result(catalog, left_at, step):
    made = left_at(step)
    outcomes = upsert(catalog, [new_item({"sku": "A-1", "stock": 3}, by="sku")], ANA, found_by="sku")
    outcomes += upsert(catalog, [new_item({"name": "Zumo", "price": "9"})], ANA)
    assert [(o.status, o.product_id) for o in outcomes] == [("changed", made.id)] * 2
    assert is_there_once(catalog, made.id, "Zumo").stock == 3


@pytest.mark.parametrize("step", STEPS)
def test_rename_that_meets_a_rename_finishes_it_first(catalog, left_at, step):
    made = left_at(step)
    with pytest.raises(VersionConflict):
        catalog.edit(made.id, patch(name="Café"), ANA, 1)
    assert catalog.edit(made.id, patch(name="Café"), ANA, 2).version == 3
    is_there_once(catalog, made.id, "Café")
    nothing_is_left(catalog, made.id)


@pytest.mark.parametrize("sort", ["name", "-name", "price", "-updated"])
def test_list_that_has_begun_shows_a_product_where_it_was_then(catalog, sort):
    order = Sort.parse(sort)
    names = [f"{letter}{i}" for letter in "amnz" for i in range(6)]
    made = {name: catalog.create(draft(name, price=f"{i % 5}"), ANA) for i, name in enumerate(names)}
    before = [p.id for p in listed(catalog, sort=order)]
    first = catalog.page(Query(sort=order), limit=5)
    seen, cursor = [p.id for p in first.items], first.next_cursor
    for i, name in enumerate(names):
        new = {"a": "z9", "m": "z8", "n": "a9", "z": "a8"}[name[0]]
        catalog.edit(made[name].id, patch(name=f"{new}{i}"), ANA, 1)
        if cursor and i % 5 == 4:
            page = catalog.page(Query(sort=order), limit=5, cursor=cursor)
            seen, cursor = seen + [p.id for p in page.items], page.next_cursor
    while cursor:
        page = catalog.page(Query(sort=order), limit=5, cursor=cursor)
        seen, cursor = seen + [p.id for p in page.items], page.next_cursor
    assert seen == before
    after = listed(catalog, limit=5, sort=order)
    assert sorted(p.id for p in after) == sorted(before)
    if sort == "name":
        assert [p.name for p in after] == sorted(p.name for p in after)


def test_product_that_goes_to_and_fro_is_in_every_list_once(catalog):
    made = catalog.create(draft("Arroz"), ANA)
    catalog.create(draft("Aaa"), ANA)
    begun = [catalog.page(limit=1)]
    for version in range(1, 6):
        catalog.edit(made.id, patch(name="Zumo" if version % 2 else "Arroz"), ANA, version)
        begun.append(catalog.page(limit=1))
    for first in begun:
        rest = catalog.page(limit=5, cursor=first.next_cursor)
        assert [p.id for p in rest.items] == [made.id]


def test_page_that_ends_with_a_product_goes_on_behind_it_after_it_moved(catalog):
    made = [catalog.create(draft("Arroz", variant=v), ANA) for v in ("", "1 kg", "1 kg bio")]
    first = catalog.page(limit=2)
    catalog.edit(made[1].id, patch(name="Zumo"), ANA, 1)
    rest = catalog.page(limit=5, cursor=first.next_cursor)
    assert [p.id for p in (*first.items, *rest.items)] == [p.id for p in made]


def test_concurrent_rename_edit_and_delete_of_one_version_let_one_win(catalog):
    def attempt(action):
        try:
            action()
        except VersionConflict:
            return "refused"
        except ProdError as error:
            return error.code
        return "done"

    for i in range(10):
        made = catalog.create(draft(f"Arroz {i}"), ANA)
        actions = [
            lambda made=made, i=i: catalog.edit(made.id, patch(name=f"Zumo {i}"), ANA, 1),
            lambda made=made: catalog.edit(made.id, patch(stock=1), EVA, 1),
            lambda made=made: catalog.delete(made.id, EVA, 1),
        ]
        with ThreadPoolExecutor(3) as pool:
            results = list(pool.map(attempt, actions))
        assert results.count("done") == 1, results
        history = catalog.history(made.id)
        assert [c.version for c in history] == [2, 1]
        assert history[0].action == ["moved", "edited", "deleted"][results.index("done")]
        catalog.moves.sweep(AT_ONCE)
        documents = in_shards(catalog, made.id).values()
        assert sum(getattr(document, "move", None) is None for document in documents) == 1


def test_many_finish_one_move_together(catalog, left_at):
    made = left_at("received")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: catalog.moves.sweep(AT_ONCE), range(8)))
    assert len(nothing_is_left(catalog, made.id).completed_moves) == 1
    assert len(catalog.history(made.id)) == 2


def test_undone_move_of_a_product_that_came_here_before_leaves_no_twin(catalog, dying_at):
    made = catalog.create(draft("Arroz"), ANA)
    catalog.edit(made.id, patch(name="Zumo"), ANA, 1)
    with pytest.raises(Killed):
        dying_at("received").edit(made.id, patch(name="Arroz"), ANA, 2)
    (move,) = catalog.store("rsB").moves.unfinished(catalog._clock() + timedelta(1))
    catalog.store("rsB").moves.undo(move)
    assert catalog.moves.sweep(AT_ONCE) == 0
    is_there_once(catalog, made.id, "Zumo")
    assert catalog.create(draft("Arroz"), ANA, uuid4()).version == 1


def step_by_step(catalog, cursor, seen, order):
    """One more page of one product; the cursor of the next, None at the end."""
    page = catalog.page(Query(sort=order), cursor=cursor, limit=1)
    assert not page.unavailable
    seen += [p.id for p in page.items]
    return page.next_cursor


@pytest.mark.parametrize("sort", ["name", "-name"])
@pytest.mark.parametrize("read_before", range(5))
@pytest.mark.parametrize(
    "names",
    [("1 uno", "Ana", "Yema"), ("Yema", "Ana", "00"), ("Ana", "Yema", "Berta", "Zumo"), ("1 uno", "Ana", "1 uno")],
    ids="-".join,
)
def test_product_that_comes_back_under_a_third_name_is_in_a_list_once(catalog, names, read_before, sort):
    order = Sort.parse(sort)
    for name in ("0", "9", "Abeja", "Bollo", "Zanahoria"):
        catalog.create(draft(name), ANA)
    made = catalog.create(draft(names[0]), ANA)
    cursor, seen = None, []
    for _ in range(read_before):
        cursor = step_by_step(catalog, cursor, seen, order)
    for version, name in enumerate(names[1:], 1):
        catalog.edit(made.id, patch(name=name), ANA, version)
        if cursor:
            cursor = step_by_step(catalog, cursor, seen, order)
    while cursor or not seen:
        cursor = step_by_step(catalog, cursor, seen, order)
    assert seen.count(made.id) == 1
    assert len(seen) == len(set(seen)) == 6
    assert sorted(p.id for p in listed(catalog, 2, sort=Sort("price"))) == sorted(seen)


@pytest.mark.parametrize("sort", ["price", "-price", "stock", "-stock", "updated", "-updated", "created", "-created"])
def test_places_that_products_left_hide_nobody_of_the_same_value(catalog, sort):
    """Two have been elsewhere and come back; all have one price and one stock, and the time of those two is shared."""
    made = [catalog.create(draft(f"Zumo {i}"), ANA) for i in range(3)]
    for i in range(2):
        moved = catalog.create(draft(f"1 uno {i}"), ANA)
        for version, name in enumerate((f"Ana {i}", f"Yema {i}"), 1):
            made.append(catalog.edit(moved.id, patch(name=name), ANA, version))
    ids = sorted({product.id for product in made})
    for limit in range(1, 6):
        assert sorted(p.id for p in listed(catalog, limit, sort=Sort.parse(sort))) == ids, limit


def test_list_by_price_shows_a_product_that_is_on_its_way_to_where_the_list_knows_it(catalog, dying_at):
    catalog.create(draft("Aaa", price="1"), ANA)
    made = catalog.create(draft("Arroz", price="2"), ANA)
    catalog.edit(made.id, patch(name="Zumo"), ANA, 1)
    first = catalog.page(Query(sort=Sort("price")), limit=1)
    catalog.edit(made.id, patch(name="Berta"), ANA, 2)
    with pytest.raises(Killed):
        dying_at("received").edit(made.id, patch(name="Yema"), ANA, 3)
    rest = catalog.page(Query(sort=Sort("price")), limit=5, cursor=first.next_cursor)
    assert [p.id for p in rest.items] == [made.id]
