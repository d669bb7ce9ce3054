"""``prodctl local`` as people type it: what it prints where, and how it ends."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager

import pymongo
import pytest
import requests
from dotenv import dotenv_values
from pymongo.errors import WriteError

from prodcore.local import find_free_ports
from tests.support.cli import PROGRAM, Cli
from tests.support.waiting import wait_until

MEMBERS = [f"rs{letter}-{number}" for letter in "ABU" for number in (1, 2, 3)]


def port_settings(ports):
    return {f"PRODCTL_LOCAL_{name.upper()}_PORT": str(port) for name, port in ports.as_dict().items()}


@pytest.fixture(scope="module")
def ports():
    return find_free_ports()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, ports):
    """A cluster in the default directory of a user of their own, not started yet."""
    cli = Cli(tmp_path_factory.mktemp("state"), {**port_settings(ports), "PRODCTL_WORKERS": "1"})
    yield cli
    cli("local", "destroy", "--yes")


@pytest.fixture(scope="module")
def first_up(stopped):
    answer = stopped("local", "up")
    assert answer.status == 0, answer.err
    return answer


@pytest.fixture
def cli(stopped, first_up):
    return stopped


def test_without_a_cluster_every_command_says_how_to_get_one(tmp_path):
    cli = Cli(tmp_path)
    for command in (["status"], ["down"], ["logs"], ["stop", "rsA-1"], ["start", "rsA-1"], ["destroy", "--yes"]):
        answer = cli("local", *command)
        assert (answer.status, answer.out) == (6, "")
        assert f"there is no local cluster in {tmp_path}/local" in answer.err
        assert "prodctl local up" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_up_shows_its_progress_and_says_where_to_go_and_what_to_type(first_up, ports):
    assert first_up.out == ""
    for line in (
        r"s  mongod   MongoDB \d+\.\d+\.\d+ from ",
        *(rf"s  {name}    listens on 127\.0\.0\.1:\d+" for name in MEMBERS),
        *(rf"s  {name}      takes majority writes" for name in ("rsA", "rsB", "rsU")),
        *(rf"s  {name}      has all three members" for name in ("rsA", "rsB", "rsU")),
        rf"s  authsvc  is ready at http://127\.0\.0\.1:{ports.auth}",
        rf"s  webapp   is ready at http://127\.0\.0\.1:{ports.web}",
        r"Ready in [\d.]+ s \(replica sets in [\d.]+ s\)",
        rf"Browser     http://127\.0\.0\.1:{ports.web}\n",
        r"Setup code  \w{7}-\w{7}-\w{7}-\w{7} ",
        r"  prodctl login\n  prodctl product add",
    ):
        assert re.search(line, first_up.err), (line, first_up.err)


def test_both_services_are_ready_and_the_shard_map_is_there(cli, ports):
    for port in (ports.web, ports.auth):
        assert requests.get(f"http://127.0.0.1:{port}/readyz", timeout=10).status_code == 200
    assert "rsB" in cli("shard", "where", "Ñandú").out


def test_up_again_is_harmless_and_says_so(cli):
    before = [(p["name"], p["pid"]) for p in cli("local", "status", "-o", "json").json["items"]]
    answer = cli("local", "up")
    assert (answer.status, answer.out) == (0, "")
    assert "Everything was running already." in answer.err
    assert "listens on" not in answer.err
    assert [(p["name"], p["pid"]) for p in cli("local", "status", "-o", "json").json["items"]] == before


def test_status_shows_every_program_for_people_and_for_programs(cli):
    table = cli("local", "status")
    assert table.status == 0
    lines = table.out.splitlines()
    assert lines[0].split() == ["NAME", "ROLE", "ADDRESS", "STATE", "PID", "UPTIME", "MEMORY"]
    assert [line.split()[0] for line in lines[1:14]] == [*MEMBERS, "authsvc", "webapp", "drills", "guard"]
    assert lines[-1].startswith("13 of 13 do their work;")
    items = cli("local", "status", "-o", "json").json["items"]
    assert {p["role"] for p in items} - {"STARTING", "RUNNING"} == {"PRIMARY", "SECONDARY", "READY"}
    assert sum(p["memory_bytes"] for p in items) < 1.8 * 2**30
    assert cli("local", "status", "-o", "csv").out.startswith("name,what,role,address,state,pid,uptime_seconds")


def test_a_stopped_member_makes_the_status_fail_until_it_is_started(cli):
    items = cli("local", "status", "-o", "json").json["items"]
    member = next(p for p in items if p["role"] == "SECONDARY")
    answer = cli("local", "stop", member["address"])
    assert (answer.status, answer.err) == (0, f"{member['name']} is stopped.\n")
    status = cli("local", "status", "-o", "json")
    assert status.status == 6
    assert next(p for p in status.json["items"] if p["name"] == member["name"])["role"] is None
    answer = cli("local", "start", member["name"])
    assert (answer.status, answer.err) == (0, f"{member['name']} is SECONDARY.\n")
    assert cli("local", "status").status == 0


def test_a_service_can_be_stopped_and_up_starts_it_again(cli):
    assert cli("local", "stop", "authsvc").status == 0
    answer = cli("local", "up")
    assert "authsvc  is ready" in answer.err
    assert "rsA" not in answer.err.split("Next:")[0]


def test_the_guard_is_active_by_itself_and_a_setting_keeps_it_away(cli):
    wait_until(lambda: cli("cluster", "guard", "show").status == 0, "the guard is active", 60)
    assert cli("local", "stop", "guard").status == 0
    assert "guard" in cli("local", "up").err
    assert cli("local", "start", "guard").err == "guard is RUNNING.\n"
    assert cli("local", "up", PRODCTL_LOCAL_GUARD="false").status == 0
    names = [p["name"] for p in cli("local", "status", "-o", "json", PRODCTL_LOCAL_GUARD="false").json["items"]]
    assert names == [*MEMBERS, "authsvc", "webapp", "drills"]
    assert cli("local", "up").status == 0
    assert cli("local", "status").status == 0


def test_an_unknown_member_is_refused_with_the_names_there_are(cli):
    answer = cli("local", "stop", "rsX-9")
    assert (answer.status, answer.out) == (3, "")
    assert "no program of this cluster is called rsX-9" in answer.err
    assert "rsA-1" in answer.err


def test_logs_show_one_or_all(cli):
    one = cli("local", "logs", "rsA-1", "-n", "3")
    assert one.status == 0
    assert len(one.out.splitlines()) == 3
    assert one.out.startswith('{"t":')
    everything = cli("local", "logs", "-n", "1").out.splitlines()
    assert {line.split()[0] for line in everything} >= {*MEMBERS, "authsvc", "webapp"}


def test_logs_follow_until_they_are_interrupted(cli):
    with cli.started("local", "logs", "authsvc", "--follow", "-n", "1") as follow:
        assert follow.stdout.readline()
        cli("local", "stop", "authsvc")
        assert any(b"hut" in line for line in iter(follow.stdout.readline, b""))
        follow.send_signal(signal.SIGINT)
        follow.communicate(timeout=10)
        assert follow.returncode == 130
    cli("local", "start", "authsvc")


def test_the_members_of_a_cluster_cannot_move_to_other_ports(cli):
    answer = cli("local", "up", PRODCTL_LOCAL_RSA_PORT="1999")
    assert answer.status == 2
    assert "members cannot move" in answer.err


def test_the_browser_port_can_move(cli, ports):
    other = find_free_ports().web
    answer = cli("local", "up", PRODCTL_LOCAL_WEB_PORT=str(other))
    assert answer.status == 0, answer.err
    assert requests.get(f"http://127.0.0.1:{other}/readyz", timeout=10).status_code == 200
    assert f"http://127.0.0.1:{other}" in cli("config", "show", "--origin", PRODCTL_LOCAL_WEB_PORT=str(other)).out
    back = cli("local", "up")
    assert back.status == 0, back.err
    assert requests.get(f"http://127.0.0.1:{ports.web}/readyz", timeout=10).status_code == 200


def operator_settings(cli):
    return dotenv_values(cli.state_dir / "local" / "env" / "operator.env")


@contextmanager
def asked_all_the_time(url):
    """Readiness asked for on new connections and on one that is kept; what was not answered, or not wholly ready."""
    wrong, ended = [], threading.Event()

    def ask(get):
        while not ended.is_set():
            try:
                answer = get(f"{url}/readyz", timeout=60)
                if answer.status_code != 200 or set(answer.json()["checks"].values()) != {"ok"}:
                    wrong.append(answer.text)
            except requests.RequestException as error:
                wrong.append(repr(error))

    asking = [threading.Thread(target=ask, args=[get]) for get in (requests.get, requests.Session().get)]
    for thread in asking:
        thread.start()
    try:
        yield wrong
    finally:
        ended.set()
        for thread in asking:
            thread.join(90)


@pytest.mark.timeout(900)
def test_a_shard_is_added_seen_and_removed_and_no_request_fails(cli, ports):
    url = f"http://127.0.0.1:{ports.web}"
    with asked_all_the_time(url) as wrong:
        added = cli("local", "add-shard", "rsC")
        assert added.status == 0, added.err
        seen = requests.get(f"{url}/readyz", timeout=60).json()["checks"]
        assert wrong == []
        shards = cli("shard", "list", "-o", "json").json["items"]
        assert [(s["shard"], s["ranges"], s["products"]) for s in shards][-1] == ("rsC", [], 0)
        members = [line.split(",")[0] for line in cli("cluster", "status", "-o", "csv").out.splitlines()[1:]]
        assert set(members) == {"rsA", "rsB", "rsC", "rsU"}
        programs = cli("local", "status", "-o", "json")
        assert (programs.status, sum(p["what"] == "rsC" for p in programs.json["items"])) == (0, 3)
        assert cli("shard", "verify").status == 0
        again = cli("local", "add-shard", "rsC")
        assert (again.status, "there is a set rsC already" in again.err) == (5, True)
        with pymongo.MongoClient(operator_settings(cli)["DB4_URL"]) as operator:
            products = operator["products_db"]["products"]
            with pytest.raises(WriteError, match="failed validation"):
                products.insert_one({"name_key": "arroz", "variant_key": ""})
            products.insert_one({"name_key": "\U0010ffffx", "variant_key": "", "deleted": {}})
            refused = cli("local", "remove-shard", "rsC", "--yes")
            assert (refused.status, "rsC still holds 1 document" in refused.err) == (5, True)
            products.delete_many({})
        removed = cli("local", "remove-shard", "rsC", "--yes")
        assert removed.status == 0, removed.err
        assert wrong == []
    assert seen.keys() == {"rsA", "rsB", "rsC"}
    assert {p["what"] for p in cli("local", "status", "-o", "json").json["items"]}.isdisjoint({"rsC"})
    assert [s["shard"] for s in cli("shard", "list", "-o", "json").json["items"]] == ["rsA", "rsB"]
    assert "DB4_URL" not in operator_settings(cli)
    assert not list((cli.state_dir / "local" / "data").glob("rsC*"))
    gone = cli("local", "remove-shard", "rsC", "--yes")
    assert (gone.status, "there is no shard rsC" in gone.err) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        (["add-shard", "fragment3"], 2, "is no name for a shard"),
        (["add-shard", "rsu"], 2, "is no name for a shard"),
        (["add-shard", "rsB"], 5, "there is a set rsB already"),
        (["remove-shard", "rsB", "--yes"], 5, "there from the beginning"),
        (["remove-shard", "rsZ", "--yes"], 3, "there is no shard rsZ"),
    ],
)
def test_what_cannot_be_added_or_removed_is_refused_and_why(cli, arguments, status, why):
    answer = cli("local", *arguments)
    assert answer.status == status, answer.err
    assert why in answer.err


def test_destroy_asks_for_the_directorys_name(cli):
    refused = cli("local", "destroy")
    assert (refused.status, refused.out) == (2, "")
    assert "--yes" in refused.err
    wrong = cli.on_terminal("local", "destroy", answers={"Type 'local'": "other\n"})
    assert wrong.status == 2
    assert "nothing was removed" in wrong.out
    assert cli("local", "status").status == 0


def test_down_stops_everything_and_a_second_one_finds_nothing(cli):
    answer = cli("local", "down")
    assert answer.status == 0
    assert "Everything is stopped, in " in answer.err
    status = cli("local", "status", "-o", "json")
    assert status.status == 6
    assert {p["state"] for p in status.json["items"]} == {"stopped"}
    assert cli("local", "down").err == "Nothing was running.\n"
    start = cli("local", "start", "rsA-1")
    assert start.status == 6
    assert "prodctl local up" in start.err


def test_destroy_removes_everything_once_the_name_is_typed(cli):
    answer = cli.on_terminal("local", "destroy", answers={"Type 'local'": "local\n"})
    assert answer.status == 0, answer.out
    assert not (cli.state_dir / "local").exists()


def test_a_taken_port_is_named_with_its_holder(tmp_path):
    ports = find_free_ports()
    with socket.create_server(("127.0.0.1", ports.web)):
        answer = Cli(tmp_path, port_settings(ports))("local", "up")
    assert (answer.status, answer.out) == (2, "")
    assert f"webapp: port {ports.web} is taken by process {os.getpid()} (" in answer.err
    assert "_WEB_PORT" in answer.err


def test_without_a_mongod_the_ways_to_get_one_are_named(tmp_path):
    answer = Cli(tmp_path, port_settings(find_free_ports()))("local", "up", PRODCTL_MONGOD=str(tmp_path / "none"))
    assert (answer.status, answer.out) == (2, "")
    assert f"there is no mongod at {tmp_path}/none" in answer.err


def test_a_directory_without_permission_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    answer = Cli(tmp_path)("local", "up", "--dir", str(tmp_path / "file" / "cluster"))
    assert answer.status == 2
    assert "cannot be used" in answer.err


def in_a_world_where(preparation, cli, *arguments):
    """Run prodctl in a mount namespace of its own, after the given preparation; needs root."""
    script = f"mount --make-rprivate / && {preparation} && exec {PROGRAM} {' '.join(arguments)}"
    environment = {"PATH": os.environ["PATH"], "PRODCTL_STATE_DIR": str(cli.state_dir), **cli.environment}
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, env=environment, timeout=60
    )
    if "Operation not permitted" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    return done


needs_root = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("unshare"), reason="making another world needs root and unshare"
)


@needs_root
def test_a_disk_that_is_nearly_full_is_refused_with_the_numbers(tmp_path):
    cli = Cli(tmp_path, port_settings(find_free_ports()))
    done = in_a_world_where(f"mount -t tmpfs -o size=600m none {tmp_path}", cli, "local", "up")
    assert done.returncode == 2, done.stderr
    assert re.search(r"has 0\.6 GB free; 1\.4 GB are needed", done.stderr)


@needs_root
def test_a_missing_libcurl_is_named_with_its_package(tmp_path):
    libraries = "/usr/lib/x86_64-linux-gnu"
    upper = f"{tmp_path}/o/upper {tmp_path}/o/work"
    cli = Cli(tmp_path / "state", port_settings(find_free_ports()))
    done = in_a_world_where(
        f"mkdir {tmp_path}/o && mount -t tmpfs none {tmp_path}/o && mkdir {upper} && mount -t overlay overlay "
        f"-o lowerdir={libraries},upperdir={tmp_path}/o/upper,workdir={tmp_path}/o/work {libraries} && "
        f"rm {libraries}/libcurl.so.4*",
        cli,
        "local",
        "up",
    )
    assert done.returncode == 2, done.stderr
    assert "the library libcurl.so.4 is missing" in done.stderr
    assert "apt-get install libcurl4" in done.stderr
