"""A hand on members that are units in real containers: three sets of three, a container each, as in the layout seed."""

import json
import sys

import pytest

from prodcore.bootstrap_cluster import member_control
from prodcore.errors import IncusRefused, IncusUnavailable, MemberNotFound, Unavailable
from prodcore.local.mongod import find_mongod
from prodcore.nodes.incus import Incus
from prodcore.settings import load_settings
from tests.incus.bed import IMAGE
from tests.waiting import wait_until

PORTS = (27017, 27018, 27019)
SETS = {"rsA": ("hand1", "10.10.20.12"), "rsB": ("hand2", "10.10.20.13"), "rsU": ("hand3", "10.10.20.14")}
"""Beside the whole deployment, which other tests have on the same bed."""
BRIDGE = "handbr0"
DESCRIPTION = f"""
name = "members"
[incus]
bridge = "{BRIDGE}"
subnet = "10.10.20.0/24"
[web]
address = "10.10.20.11"
[auth]
address = "10.10.20.10"
""" + "".join(
    f'[db{n}]\nname = "{instance}"\naddresses = ["{address}"]\n'
    for n, (instance, address) in enumerate(SETS.values(), start=1)
)
ADDRESSES = [f"{SETS['rsA'][1]}:{port}" for port in PORTS]
UNIT = """
[Service]
User=mongodb
StateDirectory=mongod/%i
ExecStart=/opt/mongod/bin/mongod --port %i --bind_ip_all --dbpath /var/lib/mongod/%i --replSet {set} \
  --wiredTigerCacheSizeGB 0.25 --setParameter diagnosticDataCollectionEnabled=false
Restart=always
[Install]
WantedBy=multi-user.target
"""
INITIATE = """
import pymongo, sys
name, host = sys.argv[1:]
members = [{"_id": n, "host": f"{host}:{27017 + n}"} for n in range(3)]
settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
seeds = [m["host"] for m in members]
for seed in seeds:
    pymongo.MongoClient(seed, directConnection=True).admin.command("ping")
first = pymongo.MongoClient(seeds[0], directConnection=True)
first.admin.command("replSetInitiate", {"_id": name, "members": members, "settings": settings})
pymongo.MongoClient(seeds, replicaSet=name).admin.test.insert_one({})
"""
ROLES = """
import json, pymongo, sys
roles = {}
for seed in sys.argv[1:]:
    client = pymongo.MongoClient(seed, directConnection=True, serverSelectionTimeoutMS=1000, connectTimeoutMS=1000)
    try:
        told = client.admin.command("replSetGetStatus")["members"]
        roles[seed] = {m["name"]: m["stateStr"] if m["health"] else "DOWN" for m in told}
    except pymongo.errors.PyMongoError:
        roles[seed] = None
print(json.dumps(roles))
"""


def make_set(bed, name):
    """A container with three members; its mongod is this machine's own file."""
    instance, address = SETS[name]
    incus = Incus()
    incus.run("init", "--", IMAGE, instance)
    incus.run("config", "device", "add", "--", instance, "eth0", "nic", f"network={BRIDGE}", f"ipv4.address={address}")
    source = f"source={find_mongod(None).path.resolve().parent}"
    incus.run("config", "device", "add", "--", instance, "mongod", "disk", source, "path=/opt/mongod/bin")
    incus.run("start", "--", instance)
    incus.push(instance, "/etc/systemd/system/mongod@.service", UNIT.format(set=name).encode())
    units = [f"mongod@{port}.service" for port in PORTS]
    ready = ["systemctl", "daemon-reload"]
    wait_until(lambda: incus.execute(instance, ready).status == 0, f"systemd answers in {instance}", 60)
    for argv in (["useradd", "--system", "mongodb"], ["systemctl", "enable", "--now", *units]):
        done = incus.execute(instance, argv, timeout_seconds=60)
        assert done.status == 0, done.stderr.decode()
    bed.run(sys.executable, "-c", INITIATE, name, address)


