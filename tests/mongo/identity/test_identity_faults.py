"""The users' replica set dies or has an election: logins wait or say so, people who are in stay in."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.support.identity import ADMIN, PASSWORD, Browser
from tests.support.waiting import wait_until

RSU = ("rsU-1", "rsU-2", "rsU-3")


@pytest.fixture
def users_set_down(cluster, workers, admin):
    """All members of rsU stopped; they are back at the end."""
    browser = Browser(workers[0])
    assert browser.log_in().status_code == 303
    for name in RSU:
        cluster.stop(name)
    yield browser
    cluster.up()
    wait_until(lambda: workers[0].status(admin["access_token"], "/users") == 200, "rsU is back", seconds=60)


def test_without_the_users_set_people_stay_in_and_every_login_is_503_alike(users_set_down, workers, authsvc, admin):
    wait_until(lambda: workers[0].trust.unreachable_since, "the worker notices", seconds=20)
    for password in (PASSWORD, "wrong"):
        answer = workers[0].call("POST", "/session/login", {"username": ADMIN, "password": password})
        assert (answer.status_code, bool(answer.headers["Retry-After"])) == (503, True)
    assert authsvc.call("POST", "/session/refresh", {"refresh_token": admin["refresh_token"]}).status_code == 503
    assert workers[0].status(admin["access_token"]) == 200
    assert users_set_down.get("/products").status_code == 200


def test_an_election_of_the_users_set_makes_no_login_answer_wrongly(cluster, raw_clients, workers, admin):
    """Logins go on while the primary is killed: the right password is never called wrong."""
    wrong = []
    served = []
    over = threading.Event()

    def log_in(i):
        while not over.is_set():
            body = {"username": ADMIN, "password": PASSWORD}
            status = workers[i % 2].call("POST", "/session/login", body).status_code
            (served if status == 200 else wrong).append(status)

    primary = raw_clients["rsU"].admin.command("hello")["primary"]
    with ThreadPoolExecutor(2) as pool:
        for i in range(2):
            pool.submit(log_in, i)
        wait_until(lambda: len(served) > 3, "logins go on")
        before = len(served)
        cluster.members.kill(primary)
        wait_until(lambda: len(served) > before + 3 or wrong.count(503) > 50, "logins go on again", seconds=60)
        over.set()
    cluster.up()
    assert set(wrong) <= {503, 429}, wrong  # an attempt whose end could not be noted may count
    assert len(served) > before


def test_a_logout_that_authsvc_does_not_hear_is_told_it_later(workers, authsvc, admin):
    browser = Browser(workers[0])
    browser.log_in()
    with browser.client.session_transaction(base_url="http://localhost") as session:
        access, refresh = session["access"], session["refresh"]
    with authsvc.down():
        wait_until(lambda: workers[0].trust.unreachable_since, "the worker notices")
        assert browser.post("/logout", {}, page="/products").status_code == 303
        assert browser.get("/products").status_code == 303
        assert workers[0].status(access) == 401
    wait_until(lambda: workers[1].status(access) == 401, "every worker knows", seconds=10)
    assert authsvc.call("POST", "/session/refresh", {"refresh_token": refresh}).status_code == 401


def test_what_no_longer_matters_is_forgotten(workers, authsvc, admin):
    trust = workers[0].trust
    trust._known = replace(trust._known, sessions=frozenset({"long ago"}))
    gone = authsvc.log_in()
    authsvc.call("POST", "/session/logout", {"refresh_token": gone["refresh_token"]})
    trust._forget_at = 0.0
    trust._refresh()
    assert trust._known.sessions == {gone["session_id"]}
    assert workers[0].status(gone["access_token"]) == 401
