"""``prodctl failover-test`` and ``prodctl cluster`` as people and CI type them: what they print, how they end."""

import json
import re
import signal
import xml.etree.ElementTree as ElementTree

import pytest

from prodcore.app.wiring import open_history
from prodcore.drill.report import COMPARED_WITH
from prodcore.settings import load_settings
from tests.support.cli import Cli
from tests.support.drill_report import DRILL_REPORT, fields
from tests.support.site import ADMIN, PASSWORD, start_site
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The system where ``local up`` puts it, without a guard, and with an admin."""
    site = start_site(tmp_path_factory.mktemp("drill") / "local")
    site.make_admin()
    yield site.cluster
    site.cluster.destroy()


@pytest.fixture(scope="module")
def stranger(cluster):
    """The installed program on this machine; nobody is logged in."""
    return Cli(cluster.plan.directory.parent)


@pytest.fixture(scope="module")
def cli(stranger):
    """The same, logged in as the admin."""
    assert stranger("login", "-u", ADMIN, "--password-stdin", stdin=f"{PASSWORD}\n".encode()).status == 0
    return stranger


def read_until(running, words):
    """Read the command's steps until one holds these words; returns what was read."""
    lines = []
    for raw in running.stderr:
        lines.append(raw.decode())
        if words in lines[-1]:
            return lines
    raise AssertionError(f"{words!r} never came: {lines}")


def assert_whole(cli):
    assert cli("cluster", "status", "-o", "json").json["problems"] == []


def test_a_drill_through_the_api_needs_a_login_and_says_how_to_go_without(stranger):
    for more in ([], ["--dry-run"]):
        answer = stranger("failover-test", "rsA", *more)
        assert (answer.status, answer.out) == (4, "")
        assert "Hint:  prodctl login; --via driver needs neither webapp nor a login" in answer.err
    assert stranger("failover-test", "rsU", "--dry-run").status == 0


def test_a_drill_tells_what_happened_and_exits_0(cli, tmp_path):
    files = {name: tmp_path / f"drill.{name}" for name in ("report", "json", "junit", "markdown")}
    options = [part for name, path in files.items() for part in (f"--{name}", str(path))]
    answer = cli("failover-test", "rsA", "--fault", "stop", *options)
    assert answer.status == 0, answer.err
    assert "Lost 0, duplicated 0, wrong 0" in answer.out
    assert int(re.search(r"(\d+) of these renames to the other shard", answer.out)[1]) > 0
    assert answer.out.rstrip().endswith("Passed.")
    for step in ("fault: stop", "detected", "new primary", "restore", "old member back", "caught up"):
        assert step in answer.err
    assert files["report"].read_text().startswith("<!doctype html>")
    report = json.loads(files["json"].read_text())
    assert (report["schema_version"], report["plan"]["via"], report["verdict"]["failed"]) == (1, "api", 0)
    assert fields(report) == DRILL_REPORT
    assert cli("product", "list", "--search", report["run"], "-o", "json").json["items"] == []
    assert report["run"] not in cli("product", "deleted", "--all", "-o", "json").out
    assert ElementTree.parse(files["junit"]).getroot().get("failures") == "0"  # noqa: S314  our own
    assert files["markdown"].read_text().startswith("## Failover drill: passed")
    assert_whole(cli)


def test_drills_are_kept_shown_and_compared(cli):
    first = cli("failover-test", "rsU", "--fault", "stepdown", "-o", "json").json
    second = cli("failover-test", "rsU", "--fault", "stepdown", "-o", "json").json
    kept = cli("failover-test", "history", "-o", "json").json["items"]
    assert [k["run"] for k in kept[:2]] == [second["run"], first["run"]]
    assert cli("failover-test", "show", first["run"], "-o", "json").json["run"] == first["run"]
    rows = cli("failover-test", "compare", first["run"], second["run"], "-o", "json").json["items"]
    assert {r["figure"] for r in rows} >= {"write gap (s)", "lost"}
    assert cli("failover-test", "show", "drill0000nothing").status == 3


@pytest.mark.nightly
def test_a_drill_that_is_slower_than_those_before_exits_8(cli, cluster):
    drill = ("failover-test", "rsU", "--fault", "stepdown")
    first = cli(*drill, "-o", "json").json
    quick = {"outcome": "passed", "write_gap_seconds": 0.0001}
    with open_history(load_settings(**cluster.addresses("operator"))) as kept:
        for number in range(COMPARED_WITH):
            kept.add({**first, **quick, "run": f"drillquick{number}"})
    answer = cli(*drill, "--fail-if-slower", "25%")
    assert (answer.status, "above the median of the last 10, 0.000 s" in answer.out) == (8, True), answer


