"""Browser sessions: the cookie, a new session at login, transparent renewal, life without authsvc, addresses."""

from datetime import timedelta

import pytest

from tests.support.identity import ADMIN, OTHER_PASSWORD, PASSWORD, Browser, Worker, forged, web_settings
from tests.support.waiting import wait_until


@pytest.fixture
def browser(workers, admin):
    return Browser(workers[0])


def test_a_login_opens_the_pages_and_a_logout_closes_them(browser):
    assert browser.get("/products").status_code == 303
    assert browser.log_in().status_code == 303
    assert browser.get("/products").status_code == 200
    old = browser.cookie()
    assert browser.post("/logout", {}, page="/products").status_code == 303
    assert browser.get("/products").status_code == 303
    browser.client.set_cookie("prodctl", old, domain="localhost")
    assert browser.get("/products").status_code == 303, "the old cookie opens nothing any more"


def test_a_wrong_password_says_401_and_opens_nothing(browser):
    assert browser.log_in(password="wrong").status_code == 401
    assert browser.get("/products").status_code == 303


def test_the_cookie_is_kept_from_scripts_and_other_sites(browser):
    header = next(h for h in browser.log_in().headers.getlist("Set-Cookie") if h.startswith("prodctl="))
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header
    assert "Path=/" in header
    assert "Secure" not in header


def test_over_https_the_cookie_is_bound_to_the_host(workers, admin):
    browser = Browser(workers[0], "https")
    header = next(h for h in browser.log_in().headers.getlist("Set-Cookie") if "prodctl=" in h)
    assert header.startswith("__Host-prodctl=")
    assert "Secure" in header
    assert "Domain" not in header
    assert browser.get("/products").status_code == 200


def test_login_starts_a_new_session_and_keeps_nothing_of_the_old(browser):
    browser.log_in()
    first = browser.cookie()
    with browser.client.session_transaction(base_url="http://localhost") as before:
        first_access = before["access"]
    browser.client.delete_cookie("prodctl", domain="localhost")
    browser.log_in()
    assert browser.cookie() != first
    with browser.client.session_transaction(base_url="http://localhost") as after:
        assert after["access"] != first_access


def test_login_over_another_one_ends_it(browser, workers, authsvc):
    browser.log_in()
    with browser.client.session_transaction(base_url="http://localhost") as before:
        access, refresh_token = before["access"], before["refresh"]
    assert browser.post("/login", {"username": ADMIN, "password": PASSWORD}, page="/products").status_code == 303
    assert browser.get("/products").status_code == 200
    assert workers[0].status(access, "/products") == 401
    workers[0].trust.catch_up()  # authsvc hears of it with the next question
    assert authsvc.call("POST", "/session/refresh", {"refresh_token": refresh_token}).status_code == 401


def test_a_form_without_its_token_changes_nothing(browser):
    browser.log_in()
    for path in ("/products/new", "/logout"):
        answer = browser.client.post(path, data={"name": "Arroz", "price": "1"}, base_url=browser.base)
        assert answer.status_code in (400, 403), path
    assert browser.get("/products").status_code == 200


def test_getting_changes_nothing(browser):
    browser.log_in()
    for path in ("/logout", "/preferences"):
        assert browser.get(path).status_code == 405
    assert browser.get("/products").status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_the_api_takes_json_only_and_no_cookie(browser, kind):
    browser.log_in()
    answer = browser.client.post("/api/v1/users", data='{"a": 1}', content_type=kind, base_url=browser.base)
    assert answer.status_code in (401, 415)
    assert browser.client.get("/api/v1/users", base_url=browser.base).status_code == 401


def test_an_ending_access_token_is_renewed_without_a_word(browser, authsvc, admin):
    browser.log_in()
    old = forged(authsvc, admin, ends_in=timedelta(seconds=30))
    with browser.client.session_transaction(base_url="http://localhost") as before:
        before["access"] = old
    assert browser.get("/products").status_code == 200
    with browser.client.session_transaction(base_url="http://localhost") as after:
        assert after["access"] != old


def test_without_authsvc_pages_go_on_and_login_says_try_again(browser, workers, authsvc):
    browser.log_in()
    gone = Browser(workers[0])
    gone.log_in()
    cookie = gone.cookie()
    gone.post("/logout", {}, page="/products")
    gone.client.set_cookie("prodctl", cookie, domain="localhost")
    with authsvc.down():
        wait_until(lambda: workers[0].trust.unreachable_since, "the worker notices")
        with workers[0].clock.moved(timedelta(minutes=25)):  # the access token has ended by now
            assert browser.get("/products").status_code == 200
            assert gone.get("/products").status_code == 303
            assert Browser(workers[0]).log_in().status_code == 503
        with workers[0].clock.moved(timedelta(minutes=76)):
            assert browser.get("/products").status_code == 303, "the grace is over"
    wait_until(lambda: workers[0].trust.unreachable_since is None, "the worker sees it again")
    assert browser.get("/products").status_code == 200


def test_a_disabled_user_is_out_of_the_pages_within_seconds(workers, authsvc, admin):
    authsvc.add("ana", token=admin["access_token"])
    browser = Browser(workers[0])
    assert browser.log_in(username="ana").status_code == 303
    authsvc.call("PATCH", "/users/ana", {"disabled": True}, token=admin["access_token"])
    wait_until(lambda: browser.get("/products").status_code == 303, "out", seconds=5)


