"""A third shard in containers: described, filled, read by a plain client, emptied and removed."""

import json

import pytest

from tests.support.deployed import URL

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1_500)]

THIRD = '\n[db4]\nname = "db4"\naddresses = []\ntargets = []\ndata_pool = "default"\n'
PYTHON = "/opt/prodctl/current/bin/python"
FIND = """
import json, pathlib, sys
from pymongo import MongoClient
products = MongoClient(pathlib.Path("/etc/prodctl/guard/db4_url").read_text())["products_db"]["products"]
print(json.dumps([[d["name"], d.get("move", {}).get("state", "")] for d in products.find()]))
"""
TWENTY_MINUTES_LATER = """
import pathlib, sys
from pymongo import MongoClient
for path in pathlib.Path("/etc/prodctl/guard").glob("db*_url"):
    products = MongoClient(path.read_text(), w="majority").get_default_database()["products"]
    products.delete_many({"move.state": "moved", "purge_at": {"$exists": True}})
"""


@pytest.fixture
def third_shard(deployed):
    """The deployment with rsC, which it has no longer afterwards."""
    with deployed.described(deployed.file.read_text() + THIRD):
        yield deployed
    assert "db4" not in deployed.bed.run("incus", "list", "--format=csv", "--columns=n").stdout


def operate(deployed, *command):
    done = deployed.prodctl(*command, environment=deployed.operator | {"PRODCTL_URL": URL})
    assert done.status == 0, done.out + done.err
    return done


def in_rsc(deployed):
    """Every document that a client who knows nothing of prodctl finds there: name and state of its move."""
    found = deployed.bed.run("incus", "exec", "db4", "--", PYTHON, "-c", FIND).stdout
    return {(name, state) for name, state in json.loads(found)}


def test_a_shard_is_described_filled_read_emptied_and_removed(third_shard):
    assert third_shard.plan() == set()
    token = third_shard.token()
    names = [f"rsc gato {number}" for number in range(5)]
    for name in names:
        status, answer = third_shard.call("POST", "/products", {"name": name, "price": "1"}, token)
        assert status == 201, answer
    operate(third_shard, "shard", "move", "--from", "rsc", "--below", "rsd", "--to", "rsC", "--yes")
    assert in_rsc(third_shard) == {(name, "") for name in names}
    status, answer = third_shard.call("POST", "/products", {"name": "rsc hija", "price": "1"}, token)
    assert status == 201, answer
    assert ("rsc hija", "") in in_rsc(third_shard)

    refused = third_shard.deploy("remove-shard", "rsC", "--yes")
    assert (refused.status, "owns rsc" in refused.err) == (5, True), refused.err
    operate(third_shard, "shard", "drain", "rsC", "--yes")
    assert {state for _name, state in in_rsc(third_shard)} == {"moved"}
    third_shard.bed.run("incus", "exec", "db4", "--", PYTHON, "-c", TWENTY_MINUTES_LATER)
    removed = third_shard.deploy("remove-shard", "rsC", "--yes")
    assert removed.status == 0, removed.err
    assert operate(third_shard, "shard", "verify").status == 0
