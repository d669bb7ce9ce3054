"""The units of a deployed system: valid and strict where they are, back when they are killed, silent about secrets."""

from pathlib import Path

import pytest

import prodcore.deploy
from prodcore.incus import Incus
from tests.support.waiting import wait_until

UNIT_FILES = Path(prodcore.deploy.__file__).parent / "systemd"
MEMBER = "mongod@27017.service"
SERVICES = {
    "prodctl-webapp.service": "web-server",
    "prodctl-authsvc.service": "auth-server",
    "prodctl-guard.service": "db1",
    "prodctl-drills.service": "db3",
    MEMBER: "db3",
}
OTHERS = {
    "prodctl-webapp.socket": "web-server",
    "prodctl-authsvc.socket": "auth-server",
    "prodctl-drill.service": "db3",
    "prodctl-drill.timer": "db3",
    "prodctl-backup.service": "db3",
    "prodctl-backup.timer": "db3",
}
EVERYBODY = ("setpriv", "--reuid=nobody", "--clear-groups", "cat")


@pytest.fixture
def incus(deployed):
    """To look into the containers."""
    return Incus()


def systemctl(incus, unit, *words):
    return incus.execute(SERVICES[unit], ["systemctl", *words, unit], timeout_seconds=60).stdout.decode().strip()


def main_pid(incus, unit):
    return int(systemctl(incus, unit, "show", "--property=MainPID", "--value"))


def test_every_unit_is_valid_and_strict_in_its_container(incus):
    units = SERVICES | OTHERS
    assert {unit.replace("@27017.", "@.") for unit in units} == {file.name for file in UNIT_FILES.iterdir()}
    for unit, host in units.items():
        done = incus.execute(host, ["systemd-analyze", "verify", unit])
        assert (done.status, done.stderr) == (0, b""), unit
        if unit.endswith(".service"):
            limit = "50" if unit == MEMBER else "30"
            judged = ["systemd-analyze", "security", "--no-pager", f"--threshold={limit}", unit]
            assert incus.execute(host, judged).status == 0, unit


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_that_is_killed_comes_back(incus, unit):
    wait_until(lambda: systemctl(incus, unit, "is-active") == "active", f"{unit} runs", 60)
    before = main_pid(incus, unit)
    assert incus.execute(SERVICES[unit], ["kill", "-KILL", str(before)]).status == 0
    wait_until(
        lambda: main_pid(incus, unit) not in (0, before) and systemctl(incus, unit, "is-active") == "active",
        f"{unit} runs again",
        60,
    )


@pytest.mark.parametrize("unit", [unit for unit in SERVICES if unit != MEMBER])
def test_nobody_else_can_read_a_secret(incus, unit):
    host, name = SERVICES[unit], unit.removeprefix("prodctl-").removesuffix(".service")
    secrets = incus.execute(host, ["ls", f"/etc/prodctl/{name}"]).stdout.decode().split()
    assert any(secret.endswith("_url") for secret in secrets)
    values = []
    for secret in secrets:
        for path in (f"/run/credentials/{unit}/{secret}", f"/etc/prodctl/{name}/{secret}"):
            read = incus.execute(host, ["cat", path])
            assert read.status == 0
            values.append(read.stdout.strip())
            refused = incus.execute(host, [*EVERYBODY, path])
            assert refused.status == 1, path
            assert b"Permission denied" in refused.stderr
    process = main_pid(incus, unit)
    observed = incus.execute(host, ["cat", f"/proc/{process}/environ", f"/proc/{process}/cmdline"]).stdout
    assert b"prodctl" in observed
    assert not [value for value in values if value in observed]
