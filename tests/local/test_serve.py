"""The services on a socket that somebody else keeps, as systemd does: a restart is a wait, and no request fails."""

import http.client
import http.server
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from prodcore.deploy import agent
from prodcore.local import find_free_ports
from prodcore.local.plan import LocalService
from prodcore.local.status import readiness_of_all_workers
from tests.support.waiting import wait_until

PATIENCE = 120  # seconds; the machine may have others to serve
OWN_PID = 'export LISTEN_PID=$$; exec "$0" "$@"'


class Systemd:
    """What systemd does for a service with a ``.socket`` unit: keeps the socket, starts, hears, stops."""

    def __init__(self, directory, env_file):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.heard.bind(str(directory / "notify"))
        self.heard.settimeout(PATIENCE)
        told = {"LISTEN_FDS": "1", "NOTIFY_SOCKET": str(directory / "notify"), "PRODCTL_ENV_FILE": str(env_file)}
        self.environment = os.environ | told
        self.process = None

    def start(self):
        command = ["sh", "-c", OWN_PID, sys.executable, "-m", "prodcore.web.serve", "webapp", "--workers", "2"]
        self.process = subprocess.Popen(
            command, env=self.environment, close_fds=False, preexec_fn=lambda: os.dup2(self.listener.fileno(), 3)
        )
        self.hear("READY=1")

    def hear(self, state):
        assert self.heard.recv(100).decode() == state

    def stop(self):
        self.process.terminate()
        self.hear("STOPPING=1")
        assert self.process.wait(PATIENCE) == 0

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)
        self.listener.close()
        self.heard.close()


@pytest.fixture
def systemd(site, tmp_path):
    systemd = Systemd(tmp_path, site.cluster.plan.env_file("web"))
    systemd.start()
    yield systemd
    systemd.close()


class Client(threading.Thread):
    """Asks or writes without a pause, on one connection or on a new one each time."""

    numbers = itertools.count()

    def __init__(self, port, token, method, *, keeps):
        super().__init__(daemon=True)
        self.port, self.token, self.method, self.keeps = port, token, method, keeps
        self.stopped = threading.Event()
        self.answered = Counter()
        self.failed = []
        self.written = []
        self.last_answers = 0

    def run(self):
        connection = None
        while not self.stopped.is_set():
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            try:
                answer = self.ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
                connection = None
                continue
            self.last_answers += answer.will_close
            if answer.will_close or not self.keeps:
                connection.close()
                connection = None
        if connection:
            connection.close()

    def ask(self, connection):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if self.method == "GET":
            connection.request("GET", "/api/v1/products?limit=1", headers=headers)
        else:
            name = f"Restart {next(self.numbers)}"
            connection.request("POST", "/api/v1/products", f'{{"name": "{name}", "price": "1.00"}}', headers)
        answer = connection.getresponse()
        body = answer.read()
        self.answered[answer.status] += 1
        if answer.status == 201:
            self.written.append(answer.headers["Location"])
        elif answer.status != 200:
            self.failed.append(body)
        return answer


def test_three_restarts_under_load_fail_no_request_on_new_or_kept_connections(systemd, site):
    token = site.token()
    clients = [Client(systemd.port, token, m, keeps=k) for m in ("GET", "POST") for k in (True, False)]
    for client in clients:
        client.start()
    for _ in range(3):
        before = [sum(c.answered.values()) for c in clients]
        wait_until(
            lambda seen=before: all(sum(c.answered.values()) > n + 5 for c, n in zip(clients, seen, strict=True)),
            "every client is served",
            PATIENCE,
        )
        systemd.stop()
        systemd.start()
    for client in clients:
        client.stopped.set()
    for client in clients:
        client.join(PATIENCE)
        assert not client.is_alive()
    assert [client.failed for client in clients] == [[], [], [], []]
    assert all(client.last_answers >= 3 for client in clients if client.keeps), "each restart ended the connection"
    written = [place for client in clients for place in client.written]
    assert len(written) == len(set(written)) > 0
    for place in written:
        assert site.call("GET", place.removeprefix("/api/v1"), token=token).status_code == 200


