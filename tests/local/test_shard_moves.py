"""A range moves in a running system: the supervised program carries it out, whatever becomes of it or of a terminal."""

import os
import signal

import pytest
from dotenv import dotenv_values

from prodcore.app.wiring import open_catalog
from prodcore.catalog import Query
from prodcore.catalog.upsert import upsert
from prodcore.local import find_free_ports
from prodcore.settings import load_settings
from tests.support.cli import Cli
from tests.support.daily import daily
from tests.support.products import ANA, item
from tests.support.waiting import wait_until

NAMES = sorted(f"{letter}{number:04}" for letter in "cgkp" for number in range(250))


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    ports = {f"PRODCTL_LOCAL_{n.upper()}_PORT": str(port) for n, port in find_free_ports().as_dict().items()}
    cli = Cli(tmp_path_factory.mktemp("moves"), {**ports, "PRODCTL_WORKERS": "1"})
    up = cli("local", "up")
    assert up.status == 0, up.err
    yield cli
    cli("local", "destroy", "--yes")


@pytest.fixture
def catalog(cli):
    operator = dotenv_values(cli.state_dir / "local" / "env" / "operator.env")
    urls = {name.lower(): url for name, url in operator.items() if name.startswith("DB")}
    with open_catalog(load_settings(**urls)) as opened:
        yield opened


def last_move(cli):
    """Where the last range goes, and how far it is."""
    return [(move["target"], move["state"]) for move in cli("shard", "status", "-o", "json").json["items"][:1]]


def pid_of(cli, program):
    (pid,) = (p["pid"] for p in cli("local", "status", "-o", "json").json["items"] if p["name"] == program)
    return pid


@pytest.mark.timeout(300)
@pytest.mark.parametrize("killed", daily(["nobody", "drills", "command", "both"], 0))
def test_range_moves_there_and_back_whoever_is_killed(cli, catalog, killed):
    assert all(o.error is None for o in upsert(catalog, [item(name) for name in NAMES], ANA))
    to = "rsB" if catalog.where("gato").shard == "rsA" else "rsA"
    with cli.started("shard", "move", "--from", "g", "--below", "n", "--to", to, "--yes") as command:
        wait_until(lambda: last_move(cli) in ([(to, "moving")], [(to, "settling")]), "it has begun", 60)
        if killed in ("drills", "both"):
            os.kill(pid_of(cli, "drills"), signal.SIGKILL)
        if killed in ("command", "both"):
            command.kill()
        command.communicate(timeout=120)
    wait_until(lambda: last_move(cli) == [(to, "settling")], "all products have moved", 120)
    catalog.current_map.follow()
    assert catalog.where("gato").shard == to
    page = catalog.page(Query(), limit=200)
    found = [p.name for p in page.items]
    while page.next_cursor:
        page = catalog.page(Query(), cursor=page.next_cursor, limit=200)
        found += [p.name for p in page.items]
    assert found == NAMES
    assert cli("shard", "verify").status == 0
