"""Clients that send or read slowly, or odd requests, cost those who do not nothing: no thread waits for them."""

import re
import socket
from contextlib import ExitStack, contextmanager

import pytest
import requests

from tests.support.raw_http import exchange
from tests.support.site import ADMIN, PASSWORD

HELD = 120  # connections: many times the threads of webapp
LOGIN = b"POST /api/v1/session/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
PATIENCE = 10  # seconds: where the threads are taken, nothing is answered for longer

SLOW = {
    "a body of which one byte came": LOGIN + b"Content-Length: 1000\r\n\r\n{",
    "a body of which nothing came": LOGIN + b"Content-Length: 1000\r\n\r\n",
    "a chunk that did not exit": LOGIN + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n{",
    "a body that is large and half there": LOGIN + b"Content-Length: 4000000\r\n\r\n" + b" " * 50_000,
    "a head that did not exit": LOGIN + b"X-Slow: " + b"a" * 8_000,
    "a page login half sent": b"POST /login HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nuser",
    "nothing at all": b"",
    "answers that nobody reads": b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3,
}


@contextmanager
def held(port, sent, *, addresses):
    """Connections that have sent so much and go on no further, from so many addresses of this machine."""
    with ExitStack() as stack:
        for number in range(HELD):
            source = (f"127.0.0.{2 + number % addresses}", 0)
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE, source))
            connection.settimeout(PATIENCE)
            connection.sendall(sent)
        yield


@pytest.mark.parametrize("addresses", [1, 200])
@pytest.mark.parametrize("case", SLOW)
def test_slow_clients_take_no_thread(site, case, addresses):
    with held(site.cluster.plan.ports.web, SLOW[case], addresses=addresses):
        for path in ("/healthz", "/login") * 4:
            assert requests.get(site.url + path, timeout=PATIENCE).status_code == 200


def test_open_event_streams_leave_threads_for_others(site):
    with requests.Session() as browser:
        form = browser.get(f"{site.url}/login", timeout=PATIENCE).text
        proof = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)[1]
        data = {"csrf_token": proof, "username": ADMIN, "password": PASSWORD}
        assert browser.post(f"{site.url}/login", data=data, timeout=PATIENCE).url == f"{site.url}/"
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        wanted = f"GET /cluster HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nCookie: {cookies}\r\n\r\n"
        with held(site.cluster.plan.ports.web, wanted.encode(), addresses=1):
            for path in ("/healthz", "/products") * 4:
                assert browser.get(site.url + path, timeout=PATIENCE).status_code == 200


ODD = {
    "no Host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "an empty Host": b"GET /healthz HTTP/1.1\r\nHost: \r\n\r\n",
    "two Hosts": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "two Hosts in one": b"GET /healthz HTTP/1.1\r\nHost: localhost, evil.example\r\n\r\n",
    "an absolute address": b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an address without a path": b"GET http://evil.example HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no address": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "gzip, chunked": LOGIN + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": LOGIN + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, chunked": LOGIN + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "identity": LOGIN + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": LOGIN + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a body that is too large": LOGIN + b"Content-Length: 999999999999\r\n\r\n",
    "a body longer than any": LOGIN + b"Content-Length: 99999999999999999999999\r\n\r\n",
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("service", ["webapp", "authsvc"])
def test_an_odd_request_is_refused_and_ends_the_connection(site, service, case):
    ports = site.cluster.plan.ports
    answers = exchange(ports.web if service == "webapp" else ports.auth, ODD[case])
    assert [answer[:3] in (b"400", b"413") for answer in answers] == [True]


@pytest.mark.parametrize(
    "path", ["//evil.example", "//products//new", "///evil.example/", "/\\evil.example", "//login"]
)
def test_no_path_leads_to_another_host(site, path):
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    (answer,) = exchange(site.cluster.plan.ports.web, request)
    assert answer[:3] == b"404"
    assert b"\r\nlocation:" not in answer.lower()


def test_made_up_methods_are_no_labels_and_metrics_are_for_this_machine(site):
    for number in range(20):
        requests.request(f"MADEUP{number}", site.url + "/login", timeout=PATIENCE)
    metrics = requests.get(site.url + "/metrics", timeout=PATIENCE)
    assert metrics.status_code == 200
    assert "MADEUP" not in metrics.text
    assert 'method="other"' in metrics.text
    for header in ("X-Forwarded-For", "Forwarded"):
        refused = requests.get(site.url + "/metrics", headers={header: "127.0.0.1"}, timeout=PATIENCE)
        assert refused.status_code == 403
        odd = requests.get(site.url + "/metrics", headers={header: b"\xc3\xa9"}, timeout=PATIENCE)
        assert odd.status_code == 403
    assert requests.get(site.url + "/login", headers={"Cookie": b"a=\xff"}, timeout=PATIENCE).status_code == 200
