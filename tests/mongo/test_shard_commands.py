"""``prodctl shard verify``, ``repair`` and ``split`` as their user types them, on real replica sets."""

import pytest

from prodcore.app.range_moves import RangeMoves
from prodcore.app.shards import open_shards
from prodcore.settings import load_settings
from prodcore.sharding.mover import Bounds
from tests.support.cli import Cli
from tests.support.products import ANA, draft


@pytest.fixture
def cli(cluster, tmp_path):
    """The installed program with the operator's addresses."""
    addresses = cluster.addresses("operator")
    return Cli(tmp_path, {name.upper(): secret.get_secret_value() for name, secret in addresses.items()})


def test_verify_of_clean_shards_says_so(cli, catalog):
    catalog.create(draft("Arroz"), ANA)
    told = cli("shard", "verify")
    assert (told.status, told.out) == (0, "")
    assert told.err == "Nothing is wrong.\n1 document looked at, found: nothing\n"
    assert cli("shard", "verify", "-o", "json").json["documents"] == 1


def test_verify_and_repair_list_what_is_wrong_and_what_became_of_it(cli, catalog, raw_products):
    made = {name: catalog.create(draft(name), ANA) for name in ("Arroz", "Café", "Zumo")}
    raw_products["rsA"].update_one({"_id": made["Arroz"].id}, {"$set": {"words": []}})
    raw_products["rsB"].update_one({"_id": made["Zumo"].id}, {"$set": {"stock": -1}})

    found = cli("shard", "verify")
    assert found.status == 6
    assert found.err == "3 documents looked at, found: 1 derived, 1 invalid\n"
    assert found.out.splitlines()[0].split() == ["KIND", "SHARD", "PRODUCT", "NAME", "FINDING"]
    listed = cli("shard", "verify", "-o", "json").json
    assert listed["found"] == {"derived": 1, "invalid": 1}
    assert [(item["kind"], item["shard"], item["product"]) for item in listed["items"]] == [
        ("derived", "rsA", str(made["Arroz"].id)),
        ("invalid", "rsB", str(made["Zumo"].id)),
    ]

    tried = cli("shard", "repair", "--dry-run", "-o", "json")
    assert (tried.status, tried.json["mended"], tried.json["left"]) == (6, 0, 2)
    mended = cli("shard", "repair")
    assert mended.status == 6
    assert mended.err == "3 documents looked at, 1 finding repaired, 1 left\n"
    assert [line.split()[-1] for line in mended.out.splitlines()] == ["RESULT", "recomputed", "is"]
    raw_products["rsB"].update_one({"_id": made["Zumo"].id}, {"$set": {"stock": 1}})
    assert cli("shard", "repair").status == 0


def test_split_shows_the_new_ranges_and_refuses_what_is_no_name(cli, cluster, put_back_map):
    told = cli("shard", "split", "  Ñ ", "--yes", "-o", "json")
    assert told.status == 0, told.err
    assert told.json["map_version"] == 2
    assert [item["range"] for item in told.json["items"]] == ["key < a", "a ≤ key < n", "n ≤ key < ñ", "ñ ≤ key …"]
    assert [item["shard"] for item in told.json["items"]] == ["rsB", "rsA", "rsB", "rsB"]
    assert cli("shard", "split", "ñ", "--yes", "-o", "json").json["map_version"] == 2
    assert cli("shard", "where", "Ñandú", "-o", "json").json["range"] == "ñ ≤ key …"
    assert "n ≤ key < ñ" in cli("shard", "list").out
    refused = cli("shard", "split", " ")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith("Error: The name contains nothing to route by\n")


def test_a_shard_that_does_not_answer_is_not_called_clean(cli):
    silent = cli("shard", "verify", DB2_URL="mongodb://127.0.0.1:9/?replicaSet=rsB")
    assert silent.status == 6
    assert "rsB" in silent.err
    assert "Nothing is wrong" not in silent.err


def test_ranges_are_cut_where_products_are_and_merged_again(cli, catalog, put_back_map):
    refused = cli("shard", "split", "--at", "auto", "--yes")
    assert (refused.status, "no range has products of several names" in refused.err) == (5, True)
    for name in ("arroz", "azúcar", "café", "cacao"):
        catalog.create(draft(name), ANA)
    told = cli("shard", "split", "--at", "auto", "--yes", "-o", "json")
    assert told.status == 0, told.err
    assert [item["range"] for item in told.json["items"]][1:3] == ["a ≤ key < c", "c ≤ key < n"]
    tried = cli("shard", "merge", "c", "--dry-run", "-o", "json")
    assert tried.status == 0, tried.err
    assert len(tried.json["items"]) == 3
    assert len(cli("shard", "merge", "--dry-run").out.splitlines()) == 4
    refused = cli("shard", "merge", "n", "--yes")
    assert (refused.status, "rsA and rsB" in refused.err) == (5, True)
    merged = cli("shard", "merge", "--yes", "-o", "json")
    assert (len(merged.json["items"]), merged.json["map_version"]) == (3, 3)
    assert cli("shard", "verify").status == 0


