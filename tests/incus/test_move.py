"""A deployed system moves: exported, destroyed, imported at other addresses. The last that uses the deployment."""

import json

import pytest

from tests.support.deployed import Deployed

pytestmark = [pytest.mark.timeout(1800), pytest.mark.nightly]

NAMES = ("Arroz", "Mijo", "Naranja", "Ñandú", "7 cereales")


def products(deployed, token):
    status, answer = deployed.call("GET", "/products?limit=200", token=token)
    assert status == 200, answer
    return {item["id"]: item for item in answer["items"]}


def test_the_whole_system_moves_to_other_addresses_and_nothing_is_lost(deployed, tmp_path):
    token = deployed.token()
    for name in NAMES:
        status, answer = deployed.call("POST", "/products", {"name": f"{name} move", "price": "1.20"}, token)
        assert status == 201, answer
    before = products(deployed, token)
    exported = tmp_path / "exported"

    done = deployed.deploy("export", exported)
    assert done.status == 0, done.err
    assert exported.stat().st_mode & 0o777 == 0o700
    assert deployed.deploy("status").status == 0
    refused = deployed.deploy("import", exported)
    assert (refused.status, "there are containers of these names" in refused.err) == (5, True), refused
    assert deployed.deploy("destroy", "--yes").status == 0
    assert json.loads(deployed.bed.run("incus", "query", "/1.0/instances").stdout) == []

    file = tmp_path / "deploy.toml"
    text = deployed.file.read_text().replace("10.10.10.", "10.30.30.").replace('"incusbr0"', '"movedbr0"')
    file.write_text(text)
    moved = Deployed(deployed.bed, file, tmp_path / "state")
    tar = exported / "db1.tar"
    with tar.open("r+b") as damaged:
        first = damaged.read(1)
        damaged.seek(0)
        damaged.write(bytes([first[0] ^ 1]))
    refused = moved.deploy("import", exported)
    assert (refused.status, "another checksum" in refused.err) == (2, True), refused
    with tar.open("r+b") as mended:
        mended.write(first)

    done = moved.deploy("import", exported)
    assert done.status == 0, done.out + done.err
    assert moved.plan() == set()
    assert moved.deploy("status").status == 0
    assert products(moved, moved.token()) == before
    found = moved.prodctl("shard", "verify", environment=moved.operator)
    assert found.status == 0, found.out + found.err
    assert moved.deploy("destroy", "--yes").status == 0
