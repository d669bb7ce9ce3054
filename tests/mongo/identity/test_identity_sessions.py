"""Sessions: rotation, theft, revocation on every worker, and life without authsvc."""

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from prodcore.identity.tokens import GRACE
from tests.support.identity import ADMIN, OTHER_PASSWORD, PASSWORD, Browser, Worker, forged, web_settings
from tests.support.waiting import wait_until

SECONDS_TO_EVERY_WORKER = 5.0


def refresh(authsvc, token):
    return authsvc.call("POST", "/session/refresh", {"refresh_token": token})


def refused_everywhere(workers, token):
    """The seconds until no worker takes the token any more."""
    return wait_until(
        lambda: all(worker.status(token) == 401 for worker in workers), "refused", seconds=SECONDS_TO_EVERY_WORKER
    )


def let_time_pass(auth_db, session_id, seconds):
    """As if the last rotation had been longer ago."""
    session = auth_db["sessions"].find_one({"_id": session_id})
    earlier = session["rotated_at"] - timedelta(seconds=seconds)
    auth_db["sessions"].update_one({"_id": session_id}, {"$set": {"rotated_at": earlier}})


def test_a_refresh_gives_new_tokens(authsvc, admin, workers):
    answer = refresh(authsvc, admin["refresh_token"]).json()
    assert answer["refresh_token"] != admin["refresh_token"]
    assert workers[0].status(answer["access_token"]) == 200


def test_no_token_is_stored(authsvc, admin, auth_db):
    answer = refresh(authsvc, admin["refresh_token"]).json()
    everything = str([list(auth_db[name].find()) for name in auth_db.list_collection_names()])
    for secret in (admin["refresh_token"], answer["refresh_token"], admin["access_token"], PASSWORD):
        assert secret not in everything


def test_a_lost_answer_is_given_again(authsvc, admin):
    first, again = (refresh(authsvc, admin["refresh_token"]).json() for _ in range(2))
    assert first["refresh_token"] == again["refresh_token"]
    assert refresh(authsvc, first["refresh_token"]).status_code == 200


def test_many_refreshes_of_one_token_at_a_time_give_one_successor(authsvc, admin):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: refresh(authsvc, admin["refresh_token"]), range(8)))
    assert {a.status_code for a in answers} == {200}
    assert len({a.json()["refresh_token"] for a in answers}) == 1


def test_authsvc_dying_between_commit_and_answer_costs_nobody_the_session(authsvc, admin):
    service = authsvc.service
    session = service.sessions.owner(admin["refresh_token"])
    successor = service.sessions._successor(admin["refresh_token"])
    from authsvc.sessions import _hash

    service.stores.sessions.rotate(session, _hash(successor), datetime.now(UTC))  # committed, and then it dies
    with authsvc.down():
        pass
    answer = refresh(authsvc, admin["refresh_token"])
    assert answer.json()["refresh_token"] == successor


def test_an_answer_that_was_lost_for_long_is_given_again(authsvc, admin, auth_db):
    lost = refresh(authsvc, admin["refresh_token"]).json()
    let_time_pass(auth_db, admin["session_id"], 660)
    assert refresh(authsvc, admin["refresh_token"]).json()["refresh_token"] == lost["refresh_token"]


def test_a_spent_token_shown_later_ends_the_session(authsvc, admin, auth_db, workers):
    successor = refresh(authsvc, admin["refresh_token"]).json()
    assert workers[0].status(successor["access_token"]) == 200
    wait_until(lambda: auth_db["sessions"].find_one({"_id": admin["session_id"]}).get("used_at"), "authsvc hears of it")
    assert refresh(authsvc, admin["refresh_token"]).status_code == 200, "the answer may have crossed its own repetition"
    let_time_pass(auth_db, admin["session_id"], 11)
    assert refresh(authsvc, admin["refresh_token"]).status_code == 401
    assert refresh(authsvc, successor["refresh_token"]).status_code == 401
    refused_everywhere(workers, successor["access_token"])


def test_a_token_spent_long_ago_ends_the_session_too(authsvc, admin):
    token = admin["refresh_token"]
    for _ in range(3):
        token = refresh(authsvc, token).json()["refresh_token"]
    assert refresh(authsvc, admin["refresh_token"]).status_code == 401
    assert refresh(authsvc, token).status_code == 401


