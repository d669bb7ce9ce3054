"""What each container may listen on and must run follows from the layout; what differs is named."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from prodcore.deploy import agent
from prodcore.deploy.config import Deployment
from prodcore.deploy.layout import Layout
from prodcore.doctor.system import judge_container

SEED = Layout(Deployment())


def test_nothing_but_its_own_service_listens_in_a_container():
    assert SEED.listeners(SEED.web) == {("10.10.10.11", 3000)}
    assert SEED.listeners(SEED.auth) == {("10.10.10.10", 5000)}
    ports = (27017, 27018, 27019)
    assert SEED.listeners(SEED.host("db1")) == {(a, p) for a in ("127.0.0.1", "10.10.10.12") for p in ports}


def test_the_drill_runner_is_expected_where_the_users_are_and_nowhere_else():
    assert SEED.units(SEED.web) == ("prodctl-webapp.socket", "prodctl-webapp.service")
    assert "prodctl-drill.timer" in SEED.units(SEED.users_host)
    assert SEED.units(SEED.host("db1"))[3:] == ("prodctl-guard.service",)


def judged(listening=(("10.10.10.11", 3000),), units=(("prodctl-webapp.service", "active"),)):
    expected = ["prodctl-webapp.service"]
    found = judge_container("web-server", listening, {("10.10.10.11", 3000)}, dict(units), expected)
    return [(c.severity, c.text) for c in found]


def test_a_container_as_it_must_be_is_one_line():
    assert judged() == [("ok", "1 listening port and 1 unit, as expected")]


@pytest.mark.parametrize(
    ("how", "state", "says"),
    [
        ({"listening": [("0.0.0.0", 22)]}, "problem", "something listens on 0.0.0.0:22"),  # noqa: S104
        ({"units": [("prodctl-webapp.service", "failed")]}, "problem", "failed: prodctl-webapp.service"),
        ({"units": []}, "problem", "unknown: prodctl-webapp.service"),
        (
            {"units": [("prodctl-webapp.service", "active"), ("cron.service", "failed")]},
            "warning",
            "failed: cron.service",
        ),
    ],
)
def test_what_differs_is_named(how, state, says):
    ((found, text),) = judged(**how)
    assert (found, says in text) == (state, True)


def test_what_runs_inside_a_container_needs_nothing_but_python():
    script, request = (
        Path(agent.__file__).read_bytes(),
        b'{"task": "examine", "urls": ["http://127.0.0.1:1/"], "units": []}',
    )
    given = b"%d\n%s" % (len(request), request)
    bare = [sys.executable, "-I", "-S", "-c", script.decode()]
    done = subprocess.run(bare, input=given, capture_output=True, timeout=30, env={"PATH": "/nowhere"}, check=False)
    assert "systemctl" in json.loads(done.stdout)["error"], "it gets as far as asking systemd, which is not here"