def test_rebalance_proposes_what_moves_and_changes_nothing(cli, catalog):
    for number in range(60):
        catalog.create(draft(f"arroz {number:02}"), ANA)
    told = cli("shard", "rebalance", "-o", "json")
    assert told.status == 0, told.err
    (order,) = told.json["items"]
    assert (order["source"], order["target"], order["state"]) == ("rsA", "rsB", "planned")
    assert 25 <= order["total"] <= 35
    before, after = ([each[when] for each in told.json["balance"]] for when in ("products", "products_after"))
    assert (before, sum(after)) == ([60, 0], 60)
    assert "Nothing was changed" in cli("shard", "rebalance").err
    assert cli("shard", "status", "-o", "json").json["items"] == []
    shards = cli("shard", "list", "-o", "json").json["items"]
    assert [(s["share"], s["bytes"] > 0, s["moving"]) for s in shards] == [(1, True, []), (0, False, [])]


@pytest.fixture
def order(cluster, raw_clients):
    """An order that nobody has begun with."""
    orders = raw_clients["rsU"]["prodctl_meta"]["range_moves"]
    orders.delete_many({})
    with open_shards(load_settings(**cluster.addresses("operator"))) as shards:
        moves = RangeMoves(shards)
        moves.give_order(order := moves.plan_move(Bounds("g", "n"), "rsB", "ana"))
        yield order
    orders.delete_many({})


def test_move_is_shown_and_paused_and_is_the_only_one(cli, order):
    (shown,) = cli("shard", "status", "-o", "json").json["items"]
    assert (shown["id"], shown["range"], shown["state"]) == (str(order.id), "g ≤ key < n", "planned")
    assert shown["begun_at"] == order.begun_at.isoformat(timespec="milliseconds")
    assert cli("shard", "pause").err == "The move of g ≤ key < n to rsB pauses: prodctl shard resume continues it.\n"
    assert cli("shard", "status").out.splitlines()[1].split()[-3:] == ["paused", "0", "0"]
    refused = cli("shard", "move", "--from", "b", "--below", "c", "--to", "rsB", "--yes")
    assert (refused.status, "another range is being moved" in refused.err) == (5, True)


def test_stats_count_what_they_can_and_mark_what_they_estimate(cli, catalog):
    for name in ("Arroz", "Aceite", "Café", "7up", "Zumo", "Ñandú"):
        catalog.create(draft(name), ANA)
    by_range = cli("shard", "stats", "-o", "json").json
    assert by_range["map_version"] == 1
    assert [(i["range"], i["shard"], i["products"], i["approximate"]) for i in by_range["items"]] == [
        ("key < a", "rsB", 1, True),
        ("a ≤ key < n", "rsA", 3, False),
        ("n ≤ key …", "rsB", 2, True),
    ]
    by_letter = cli("shard", "stats", "--histogram", "-o", "json").json["items"]
    assert {i["first"]: (i["shard"], i["products"]) for i in by_letter if i["products"]} == {
        "0–9": ("rsB", 1),
        "a": ("rsA", 2),
        "c": ("rsA", 1),
        "ñ": ("rsB", 1),
        "z": ("rsB", 1),
    }
    assert all(i["approximate"] for i in by_letter)
    lines = cli("shard", "stats", "--histogram").out.splitlines()
    assert lines[0].split() == ["FIRST", "SHARD", "PRODUCTS", "SHARE"]
    a, c = (next(line for line in lines if line.split()[0] == letter) for letter in "ac")
    assert (a.count("█"), c.count("█")) == (40, 20)
    assert max(map(len, lines)) <= 80


def test_list_shows_what_each_shard_has_to_do(cli, catalog):
    catalog.create(draft("Arroz"), ANA)
    told = cli("shard", "list", "-o", "json")
    for item in told.json["items"]:
        assert item["requests_per_second"] == pytest.approx(
            item["reads_per_second"] + item["writes_per_second"], abs=0.2
        )
    table = cli("shard", "list").out.splitlines()
    assert table[0].split() == ["SHARD", "RANGES", "PRODUCTS", "SHARE", "SIZE", "READS/S", "WRITES/S"]
    assert max(map(len, table)) <= 80
