"""What a billion products would come to: the balance, the map and the hours of a move, without any cluster."""

import json

import bson
import pytest

from prodcore.catalog.distribution import simulate
from prodcore.errors import InvalidInput
from prodcore.routing import DEFAULT_MAP, fold
from prodctl.cli import prodctl
from prodctl.terminal.output import run

KEYS = sorted(fold(f"{first}{rest:03}") for first in "abcñnop7" for rest in range(500))


@pytest.mark.parametrize(("shards", "ranges"), [(1, 1), (2, 2), (3, 7), (64, 64), (64, 1_000)])
def test_every_shard_gets_about_its_share_and_the_map_covers_all(shards, ranges):
    found = simulate(KEYS, shards, ranges)
    most_of_a_shard = -(-ranges // shards) / ranges
    assert len(found.shares) == len(found.shard_map.shards) == shards
    assert sum(found.shares) == pytest.approx(1)
    assert max(found.shares) <= most_of_a_shard + ranges / len(KEYS)
    assert len(found.shard_map.ranges) == ranges


def test_a_name_that_many_products_have_stays_in_one_range():
    found = simulate(sorted(["pan"] * 600 + [f"pan {n:03}" for n in range(400)]), 4, 4)
    assert max(found.shares) == 0.6
    with pytest.raises(InvalidInput, match="can be cut at 1 places only, and 3 are needed"):
        simulate(["pan"] * 600 + ["te"], 4, 4)


@pytest.mark.parametrize("ranges", [1, 9, 10, 11, 200, 1_000])
def test_the_size_of_a_map_is_that_of_its_bson(ranges):
    found = simulate(KEYS, min(ranges, 12), ranges)
    assert found.map_bytes == len(bson.encode(found.shard_map.as_document()))


def test_ten_thousand_ranges_are_a_small_map():
    keys = sorted(fold(f"{n * 7_919 % 100_000:05} aceite") for n in range(100_000))
    found = simulate(keys, 64, 10_000)
    assert found.map_bytes < 1_000_000
    assert (found.comparisons, found.conditions) == (14, 157)


def test_what_moves_from_two_shards_is_all_but_what_they_keep():
    keys = [key for key in KEYS if DEFAULT_MAP.shard_for(key) == "rsA"]
    assert simulate(keys, 4, 4).moved_to_begin == pytest.approx(0.75)
    assert simulate(KEYS, 2, 2).moved_to_begin == pytest.approx(0.125)  # three letters of eight are rsA's
    assert simulate(KEYS, 1, 1).moved_to_begin == 0
    assert simulate(KEYS, 3, 3).moved_to_grow == 0.25


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "names"
    path.write_text("\n".join([*(f"{key[0]} {n}" for n, key in enumerate(KEYS)), "", "  "]), encoding="utf-8")
    return str(path)


def simulated(*arguments):
    return run(prodctl, ["shard", "simulate", *arguments])


def test_people_read_lines_and_programs_numbers(names, capsys):
    arguments = ["--products", "1e9", "--shards", "64", "--names", names, "--rate", "1000"]
    assert simulated(*arguments) == 0
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 80
    assert "1,000 products a second (given)" in table
    assert simulated(*arguments, "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["products"] == 10**9
    assert found["grow_products"] == round(10**9 / 65)
    assert found["grow_hours"] == round((10**9 / 65 / 1_000 + 64 * 12) / 3_600, 2)
    assert found["least_products"] <= found["mean_products"] <= found["most_products"]
    assert (found["names"], found["comparisons"], found["rate_source"]) == (len(KEYS), 7, "given")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--products", "0", "--shards", "2"], "--products"),
        (["--products", "many", "--shards", "2"], "such as 40"),
        (["--products", "1e99", "--shards", "2"], "--products"),
        (["--products", "10", "--shards", "0"], "--shards"),
        (["--products", "10", "--shards", "8", "--ranges", "4"], "ranges: 4 are fewer than the 8 shards"),
        (["--products", "10", "--shards", "9999"], "names: can be cut at 3,999 places only, and 9,998 are needed"),
        (["--products", "10", "--shards", "2", "--rate", "0"], "--rate"),
        (["--products", "10"], "--shards"),
    ],
)
def test_numbers_that_cannot_be_are_refused_with_their_field(names, capsys, arguments, said):
    assert simulated(*arguments, "--names", names) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: no such file"),
        (b"caf\xe9\n", "it is not UTF-8"),
        (b"\n \n\xe2\x80\x8b\n", "holds no name"),
    ],
)
def test_a_file_without_names_is_refused_with_the_way_to_get_one(tmp_path, capsys, content, said):
    path = tmp_path / "names"
    if content is not None:
        path.write_bytes(content)
    assert simulated("--products", "1e6", "--shards", "3", "--names", str(path)) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Hint:" in captured.err
