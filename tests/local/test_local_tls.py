"""A local cluster that encrypts all of its connections: who is let in, what is shown, how it is renewed."""

import json
import re
from datetime import UTC, datetime

import pymongo
import pytest
import requests
from dotenv import dotenv_values
from pymongo.errors import PyMongoError

from prodcore.app.container_tasks import SetTask
from prodcore.installation.certificates import Authority, read_leaf, shown_fingerprint
from prodcore.local import find_free_ports
from tests.support.cli import Cli
from tests.support.site import PASSWORD

SECONDS = 20


@pytest.fixture(scope="module")
def ports():
    return find_free_ports()


@pytest.fixture(scope="module")
def cli(tmp_path_factory, ports):
    settings = {f"PRODCTL_LOCAL_{name.upper()}_PORT": str(port) for name, port in ports.as_dict().items()}
    cli = Cli(tmp_path_factory.mktemp("state"), {**settings, "PRODCTL_WORKERS": "2"})
    try:
        answer = cli("local", "up", "--tls")
        assert answer.status == 0, answer.err
        yield cli
    finally:
        cli("local", "destroy", "--yes")


@pytest.fixture(scope="module")
def directory(cli):
    return cli.state_dir / "local"


@pytest.fixture(scope="module")
def ca_file(directory):
    return directory / "tls" / "ca.pem"


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), datetime.now(UTC)).ca_file


@pytest.fixture(scope="module")
def url(ports):
    return f"https://127.0.0.1:{ports.web}"


@pytest.fixture(scope="module")
def token(cli, url, ca_file):
    """Of the first admin, who was made over https."""
    code = re.search(r"Setup code  (\S+)", cli("local", "up").err)[1]
    body = {"code": code, "username": "Ana", "password": PASSWORD}
    requests.post(f"{url}/api/v1/setup", json=body, verify=ca_file, timeout=SECONDS).raise_for_status()
    login = {"username": "Ana", "password": PASSWORD}
    answer = requests.post(f"{url}/api/v1/session/login", json=login, verify=ca_file, timeout=SECONDS)
    answer.raise_for_status()
    return answer.json()["access_token"]


def processes(cli):
    return {one["name"]: one["pid"] for one in cli("local", "status", "-o", "json").json["items"]}


def listening(ports):
    return list(ports.by_program().values())


def test_a_product_is_added_and_read_back_by_the_command_line_over_https(cli, token):
    added = cli("product", "add", "Ñandú", "--price", "1.20", "--stock", "4", PRODCTL_TOKEN=token)
    assert added.status == 0, added.err
    listed = cli("product", "list", "-o", "json", PRODCTL_TOKEN=token)
    assert [product["name"] for product in listed.json["items"]] == ["Ñandú"]
    status = cli("cluster", "status", "-o", "json")
    assert status.status == 0, status.err
    assert {service["state"] for service in status.json["services"]} == {"ready"}


def test_browsers_are_told_to_come_over_https_alone_and_every_cookie_is_secure(url, ca_file):
    with requests.Session() as browser:
        browser.verify, browser.trust_env = ca_file, False
        for path in ("/setup", "/login", "/login?lang=es"):
            answer = browser.get(url + path, timeout=SECONDS)
            assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]
        assert {cookie.secure for cookie in browser.cookies} == {True}
        assert "__Host-prodctl" in browser.cookies


def test_nobody_gets_in_without_tls(directory, ports):
    for port in (ports.web, ports.auth):
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/healthz", timeout=SECONDS)
    uri = dotenv_values(directory / "env" / "operator.env")["DB1_URL"].partition("&tls=")[0]
    with pymongo.MongoClient(uri, serverSelectionTimeoutMS=1_500) as plain, pytest.raises(PyMongoError):
        plain.admin.command("ping")