@pytest.fixture(scope="module")
def system(bed, tmp_path_factory):
    """The three sets; what an operator's environment says of them."""
    network = ("ipv4.address=10.10.20.1/24", "ipv4.nat=false", "ipv6.address=none")
    Incus().run("network", "create", "--", BRIDGE, *network)
    for name in SETS:
        make_set(bed, name)
    description = tmp_path_factory.mktemp("deployment") / "deploy.toml"
    description.write_text(DESCRIPTION)
    urls = {
        f"DB{n}_URL": f"mongodb://{','.join(f'{address}:{p}' for p in PORTS)}/?replicaSet={name}"
        for n, (name, (_, address)) in enumerate(SETS.items(), start=1)
    }
    yield urls | {"PRODCTL_DEPLOYMENT": str(description), "PRODCTL_STATE_DIR": str(description.parent)}
    for instance, _ in SETS.values():
        Incus().run("delete", "--force", "--", instance)
    Incus().run("network", "delete", "--", BRIDGE)


@pytest.fixture
def members(system):
    """The hand that commands take with this environment; afterwards all of rsA is started again."""
    control = member_control(load_settings(deployment=system["PRODCTL_DEPLOYMENT"]))
    yield control
    for address in ADDRESSES:
        control.rejoin(address)
        control.resume(address)
        control.start(address)


@pytest.fixture
def roles(bed):
    """What each member of rsA says of all of them; None for one that gives no answer."""
    return lambda: json.loads(bed.run(sys.executable, "-c", ROLES, *ADDRESSES).stdout)


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
    return Incus().execute("hand1", show).stdout.decode().strip()


def test_the_deployment_decides_who_can_be_controlled(members):
    assert len(members.addresses()) == 9
    assert set(ADDRESSES) < set(members.addresses())
    assert members.housemates(ADDRESSES[0]) == tuple(ADDRESSES)
    assert [members.is_running(a) for a in ADDRESSES] == [True, True, True]
    with pytest.raises(MemberNotFound, match=r"10\.9\.9\.9:1 is not a member of this deployment"):
        members.kill("10.9.9.9:1")


def test_a_killed_member_stays_dead_although_its_unit_restarts_and_comes_back_when_started(members, primary, roles):
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


def test_an_isolated_member_runs_and_reaches_nobody_while_its_housemates_go_on(members, primary, roles):
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
    with pytest.raises(Unavailable, match="does not run in hand1"):
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
    assert members.stays_dead(primary) == ""
    port = primary.rpartition(":")[2]
    Incus().execute("hand1", ["systemctl", "disable", f"mongod@{port}.service"])
    try:
        assert members.stays_dead(primary) == f"mongod@{port}.service does not start when hand1 does"
    finally:
        Incus().execute("hand1", ["systemctl", "enable", f"mongod@{port}.service"])
    drop_in = f"/etc/systemd/system/mongod@{port}.service.d/never.conf"
    Incus().push("hand1", drop_in, b"[Service]\nRestart=no\n")
    Incus().execute("hand1", ["systemctl", "daemon-reload"])
    try:
        assert members.stays_dead(primary) == f"mongod@{port}.service in hand1 stays dead after a crash"
    finally:
        Incus().execute("hand1", ["rm", drop_in])
        Incus().execute("hand1", ["systemctl", "daemon-reload"])


def test_what_a_command_in_a_container_says_and_how_it_ends_is_its_own(system):
    script = ["sh", "-c", "cat; echo to the side >&2; exit 7"]
    done = Incus().execute("hand1", script, input=b"\x00\xff given")
    assert (done.status, done.stdout, done.stderr) == (7, b"\x00\xff given", b"to the side\n")
    assert Incus().execute("hand1", ["nothing-of-this-name"]).status == 127
    with pytest.raises(IncusRefused, match="not found"):
        Incus().execute("db9", ["true"])
    with pytest.raises(IncusRefused):
        Incus().pull("hand1", "/no/such/file")
    Incus().push("hand1", "/etc/prodctl/some/file", b"\x00secret", mode=0o600)
    assert Incus().pull("hand1", "/etc/prodctl/some/file") == b"\x00secret"
    assert Incus().execute("hand1", ["stat", "-c", "%a %U", "/etc/prodctl/some/file"]).stdout == b"600 root\n"


def test_an_incus_that_is_not_there_is_told_apart_from_one_that_refuses(system, monkeypatch, tmp_path):
    monkeypatch.setenv("INCUS_SOCKET", str(tmp_path / "none"))
    for call in (
        lambda: Incus().execute("hand1", ["true"]),
        lambda: Incus().query("GET", "/1.0"),
        lambda: Incus().run("list"),
    ):
        with pytest.raises(IncusUnavailable):
            call()
