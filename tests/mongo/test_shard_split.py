"""A split of a range while products move: the map, its copies, and who still has the old map."""

from dataclasses import replace

import pytest

from campaigns import renames as campaign
from prodcore.app.shards import open_shards
from prodcore.app.wiring import open_catalog
from prodcore.catalog.upsert import new_item, upsert
from prodcore.errors import ConfigError, StaleShardMap, VersionConflict
from prodcore.product.model import ProductPatch
from prodcore.routing import DEFAULT_MAP, Range, ShardMap
from prodcore.settings import load_settings
from prodcore.sharding.trust import split_map, trusted_map
from prodcore.support.validation import validate
from tests.support.products import ANA


@pytest.fixture
def operator(cluster):
    return load_settings(**cluster.addresses("operator"))


@pytest.fixture
def shards(operator, put_back_map):
    """All shards with the map, which is put back at the end."""
    with open_shards(operator) as opened:
        yield opened


def nothing(_looked):
    """Nobody is told."""


def test_split_cuts_one_range_and_moves_no_key(shards):
    new = shards.split("g")
    assert [str(r) for r in new.ranges] == ["key < a", "a ≤ key < g", "g ≤ key < n", "n ≤ key …"]
    assert [r.shard for r in new.ranges] == ["rsB", "rsA", "rsA", "rsB"]
    assert shards.maps.load() == new
    assert {name: store.load() for name, store in shards.owned.items()} == {
        name: (2, new.owned_by(name)) for name in ("rsA", "rsB")
    }
    assert list(shards.findings(nothing)) == []


def test_split_may_be_repeated_and_then_the_copies_follow(shards, raw_clients):
    new = shards.split("g")
    copies = raw_clients["rsA"]["products_db"]["owned_ranges"]
    copies.delete_many({})  # as if it had died before
    assert shards.split("g") == new
    assert shards.owned["rsA"].load() == (2, new.owned_by("rsA"))


def test_a_map_whose_copies_have_not_followed_yet_is_trusted(shards):
    new = DEFAULT_MAP.split("g")
    assert shards.maps.swap(1, new)
    assert trusted_map(shards.maps, shards.owned) == new
    shards.owned["rsA"].save(2, new.owned_by("rsA"))
    assert trusted_map(shards.maps, shards.owned) == new
    other = ShardMap(2, (Range("", "a", "rsB"), Range("a", "m", "rsA"), Range("m", None, "rsB")))
    shards.owned["rsB"].save(3, other.owned_by("rsB"))
    with pytest.raises(ConfigError, match="disagree"):
        trusted_map(shards.maps, shards.owned)


def test_who_is_late_splits_nothing(shards):
    class Late:
        """Somebody else splits between this one's look and write."""

        def load(self):
            return shards.maps.load()

        def swap(self, expected_version, new):
            shards.split("c")
            return shards.maps.swap(expected_version, new)

    with pytest.raises(VersionConflict):
        split_map("g", Late(), shards.owned)
    assert shards.maps.load() == DEFAULT_MAP.split("c")
    assert list(shards.findings(nothing)) == []


def test_running_process_takes_over_any_newer_map_of_shards_that_it_knows(shards, settings):
    with open_catalog(settings) as running:
        new = shards.split("g")
        assert running.shard_map == DEFAULT_MAP
        running.current_map.follow()
        assert running.shard_map == new
        moved = ShardMap(3, (Range("", "a", "rsB"), Range("a", "g", "rsA"), Range("g", None, "rsB")))
        assert shards.maps.swap(2, moved)
        running.current_map.follow()
        assert running.shard_map == moved
        assert shards.maps.swap(3, replace(moved.with_range(Range("g", None, "rsX")), version=4))
        with pytest.raises(StaleShardMap, match="before rsX was added"):
            running.current_map.follow()
        assert running.shard_map == moved


@pytest.mark.timeout(240)
def test_renames_edits_deletes_and_an_import_go_on_through_a_split(shards, catalog, operator):
    ids = campaign.fill(catalog, 30)
    with campaign.splitting(operator, "arroz 0014 comun") as split:
        readings = campaign.renames_under_readers(catalog, ids, 60, lambda: _works(split(), catalog))
    assert readings.wrong == []
    assert readings.unavailable == 0
    assert shards.maps.load().version == 2
    assert list(shards.findings(nothing)) == []


def _works(new, old):
    """Each of who knows of the split and who does not changes what the other one made; the one who knows."""
    for here, there in ((new, old), (old, new)):
        (outcome,) = upsert(here, [new_item({"name": "Arroz 0014 comunal", "price": "2"})], ANA)
        assert outcome.status == "created"
        made = there.find("Arroz 0014 comunal")
        edited = there.edit(made.id, validate(ProductPatch, {"name": "Zumo comunal", "stock": 3}), ANA, made.version)
        assert here.delete(made.id, ANA, edited.version).stock == 3
    return new