def test_another_authority_is_refused_with_a_sentence(cli, directory, token, other_ca, tmp_path):
    refused = cli("product", "list", PRODCTL_TOKEN=token, PRODCTL_CA_FILE=str(other_ca))
    assert (refused.status, refused.out) == (6, "")
    assert "its certificate is not valid: unable to get local issuer certificate" in refused.err
    assert "PRODCTL_CA_FILE" in refused.err
    right = str(directory / "tls" / "ca.pem")
    env = {
        name: value.replace(right, str(other_ca))
        for name, value in dotenv_values(directory / "env/operator.env").items()
    }
    status = cli("cluster", "status", **env)
    assert status.status == 6
    assert "its certificate is not valid" in status.out + status.err
    assert "Traceback" not in status.err


def test_a_new_certificate_is_taken_over_without_a_restart_of_any_member(cli, directory, ports, url, ca_file):
    before, running = read_leaf(directory / "tls" / "server.pem"), processes(cli)
    with requests.Session() as kept:
        kept.verify, kept.trust_env = ca_file, False
        assert kept.get(f"{url}/healthz", timeout=SECONDS).ok
        answer = cli("local", "renew-certificate")
        assert answer.status == 0, answer.err
        assert kept.get(f"{url}/healthz", timeout=SECONDS).ok
    after = read_leaf(directory / "tls" / "server.pem")
    assert after.serial_number != before.serial_number
    assert {shown_fingerprint("127.0.0.1", port) for port in listening(ports)} == {after.fingerprint}
    assert processes(cli) == running
    assert cli("cluster", "status").status == 0


def test_a_renewal_that_was_cut_short_is_finished_by_the_next_up(cli, directory, ports):
    path = directory / "tls" / "server.pem"
    Authority(path.parent, datetime.now(UTC)).renew(path, ["127.0.0.1"], datetime.now(UTC), in_any_case=True)
    running = processes(cli)
    answer = cli("local", "up")
    assert answer.status == 0, answer.err
    shown = {shown_fingerprint("127.0.0.1", port) for port in listening(ports)}
    assert shown == {read_leaf(path).fingerprint}
    assert processes(cli) == running


def test_a_certificate_that_cannot_be_shown_leaves_the_services_with_theirs(cli, directory, ports, url, ca_file):
    path = directory / "tls" / "server.pem"
    good = path.read_bytes()
    path.write_text("nothing")
    (path.parent / "ca-key.pem").rename(path.parent / "kept-key.pem")  # so it is a given one
    try:
        answer = cli("local", "renew-certificate")
        assert (answer.status, answer.out) == (2, "")
        assert "server.pem holds no certificate in PEM form" in answer.err
        assert requests.get(f"{url}/healthz", verify=ca_file, timeout=SECONDS).ok
    finally:
        path.write_bytes(good)
        (path.parent / "kept-key.pem").rename(path.parent / "ca-key.pem")


def test_a_running_cluster_does_not_change_how_it_speaks(cli):
    answer = cli("local", "up", "--no-tls")
    assert (answer.status, answer.out) == (5, "")
    assert "prodctl local down, then prodctl local up --no-tls" in answer.err


def test_what_runs_in_a_container_sees_and_renews_an_old_certificate_of_a_member(directory, ports):
    path = directory / "tls" / "server.pem"
    members = [f"127.0.0.1:{ports.rsa + n}" for n in range(3)]
    Authority(path.parent, datetime.now(UTC)).renew(path, ["127.0.0.1"], datetime.now(UTC), in_any_case=True)
    new = read_leaf(path).fingerprint
    task = SetTask(
        {
            "name": "rsA",
            "members": members,
            "election_timeout_ms": 1_000,
            "keyfile": (directory / "keyfile").read_text(),
            "secrets": json.loads((directory / "secrets.json").read_text()),
            "ca_file": str(directory / "tls" / "ca.pem"),
            "shown": dict.fromkeys(members, new),
        }
    )
    lacks = {("renew", f"the certificate of {member}", "it presents another one") for member in members}
    assert set(task.observe()["missing"]) == lacks
    task.set_up(60)
    task.wait_healthy(60)
    assert task.observe()["missing"] == []
    assert {shown_fingerprint("127.0.0.1", ports.rsa + n) for n in range(3)} == {new}