def test_a_request_that_has_begun_is_answered_before_the_service_ends(systemd):
    body = b'{"username": "nobody", "password": "none"}'
    with socket.create_connection(("127.0.0.1", systemd.port), timeout=PATIENCE) as slow:
        slow.sendall(
            b"POST /api/v1/session/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert b"100 Continue" in slow.recv(1000)  # it reads the body now
        systemd.process.terminate()
        systemd.hear("STOPPING=1")
        slow.sendall(body)
        answer = b""
        while data := slow.recv(10_000):
            answer += data
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert systemd.process.wait(PATIENCE) == 0


@pytest.fixture
def alone(site, tmp_path):
    """webapp with two workers on sockets of its own, and where it listens."""
    port = find_free_ports().web
    usual = site.cluster.plan.env_file("web").read_text().splitlines()
    env_file = tmp_path / "web.env"
    env_file.touch(0o600)
    env_file.write_text("\n".join([*(line for line in usual if not line.startswith("PORT")), f"PORT={port}"]))
    command = [sys.executable, "-m", "prodcore.web.serve", "webapp", "--workers", "2"]
    with psutil.Popen(command, env=os.environ | {"PRODCTL_ENV_FILE": str(env_file)}) as process:
        yield process, ("127.0.0.1", port)
        process.terminate()
        process.wait(PATIENCE)


def listens(address):
    with socket.socket() as client:
        return client.connect_ex(address) == 0


@contextmanager
def asking(address, count):
    """So many connections, on each of which something is asked."""
    wait_until(lambda: listens(address), "it listens", PATIENCE)
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(address, PATIENCE)) for _ in range(count)]
        for client in clients:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield clients


def all_answered(clients):
    """Whether each of them gets its answer; those that wait for a worker that only starts get it then."""
    return {client.recv(1000)[:12] for client in clients} == {b"HTTP/1.1 200"}


def served_by(process, port):
    """How many connections each of the workers has."""
    return {
        worker: sum(c.status == "ESTABLISHED" and c.laddr.port == port for c in worker.net_connections("tcp"))
        for worker in process.children()
    }


def suspend(process):
    """Stop it, and wait until none of its threads runs any more: one may be accepting a connection."""
    process.suspend()
    threads = Path(f"/proc/{process.pid}/task")

    def stopped():
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads.glob("*/stat"))

    wait_until(stopped, "all its threads to stop", PATIENCE)


def test_every_worker_has_its_share_of_the_connections(alone):
    process, address = alone
    with asking(address, 64) as clients:
        assert all_answered(clients)
        shares = served_by(process, address[1]).values()
    assert (len(shares), sum(shares)) == (2, 64)
    assert min(shares) > 8, "by chance once in a billion times"


def test_what_waits_for_a_worker_that_dies_is_answered_by_the_next_one(alone):
    process, address = alone
    with asking(address, 64) as clients:
        assert all_answered(clients)
    victim = next(iter(served_by(process, address[1])))
    suspend(victim)
    with asking(address, 24) as waiting:
        victim.kill()
        assert all_answered(waiting)


WRONG = {
    "PRODCTL_WORKERS=0": "workers: ",  # the launcher sees it
    "PRODCTL_SESSION_SECRET=short": "session_secret: ",
    "PRODCTL_SESSION_SECRET": "PRODCTL_SESSION_SECRET: is not set",  # the application does
}


@pytest.mark.parametrize("wrong", WRONG)
def test_settings_that_cannot_work_end_it_with_a_sentence(site, tmp_path, wrong):
    name, given, _value = wrong.partition("=")
    usual = site.cluster.plan.env_file("web").read_text().splitlines()
    lines = [line for line in usual if not line.startswith((name, "PORT"))]
    env_file = tmp_path / "web.env"
    env_file.touch(0o600)
    env_file.write_text("\n".join([*lines, wrong if given else "", f"PORT={find_free_ports().web}"]))
    command = [sys.executable, "-m", "prodcore.web.serve", "webapp"]
    environment = os.environ | {"PRODCTL_ENV_FILE": str(env_file)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2, done.stderr
    assert f"Error: {WRONG[wrong]}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def workers():
    """The port of a service whose fifth question meets a worker that is not ready yet; and what was answered."""
    answers = itertools.chain([200] * 4, [503], itertools.repeat(200))
    asked = []

    class Workers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status = next(answers)
            asked.append(status)
            body = json.dumps({"status": "ready" if status == 200 else "degraded"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Workers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


def test_a_service_is_ready_when_each_of_its_workers_is(workers):
    service = LocalService("webapp", workers[0], (), "web")
    assert readiness_of_all_workers(service).state == "degraded"
    assert readiness_of_all_workers(service).state == "ready"


def test_a_deployment_waits_for_each_worker_of_a_service(workers):
    port, asked = workers
    agent.ready({"urls": [f"http://127.0.0.1:{port}/readyz"], "seconds": PATIENCE})
    assert asked == [*[200] * 4, 503, *[200] * 10]
    with pytest.raises(RuntimeError, match="answers nothing"):
        agent.ready({"urls": ["http://127.0.0.1:9/readyz"], "seconds": 0, "units": []})
