"""``prodctl shard`` and ``config``: straight to the members, with the operator's credentials."""

import pytest

from tests.support.cli import Cli


@pytest.fixture
def cli(site, tmp_path):
    """Nobody is logged in and no webapp is known: these commands need neither."""
    env_file = site.cluster.plan.directory / "env" / "operator.env"
    return Cli(tmp_path, {"PRODCTL_ENV_FILE": str(env_file), "PRODCTL_URL": "http://127.0.0.1:9"})


@pytest.mark.parametrize(
    ("name", "key", "shard"),
    [
        ("Arroz", "arroz", "rsA"),
        ("  ÁGUILA ", "aguila", "rsA"),
        ("Manzana", "manzana", "rsA"),
        ("Ñandú", "ñandu", "rsB"),
        ("7up", "7up", "rsB"),
        ("¡Oferta!", "¡oferta!", "rsB"),
        ("Ωmega", "ωmega", "rsB"),
    ],
)
def test_where_tells_the_shard_and_why(cli, name, key, shard):
    told = cli.inside("shard", "where", name, "-o", "json")
    assert (told.status, told.err) == (0, "")
    assert (told.json["key"], told.json["shard"], told.json["replica_set"]) == (key, shard, shard)
    assert told.json["map_version"] == 1
    assert f"folds to {key!r}" in told.json["reason"]


def test_list_tells_ranges_and_numbers(cli):
    told = cli("shard", "list")
    assert (told.status, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0].split() == ["SHARD", "RANGES", "PRODUCTS", "SHARE", "SIZE", "READS/S", "WRITES/S"]
    assert [line.split()[0] for line in lines[1:]] == ["rsA", "rsB"]
    assert "a ≤ key < n" in lines[1]


@pytest.mark.parametrize("name", ["", " ", "\u200b", b"\xff"])
def test_a_name_with_nothing_to_route_by_is_refused(cli, name):
    refused = cli.inside("shard", "where", name)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith("Error: The name contains nothing to route by\n")


def test_elections_name_members_as_the_status_does(cli):
    winners = {line.split()[3] for line in cli("cluster", "history", "rsA").out.splitlines()[1:] if line[0] != " "}
    assert winners
    assert cli("cluster", "history", "rsA", "-o", "json").json["items"][0]["new_primary"].startswith("127.0.0.1:")


def test_without_addresses_it_says_what_is_missing(cli):
    refused = cli("shard", "list", PRODCTL_ENV_FILE="/dev/null")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith("Error: DB")


def test_where_without_any_member_is_not_a_guess(cli, tmp_path):
    silent = {f"DB{i}_URL": f"mongodb://127.0.0.1:9/?replicaSet=rs{s}" for i, s in zip("123", "ABU", strict=True)}
    failed = cli("shard", "where", "Arroz", **silent)
    assert (failed.status, failed.out) == (6, "")
    assert failed.err.startswith("Error: the shard map cannot be read")


def test_config_show_masks_secrets_and_tells_origins(cli, site):
    told = cli("config", "show", "--origin", "-o", "json", PRODCTL_TOKEN="a-secret-token")
    assert (told.status, told.err) == (0, "")
    rows = {row["setting"]: row for row in told.json["items"]}
    assert rows["url"]["origin"] == "environment"
    assert rows["db1_url"]["origin"].endswith("env/operator.env")
    assert rows["currency"] == rows["currency"] | {"value": "EUR", "origin": "default"}
    assert "a-secret-token" not in told.out
    assert [rows[name]["value"] for name in ("token", "db1_url", "db2_url", "db3_url")] == ["**********"] * 4
    assert "operator:" not in told.out
