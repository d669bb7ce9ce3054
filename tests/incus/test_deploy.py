"""``prodctl deploy`` on real Incus: five containers from one description."""

import json
import sys

import pytest

from prodcore.deploy.container import Container
from prodcore.incus import Incus
from tests.support.deployed import URL, Deployed, describe
from tests.support.waiting import wait_until

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


def test_a_damaged_release_is_found_and_replaced(deployed):
    site = "/opt/prodctl/current/lib/python3.11/site-packages"
    incus(deployed, "exec", "web-server", "--", "rm", "-rf", f"{site}/flask")
    incus(deployed, "exec", "db2", "--", "sh", "-c", f"echo '#' >> {site}/prodcore/routing.py")
    planned = {change[:2]: change[3] for change in deployed.plan() if change[1] == "repair"}
    assert set(planned) == {("web-server", "repair"), ("db2", "repair")}
    assert "site-packages/flask/" in planned["web-server", "repair"]
    assert "more files missing or changed" in planned["web-server", "repair"]
    assert "prodcore/routing.py" in planned["db2", "repair"]
    assert deployed.findings()
    deployed.apply()
    assert deployed.plan() == set()
    assert deployed.findings() == []


def test_what_cannot_be_asked_is_unknown_and_a_set_full_of_users_is_not_initiated_again(deployed):
    token = deployed.token()
    incus(deployed, "exec", "db3", "--", "sh", "-c", "rm -rf /opt/prodctl/releases/*")
    changes = {change[:2] for change in deployed.plan()}
    assert {("rsU", "unknown"), ("cluster", "unknown"), ("db3", "install")} <= changes
    assert not [change for change in changes if change[1] == "initiate"]
    incus(deployed, "stop", "--force", "db3")
    assert {change[:2] for change in deployed.plan()} == {
        ("db3", "start"), ("db3", "unknown"), ("rsU", "unknown"), ("cluster", "unknown"),
    }  # fmt: skip
    deployed.apply()
    assert deployed.findings() == []
    assert deployed.call("GET", "/products?limit=1", token=token)[0] == 200


def test_a_drop_in_that_is_not_ours_is_shown_and_set_aside(deployed):
    directory = "/etc/systemd/system/mongod@27018.service.d"
    script = f"mkdir {directory} && printf '[Service]\\nLimitNOFILE=5000\\n' > {directory}/limits.conf"
    incus(deployed, "exec", "db2", "--", "sh", "-c", f"{script} && systemctl daemon-reload")
    assert {change[:3] for change in deployed.plan()} >= {("db2", "set aside", f"file {directory}/limits.conf")}
    shown = deployed.deploy("diff")
    assert (shown.status, "-LimitNOFILE=5000\n" in shown.out) == (6, True)
    assert any("limits.conf" in one["text"] for one in deployed.findings())
    deployed.apply()
    assert deployed.plan() == set()
    limit = incus(deployed, "exec", "db2", "--", "systemctl", "show", "-p", "LimitNOFILE", "--value", "mongod@27018")
    assert limit.strip() == "64000"
    incus(deployed, "exec", "db2", "--", "rm", "-r", directory)


def test_a_member_that_crashes_says_why_in_its_last_lines(deployed):
    lock = "/var/lib/mongod/27018/mongod.lock"
    break_it = f"systemctl stop mongod@27018 && rm {lock} && mkdir {lock} && systemctl start mongod@27018"
    incus(deployed, "exec", "db1", "--", "sh", "-c", break_it)
    container = Container(Incus(), "db1")
    unit = "mongod@27018.service"

    def explained():
        return container.ask("explain", {"units": [unit, "mongod@27019.service"]}, seconds=60)

    try:
        wait_until(lambda: "mongod.lock" in explained().get(unit, ""), "the member's log is shown", 60)
        assert set(explained()) == {unit}
    finally:
        incus(deployed, "exec", "db1", "--", "rmdir", lock)
    deployed.apply()
    assert deployed.findings() == []


def test_everything_that_drifts_is_seen_by_plan_diff_and_status_and_undone(deployed):
    incus(deployed, "exec", "db1", "--", "rm", "/etc/systemd/system/prodctl-guard.service")
    incus(deployed, "exec", "auth-server", "--", "chmod", "0755", "/etc/prodctl/authsvc")
    incus(deployed, "exec", "db3", "--", "systemctl", "disable", "prodctl-drill.timer")
    incus(deployed, "config", "device", "set", "web-server", "prodctl-proxy", "listen=tcp:127.0.0.1:3999")
    incus(deployed, "config", "set", "auth-server", "limits.memory=700MiB")
    changed = {
        ("db1", "file /etc/systemd/system/prodctl-guard.service"),
        ("auth-server", "directory /etc/prodctl/authsvc"),
        ("db3", "unit prodctl-drill.timer"),
        ("web-server", "device prodctl-proxy"),
        ("auth-server", "limits.memory to none"),
    }
    assert {(where, what) for where, _action, what, _reason in deployed.plan()} >= changed
    found = {(one["subject"], one["text"].split(": ")[0]) for one in deployed.findings()}
    assert found >= changed
    shown = deployed.deploy("diff")
    assert shown.status == 6
    assert all(what.removeprefix("file ") in shown.out for _where, what in changed)
    deployed.apply()
    assert deployed.plan() == set()
    assert deployed.findings() == []


