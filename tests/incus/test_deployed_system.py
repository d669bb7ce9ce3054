"""A deployed system in use: drilled, restarted as a whole, looked at from inside."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.support.deployed import ROOT, URL, describe
from tests.support.drill_report import DRILL_REPORT, fields
from tests.support.incus_bed import SCRIPT
from tests.support.site import ADMIN, PASSWORD
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)

CONTAINERS = {
    "web-server": ("web", "10.10.10.11"),
    "auth-server": ("auth", "10.10.10.10"),
    "db1": ("db", "10.10.10.12"),
    "db2": ("db", "10.10.10.13"),
    "db3": ("db", "10.10.10.14"),
}
DHCP_CLIENT = "0.0.0.0:68"
BACK_SECONDS = 60
READ = """
import pathlib, sys
from pymongo import MongoClient
from pymongo.errors import OperationFailure
file, database, collection, *change = sys.argv[1:]
url = pathlib.Path(file).read_text()
for old, new in zip(change[::2], change[1::2]):
    url = url.replace(old, new)
try:
    MongoClient(url)[database][collection].find_one()
except OperationFailure as refusal:
    print(refusal.code)
else:
    print("may")
"""
CLIENT = """
import json, select, sys, urllib.error, urllib.request
url, token = sys.argv[1], sys.stdin.readline().strip()
headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
done, failed = 0, []
while not select.select([sys.stdin], [], [], 0.1)[0]:
    body = json.dumps({"name": f"{'az'[done // 2 % 2]}b{done} upgrade", "price": "1.20"}).encode()
    for method, data in (("POST", body), ("GET", None)):
        try:
            urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=30).read()
            done += 1
        except (OSError, urllib.error.HTTPError) as error:
            failed.append(f"{method}: {error}")
print(json.dumps({"done": done, "failed": failed[:20]}))
"""
ORDER = """
import os, re, sys, time, requests
url, username = sys.argv[1:]
session = requests.Session()
def send(path, **form):
    page = session.get(url + path).text
    form["csrf_token"] = re.search('name="csrf_token" value="([^"]+)"', page)[1]
    answer = session.post(url + path, form)
    answer.raise_for_status()
    return answer
send("/login", username=username, password=os.environ["PASSWORD"])
running = send("/drills/new", sets="rsB", fault="stepdown", target="primary", rounds="1", writes_per_second="50").url
assert "/drills/live/" in running, running
deadline = time.monotonic() + 150
while "data-live-ended" not in (page := session.get(running).text):
    assert time.monotonic() < deadline, page
    time.sleep(0.5)
