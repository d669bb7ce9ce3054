"""A hand on members that are units in real containers: in the layout seed, all three of a set in one."""

import json
import re
import sys

import pytest

from prodcore.app.wiring import member_control
from prodcore.errors import IncusRefused, IncusUnavailable, MemberNotFound, Unavailable
from prodcore.incus import Incus
from prodcore.settings import load_settings
from tests.support.waiting import wait_until

ADDRESSES = [f"10.10.10.12:{port}" for port in (27017, 27018, 27019)]
HOST = "db1"
ROLES = """
import json, os, pymongo, re, sys
roles = {}
for seed in sys.argv[1:]:
    url = re.sub("@[^/]+/", f"@{seed}/", os.environ["DB1_URL"])
    client = pymongo.MongoClient(url, directConnection=True, serverSelectionTimeoutMS=1000, connectTimeoutMS=1000)
    try:
        told = client.admin.command("replSetGetStatus")["members"]
        roles[seed] = {m["name"]: m["stateStr"] if m["health"] else "DOWN" for m in told}
    except pymongo.errors.PyMongoError:
        roles[seed] = None
print(json.dumps(roles))
"""


@pytest.fixture
def members(deployed):
    """The hand that commands take with this deployment; afterwards all of rsA is started again."""
    control = member_control(load_settings(deployment=str(deployed.file), state_dir=str(deployed.state)))
    yield control
    for address in ADDRESSES:
        control.rejoin(address)
        control.resume(address)
        control.start(address)


@pytest.fixture(scope="module")
def url(deployed):
    """Where rsA is, and an operator's login to it."""
    settings = (deployed.state / "deploy/prodctl/operator.env").read_text()
    return re.search("^DB1_URL='?([^'\n]+)", settings, re.MULTILINE)[1]


@pytest.fixture
def roles(deployed, url):
    """What each member of rsA says of all of them; None for one that gives no answer."""
    command = (sys.executable, "-c", ROLES, *ADDRESSES)
    return lambda: json.loads(deployed.bed.run(*command, environment={"DB1_URL": url}).stdout)


@pytest.fixture
def primary(members, roles):
    """The primary of rsA, once all three see all three at work."""
    told = {}

    def is_whole():
        told.update(roles())
        views = [v for v in told.values() if v]
        return len(views) == 3 and all(sorted(v.values()) == ["PRIMARY", "SECONDARY", "SECONDARY"] for v in views)

    wait_until(is_whole, "rsA is whole", 60)
    return next(address for address, role in told[ADDRESSES[0]].items() if role == "PRIMARY")


def others_see(roles, address, role):
    return lambda: all((v or {}).get(address) == role for a, v in roles().items() if a != address)


def unit_state(address):
    show = ["systemctl", "show", "--property=ActiveState", "--value", f"mongod@{address.rpartition(':')[2]}.service"]
    return Incus().execute(HOST, show).stdout.decode().strip()


def test_the_deployment_decides_who_can_be_controlled(members):
    assert len(members.addresses()) == 9
    assert set(ADDRESSES) < set(members.addresses())
    assert members.co_located(ADDRESSES[0]) == tuple(ADDRESSES)
    assert [members.is_running(a) for a in ADDRESSES] == [True, True, True]
    with pytest.raises(MemberNotFound, match=r"10\.9\.9\.9:1 is not a member of this deployment"):
        members.kill("10.9.9.9:1")


def test_a_killed_member_stays_down_although_its_unit_restarts_and_comes_back_when_started(members, primary, roles):
    members.kill(primary)
    assert (members.is_running(primary), unit_state(primary)) == (False, "inactive")
    wait_until(others_see(roles, primary, "DOWN"), "the others miss it", 30)
    wait_until(
        lambda: "PRIMARY" in (roles()[next(a for a in ADDRESSES if a != primary)] or {}).values(), "election", 30
    )
    assert not members.is_running(primary)
    members.start(primary)
    assert members.is_running(primary)
    wait_until(others_see(roles, primary, "SECONDARY"), "it is back", 60)


def test_a_paused_member_is_silent_and_goes_on_when_resumed(members, primary, roles):
    members.pause(primary)
    assert members.is_running(primary)
    assert roles()[primary] is None
    members.resume(primary)
    wait_until(lambda: roles()[primary] is not None, "it answers", 30)