def test_limits_are_set_and_the_data_is_on_a_volume_of_its_own(deployed, wheelhouse):
    given = {"cpus": 1, "memory": "900MiB", "memory_max": "2G", "data_pool": "default"}
    describe(deployed.file.parent, wheelhouse, **given)
    deployed.apply()
    limits = json.loads(incus(deployed, "query", "/1.0/instances/web-server"))["config"]
    assert (limits["limits.cpu"], limits["limits.memory"]) == ("1", "900MiB")
    show = ("systemctl", "show", "-p", "MemoryMax", "--value", "mongod@27019")
    assert incus(deployed, "exec", "db2", "--", *show).strip() == str(2 << 30)
    mounted = incus(deployed, "exec", "db1", "--", "findmnt", "-n", "-o", "SOURCE", "/var/lib/mongod")
    assert "prodctl-db1-data" in mounted
    describe(deployed.file.parent, wheelhouse, data_pool="")
    refused = deployed.deploy("apply")
    assert (refused.status, "db1: data_pool" in refused.err) == (2, True)
    describe(deployed.file.parent, wheelhouse, data_pool="default")
    deployed.apply()
    assert deployed.findings() == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"proxy": "127.0.0.1:3000"}, "web.proxy: 127.0.0.1:3000 of the Incus host is taken"),
        ({"image": "no-such-image"}, "incus.image: no-such-image cannot be used"),
        ({"file": ""}, "mongod.source: no distribution has the package mongodb-org-server"),
        ({"pool": "nowhere"}, "incus.pool: there is no storage pool nowhere"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is(deployed, wheelhouse, tmp_path, given, field):
    other = another(deployed, wheelhouse, tmp_path, **{"proxy": "", **given})
    for command in ("plan", "apply"):
        done = other.deploy(command)
        assert (done.status, field in done.err) == (2, True), done.err
    assert "other-" not in incus(deployed, "list", "--format", "csv", "-c", "n")
    assert "otherbr0" not in incus(deployed, "network", "list", "--format", "csv")


def another(deployed, wheelhouse, tmp_path, **given):
    """A description of a second deployment in the same Incus."""
    file = describe(tmp_path, wheelhouse, name="other", bridge="otherbr0", subnet="10.20.20.0/24", **given)
    text = file.read_text().replace("10.10.10.", "10.20.20.")
    for name in ("web-server", "auth-server", "db1", "db2", "db3"):
        text = text.replace(f'name = "{name}"', f'name = "other-{name}"')
    file.write_text(text)
    return Deployed(deployed.bed, file, tmp_path / "state")


def test_containers_of_another_deployment_are_refused(deployed, wheelhouse, tmp_path):
    stranger = Deployed(deployed.bed, describe(tmp_path, wheelhouse, name="stranger"), tmp_path / "state")
    before = incus(deployed, "list", "--format", "csv", "-c", "nsS")
    for command in ("plan", "apply"):
        done = stranger.deploy(command)
        assert done.status == 5
        assert "belongs to the deployment prodctl: it is left alone" in done.err
    assert incus(deployed, "list", "--format", "csv", "-c", "nsS") == before


def test_destroy_removes_what_is_its_own_and_nothing_else(deployed, wheelhouse, tmp_path):
    other = another(deployed, wheelhouse, tmp_path, proxy="")
    assert other.apply_and_die(4)  # bridge, profile, and the first container while others are being made

    refused = other.deploy("destroy")
    assert (refused.status, "--yes" in refused.err) == (2, True)
    assert other.deploy("destroy", "--yes").status == 0
    left = json.loads(incus(deployed, "query", "/1.0/instances?recursion=1"))
    assert {one["name"] for one in left} == {"web-server", "auth-server", "db1", "db2", "db3"}
    assert "otherbr0" not in incus(deployed, "network", "list", "--format", "csv")
    assert "other" not in incus(deployed, "profile", "list", "--format", "csv")
    assert not list((tmp_path / "state/deploy").glob("*/*"))
    assert deployed.deploy("status").status == 0