@pytest.mark.parametrize("token", ["", "x", "\0", "é", "a" * 5000, "../", "\u202e"], ids=ascii)
def test_an_odd_refresh_token_is_refused(authsvc, admin, token):
    assert refresh(authsvc, token).status_code in (401, 422)
    assert refresh(authsvc, admin["access_token"]).status_code == 401


def test_a_refresh_token_is_no_access_token(authsvc, admin, workers):
    assert workers[0].status(admin["refresh_token"]) == 401


def test_a_session_has_an_end(authsvc, admin, auth_db):
    past = datetime.now(UTC) - timedelta(seconds=1)
    auth_db["sessions"].update_one({"_id": admin["session_id"]}, {"$set": {"expires_at": past}})
    assert refresh(authsvc, admin["refresh_token"]).status_code == 401


def test_a_session_that_nobody_uses_ends_and_is_listed_no_more(authsvc, admin, auth_db):
    idle = authsvc.log_in()
    long_ago = datetime.now(UTC) - timedelta(hours=72, seconds=1)
    auth_db["sessions"].update_one({"_id": idle["session_id"]}, {"$set": {"last_used_at": long_ago}})
    listed = authsvc.call("GET", "/account/sessions", token=admin["access_token"]).json()["items"]
    assert [one["id"] for one in listed] == [admin["session_id"]]
    assert refresh(authsvc, idle["refresh_token"]).status_code == 401
    assert refresh(authsvc, admin["refresh_token"]).status_code == 200


def test_login_starts_a_new_session_each_time(authsvc, admin):
    assert len({authsvc.log_in()["session_id"] for _ in range(3)} | {admin["session_id"]}) == 4


def test_logout_is_known_to_every_worker_within_seconds(authsvc, admin, workers):
    tokens = authsvc.log_in()
    assert [worker.status(tokens["access_token"]) for worker in workers] == [200, 200]
    answer = workers[0].call("POST", "/session/logout", {"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 204
    refused_everywhere(workers, tokens["access_token"])
    assert refresh(authsvc, tokens["refresh_token"]).status_code == 401
    assert workers[0].status(admin["access_token"]) == 200


def test_logout_everywhere_ends_all_sessions_of_one_person(authsvc, admin, workers):
    authsvc.add("ana", token=admin["access_token"])
    logins = [authsvc.log_in("ana") for _ in range(3)]
    body = {"refresh_token": logins[0]["refresh_token"], "everywhere": True}
    assert authsvc.call("POST", "/session/logout", body).status_code == 204
    for tokens in logins:
        refused_everywhere(workers, tokens["access_token"])
        assert refresh(authsvc, tokens["refresh_token"]).status_code == 401
    assert workers[0].status(admin["access_token"]) == 200


def test_logging_out_twice_or_with_nonsense_is_harmless(authsvc, admin):
    for token in (admin["refresh_token"], admin["refresh_token"], "nonsense"):
        assert authsvc.call("POST", "/session/logout", {"refresh_token": token}).status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "body", "session_lives"),
    [
        ("PATCH", "/users/ana", {"role": "viewer"}, True),
        ("PATCH", "/users/ana", {"username": "anna"}, True),
        ("PATCH", "/users/ana", {"disabled": True}, False),
        ("DELETE", "/users/ana", None, False),
        ("DELETE", "/users/ana/sessions", None, False),
    ],
    ids=["role", "rename", "disable", "remove", "end sessions"],
)
def test_a_change_of_an_account_reaches_every_worker(authsvc, admin, workers, method, path, body, session_lives):
    authsvc.add("ana", "editor", token=admin["access_token"])
    tokens = authsvc.log_in("ana")
    assert [worker.status(tokens["access_token"]) for worker in workers] == [200, 200]
    assert workers[0].call(method, path, body, token=admin["access_token"]).status_code < 300
    refused_everywhere(workers, tokens["access_token"])
    answer = refresh(authsvc, tokens["refresh_token"])
    assert (answer.status_code == 200) is session_lives
    if session_lives:
        who = workers[1].call("GET", "/session", token=answer.json()["access_token"]).json
        changed = {"viewer": who["role"], "anna": who["username"]}
        assert changed[next(iter(body.values()))] == next(iter(body.values()))


