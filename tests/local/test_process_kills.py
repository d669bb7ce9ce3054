"""Each process of the system dies in the middle of work: no answer is wrong, and everything comes back."""

import threading
import uuid
from contextlib import contextmanager

import psutil
import pytest
import requests

from prodcore.local.render import MARKER_VARIABLE
from tests.support.daily import daily
from tests.support.site import ADMIN, PASSWORD, TIMEOUT_SECONDS, start_site
from tests.support.waiting import wait_until

_HOLD_PORT = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(flush=True)
listener.accept()
"""
PATIENCE = 120  # seconds; the machine may have others to serve


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = start_site(tmp_path_factory.mktemp("kills") / "cluster", guard=True)
    try:
        site.make_admin()
        yield site
    finally:
        site.cluster.destroy()


@pytest.fixture
def token(site):
    wait_until(lambda: is_healthy(site), "all programs work", PATIENCE)
    return site.token()


def is_healthy(site):
    return all(program.is_healthy for program in site.cluster.status())


def pid_of(site, name):
    return next(program.pid for program in site.cluster.status() if program.name == name)


def kill(pid):
    """kill -9; returns the processes that it had started."""
    process = psutil.Process(pid)
    children = process.children(recursive=True)
    process.kill()
    return children


class Writer(threading.Thread):
    """Creates products one after the other, and notes every answer; no answer at all says nothing."""

    def __init__(self, site, token):
        super().__init__(daemon=True)
        self.site, self.token = site, token
        self.stopped = threading.Event()
        self.answers = []
        self.made = set()

    def run(self):
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {self.token}"
            while not self.stopped.is_set():
                product = {"id": str(uuid.uuid4()), "name": f"Arroz {uuid.uuid4().hex}", "price": "1"}
                try:
                    answer = session.post(f"{self.site.url}/api/v1/products", json=product, timeout=TIMEOUT_SECONDS)
                except requests.RequestException:
                    continue
                self.answers.append(answer.status_code)
                if answer.status_code == 201:
                    self.made.add(product["id"])


@contextmanager
def written_to(site, token):
    """Inside the block two clients write; afterwards everything that was acknowledged is there, and no answer wrong."""
    writers = [Writer(site, token) for _ in range(2)]
    for writer in writers:
        writer.start()
    more_writes(writers, 5)
    yield writers
    more_writes(writers, 5)
    for writer in writers:
        writer.stopped.set()
    for writer in writers:
        writer.join(PATIENCE)
        assert set(writer.answers) == {201}
        for product in writer.made:
            assert site.call("GET", f"/products/{product}", token=token).status_code == 200


def more_writes(writers, count):
    """Wait until each has made so many more."""
    before = [len(writer.made) for writer in writers]
    wait_until(
        lambda: all(len(w.made) >= n + count for w, n in zip(writers, before, strict=True)), "writes go on", PATIENCE
    )


@pytest.mark.parametrize("name", daily(["webapp", "authsvc"], 0))
def test_a_service_whose_process_above_the_workers_is_killed_comes_back_whole(site, token, name):
    with written_to(site, token):
        workers = kill(pid_of(site, name))
        assert workers, "it had workers"
        wait_until(lambda: not any(worker.is_running() for worker in workers), "its workers end with it", PATIENCE)
        wait_until(lambda: is_healthy(site), "it is back by itself", PATIENCE)
    assert site.call("POST", "/session/login", {"username": ADMIN, "password": PASSWORD}).status_code == 200


def test_a_worker_that_is_killed_is_replaced(site, token):
    with written_to(site, token):
        [worker] = psutil.Process(pid_of(site, "webapp")).children()
        worker.kill()
        wait_until(lambda: is_healthy(site), "there is another worker", PATIENCE)


@pytest.mark.parametrize("name", daily(["guard", "drills", "rsA-2", "rsU-1"], 0, 3))
def test_any_other_program_that_is_killed_is_started_again(site, token, name):
    before = pid_of(site, name)
    with written_to(site, token):
        kill(before)
        wait_until(lambda: pid_of(site, name) not in (None, before), "it is started again", PATIENCE)
        wait_until(lambda: is_healthy(site), "it does its work", PATIENCE)


def test_services_whose_supervisor_is_killed_go_on_and_the_next_up_takes_over(site, token):
    supervisor = psutil.Process(pid_of(site, "webapp")).parent()
    with written_to(site, token) as writers:
        supervisor.kill()
        more_writes(writers, 50)
    site.cluster.up()
    assert is_healthy(site)
    marked = [process for process in psutil.process_iter() if marker_of(process) == str(site.cluster.plan.directory)]
    supervised = psutil.Process(pid_of(site, "webapp")).parent()
    assert {process.pid for process in marked} == {p.pid for p in (supervised, *supervised.children(recursive=True))}


def test_services_whose_supervisor_hangs_and_reads_no_logs_go_on(site, token):
    supervisor = psutil.Process(pid_of(site, "webapp")).parent()
    with written_to(site, token) as writers:
        supervisor.suspend()
        try:
            more_writes(writers, 250)  # lines of more than a pipe holds
        finally:
            supervisor.resume()


def test_up_ends_a_program_of_its_own_that_no_supervisor_runs_and_that_holds_a_port(site, token):
    """As a worker did that outlived the process above it."""
    port = site.cluster.plan.ports.web
    site.cluster.stop("webapp")
    environment = {MARKER_VARIABLE: str(site.cluster.plan.directory)}
    with psutil.Popen([site.cluster.plan.python, "-c", _HOLD_PORT, str(port)], env=environment, stdout=-1) as orphan:
        orphan.stdout.readline()
        said = []
        site.cluster.up(lambda subject, what: said.append((subject, what)))
        assert ("repair", "ended orphaned processes: 1") in said
        assert orphan.wait(PATIENCE) != 0
    assert is_healthy(site)


def marker_of(process):
    try:
        return process.environ().get(MARKER_VARIABLE)
    except psutil.Error:
        return None