def test_a_missed_limit_exits_8(cli):
    answer = cli("failover-test", "rsB", "--fault", "stepdown", "--max-write-gap", "0.1ms")
    assert (answer.status, "the write gap was" in answer.out) == (8, True)


def test_a_dry_run_touches_nothing(cli):
    before = cli("cluster", "history", "-o", "json").json["items"]
    answer = cli("failover-test", "rsA", "--dry-run")
    assert (answer.status, answer.out) == (0, "The drill can start.\n")
    assert cli("cluster", "history", "-o", "json").json["items"] == before


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)])
def test_an_interrupted_drill_puts_everything_back(cli, number):
    with cli.started("failover-test", "rsA") as running:
        read_until(running, "new primary")
        running.send_signal(number)
        assert running.wait(timeout=60) == 130
        assert "restoring everything" in running.stderr.read().decode()
    assert_whole(cli)


def test_after_kill_9_the_next_drill_puts_back_and_says_so(cli):
    with cli.started("failover-test", "rsB", "--fault", "pause") as running:
        read_until(running, "new primary")
        running.kill()
        running.wait(timeout=60)
    assert cli("cluster", "status").status == 6
    answer = cli("failover-test", "rsU", "--fault", "stepdown")
    assert answer.status == 0, answer.err
    assert "was interrupted; restoring what it left behind" in answer.err
    assert_whole(cli)
    assert "nothing to restore" in cli("failover-test", "restore").err


def test_a_second_drill_is_refused(cli):
    with cli.started("failover-test", "rsA", "--fault", "stepdown") as running:
        read_until(running, "load")
        answer = cli("failover-test", "rsU")
        assert (answer.status, "another drill is running" in answer.err) == (6, True)
        assert cli("failover-test", "rsU", "--dry-run").status == 6
        assert running.wait(timeout=60) == 0


def test_an_unknown_set_exits_3_and_what_cannot_be_a_drill_exits_2(cli):
    answer = cli("failover-test", "rsX")
    assert (answer.status, "there is no set rsX; there are rsA, rsB, rsU" in answer.err) == (3, True)
    assert cli("failover-test").status == 2
    assert cli("failover-test", "rsA", "--rounds", "0").status == 2
    assert cli("failover-test", "rsA", "--max-p99", "soon").status == 2


def test_status_says_what_is_wrong_and_exits_6(cli):
    answer = cli("cluster", "status")
    assert (answer.status, answer.out.count("PRIMARY")) == (0, 3)
    cli("local", "stop", "authsvc")
    try:
        answer = cli("cluster", "status")
        assert (answer.status, "! authsvc: down" in answer.out) == (6, True)
        check = cli("cluster", "status", "--check")
        assert (check.status, check.out.split(" - ")[0]) == (1, "CLUSTER WARNING")
        late = cli("cluster", "status", "--wait", "healthy", "--timeout", "1")
        assert (late.status, "Not healthy after 1 s." in late.err) == (6, True)
        with cli.started("cluster", "status", "--wait", "healthy") as waiting:
            cli("local", "start", "authsvc")
            assert waiting.wait(timeout=60) == 0
    finally:
        cli("local", "start", "authsvc")


def test_status_speaks_to_monitoring(cli):
    check = cli("cluster", "status", "--check")
    assert (check.status, check.out.split(" - ")[0]) == (0, "CLUSTER OK")
    assert "prodctl_member_up{" in cli("cluster", "status", "--prometheus").out


def test_topology_draws_who_copies_from_whom(cli):
    assert cli("cluster", "topology").out.count("SECONDARY") == 6


def test_a_switchover_prints_its_gap(cli):
    answer = cli("cluster", "switchover", "rsA", "--yes", "-o", "json")
    assert answer.status == 0, answer.err
    assert answer.json["write_gap_seconds"] > 0


def test_watch_follows_the_cluster_until_ctrl_c(cli):
    answer = cli.on_terminal("cluster", "status", "--watch", answers={"Cluster    ": "\x03"})
    assert (answer.status, answer.out.count("PRIMARY") >= 3) == (130, True)


def test_nobody_is_on_guard_until_a_guard_is(cli):
    assert cli("cluster", "guard", "show").status == 6
    assert "Guard      none" in cli("cluster", "status").out
    with cli.started("cluster", "guard") as running:
        read_until(running, "successor")
        wait_until(lambda: "successors: rs" in cli("cluster", "status").out, "its heartbeat tells a successor")
        assert "\nprodctl_guards_active 1\n" in cli("cluster", "status", "--prometheus").out
        assert cli("cluster", "guard", "off", "--for", "60").status == 0
        wait_until(lambda: "disabled" in cli("cluster", "status").out, "it has heard of it")
        assert cli("cluster", "guard", "on").status == 0
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=30) == 0
    assert "\nprodctl_guards_active 0" in cli("cluster", "status", "--prometheus").out