def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(authsvc, admin, workers):
    other = authsvc.log_in()
    body = {"old_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert workers[0].call("POST", "/account/password", body, token=admin["access_token"]).status_code == 204
    refused_everywhere(workers, other["access_token"])
    assert [worker.status(admin["access_token"]) for worker in workers] == [200, 200]
    assert authsvc.log_in(password=OTHER_PASSWORD)


def test_own_sessions_are_listed_with_device_and_can_be_ended(authsvc, admin, workers):
    headers = {"User-Agent": "curl/8"}
    login = {"username": ADMIN, "password": PASSWORD}
    other = workers[0].call("POST", "/session/login", login, headers=headers).json
    listed = workers[0].call("GET", "/account/sessions", token=admin["access_token"]).json["items"]
    assert {(s["device"], s["current"]) for s in listed} >= {("curl/8", False)}
    assert [s["id"] for s in listed if s["current"]] == [admin["session_id"]]
    path = f"/account/sessions/{other['session_id']}"
    assert workers[0].call("DELETE", path, token=admin["access_token"]).status_code == 204
    refused_everywhere(workers, other["access_token"])


def test_somebody_elses_session_is_not_found(authsvc, admin, workers):
    authsvc.add("ana", token=admin["access_token"])
    ana = authsvc.log_in("ana")
    path = f"/account/sessions/{admin['session_id']}"
    assert workers[0].call("DELETE", path, token=ana["access_token"]).status_code == 404
    assert workers[0].status(admin["access_token"]) == 200
    assert [s["id"] for s in workers[0].call("GET", "/account/sessions", token=ana["access_token"]).json["items"]] == [
        ana["session_id"]
    ]


def test_without_authsvc_people_stay_in_and_logins_say_try_again(authsvc, admin, workers, monkeypatch):
    gone = authsvc.log_in()
    authsvc.call("POST", "/session/logout", {"refresh_token": gone["refresh_token"]})
    refused_everywhere(workers, gone["access_token"])
    soon = forged(authsvc, admin, ends_in=timedelta(seconds=40))
    over = forged(authsvc, admin, ends_in=timedelta(minutes=-5))
    assert [worker.status(over) for worker in workers] == [401, 401]
    with authsvc.down():
        for worker in workers:
            wait_until(lambda w=worker: w.trust.unreachable_since, "the worker notices")
        for right in (PASSWORD, "wrong"):
            answer = workers[0].call("POST", "/session/login", {"username": ADMIN, "password": right})
            assert (answer.status_code, answer.json["code"]) == (503, "service_unavailable")
            assert answer.headers["Retry-After"]
        answer = workers[0].call("POST", "/session/refresh", {"refresh_token": admin["refresh_token"]})
        assert answer.status_code == 503
        for worker in workers:
            with worker.clock.moved(timedelta(minutes=10)):
                assert worker.status(admin["access_token"]) == 200
                assert worker.status(soon) == 200, "was alive when the silence began"
                assert worker.status(gone["access_token"]) == 401, "was refused before"
                assert worker.status(over) == 401, "had ended before"
                assert worker.status("x.y.z") == 401
    for worker in workers:
        wait_until(lambda w=worker: w.trust.unreachable_since is None, "the worker sees it again")


def test_the_grace_is_an_hour_and_then_it_is_over(authsvc, admin, workers):
    soon = forged(authsvc, admin, ends_in=timedelta(seconds=40))
    trust = workers[0].trust
    with authsvc.down():
        wait_until(lambda: trust.unreachable_since, "the worker notices")
        with workers[0].clock.moved(GRACE + timedelta(seconds=30)):
            assert workers[0].status(soon) == 200
        with workers[0].clock.moved(GRACE + timedelta(seconds=50)):
            assert workers[0].status(soon) == 401
    wait_until(lambda: trust.unreachable_since is None, "the worker sees it again")


def test_a_worker_that_never_heard_of_authsvc_says_try_again(authsvc, admin, cluster):
    worker = Worker(web_settings(cluster, authsvc.url))
    with authsvc.down():
        assert worker.status(admin["access_token"]) == 503
    wait_until(lambda: worker.status(admin["access_token"]) == 200, "it hears of it")
    worker.close()


@pytest.fixture
def remembering(authsvc, admin, cluster, tmp_path):
    """Makes workers of one webapp that share what they know; and closes them."""
    made = []

    def start():
        made.append(Worker(web_settings(cluster, authsvc.url, trust_file=tmp_path / "trust.json")))
        return made[-1]

    yield start
    for worker in made:
        worker.close()


def test_a_worker_that_starts_without_authsvc_goes_on_with_what_others_knew(authsvc, admin, remembering, tmp_path):
    gone, over = authsvc.log_in(), forged(authsvc, admin, ends_in=timedelta(minutes=-5))
    first = remembering()
    assert first.status(gone["access_token"]) == 200
    authsvc.call("POST", "/session/logout", {"refresh_token": gone["refresh_token"]})
    refused_everywhere([first], gone["access_token"])
    soon = forged(authsvc, admin, ends_in=timedelta(seconds=40))
    with authsvc.down():
        later = remembering()
        assert later.status(admin["access_token"]) == 200
        later.clock.ahead = timedelta(minutes=10)
        assert later.status(soon) == 200, "was alive when the silence began"
        assert later.status(over) == 401, "had ended before"
        assert later.status(gone["access_token"]) == 401, "was refused before"
        assert later.status("x.y.z") == 401
        later.clock.ahead += GRACE
        assert later.status(soon) == 401, "the hour is over for those who start late, too"
    assert stat.S_IMODE((tmp_path / "trust.json").stat().st_mode) == 0o600
    assert admin["access_token"] not in (tmp_path / "trust.json").read_text()


def test_a_logout_while_authsvc_is_down_holds_on_every_worker_and_reaches_authsvc(authsvc, admin, remembering, auth_db):
    session = authsvc.log_in()
    first, second = remembering(), remembering()
    assert [w.status(session["access_token"]) for w in (first, second)] == [200, 200]
    with authsvc.down():
        for worker in (first, second):
            wait_until(lambda w=worker: w.trust.unreachable_since, "the worker notices")
        first.trust.end_session(session["session_id"])
        refused_everywhere([first, second], session["access_token"])
        assert remembering().status(session["access_token"]) == 401
        assert second.status(admin["access_token"]) == 200
    refresh = {"refresh_token": session["refresh_token"]}
    wait_until(lambda: authsvc.call("POST", "/session/refresh", refresh).status_code == 401, "authsvc hears of it")


def test_a_worker_that_has_never_heard_authsvc_logs_out_and_tells_it_later(workers, authsvc, admin, remembering):
    browser = Browser(workers[0])
    browser.log_in()
    with browser.client.session_transaction(base_url="http://localhost") as session:
        refresh = {"refresh_token": session["refresh"]}
    with authsvc.down():
        deaf = Browser(remembering())
        deaf.client.set_cookie("prodctl", browser.cookie(), domain="localhost")
        assert deaf.post("/logout", {}, page="/login").status_code == 303
        with deaf.client.session_transaction(base_url="http://localhost") as session:
            assert not {"access", "refresh"} & set(session), "the cookie opens nothing any more"
    wait_until(lambda: authsvc.call("POST", "/session/refresh", refresh).status_code == 401, "authsvc hears of it")


def test_a_damaged_memory_is_no_memory(authsvc, admin, remembering, tmp_path):
    for content in ("", "{", "[]", '{"heard_at": 1}', '{"heard_at": "x", "clock_ahead": "y"}'):
        with authsvc.down():  # before the worker begins, which asks at once, and after what earlier ones wrote
            (tmp_path / "trust.json").write_text(content)
            assert remembering().status(admin["access_token"]) == 503
    assert remembering().status(admin["access_token"]) == 200


def test_clocks_that_differ_log_nobody_out_and_prolong_nothing(authsvc, admin, workers):
    for minutes in (5, -5):
        with workers[0].clock.moved(timedelta(minutes=minutes)):
            workers[0].trust.catch_up()
            assert workers[0].status(authsvc.log_in()["access_token"]) == 200
            assert workers[0].status(forged(authsvc, admin, ends_in=timedelta(seconds=-31))) == 401
            assert workers[0].status(forged(authsvc, admin, ends_in=timedelta(seconds=1))) == 200
    workers[0].trust.catch_up()


def test_a_rotation_of_keys_logs_nobody_out(authsvc, admin, workers, monkeypatch):
    from authsvc import keys

    monkeypatch.setattr(keys, "PUBLISHED_AHEAD", timedelta(0))
    old = admin["access_token"]
    assert workers[0].call("POST", "/keys", token=old).status_code == 201
    new = authsvc.log_in()["access_token"]
    assert new.split(".")[0] != old.split(".")[0]
    for worker in workers:
        wait_until(lambda w=worker: w.status(new) == 200, "the new key is known", seconds=5)
        assert worker.status(old) == 200
    states = [key["state"] for key in workers[0].call("GET", "/keys", token=new).json["items"]]
    assert states.count("signs") == 1
