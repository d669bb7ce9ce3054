"""A model of lists in name order while a product is renamed over borders, checked in every interleaving.

A product is renamed up to three times, each rename in its own small steps; a list reads one place after the other, at
any moment between those steps, and may have begun at any times that the shards' clocks have shown. Whatever happens,
it must show the product exactly once. The rule is the catalogue's own, ``visit_at``; the documents are a model's.
"""

from dataclasses import dataclass, replace
from functools import cache
from itertools import product as combinations
from uuid import UUID

import pytest

from prodcore.product.move import CompletedMove, visit_at
from tests.support.daily import daily

PLACES = {"1 uno": "rsB", "ana": "rsA", "berta": "rsA", "yema": "rsB"}
THREE_SHARDS = {"1 uno": "rsB", "ana": "rsA", "yema": "rsB", "ωmega": "rsC"}
STEPS = ("intend", "keep", "receive", "commit", "look", "publish")


@dataclass(frozen=True)
class Doc:
    """The product's document in a shard, or one that keeps a place which it had there."""

    place: str
    state: str  # live, intended, pending, moved
    move: int = -1
    completed_moves: tuple[CompletedMove, ...] = ()


@dataclass(frozen=True)
class World:
    """Documents by shard and id (the product's is -1, a kept place has its move's), and the clocks of the shards."""

    docs: tuple[tuple[tuple[str, int], Doc], ...]
    clocks: tuple[tuple[str, int], ...]
    done: int = 0
    """Steps."""
    looked: int = 0

    def at(self, shard, doc_id=-1):
        return dict(self.docs).get((shard, doc_id))

    def put(self, shard, doc, doc_id=-1):
        """A write, which lets the shard's clock go on."""
        docs = {**dict(self.docs), (shard, doc_id): doc}
        return replace(self, docs=tuple(sorted(docs.items(), key=lambda d: d[0])), clocks=self._ticked(shard))

    def tick(self, shard):
        return replace(self, clocks=self._ticked(shard))

    def _ticked(self, shard):
        return tuple((name, time + (name == shard)) for name, time in self.clocks)

    def time(self, shard):
        return dict(self.clocks)[shard]


