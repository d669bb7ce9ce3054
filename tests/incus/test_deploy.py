"""``prodctl deploy`` on real Incus: five containers from one description."""

import json
import sys

import pytest

from tests.support.deployed import URL, Deployed, describe

pytestmark = pytest.mark.timeout(1800)

REMOVE_MEMBER = """
import os, sys, pymongo
client = pymongo.MongoClient(os.environ["DB2_URL"])
config = client.admin.command("replSetGetConfig")["config"]
config["members"] = [m for m in config["members"] if m["host"] != sys.argv[1]]
client.admin.command("replSetReconfig", config | {"version": config["version"] + 1})
"""


def incus(deployed, *arguments):
    return deployed.bed.run("incus", *arguments).stdout


def test_an_apply_that_was_killed_is_finished_by_the_next(deployed):
    done = deployed.deploy("status", "-o", "json")
    assert [part for part in done.json["items"] if not part["is_healthy"]] == []
    assert done.status == 0


def test_a_second_apply_changes_nothing(deployed):
    assert deployed.plan() == set()
    assert "Nothing had to be changed" in deployed.apply()
    assert deployed.deploy("diff").out == ""


def test_people_log_in_through_the_proxy_and_create_products(deployed):
    token = deployed.token()
    environment = {"PRODCTL_URL": URL, "PRODCTL_TOKEN": token}
    for name in ("Arroz", "Ñandú"):
        done = deployed.prodctl("product", "add", name, "--price", "1.20", environment=environment)
        assert done.status == 0, done.err
    shown = deployed.prodctl("product", "list", "-o", "json", environment=environment).json
    assert {"Arroz", "Ñandú"} <= {item["name"] for item in shown["items"]}
    deployed.apply()
    assert "Setup code" not in deployed.apply()  # the first admin has it no more


def test_the_ordinary_commands_work_with_the_operators_settings(deployed):
    done = deployed.prodctl("cluster", "status", "-o", "json", environment=deployed.operator)
    assert done.status == 0, done.out + done.err


def test_a_plan_names_what_is_broken_and_apply_mends_it(deployed):
    unit = "/etc/systemd/system/prodctl-guard.service"
    incus(deployed, "exec", "db1", "--", "sed", "-i", "s/^Restart=.*/Restart=no/", unit)
    incus(deployed, "exec", "web-server", "--", "chmod", "0644", "/etc/prodctl/webapp/session_secret")
    incus(deployed, "config", "device", "remove", "web-server", "prodctl-proxy")
    lines = (deployed.state / "deploy/prodctl/operator.env").read_text().splitlines()
    url = next(line.partition("=")[2].strip("'") for line in lines if line.startswith("DB2_URL="))
    deployed.bed.run(sys.executable, "-c", REMOVE_MEMBER, "10.10.10.13:27019", environment={"DB2_URL": url})

    assert {change[:3] for change in deployed.plan()} == {
        ("db1", "write", f"file {unit}"),
        ("db1", "restart", "unit prodctl-guard.service"),
        ("web-server", "repair", "file /etc/prodctl/webapp/session_secret"),
        ("web-server", "add", "device prodctl-proxy"),
        ("rsB", "add", "member 10.10.10.13:27019"),
    }
    shown = deployed.deploy("diff")
    assert (shown.status, "-Restart=no\n+Restart=always\n" in shown.out) == (6, True)
    deployed.apply()
    assert deployed.plan() == set()
    assert deployed.deploy("status").status == 0


def test_a_member_that_stopped_is_told_and_started(deployed):
    incus(deployed, "exec", "db3", "--", "systemctl", "stop", "mongod@27018")
    assert deployed.deploy("status").status == 6
    assert ("db3", "start", "unit mongod@27018.service", "it is inactive") in deployed.plan()
    deployed.apply()
    assert deployed.deploy("status").status == 0


def test_containers_of_another_deployment_are_refused(deployed, wheelhouse, tmp_path):
    stranger = Deployed(deployed.bed, describe(tmp_path, wheelhouse, name="stranger"), tmp_path / "state")
    before = incus(deployed, "list", "--format", "csv", "-c", "nsS")
    for command in ("plan", "apply"):
        done = stranger.deploy(command)
        assert done.status == 5
        assert "belongs to the deployment prodctl: it is left alone" in done.err
    assert incus(deployed, "list", "--format", "csv", "-c", "nsS") == before


def test_destroy_removes_what_is_its_own_and_nothing_else(deployed, wheelhouse, tmp_path):
    file = describe(tmp_path, wheelhouse, name="other", bridge="otherbr0", subnet="10.20.20.0/24", proxy="")
    text = file.read_text().replace("10.10.10.", "10.20.20.")
    for name in ("web-server", "auth-server", "db1", "db2", "db3"):
        text = text.replace(f'name = "{name}"', f'name = "other-{name}"')
    file.write_text(text)
    other = Deployed(deployed.bed, file, tmp_path / "state")
    assert other.apply_and_die(3)  # bridge, profile, and the first container while others are being made

    refused = other.deploy("destroy")
    assert (refused.status, "--yes" in refused.err) == (2, True)
    assert other.deploy("destroy", "--yes").status == 0
    left = json.loads(incus(deployed, "query", "/1.0/instances?recursion=1"))
    assert {one["name"] for one in left} == {"web-server", "auth-server", "db1", "db2", "db3"}
    assert "otherbr0" not in incus(deployed, "network", "list", "--format", "csv")
    assert "other" not in incus(deployed, "profile", "list", "--format", "csv")
    assert not list((tmp_path / "state/deploy").glob("*/*"))
    assert deployed.deploy("status").status == 0