def test_a_lower_role_takes_the_buttons_away_and_keeps_the_session(workers, authsvc, admin):
    authsvc.add("ana", "editor", token=admin["access_token"])
    browser = Browser(workers[0])
    browser.log_in(username="ana")
    assert browser.get("/products/new").status_code == 200
    authsvc.call("PATCH", "/users/ana", {"role": "viewer"}, token=admin["access_token"])
    wait_until(lambda: browser.get("/products/new").status_code == 403, "the role is lower", seconds=5)
    assert browser.get("/products").status_code == 200


def test_a_role_that_authsvc_alone_knows_of_yet_renews_the_session(workers, authsvc, admin):
    """The pages that authsvc answers come a moment later than the change, before the worker hears of it."""
    authsvc.add("ana", "editor", token=admin["access_token"])
    browser = Browser(workers[0])
    browser.log_in(username="ana")
    for role in ("viewer", "editor", "operator", "viewer"):
        authsvc.call("PATCH", "/users/ana", {"role": role}, token=admin["access_token"])
        assert browser.get("/account").status_code == 200, role


def test_a_session_that_authsvc_alone_knows_to_have_ended_leads_to_the_login_and_not_back(workers, authsvc, admin):
    authsvc.add("ana", token=admin["access_token"])
    for _ in range(3):
        browser = Browser(workers[0])
        browser.log_in(username="ana")
        authsvc.call("DELETE", "/users/ana/sessions", token=admin["access_token"])
        answer = browser.get("/account")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2Faccount")
        assert browser.get(answer.headers["Location"]).status_code == 200


def test_a_wrong_password_is_asked_about_once(browser, workers, monkeypatch):
    browser.log_in()
    asked, call = [], workers[0].client.call

    def counted(method, path, *arguments, **more):
        asked.append(path)
        return call(method, path, *arguments, **more)

    monkeypatch.setattr(workers[0].client, "call", counted)
    form = {"old_password": "wrong", "new_password": OTHER_PASSWORD}
    assert browser.post("/account/password", form, page="/account").status_code == 401
    assert asked.count("/account/password") == 1


@pytest.mark.parametrize("forged", ["x", "eyJhY2Nlc3MiOiJ4In0.x.y", "é", "." * 300], ids=ascii)
def test_a_forged_cookie_opens_nothing(browser, forged):
    browser.client.set_cookie("prodctl", forged, domain="localhost")
    assert browser.get("/products").status_code == 303


def test_personal_pages_are_kept_by_nobody(browser):
    browser.log_in()
    for path in ("/products", "/login", "/api/v1/session"):
        assert "no-store" in browser.get(path).headers["Cache-Control"], path


@pytest.mark.parametrize(
    ("hops", "header", "expected"),
    [
        (0, "203.0.113.9", "127.0.0.1"),
        (0, "", "127.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
    ],
)
def test_only_as_many_proxies_are_believed_as_the_setting_says(cluster, authsvc, admin, audit, hops, header, expected):
    worker = Worker(web_settings(cluster, authsvc.url, trusted_proxies=hops))
    headers = {"X-Forwarded-For": header} if header else {}
    worker.call("POST", "/session/login", {"username": ADMIN, "password": "wrong"}, headers=headers)
    assert audit.find_one({"action": "session.login", "outcome": {"$ne": "done"}})["address"] == expected
    worker.close()


def test_an_invented_address_does_not_escape_the_limit(workers, authsvc, admin):
    statuses = []
    for i in range(24):
        body = {"username": f"user{i}", "password": "wrong"}
        headers = {"X-Forwarded-For": f"203.0.113.{i}", "X-Client-Address": f"203.0.113.{i}"}
        statuses.append(workers[0].call("POST", "/session/login", body, headers=headers).status_code)
    assert 429 in statuses


def test_errors_leak_nothing(workers, authsvc, admin):
    bodies = [
        workers[0].call("POST", "/session/login", {"username": "\0", "password": "\0"}),
        workers[0].call("POST", "/session/login", [1]),
        workers[0].call("GET", "/users", token="x.y.z"),
        authsvc.call("POST", "/trust", {"since": {}}),
    ]
    with authsvc.down():
        bodies.append(workers[0].call("POST", "/session/login", {"username": ADMIN, "password": PASSWORD}))
    for answer in bodies:
        text = answer.get_data(as_text=True) if hasattr(answer, "get_data") else answer.text
        assert answer.status_code in (401, 422, 503)
        for word in ("Traceback", "pymongo", "127.0.0.1", "mongodb", "File ", PASSWORD):
            assert word not in text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("shop.example", 200),
        ("shop.example:8443", 200),
        ("localhost", 200),
        ("evil.example", 400),
        ("shop.example.evil.example", 400),
        ("shop.example@evil.example", 400),
        ("", 400),
    ],
)
def test_only_our_own_names_are_answered(cluster, authsvc, admin, host, status):
    worker = Worker(web_settings(cluster, authsvc.url, trusted_hosts="shop.example"))
    for path in ("/healthz", "/api/openapi.json", "/login"):
        answer = worker.app.test_client().get(path, headers={"Host": host})
        assert answer.status_code == status, path
        assert status == 200 or answer.headers["Content-Type"] == "application/problem+json"
    worker.close()


def test_in_its_private_network_webapp_answers_to_its_own_address(cluster, authsvc, admin):
    worker = Worker(web_settings(cluster, authsvc.url, trusted_hosts="shop.example", bind="10.10.10.11"))
    client = worker.app.test_client()
    assert client.get("/healthz", headers={"Host": "10.10.10.11:3000"}).status_code == 200
    assert client.get("/healthz", headers={"Host": "10.10.10.12:3000"}).status_code == 400
    worker.close()