print(re.search('id="result-link" href="/drills/([^"]+)"', page)[1])
"""
NOT_ALLOWED, NO_SUCH_USER = "13", "18"


@pytest.mark.parametrize(
    ("fault", "via"),
    # The layout seed has a whole set in a container: with it every request fails, and the API says so to each.
    [
        ("partition", "api"),
        pytest.param("container", "driver", marks=pytest.mark.nightly),
        pytest.param("stop", "api", marks=pytest.mark.nightly),
        pytest.param("kill", "api", marks=pytest.mark.nightly),
    ],
)
def test_a_drill_on_containers_loses_nothing_and_puts_everything_back(deployed, fault, via):
    environment = deployed.operator | {"PRODCTL_URL": URL, "PRODCTL_TOKEN": deployed.token()}
    command = ("failover-test", "rsA", "--fault", fault, "--via", via, "-o", "json")
    done = deployed.prodctl(*command, environment=environment, timeout=300)
    assert done.status == 0, done.out + done.err
    report = done.json
    assert (report["plan"]["fault"], report["plan"]["via"], report["verdict"]["lost"]) == (fault, via, 0)
    assert fields(report) == DRILL_REPORT
    assert deployed.deploy("status").status == 0


def test_a_drill_that_is_ordered_in_the_browser_is_carried_out_in_a_container(deployed):
    deployed.token()
    found = deployed.bed.run(sys.executable, "-c", ORDER, URL, ADMIN, environment={"PASSWORD": PASSWORD}, timeout=180)
    kept = deployed.prodctl("failover-test", "show", found.stdout.strip(), "-o", "json", environment=deployed.operator)
    assert kept.status == 0, kept.err
    report = kept.json
    assert (report["plan"]["fault"], report["plan"]["sets"], report["outcome"]) == ("stepdown", ["rsB"], "passed")
    assert fields(report) == DRILL_REPORT | {".by"}


def test_all_containers_at_once_restart_and_nothing_is_lost(deployed):
    token = deployed.token()
    for name in ("Antes", "Zanahoria"):
        status, answer = deployed.call("POST", "/products", {"name": name, "price": "1.20"}, token)
        assert status == 201, answer
    deployed.bed.run("incus", "restart", "--force", *CONTAINERS)

    def is_ready():
        asked = ["curl", "-sf", "-m", "2", f"{URL}/readyz"]
        return deployed.bed.run(*asked, check=False).returncode == 0

    wait_until(is_ready, "webapp is ready through the proxy", BACK_SECONDS)
    status, answer = deployed.call("GET", "/products?limit=100", token=token)
    assert status == 200
    assert {"Antes", "Zanahoria"} <= {item["name"] for item in answer["items"]}
    environment = deployed.operator
    waited = deployed.prodctl("cluster", "status", "--wait", "healthy", "--timeout", "60", environment=environment)
    assert waited.status == 0, waited.out + waited.err


def documented_listeners(role, address):
    """The row of this kind of container in the table under Listening."""
    text = (ROOT / "docs/reference/units.md").read_text().partition("## Listening")[2]
    where = next(m[1] for m in re.finditer(r"^\| (\w+) \|.*$", text, re.MULTILINE) if m[1] == role)
    words = re.search(rf"^\| {where} \| ([^|]+) \|", text, re.MULTILINE)[1]
    addresses = {address} | ({"127.0.0.1"} if "127.0.0.1" in words else set())
    first, last = re.search(r"\b(\d{4,5})(?: to (\d{4,5}))?", words).groups()
    return {f"{a}:{port}" for a in addresses for port in range(int(first), int(last or first) + 1)}


@pytest.mark.parametrize("name", CONTAINERS)
def test_nothing_listens_but_what_the_documentation_lists(deployed, name):
    listed = deployed.bed.run("incus", "exec", name, "--", "ss", "-Htuln").stdout
    assert {line.split()[4] for line in listed.splitlines()} - {DHCP_CLIENT} == documented_listeners(*CONTAINERS[name])


def may_read(deployed, container, *arguments):
    python = "/opt/prodctl/current/bin/python"
    return deployed.bed.run("incus", "exec", container, "--", python, "-c", READ, *arguments).stdout.strip()


def test_webapp_cannot_read_users_and_authsvc_cannot_read_products(deployed):
    web, auth = "/etc/prodctl/webapp", "/etc/prodctl/authsvc"
    assert may_read(deployed, "web-server", f"{web}/db1_url", "products_db", "products") == "may"
    assert may_read(deployed, "auth-server", f"{auth}/db3_url", "auth_db", "users") == "may"
    assert may_read(deployed, "web-server", f"{web}/db3_url", "auth_db", "users") == NOT_ALLOWED
    mechanism = "authSource=admin&authMechanism=SCRAM-SHA-256"  # negotiated, a name that is not there is refused by 334
    elsewhere = ("10.10.10.14", "10.10.10.12", "rsU", "rsA", "authSource=admin", mechanism)
    products = ("products_db", "products", *elsewhere)
    assert may_read(deployed, "auth-server", f"{auth}/db3_url", *products) == NO_SUCH_USER


def test_the_doctor_finds_nothing_to_mend_but_the_old_mongod_of_the_test_bed(deployed):
    deployed.token()
    done = deployed.prodctl("doctor", "-o", "json", environment=deployed.operator | {"PRODCTL_URL": URL})
    problems = [(one["subject"], one["text"]) for one in done.json["items"] if one["severity"] == "problem"]
    assert problems == [("9 members", "mongod 6.0.5 has known vulnerabilities")]
    assert done.status == 6


def test_the_way_in_has_no_broken_hop(deployed):
    deployed.token()
    done = deployed.prodctl("expose", "check", "-o", "json", environment=deployed.operator | {"PRODCTL_URL": URL})
    assert done.status == 0, done.out + done.err


def test_the_weekly_drill_runs_and_keeps_its_report(deployed):
    def inside(*command):
        return deployed.bed.run("incus", "exec", "db3", "--", *command, timeout=300, check=False)

    done = inside("systemctl", "start", "prodctl-drill.service")
    assert done.returncode == 0, inside("journalctl", "-u", "prodctl-drill.service", "-n", "30").stdout
    report = inside("sh", "-c", "cat /var/lib/private/prodctl-drill/*Z.json | tail -n 100000").stdout
    assert json.loads(report)["verdict"]["failed"] == 0


def test_the_nightly_backup_is_made_whole_and_the_oldest_one_goes(deployed):
    def inside(*command):
        return deployed.bed.run("incus", "exec", "db3", "--", *command, timeout=120, check=False)

    for _ in range(3):
        done = inside("systemctl", "start", "prodctl-backup.service")
        assert done.returncode == 0, inside("journalctl", "-u", "prodctl-backup.service", "-n", "30").stdout
    program, directory = "/opt/prodctl/current/bin/prodctl", "/var/lib/private/prodctl-backup"
    listed = json.loads(inside(program, "backup", "list", directory, "-o", "json").stdout)["items"]
    assert [item["state"] for item in listed] == ["whole", "whole"]
    verified = inside(program, "backup", "verify", listed[0]["path"])
    assert verified.returncode == 0, verified.stdout


@pytest.fixture(scope="module")
def next_wheelhouse(wheelhouse, tmp_path_factory):
    """The same dependencies with a wheel of another version of the project."""
    directory = tmp_path_factory.mktemp("next")
    source, target = directory / "source", directory / "wheelhouse"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, source], check=True, timeout=60)
    home = source / "prodctl" / "__init__.py"
    text, found = re.subn(r'^__version__ = ".*"$', '__version__ = "99.0.0"', home.read_text(), flags=re.MULTILINE)
    assert found
    home.write_text(text)
    shutil.copytree(wheelhouse, target)
    next(target.glob("prodctl-*.whl")).unlink()
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", target, source]
    subprocess.run(pip, check=True, timeout=300)
    digest = hashlib.sha256(next(target.glob("prodctl-*.whl")).read_bytes()).hexdigest()
    requirements = (target / "requirements.txt").read_text().splitlines()
    requirements[-1] = f"prodctl[server,xlsx]==99.0.0 --hash=sha256:{digest}"
    (target / "requirements.txt").write_text("\n".join(requirements) + "\n")
    return target


def starts(deployed):
    """How often authsvc was started so far."""
    log = deployed.bed.run("incus", "exec", "auth-server", "--", "journalctl", "-u", "prodctl-authsvc", "-o", "cat")
    return sum(line.startswith("Started ") for line in log.stdout.splitlines())


@contextmanager
def client_networks(bed):
    """Two clients in networks of their own, beside the Incus host's; their addresses by the names of namespaces."""
    addresses = {f"client{n}-{os.getpid()}": f"172.31.{n}.2" for n in (1, 2)}
    try:
        for number, (name, address) in enumerate(addresses.items(), start=1):
            gateway = f"172.31.{number}.1"
            for words in (
                f"ip netns add {name}",
                f"ip link add veth{number} type veth peer name inner{number}",
                f"ip link set inner{number} netns {name}",
                f"ip addr add {gateway}/24 dev veth{number}",
                f"ip link set veth{number} up",
                f"ip -n {name} addr add {address}/24 dev inner{number}",
                f"ip -n {name} link set inner{number} up",
                f"ip -n {name} route add default via {gateway}",
            ):
                bed.run(*words.split())
        yield addresses
    finally:
        for number, name in enumerate(addresses, start=1):
            bed.run("ip", "link", "del", f"veth{number}", check=False)
            bed.run("ip", "netns", "del", name, check=False)


