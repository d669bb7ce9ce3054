"""The local cluster with real members: coming up, being broken, being repaired."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys

import psutil
import pymongo
import pytest
from pymongo.errors import OperationFailure

from prodcore.errors import ClusterUnavailable, ConfigError, Conflict, MemberNotFound
from prodcore.installation.secret import locked
from prodcore.local import LocalCluster, LocalPlan, find_free_ports
from prodcore.local.render import MARKER_VARIABLE
from tests.support.waiting import wait_until

SETTINGS = {"rsA": "db1_url", "rsB": "db2_url", "rsU": "db3_url"}


def make_cluster(directory):
    return LocalCluster(LocalPlan(directory, find_free_ports()))


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    cluster = make_cluster(tmp_path_factory.mktemp("local") / "ñ cluster")
    cluster.up()
    yield cluster
    cluster.destroy()


@pytest.fixture
def cluster(running):
    """The shared cluster with everything running, whatever the test before did to it."""
    running.up()
    return running


def client(cluster, user, replica_set="rsA"):
    return pymongo.MongoClient(
        cluster.addresses(user)[SETTINGS[replica_set]].get_secret_value(),
        serverSelectionTimeoutMS=20_000,
        timeoutMS=20_000,
    )


def processes_of(cluster):
    """Every living process that this cluster has started, supervisord included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER_VARIABLE) == str(cluster.plan.directory):
                found.append(process)
        except psutil.Error:
            continue
    return [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def is_supervised(cluster):
    return any("supervisor.supervisord" in p.cmdline() for p in processes_of(cluster))


def supervisord_of(cluster):
    return next(p for p in processes_of(cluster) if "supervisor.supervisord" in p.cmdline())


def test_three_sets_have_a_primary_and_two_secondaries_each(cluster):
    roles = {}
    for program in cluster.status():
        assert program.is_healthy, program
        roles.setdefault(program.what, []).append(program.role)
    assert set(roles) == set(SETTINGS)
    assert all(sorted(found) == ["PRIMARY", "SECONDARY", "SECONDARY"] for found in roles.values())


def test_all_three_members_of_a_set_have_a_vote_and_the_timing_of_the_plan(cluster):
    with client(cluster, "root") as root:
        config = root.admin.command("replSetGetConfig")["config"]
        status = root.admin.command("replSetGetStatus")
    assert status["votingMembersCount"] == 3
    assert config["settings"]["electionTimeoutMillis"] == 1_000
    assert config["settings"]["heartbeatIntervalMillis"] == 250


def test_each_user_may_do_its_work_and_nothing_else(cluster):
    with (
        client(cluster, "web") as web,
        client(cluster, "web", "rsU") as web_at_users,
        client(cluster, "auth", "rsU") as auth,
        client(cluster, "operator") as operator,
    ):
        web.products_db.rights.insert_one({})
        auth.auth_db.rights.insert_one({})
        operator.admin.command("replSetGetStatus")
        web_at_users.prodctl_meta.shard_map.find_one()
        for forbidden in (
            lambda: web.other_db.rights.insert_one({}),
            lambda: web.admin.command("replSetStepDown", 1),
            lambda: web_at_users.auth_db.users.find_one(),
            lambda: web_at_users.prodctl_meta.shard_map.insert_one({}),
            lambda: auth.prodctl_meta.shard_map.find_one(),
            lambda: operator.auth_db.users.find_one(),
        ):
            with pytest.raises(OperationFailure, match="not authorized"):
                forbidden()


def test_nobody_gets_in_without_a_password(cluster):
    with pymongo.MongoClient(cluster.plan.members[0].address, directConnection=True, timeoutMS=5_000) as anonymous:
        with pytest.raises(OperationFailure, match="requires authentication"):
            anonymous.products_db.products.find_one()
        with pytest.raises(OperationFailure):
            anonymous.admin.command("createUser", "x", pwd="x", roles=[])


def test_writes_wait_for_a_majority_unless_they_ask_for_something_else(cluster):
    with client(cluster, "root") as root:
        assert root.admin.command("getDefaultRWConcern")["defaultWriteConcern"]["w"] == "majority"


def test_nothing_listens_beyond_loopback(cluster):
    listening = {
        connection.laddr.ip
        for process in processes_of(cluster)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_no_secret_is_in_a_command_line_and_only_the_owner_reads_the_files(cluster):
    directory = cluster.plan.directory
    secrets = json.loads((directory / "secrets.json").read_text()).values()
    keyfile = cluster.plan.keyfile.read_text().strip()
    told = " ".join(" ".join(p.cmdline()) for p in processes_of(cluster)) + cluster.plan.supervisor_config.read_text()
    assert not [secret for secret in (*secrets, keyfile) if secret in told]
    open_to_others = [path for path in [directory, *directory.rglob("*")] if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert not open_to_others


def test_up_again_starts_nothing(cluster):
    before = {p.name: p.pid for p in cluster.status()}
    report = cluster.up(when_writable=lambda: pytest.fail("nothing was started"))
    assert report.started == ()
    assert {p.name: p.pid for p in cluster.status()} == before


def test_a_stopped_member_stays_stopped_until_it_is_started(cluster):
    secondary = next(p for p in cluster.status() if p.role == "SECONDARY")
    cluster.stop(secondary.name)
    assert next(p for p in cluster.status() if p.name == secondary.name).state in ("stopped", "exited")
    cluster.stop(secondary.name)
    assert cluster.start(secondary.address) == {secondary.name: "SECONDARY"}
    assert cluster.start(secondary.name) == {secondary.name: "SECONDARY"}


def test_a_whole_set_that_was_stopped_is_started_by_one_command(cluster):
    members = [m.name for m in cluster.plan.members_of("rsB")]
    cluster.stop(*members)
    assert sorted(cluster.start(*members)) == members
    wait_until(lambda: all(p.is_healthy for p in cluster.status()), "the set has a primary", 60)


def test_no_program_is_touched_when_one_of_the_names_is_unknown(cluster):
    for act in (cluster.stop, cluster.start):
        with pytest.raises(MemberNotFound):
            act("rsA-1", "rsX-1")
    assert all(p.is_healthy for p in cluster.status())


def test_a_set_that_does_not_come_up_keeps_no_other_from_coming_up(cluster):
    cluster.down()
    broken = cluster.plan.program("rsB-1"), cluster.plan.program("rsB-2")
    aside = [cluster.plan.data_directory(m).rename(cluster.plan.directory / f"aside-{m.name}") for m in broken]
    for member in broken:
        cluster.plan.data_directory(member).mkdir()
        (cluster.plan.data_directory(member) / "storage.bson").write_text("no such thing\n")
    with pytest.raises(ClusterUnavailable, match=r"rsB is incomplete: rsB-1 ended with status .*everything else"):
        cluster.up()
    assert {p.what for p in cluster.status() if not p.is_healthy} == {"rsB"}
    for member, kept in zip(broken, aside, strict=True):
        shutil.rmtree(cluster.plan.data_directory(member))
        kept.rename(cluster.plan.data_directory(member))
    cluster.up()
    assert all(p.is_healthy for p in cluster.status())


def test_a_set_comes_up_with_two_members_when_the_third_cannot(cluster):
    cluster.down()
    broken = cluster.plan.program("rsA-1")
    kept = cluster.plan.data_directory(broken).rename(cluster.plan.directory / "aside")
    cluster.plan.data_directory(broken).mkdir()
    (cluster.plan.data_directory(broken) / "storage.bson").write_text("no such thing\n")
    with pytest.raises(ClusterUnavailable, match="rsA is incomplete: rsA-1 ended with status"):
        cluster.up()
    assert [p.name for p in cluster.status() if not p.is_healthy] == ["rsA-1"]
    shutil.rmtree(cluster.plan.data_directory(broken))
    kept.rename(cluster.plan.data_directory(broken))
    cluster.up()
    assert all(p.is_healthy for p in cluster.status())


def test_a_member_can_be_killed_paused_and_resumed_by_its_address(cluster):
    address = cluster.plan.members[4].address
    members = cluster.members
    members.pause(address)
    assert members.is_running(address)
    assert next(p for p in cluster.status() if p.address == address).state == "paused"
    members.resume(address)
    members.kill(address)
    assert not members.is_running(address)
    members.kill(address)
    members.start(address)
    members.start(address)
    assert members.is_running(address)
    cluster.start(address)
    members.pause(address)
    members.stop(address)
    assert not members.is_running(address)


def test_only_members_of_this_cluster_can_be_touched(cluster):
    for act in (cluster.members.kill, cluster.members.stop, cluster.members.is_running):
        with pytest.raises(MemberNotFound):
            act("127.0.0.1:1")
    with pytest.raises(MemberNotFound):
        cluster.stop("rsX-1")


def test_up_wakes_a_member_that_was_left_paused_and_starts_one_that_was_killed(cluster):
    paused, killed, *_ = (p.address for p in cluster.status() if p.role == "SECONDARY")
    cluster.members.pause(paused)
    cluster.members.kill(killed)
    cluster.up()
    assert all(p.is_healthy for p in cluster.status())


def test_a_killed_supervisord_and_its_orphans_are_cleared_away_and_no_data_is_lost(cluster):
    with client(cluster, "web") as web:
        web.products_db.kept.insert_one({"_id": "before the crash"})
    members = {p.pid for p in cluster.status()}
    supervisord_of(cluster).kill()
    wait_until(lambda: not is_supervised(cluster), "supervisord is gone")
    assert all(psutil.pid_exists(pid) for pid in members)
    assert [p.state for p in cluster.status()] == ["stopped"] * 9
    with pytest.raises(ClusterUnavailable):
        cluster.start("rsA-1")
    said = []
    report = cluster.up(lambda subject, what: said.append((subject, what)))
    assert ("repair", "ended orphaned processes: 9") in said
    assert len(report.started) == 9
    with client(cluster, "web") as web:
        assert web.products_db.kept.find_one({"_id": "before the crash"})


def test_a_frozen_supervisord_is_replaced(cluster, monkeypatch):
    monkeypatch.setattr("prodcore.processes.supervisord._ANSWER_SECONDS", 0.5)
    frozen = supervisord_of(cluster)
    frozen.suspend()
    cluster.up()
    assert not frozen.is_running()
    assert all(p.is_healthy for p in cluster.status())


def test_after_a_power_cut_everything_comes_back_with_its_data(cluster):
    with client(cluster, "web", "rsB") as web:
        web.products_db.kept.insert_one({"_id": "before the power cut"})
    for process in processes_of(cluster):
        process.kill()
    wait_until(lambda: not processes_of(cluster), "all processes are gone")
    cluster.up()
    with client(cluster, "web", "rsB") as web:
        assert web.products_db.kept.find_one({"_id": "before the power cut"})


def test_a_second_command_at_the_same_time_is_refused(cluster):
    with locked(cluster.plan.directory):
        for act in (cluster.up, cluster.down, cluster.destroy):
            with pytest.raises(Conflict, match=str(os.getpid())):
                act()


def test_down_leaves_nothing_running_and_up_brings_all_back(cluster):
    assert cluster.down()
    assert processes_of(cluster) == []
    assert not cluster.plan.supervisor_socket.exists()
    assert not cluster.down()
    assert len(cluster.up().started) == 9


def test_down_clears_away_what_a_crashed_supervisord_has_left(cluster):
    supervisord_of(cluster).kill()
    assert cluster.down()
    assert processes_of(cluster) == []


KILLED_AT = [
    pytest.param("mongod", False, id="before anything runs", marks=pytest.mark.nightly),
    pytest.param("has a primary", False, id="one set is half made, and supervisord goes on"),
    pytest.param("listens", True, id="members have no set yet, and all are killed", marks=pytest.mark.nightly),
    pytest.param("takes majority writes", True, id="a set has two members, and all are killed"),
]


@pytest.mark.parametrize(("moment", "kill_all"), KILLED_AT)
def test_an_up_that_was_killed_half_way_is_finished_by_the_next(tmp_path, moment, kill_all):
    cluster = make_cluster(tmp_path / "c")
    script = (
        "import sys; from pathlib import Path; from prodcore.local import LocalCluster, LocalPlan, LocalPorts\n"
        "ports = LocalPorts(*map(int, sys.argv[2:]))\n"
        "LocalCluster(LocalPlan(Path(sys.argv[1]), ports)).up(lambda s, w: print(s, w, flush=True))"
    )
    ports = [str(port) for port in cluster.plan.ports.as_dict().values()]
    with subprocess.Popen(
        [sys.executable, "-c", script, str(cluster.plan.directory), *ports], stdout=subprocess.PIPE, text=True
    ) as up:
        assert any(moment in line for line in up.stdout)
        up.send_signal(signal.SIGKILL)
    if kill_all:
        for process in processes_of(cluster):
            process.kill()
    try:
        cluster.up()
        assert sorted(p.role for p in cluster.status()) == ["PRIMARY"] * 3 + ["SECONDARY"] * 6
        for name in SETTINGS:
            with client(cluster, "root", name) as root:
                assert root.admin.command("replSetGetStatus")["votingMembersCount"] == 3
                assert {u["user"] for u in root.admin.command("usersInfo")["users"]} >= {"root", "web", "operator"}
    finally:
        cluster.destroy()
    assert not cluster.plan.directory.exists()


def test_a_taken_port_is_named_with_its_holder_before_anything_is_written(tmp_path):
    cluster = make_cluster(tmp_path / "c")
    port = cluster.plan.ports.rsb
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigError) as refusal:
        cluster.up()
    assert f"rsB-1: port {port} is taken by process {os.getpid()}" in str(refusal.value)
    assert processes_of(cluster) == []
    assert {f.name for f in cluster.plan.directory.iterdir()} == {"lock"}


def test_a_port_that_somebody_takes_at_the_last_moment_is_never_taken_for_our_member(tmp_path):
    cluster = make_cluster(tmp_path / "c")
    held = []

    def take_port(subject, _what):
        if subject == "mongod":  # the ports have been checked, and nothing runs yet
            held.append(socket.create_server(("127.0.0.1", cluster.plan.ports.rsa)))

    try:
        with pytest.raises(ClusterUnavailable, match=r"rsA-1 ended with status .*Address already in use"):
            cluster.up(take_port)
        held.pop().close()
        cluster.up()
        assert all(p.is_healthy for p in cluster.status())
    finally:
        cluster.destroy()


def test_a_member_that_dies_at_its_start_is_named_with_its_last_words(tmp_path):
    cluster = make_cluster(tmp_path / "c")
    cluster.plan.data_directory(cluster.plan.program("rsB-1")).mkdir(parents=True)
    (cluster.plan.directory / "cluster.json").write_text(json.dumps({"ports": cluster.plan.ports.as_dict()}))
    (cluster.plan.data_directory(cluster.plan.program("rsB-1")) / "storage.bson").write_text("no such thing\n")
    try:
        with pytest.raises(ClusterUnavailable, match="rsB-1 ended with status") as failure:
            cluster.up()
        assert failure.value.hint == "prodctl local logs rsB-1"
    finally:
        cluster.destroy()


def test_destroy_leaves_what_is_not_ours(tmp_path):
    cluster = make_cluster(tmp_path / "c")
    cluster.plan.directory.mkdir()
    (cluster.plan.directory / "cluster.json").write_text(json.dumps({"ports": cluster.plan.ports.as_dict()}))
    (cluster.plan.directory / "thesis.txt").write_text("")
    cluster.destroy()
    assert [f.name for f in cluster.plan.directory.iterdir()] == ["thesis.txt"]
    with pytest.raises(ClusterUnavailable, match="there is no local cluster"):
        cluster.destroy()
