"""Renames over the border, and names that many want at once, on the running system."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from campaigns import renames as rename_campaign
from prodcore.app.wiring import open_catalog
from prodcore.settings import load_settings
from tests.support.waiting import wait_until


def test_renamed_product_moves_with_its_id_and_history(cli):
    word = uuid4().hex[:12]
    made = cli("product", "add", f"a{word}", "--price", "1", "-o", "json").json
    moved = cli("product", "rename", f"a{word}", f"z{word}")
    assert (moved.status, moved.err) == (0, f"a{word} is now called z{word} and moved from rsA to rsB.\n")
    shown = cli("product", "show", f"z{word}", "-o", "json").json
    assert (shown["id"], shown["shard"], shown["version"]) == (made["id"], "rsB", 2)
    assert cli("product", "show", f"a{word}").status == 3
    last = cli("product", "history", made["id"], "-o", "json").json["items"][0]
    assert (last["action"], last["from"], last["to"], last["was"]) == ("moved", "rsA", "rsB", {"name": f"a{word}"})
    back = cli("product", "edit", f"z{word}", "--new-name", f"b{word}", "--stock", "3", "-o", "json").json
    assert (back["id"], back["shard"], back["stock"]) == (made["id"], "rsA", 3)
    stale = cli("product", "rename", f"b{word}", f"z{word}", "--version", "1")
    assert stale.status == 5


def test_of_fifty_who_create_one_name_in_different_spellings_one_succeeds(site):
    token, word = site.token(), uuid4().hex[:12]
    spellings = [f"Ñandú {word}", f"ÑANDÚ {word}", f"N\u0303andu\u0301 {word}", f" ñandú  {word}", f"ñandu {word}"] * 10
    barrier = threading.Barrier(len(spellings))

    def create(name):
        barrier.wait(timeout=30)
        return site.call("POST", "/products", {"name": name, "price": "1"}, token=token).status_code

    with ThreadPoolExecutor(len(spellings)) as pool:
        answers = list(pool.map(create, spellings))
    assert (answers.count(201), answers.count(409)) == (1, 49)


@pytest.mark.parametrize(
    "step", [s if s == "committed" else pytest.param(s, marks=pytest.mark.nightly) for s in rename_campaign.STEPS]
)
def test_running_webapp_finishes_what_a_killed_process_left(site, step):
    settings = load_settings(**site.cluster.addresses("web"))
    number = uuid4().int % 10_000
    made = site.add_product(name=f"Arroz {number:04} común")
    addresses = {name.upper(): getattr(settings, name).get_secret_value() for name in ("db1_url", "db2_url", "db3_url")}
    child = subprocess.run(
        [sys.executable, "-m", "campaigns.renames", "--die-after", step, made["id"]],
        env={**os.environ, **addresses},
        cwd=Path(rename_campaign.__file__).parents[1],
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL
    with open_catalog(settings) as catalog:
        stores = [catalog.store(shard).moves for shard in catalog.shard_map.shards]
        later = datetime.now(UTC) + timedelta(days=1)
        wait_until(lambda: not any(s.unfinished(later) for s in stores), "the sweep finished the move", seconds=30)
    found = site.call("GET", f"/products/{made['id']}", token=site.token()).json()
    assert (found["name"], found["shard"], found["version"]) == (f"Zumo {number:04} común", "rsB", 2)
