"""Behind a tunnel: what webapp believes from it, and what ``scripts/tunnel`` refuses to begin with."""

import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from werkzeug.serving import make_server

from tests.support.identity import ADMIN, PASSWORD, Worker, _QuietHandler, web_settings
from tests.support.tls_hop import ADDRESS, tls_hop

SCRIPT = Path(__file__).parents[3] / "scripts" / "tunnel"
NAME = "shop.example"


@contextmanager
def serving(cluster, authsvc, **more):
    """webapp on a port of its own."""
    worker = Worker(web_settings(cluster, authsvc.url, **more))
    server = make_server("127.0.0.1", 0, worker.app, threaded=True, request_handler=_QuietHandler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()
        worker.close()


@pytest.fixture
def ngrok(tmp_path):
    """A stand-in that says a version: ngrok itself cannot be had here."""

    def make(version):
        program = tmp_path / "ngrok"
        program.write_text(f"#!/bin/sh\necho 'ngrok version {version}'\n")
        program.chmod(0o755)
        return program

    return make


def tunnel(port, program, *arguments):
    command = [sys.executable, "-I", "-S", SCRIPT, "--check", "--port", str(port), "--ngrok", str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def reasons(done):
    return [line.removeprefix("  ! ") for line in done.stderr.splitlines() if line.startswith("  ! ")]


@pytest.mark.parametrize("hops", [0, 1, 2])
def test_https_is_believed_from_exactly_the_hops_that_are_trusted(cluster, authsvc, admin, hops):
    worker = Worker(web_settings(cluster, authsvc.url, trusted_proxies=hops))
    client = worker.app.test_client(use_cookies=False)
    for said, is_https in (("https", hops == 1), ("https, http", hops == 2), ("http, https", hops == 1)):
        answer = client.get("/login", headers={"X-Forwarded-Proto": said})
        session = next(c for c in answer.headers.getlist("Set-Cookie") if "prodctl=" in c)
        assert session.startswith("__Host-prodctl=") is is_https, said
        assert ("Secure" in session) is is_https, said
        assert ("Strict-Transport-Security" in answer.headers) is is_https, said
    worker.close()


@pytest.mark.parametrize(("host", "invented", "status"), [(NAME, "evil.example", 200), ("evil.example", NAME, 400)])
def test_a_host_that_a_client_invents_behind_the_tunnel_is_not_believed(
    cluster, authsvc, admin, host, invented, status
):
    worker = Worker(web_settings(cluster, authsvc.url, trusted_proxies=1, trusted_hosts=NAME))
    answer = worker.app.test_client().get("/login", headers={"Host": host, "X-Forwarded-Host": invented})
    assert answer.status_code == status
    worker.close()


def test_people_log_in_through_the_tunnel_with_cookies_for_https_alone(cluster, authsvc, admin, tmp_path):
    with (
        serving(cluster, authsvc, trusted_proxies=1, trusted_hosts=ADDRESS) as port,
        tls_hop(tmp_path, port) as (url, certificate),
        requests.Session() as browser,
    ):
        browser.verify = str(certificate)
        browser.trust_env = False
        page = browser.get(f"{url}/login", timeout=20)
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)[1]
        form = {"username": ADMIN, "password": PASSWORD, "csrf_token": token}
        done = browser.post(f"{url}/login", form, headers={"Referer": f"{url}/login"}, timeout=20)
        assert done.status_code == 200
        assert done.url == f"{url}/"
        assert {(c.name, c.secure) for c in browser.cookies} == {
            ("__Host-prodctl", True),
            ("__Host-prodctl_device", True),
        }


def test_the_tunnel_begins_when_all_is_well(cluster, authsvc, admin, ngrok):
    with serving(cluster, authsvc, trusted_proxies=1, trusted_hosts=f"{NAME},other.example") as port:
        for arguments in ((), ("--name", NAME)):
            done = tunnel(port, ngrok("3.24.0"), *arguments)
            assert (done.returncode, reasons(done)) == (0, []), done.stderr
        assert f"leads to http://127.0.0.1:{port} and nothing else" in done.stderr
        assert "5000 (authsvc), 8443 (Incus), 27017 (a mongod) stay inside" in done.stderr


@pytest.mark.parametrize(
    ("version", "setting", "reason", "fix"),
    [
        ("3.23.1", {}, "ngrok 3.23.1 is older than 3.24.0", "ngrok update"),
        ("3.24.0", {"trusted_proxies": 0}, "does not know that browsers come over https", "trusted_proxies = 1"),
        ("3.24.0", {"trusted_proxies": 2}, "does not know that browsers come over https", "trusted_proxies = 1"),
        ("3.24.0", {"trusted_hosts": ""}, "webapp answers to any host name", f'trusted_hosts = "{NAME}"'),
        ("3.24.0", {"trusted_hosts": "other.example"}, f"does not answer to the name {NAME}", "trusted_hosts = "),
    ],
)
def test_the_tunnel_is_refused_with_its_reason(cluster, authsvc, admin, ngrok, version, setting, reason, fix):
    with serving(cluster, authsvc, **{"trusted_proxies": 1, "trusted_hosts": NAME, **setting}) as port:
        done = tunnel(port, ngrok(version), "--name", NAME)
    assert done.returncode == 6
    assert len(reasons(done)) == 1, done.stderr
    assert reason in done.stderr
    assert fix in done.stderr


def test_the_tunnel_is_refused_while_a_setup_code_is_open(cluster, authsvc, ngrok):
    with serving(cluster, authsvc, trusted_proxies=1, trusted_hosts=NAME) as port:
        done = tunnel(port, ngrok("3.24.0"))
    assert done.returncode == 6
    assert reasons(done) == ["the setup code is still open: anyone who has it becomes the first admin"]


def test_the_tunnel_is_refused_where_nobody_can_say_whether_a_setup_code_is_open(cluster, authsvc, admin, ngrok):
    with serving(cluster, authsvc, trusted_proxies=1, trusted_hosts=NAME) as port, authsvc.down():
        done = tunnel(port, ngrok("3.24.0"))
    assert done.returncode == 6
    assert "it is not known whether the setup code is open" in done.stderr


def test_no_tunnel_to_anything_but_webapp(authsvc, ngrok, tmp_path):
    port = int(authsvc.url.rpartition(":")[2])
    done = tunnel(port, ngrok("3.24.0"))
    assert (done.returncode, reasons(done)) == (6, ["something answers 200, and it is not webapp"])
    for forbidden in ("5000", "8443", "27017"):
        done = tunnel(forbidden, ngrok("3.24.0"))
        assert (done.returncode, f"{forbidden} is never tunnelled" in done.stderr) == (2, True)