def test_a_paused_member_can_be_stopped(members, primary):
    secondary = next(a for a in ADDRESSES if a != primary)
    members.pause(secondary)
    members.stop(secondary)
    assert (members.is_running(secondary), unit_state(secondary)) == (False, "inactive")
    members.stop(secondary)
    members.resume(secondary)
    assert not members.is_running(secondary)


def test_an_isolated_member_runs_and_reaches_nobody_while_those_beside_it_go_on(members, primary, roles):
    assert members.cannot_isolate() == ""
    members.isolate(primary)
    members.isolate(primary)
    assert members.is_running(primary)
    wait_until(others_see(roles, primary, "DOWN"), "the others miss it", 30)
    assert roles()[primary] is None
    members.rejoin(primary)
    members.rejoin(primary)
    wait_until(others_see(roles, primary, "SECONDARY"), "it is back, no longer primary", 60)


def test_one_that_does_not_run_cannot_be_isolated(members, primary):
    secondary = next(a for a in ADDRESSES if a != primary)
    members.stop(secondary)
    with pytest.raises(Unavailable, match="does not run in db1"):
        members.isolate(secondary)


def test_a_stopped_container_takes_all_its_members_away_and_starting_one_brings_all_back(members, primary, roles):
    members.stop_host(primary)
    members.stop_host(primary)
    assert [members.is_running(a) for a in ADDRESSES] == [False, False, False]
    assert roles() == dict.fromkeys(ADDRESSES)
    with pytest.raises(IncusRefused, match="not running"):
        members.pause(primary)
    members.start(primary)
    wait_until(lambda: all(members.is_running(a) for a in ADDRESSES), "all units are up", 60)


def test_a_unit_that_would_not_come_back_is_told(members, primary):
    assert members.cannot_come_back(primary) == ""
    port = primary.rpartition(":")[2]
    Incus().execute(HOST, ["systemctl", "disable", f"mongod@{port}.service"])
    try:
        assert members.cannot_come_back(primary) == f"mongod@{port}.service does not start when {HOST} does"
    finally:
        Incus().execute(HOST, ["systemctl", "enable", f"mongod@{port}.service"])
    drop_in = f"/etc/systemd/system/mongod@{port}.service.d/never.conf"
    Incus().push(HOST, drop_in, b"[Service]\nRestart=no\n")
    Incus().execute(HOST, ["systemctl", "daemon-reload"])
    try:
        assert members.cannot_come_back(primary) == f"mongod@{port}.service in {HOST} is not restarted after a crash"
    finally:
        Incus().execute(HOST, ["rm", drop_in])
        Incus().execute(HOST, ["systemctl", "daemon-reload"])


def test_what_a_command_in_a_container_says_and_how_it_ends_is_its_own(deployed):
    script = ["sh", "-c", "cat; echo to the side >&2; exit 7"]
    done = Incus().execute(HOST, script, input=b"\x00\xff given")
    assert (done.status, done.stdout, done.stderr) == (7, b"\x00\xff given", b"to the side\n")
    assert Incus().execute(HOST, ["nothing-of-this-name"]).status == 127
    with pytest.raises(IncusRefused, match="not found"):
        Incus().execute("db9", ["true"])
    with pytest.raises(IncusRefused):
        Incus().pull(HOST, "/no/such/file")
    Incus().push(HOST, "/etc/prodctl/some/file", b"\x00secret", mode=0o600)
    assert Incus().pull(HOST, "/etc/prodctl/some/file") == b"\x00secret"
    assert Incus().execute(HOST, ["stat", "-c", "%a %U", "/etc/prodctl/some/file"]).stdout == b"600 root\n"


def test_an_incus_that_is_not_there_is_told_apart_from_one_that_refuses(deployed, monkeypatch, tmp_path):
    monkeypatch.setenv("INCUS_SOCKET", str(tmp_path / "none"))
    for call in (
        lambda: Incus().execute(HOST, ["true"]),
        lambda: Incus().query("GET", "/1.0"),
        lambda: Incus().run("list"),
    ):
        with pytest.raises(IncusUnavailable):
            call()