class Model:
    """One product that is renamed from place to place, by these owners of places."""

    def __init__(self, owners, names, keeps_places=True):
        self.owners = owners
        self.names = names
        self.keeps_places = keeps_places
        self.shards = sorted(set(owners.values()))
        self.steps = len(STEPS) * (len(names) - 1)

    def first(self):
        home = self.owners[self.names[0]]
        return World((((home, -1), Doc(self.names[0], "live")),), tuple((s, 1) for s in self.shards))

    def ends(self, move):
        return self.owners[self.names[move]], self.owners[self.names[move + 1]]

    def step(self, world):
        """The mover's next step; one that a reader did already does nothing."""
        move, step = divmod(world.done, len(STEPS))
        world = getattr(self, f"_{STEPS[step]}")(world, move, *self.ends(move))
        return replace(world, done=world.done + 1)

    def _intend(self, world, move, source, _target):
        return world.put(source, replace(world.at(source), state="intended", move=move))

    def _keep(self, world, _move, _source, target):
        stub = world.at(target)
        return world.put(target, stub, stub.move) if stub and self.keeps_places else world

    def _receive(self, world, move, source, target):
        return world.put(target, Doc(self.names[move + 1], "pending", move, world.at(source).completed_moves))

    def _commit(self, world, move, source, _target):
        return world.put(source, Doc(self.names[move], "moved", move))

    def _look(self, world, _move, source, _target):
        world = world.tick(source)
        return replace(world, looked=world.time(source))

    def _publish(self, world, move, source, target, at=0):
        doc = world.at(target)
        if (doc.state, doc.move) != ("pending", move):
            return world
        completed_move = CompletedMove(UUID(int=move), source, target, at or world.looked)
        return world.put(target, Doc(doc.place, "live", completed_moves=(*doc.completed_moves, completed_move)))

    def finish(self, world):
        """What a reader does that meets a move which is decided and not published; all that the product made then."""
        for (_shard, _id), doc in world.docs:
            if doc.state == "pending" and self.is_decided(world, doc):
                source, target = self.ends(doc.move)
                world = world.tick(source)
                world = self._publish(world, doc.move, source, target, at=world.time(source))
        return world, next(d for _key, d in world.docs if d.state in ("live", "intended")).completed_moves

    def is_decided(self, world, doc):
        return world.at(self.ends(doc.move)[0]).state == "moved"

    def met(self, world, place):
        """What a reader meets at a place: which stays of the product, after which moves; and the world then."""
        met = set()
        shard = self.owners[place]
        for (where, _id), doc in world.docs:
            if (where, doc.place) != (shard, place):
                continue
            if doc.state in ("live", "intended"):
                met.add((doc.completed_moves, len(doc.completed_moves)))
            elif doc.state == "moved" or self.is_decided(world, doc):
                world, completed_moves = self.finish(world)
                met.add((completed_moves, doc.move + (doc.state == "pending")))
        return met, world

    def is_shown(self, completed_moves, visit, times):
        """The rule; and the one of before, by the shard alone."""
        at = visit_at(completed_moves, dict(zip(self.shards, times, strict=True)))
        return at == visit if self.keeps_places else self._shard(at) == self._shard(visit)

    def _shard(self, visit):
        return self.owners[self.names[visit]]

    def begins(self, world):
        """All times at which a list may have begun by now, one for each answer that completed moves may give them."""
        passed = {shard: {0} for shard in self.shards}
        for _key, doc in world.docs:
            for completed_move in doc.completed_moves:
                passed[completed_move.source].add(completed_move.at)
            if doc.state == "pending":  # it may be published with a time that has been looked up by now
                source = self.ends(doc.move)[0]
                passed[source].add(world.time(source))
        return list(combinations(*(sorted(passed[shard]) for shard in self.shards)))

    def counts(self, lists, descending):
        """How often the product was shown: by every list, in every interleaving."""
        order = sorted(self.owners, reverse=descending)
        worlds, numbers = [], {}

        def number(world):
            if world not in numbers:
                numbers[world] = len(worlds)
                worlds.append(world)
            return numbers[world]

        step = cache(lambda n: number(self.step(worlds[n])))
        begins = cache(lambda n: [(times, 0, 0) for times in self.begins(worlds[n])])

        @cache
        def read(n, place, times):
            met, after = self.met(worlds[n], place)
            return any(self.is_shown(*each, times) for each in met), number(after)

        seen, found = set(), set()
        todo = [(number(self.first()), (None,) * lists)]
        while todo:
            state = todo.pop()
            if state in seen:
                continue
            seen.add(state)
            n, readers = state
            if worlds[n].done < self.steps:
                todo.append((step(n), readers))
            for i, reader in enumerate(readers):
                if reader is None:
                    todo += [(n, (*readers[:i], new, *readers[i + 1 :])) for new in begins(n)]
                elif reader[1] < len(order):
                    times, place, shown = reader
                    more, after = read(n, order[place], times)
                    todo.append((after, (*readers[:i], (times, place + 1, shown + more), *readers[i + 1 :])))
                else:
                    found.add(reader[2])
        self.states = len(seen)
        return found


def journeys(owners, renames):
    """All ways to be renamed so often, always into another shard."""
    ways = [(name,) for name in owners]
    for _ in range(renames):
        ways = [(*way, name) for way in ways for name in owners if owners[name] != owners[way[-1]]]
    return ways


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("owners", [PLACES, THREE_SHARDS], ids=["two shards", "three shards"])
def test_list_shows_a_product_once_however_it_is_renamed_over_borders(owners, descending):
    for names in journeys(owners, 3):  # a list may end before the later ones
        assert Model(owners, names).counts(1, descending) == {1}, names


_RENAMED_TWICE = journeys(PLACES, 2)
_RENAMED_THRICE = journeys(PLACES, 3)


@pytest.mark.parametrize(
    "names", [*_RENAMED_TWICE, *daily(_RENAMED_THRICE, _RENAMED_THRICE.index(("ana", "yema", "berta", "1 uno")))]
)
def test_two_lists_that_finish_each_others_moves_show_it_once_each(names):
    assert Model(PLACES, names).counts(2, descending=False) == {1}


@pytest.mark.parametrize(("names", "wrong"), [(("1 uno", "ana", "yema"), 2), (("yema", "ana", "1 uno"), 0)])
def test_model_finds_what_a_rule_of_the_shard_alone_gets_wrong(names, wrong):
    """Control: a product that comes back under a third name is shown twice, or not at all."""
    assert wrong in Model(PLACES, names, keeps_places=False).counts(1, descending=False)
