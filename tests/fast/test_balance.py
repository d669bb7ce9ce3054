"""Where a range is cut, and what moves so that all shards hold about as much: from samples of their keys."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodcore.catalog.distribution import BALANCED, Sample, balanced, border, middle
from prodcore.errors import Conflict
from prodcore.routing import DEFAULT_MAP, Range, fold, name_key, show_key

LETTERS = "abcdefghijklmnñopqrstuvwxyz78"
KEYS = st.text(alphabet="ab ñn7é", min_size=1, max_size=6).map(fold).filter(bool)


def sample(shard_map, shard, names, size=1_000):
    keys = tuple(sorted(key for name in names if shard_map.shard_for(key := name_key(name)) == shard))
    return Sample(len(keys), len(keys) * size, keys)


def many(count, letters=LETTERS):
    return [f"{letters[11 * n % len(letters)]}{'aeiour'[n // 5 % 6]} {n}" for n in range(count)]


def after(shard_map, samples, moves):
    """The map and the samples once all has moved; each is taken from its source as it was planned."""
    for part, carried in moves:
        assert samples[part.other].within(part) == carried
        assert {shard_map.shard_for(key) for key in carried.keys} == {part.other}
        samples = samples | {
            part.other: samples[part.other].without(part),
            part.shard: samples[part.shard].plus(carried),
        }
        shard_map = shard_map.with_range(replace(part, other=""))
    return shard_map, samples


@given(KEYS, KEYS)
def test_border_parts_two_keys_and_is_a_key_itself(one, other):
    below, above = sorted((one, other))
    cut = border(below, above)
    assert (cut is None) == (below == above)
    assert cut is None or (below < cut <= above and name_key(show_key(cut)) == cut)


@pytest.mark.parametrize("shards", [2, 3, 5])
def test_shards_hold_about_as_much_after_what_is_proposed(shards):
    names, all_shards = many(3_000), [f"rs{letter}" for letter in "ABCDE"[:shards]]
    samples = {shard: sample(DEFAULT_MAP, shard, names) for shard in all_shards}
    moves = balanced(DEFAULT_MAP, samples)
    shard_map, held = after(DEFAULT_MAP, samples, moves)
    mean = sum(s.size for s in samples.values()) / shards
    assert all(abs(s.size - mean) <= 2 * BALANCED * mean for s in held.values())
    assert len(moves) <= shards
    assert balanced(shard_map, held) == []


def test_balance_is_of_bytes_and_not_of_counts():
    names = many(2_000, "bc") + many(2_000, "pq")
    samples = {"rsA": sample(DEFAULT_MAP, "rsA", names, 3_000), "rsB": sample(DEFAULT_MAP, "rsB", names, 1_000)}
    ((part, carried),) = balanced(DEFAULT_MAP, samples)
    assert (part.other, part.shard, part.upper) == ("rsA", "rsB", "n")
    assert 600 < carried.products < 730


def test_new_range_lies_beside_one_of_the_target():
    samples = {shard: sample(DEFAULT_MAP, shard, many(1_000, "bcd") + many(100, "p")) for shard in ("rsA", "rsB")}
    ((part, _carried),) = balanced(DEFAULT_MAP, samples)
    assert (part.lower == "a") != (part.upper == "n")


@pytest.mark.parametrize("products", [0, 1, 40])
def test_nothing_moves_where_there_is_nothing_to_gain(products):
    samples = {shard: sample(DEFAULT_MAP, shard, ["arroz", "pan"] * products) for shard in ("rsA", "rsB")}
    assert balanced(DEFAULT_MAP, samples) == []


def test_products_of_one_name_cannot_be_parted():
    assert balanced(DEFAULT_MAP, {"rsA": Sample(9, 900, ("arroz",) * 9), "rsB": Sample(0, 0, ())}) == []
    with pytest.raises(Conflict, match="several names"):
        middle(DEFAULT_MAP, {"rsA": Sample(9, 900, ("arroz",) * 9), "rsB": Sample(0, 0, ())})


def test_range_that_moves_is_left_alone():
    moving = DEFAULT_MAP.with_range(Range("a", "n", "rsC", "rsA"))
    samples = {shard: sample(DEFAULT_MAP, shard, many(500)) for shard in ("rsA", "rsB", "rsC")}
    assert all(part.other == "rsB" for part, _carried in balanced(moving, samples))


def test_largest_range_is_cut_in_the_middle():
    samples = {shard: sample(DEFAULT_MAP, shard, many(1_000, "cde") + many(10, "p")) for shard in ("rsA", "rsB")}
    cut = middle(DEFAULT_MAP, samples)
    below = sum(key < cut for key in samples["rsA"].keys)
    assert abs(below - len(samples["rsA"].keys) / 2) < 25


def test_neighbouring_ranges_of_one_shard_are_merged():
    cut = DEFAULT_MAP.split("c").split("g").split("s")
    assert [str(r) for r in cut.merged("g").owned_by("rsA")] == ["a ≤ key < c", "c ≤ key < n"]
    assert cut.merged().ranges == DEFAULT_MAP.ranges
    assert (cut.merged().version, DEFAULT_MAP.merged()) == (cut.version + 1, DEFAULT_MAP)


@pytest.mark.parametrize(
    ("key", "text"),
    [("n", "rsA and rsB"), ("b", "no range begins"), ("g", "one shard's alone"), ("", "alone: rsB")],
)
def test_ranges_that_are_not_one_shards_alone_are_not_merged(key, text):
    moving = DEFAULT_MAP.with_range(Range("g", "n", "rsA", "rsC"))
    with pytest.raises(Conflict, match=text):
        moving.merged(key)