def test_behind_a_proxy_on_one_address_each_client_has_its_own(deployed, wheelhouse):
    """In the audit, and for the limits: wrong attempts of one client keep nobody else out."""
    token = deployed.token()
    body = json.dumps({"username": ADMIN, "password": "not the right one"})
    with client_networks(deployed.bed) as addresses:
        describe(deployed.file.parent, wheelhouse, proxy="172.31.1.1:3000", data_pool="default")
        deployed.apply()
        try:
            for name in addresses:
                asked = ("curl", "-s", "-m", "20", "-H", "Content-Type: application/json", "-d", body)
                url = "http://172.31.1.1:3000/api/v1/session/login"
                said = deployed.bed.run("ip", "netns", "exec", name, *asked, url).stdout
                assert json.loads(said)["status"] == 401, said
            found = audit_addresses(deployed, token)
        finally:
            describe(deployed.file.parent, wheelhouse, data_pool="default")
            deployed.apply()
    assert set(addresses.values()) <= found


def audit_addresses(deployed, token):
    """The addresses of the latest entries of the audit."""
    environment = deployed.operator | {"PRODCTL_TOKEN": token, "PRODCTL_URL": "http://10.10.10.11:3000"}
    done = deployed.prodctl("audit", "list", "-o", "json", environment=environment)
    assert done.status == 0, done.err
    return {item.get("address") for item in done.json["items"]}


@contextmanager
def clients(deployed, token):
    """Reads and writes through the proxy until the end of the block; then yields no more failures."""
    result = {}
    command = [SCRIPT, "run", sys.executable, "-c", CLIENT, f"{URL}/api/v1/products"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=deployed.environment, text=True) as running:
        running.stdin.write(token + "\n")
        running.stdin.flush()
        try:
            yield result
        finally:
            out, _ = running.communicate(input="", timeout=60)
        result.update(json.loads(out))


def test_an_upgrade_under_load_fails_no_request_and_restarts_the_primary_last(deployed, next_wheelhouse):
    status = deployed.deploy("status", "-o", "json").json["items"]
    primaries = {part["part"] for part in status if part["state"] == "PRIMARY"}
    assert len(primaries) == 3
    describe(deployed.file.parent, next_wheelhouse, cache_gb=0.3, data_pool="default")
    before = starts(deployed)
    with clients(deployed, deployed.token()) as result:
        said = deployed.apply()
    assert result["failed"] == []
    assert result["done"] > 100
    restarted = re.findall(r"(rs[ABU]-\d)\s+is restarted", said)
    assert len(restarted) == 9
    last = {name: [m for m in restarted if m.startswith(name)][-1] for name in ("rsA", "rsB", "rsU")}
    handed_over = {n for n in last if re.search(rf"{n}\s+has a new primary", said)}
    assert handed_over == set(last)
    assert set(last.values()) == primaries
    assert starts(deployed) == before + 1
    version = deployed.bed.run("incus", "exec", "web-server", "--", "/opt/prodctl/current/bin/prodctl", "--version")
    assert "99.0.0" in version.stdout
