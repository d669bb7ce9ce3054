"""The units in a real container: they start as strictly as they are written, on boot too, and keep their secrets."""

from pathlib import Path

import pytest

import prodcore.deploy
from prodcore.local.mongod import find_mongod
from prodcore.nodes.incus import Incus
from prodcore.settings import load_settings
from tests.incus.bed import IMAGE
from tests.waiting import wait_until

UNIT_FILES = Path(prodcore.deploy.__file__).parent / "systemd"
HOST = "units"
PORT = 27017
CREDENTIALS = {
    "webapp": ("db1_url", "db2_url", "db3_url", "session_secret", "service_secret"),
    "authsvc": ("db3_url", "service_secret"),
    "guard": ("db1_url", "db2_url", "db3_url"),
}
SERVICES = [f"mongod@{PORT}.service", *(f"prodctl-{name}.service" for name in CREDENTIALS)]
CONFIG = f"""
net: {{bindIp: 127.0.0.1, port: {PORT}, unixDomainSocket: {{enabled: false}}}}
storage: {{dbPath: /var/lib/mongod/{PORT}}}
"""
INSTALL = """
set -e
useradd --system mongodb
install -d -o mongodb -m 700 /var/lib/mongod/27017
python3 -m venv /opt/prodctl/releases/1
ln -s releases/1 /opt/prodctl/current
cd /opt/prodctl/wheelhouse
../current/bin/python -m pip install -q --no-compile --no-index --find-links . --require-hashes -r requirements.txt
systemctl daemon-reload
systemctl enable --now prodctl-webapp.socket prodctl-authsvc.socket
"""
EVERYBODY = "setpriv --reuid=nobody --clear-groups cat {}"


@pytest.fixture(scope="module")
def host(bed, wheelhouse):
    """A container in which everything is installed and enabled."""
    incus = Incus()
    incus.run("launch", "--", IMAGE, HOST)
    for file in wheelhouse.iterdir():
        incus.push(HOST, f"/opt/prodctl/wheelhouse/{file.name}", file)
    for file in UNIT_FILES.iterdir():
        incus.push(HOST, f"/etc/systemd/system/{file.name}", file)
    incus.push(HOST, "/opt/mongod/bin/mongod", find_mongod(load_settings().mongod).path, mode=0o755)
    incus.push(HOST, f"/etc/mongod/{PORT}.conf", CONFIG.encode())
    for name, settings in CREDENTIALS.items():
        for setting in settings:
            value = (
                f"mongodb://127.0.0.1:{PORT}/x?replicaSet=rsX"
                if setting.endswith("url")
                else f"{setting} of {name}, a long one"
            )
            incus.push(HOST, f"/etc/prodctl/{name}/{setting}", value.encode(), mode=0o600)
    wait_until(lambda: systemctl(incus, "is-system-running").stdout != b"", "systemd is there", 120)
    done = incus.execute(HOST, ["sh", "-c", INSTALL], timeout_seconds=900)
    assert done.status == 0, done.stderr
    assert systemctl(incus, "enable", "--now", *SERVICES).status == 0
    yield incus
    incus.run("delete", "--force", "--", HOST)


def systemctl(incus, *words):
    return incus.execute(HOST, ["systemctl", *words], timeout_seconds=300)


def main_pid(incus, unit):
    return int(systemctl(incus, "show", "--property=MainPID", "--value", unit).stdout)


def all_active(incus):
    return systemctl(incus, "is-active", *SERVICES).stdout.split() == [b"active"] * len(SERVICES)


def test_every_unit_is_valid_and_strict_in_the_container(host):
    names = [file.name.replace("@.", f"@{PORT}.") for file in UNIT_FILES.iterdir()]
    done = host.execute(HOST, ["systemd-analyze", "verify", *names])
    assert (done.status, done.stderr) == (0, b"")
    for name in names:
        if name.endswith(".service"):
            limit = "50" if name.startswith("mongod") else "30"
            judged = ["systemd-analyze", "security", "--no-pager", f"--threshold={limit}", name]
            assert host.execute(HOST, judged).status == 0, name


def test_all_are_there_again_after_the_container_restarts(host):
    wait_until(lambda: all_active(host), "everything runs", 300)
    host.run("restart", "--force", "--", HOST)
    wait_until(lambda: all_active(host), "everything runs again", 300)


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_that_is_killed_comes_back(host, unit):
    wait_until(lambda: all_active(host), "everything runs", 300)
    before = main_pid(host, unit)
    assert host.execute(HOST, ["kill", "-KILL", str(before)]).status == 0
    wait_until(lambda: main_pid(host, unit) not in (0, before) and all_active(host), f"{unit} runs again", 300)


def test_the_services_listen_through_systemd_and_nothing_else_does(host):
    wait_until(lambda: all_active(host), "everything runs", 300)
    listening = host.execute(HOST, ["ss", "-Htln"]).stdout.decode()
    assert sorted(line.split()[3] for line in listening.splitlines()) == [
        f"127.0.0.1:{PORT}", "127.0.0.1:3000", "127.0.0.1:5000",
    ]  # fmt: skip


@pytest.mark.parametrize("name", CREDENTIALS)
def test_nobody_else_can_read_a_secret(host, name):
    wait_until(lambda: all_active(host), "everything runs", 300)
    for setting in CREDENTIALS[name]:
        for path in (f"/run/credentials/prodctl-{name}.service/{setting}", f"/etc/prodctl/{name}/{setting}"):
            assert host.execute(HOST, ["cat", path]).status == 0
            refused = host.execute(HOST, EVERYBODY.format(path).split())
            assert refused.status == 1, path
            assert b"Permission denied" in refused.stderr
    process = main_pid(host, f"prodctl-{name}.service")
    seen = host.execute(HOST, ["cat", f"/proc/{process}/environ", f"/proc/{process}/cmdline"]).stdout
    assert seen
    assert b"mongodb://" not in seen
    assert b"secret of" not in seen
