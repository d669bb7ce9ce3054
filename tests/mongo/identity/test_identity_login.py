"""The first admin, logging in, and what is refused there."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.identity import ADMIN, BCRYPT_COST, OTHER_PASSWORD, PASSWORD, SETUP_CODE, auth_settings


def test_without_the_service_secret_nobody_is_heard(authsvc, admin):
    for secret in ("", "wrong", "\u00e9"):
        for method, path in (("GET", "/setup"), ("GET", "/users"), ("POST", "/session/login"), ("POST", "/trust")):
            answer = authsvc.call(method, path, {}, secret=secret, token=admin["access_token"])
            assert answer.status_code == 401
            assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_fresh_system_has_no_login_that_works(authsvc):
    assert authsvc.call("GET", "/setup").json() == {"open": True}
    for username, password in (("admin", "admin"), ("root", "root"), ("admin", "prodctl"), (ADMIN, PASSWORD)):
        answer = authsvc.call("POST", "/session/login", {"username": username, "password": password})
        assert answer.status_code == 401


def test_the_setup_code_makes_the_first_admin_once(authsvc):
    body = {"code": SETUP_CODE, "username": ADMIN, "password": PASSWORD}
    assert authsvc.call("POST", "/setup", {**body, "code": "AAAAA"}).status_code == 401
    assert authsvc.call("POST", "/setup", body).json()["user"]["role"] == "admin"
    assert authsvc.call("GET", "/setup").json() == {"open": False}
    again = authsvc.call("POST", "/setup", {**body, "username": "second"})
    assert (again.status_code, again.json()["code"]) == (409, "already_set_up")


def test_a_setup_code_ends_after_a_day_and_its_successor_is_good_at_once(authsvc, cluster, keys_dir):
    body = {"code": SETUP_CODE, "username": ADMIN, "password": PASSWORD}
    auth_settings(cluster, keys_dir, code_age=timedelta(hours=24, seconds=1))
    ended = authsvc.call("POST", "/setup", body)
    auth_settings(cluster, keys_dir)
    assert (ended.status_code, "expired" in ended.json()["detail"]) == (401, True)
    assert authsvc.call("POST", "/setup", body).status_code == 201


def test_of_many_first_admins_exactly_one_wins(authsvc, auth_db):
    def try_it(i):
        body = {"code": SETUP_CODE, "username": f"first{i}", "password": PASSWORD}
        return authsvc.call("POST", "/setup", body, address=f"192.0.2.{i}").status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(try_it, range(4)))
    assert statuses == [201, 409, 409, 409]
    assert auth_db["users"].count_documents({}) == 1


def test_setup_codes_cannot_be_tried_for_long(authsvc):
    body = {"code": "wrong", "username": ADMIN, "password": PASSWORD}
    statuses = [authsvc.call("POST", "/setup", body).status_code for _ in range(24)]
    assert statuses[0] == 401
    assert statuses[-1] == 429


def test_wrong_password_and_unknown_user_get_the_same_answer(authsvc, admin):
    wrong = authsvc.call("POST", "/session/login", {"username": ADMIN, "password": OTHER_PASSWORD})
    unknown = authsvc.call("POST", "/session/login", {"username": "nobody", "password": OTHER_PASSWORD})
    authsvc.add("ana", token=admin["access_token"])
    authsvc.call("PATCH", "/users/ana", {"disabled": True}, token=admin["access_token"])
    disabled = authsvc.call("POST", "/session/login", {"username": "ana", "password": PASSWORD})
    answers = [{k: v for k, v in a.json().items() if k != "request_id"} for a in (wrong, unknown, disabled)]
    assert {a.status_code for a in (wrong, unknown, disabled)} == {401}
    assert answers[0] == answers[1] == answers[2]


def test_a_name_logs_in_however_it_is_spelled(authsvc, admin):
    authsvc.add("José", token=admin["access_token"])
    for spelling in ("jose", "JOSÉ", "Jose\u0301", " josé "):
        assert authsvc.log_in(spelling)["user"]["username"] == "José"


def test_a_damaged_hash_in_the_database_is_a_refusal_not_an_error(authsvc, admin, auth_db):
    auth_db["users"].update_one({"username": ADMIN}, {"$set": {"password_hash": "v1$2b$broken"}})
    assert authsvc.call("POST", "/session/login", {"username": ADMIN, "password": PASSWORD}).status_code == 401


def test_the_hash_grows_with_the_setting_at_login(authsvc, admin, auth_db):
    import bcrypt

    from authsvc.credentials import _prepared

    weak = "v1" + bcrypt.hashpw(_prepared(PASSWORD), bcrypt.gensalt(4)).decode()
    auth_db["users"].update_one({"username": ADMIN}, {"$set": {"password_hash": weak}})
    authsvc.log_in()
    assert auth_db["users"].find_one({"username": ADMIN})["password_hash"].startswith(f"v1$2b${BCRYPT_COST:02}$")
    authsvc.log_in()


OPERATORS = [{"$ne": None}, {"$gt": ""}, {"$regex": ".*"}, ["Root"], None, 7, True, {"$where": "1"}]


@pytest.mark.parametrize("value", OPERATORS, ids=str)
def test_operators_instead_of_texts_are_refused(authsvc, admin, value):
    token = admin["access_token"]
    good = {
        "/session/login": {"username": ADMIN, "password": PASSWORD},
        "/setup": {"code": SETUP_CODE, "username": ADMIN, "password": PASSWORD},
        "/session/refresh": {"refresh_token": admin["refresh_token"]},
        "/session/logout": {"refresh_token": admin["refresh_token"]},
        "/register": {"username": ADMIN, "password": PASSWORD},
        "/reset": {"username": ADMIN, "code": "x", "password": PASSWORD},
        "/exchange": {"token": "x"},
        "/users": {"username": "ana", "password": PASSWORD},
        "/tokens": {"name": "job", "scopes": ["products:read"]},
        "/account/password": {"old_password": PASSWORD, "new_password": OTHER_PASSWORD},
    }
    for path, body in good.items():
        for field in body:
            answer = authsvc.call("POST", path, {**body, field: value}, token=token)
            assert answer.status_code == 422, (path, field, answer.text)
    assert authsvc.call("PATCH", f"/users/{ADMIN}", {"role": value or {}}, token=token).status_code == 422


@pytest.mark.parametrize(
    "field", ["id", "_id", "role", "epoch", "disabled", "password_hash", "totp_confirmed", "version"]
)
def test_fields_that_are_not_the_callers_are_refused(authsvc, admin, auth_db, field):
    token = admin["access_token"]
    before = auth_db["users"].find_one({"username": ADMIN})
    login = {"username": ADMIN, "password": PASSWORD, field: "admin"}
    assert authsvc.call("POST", "/session/login", login).status_code == 422
    assert authsvc.call("POST", "/register", login).status_code == 422
    if field != "role":
        assert authsvc.call("POST", "/users", {**login, "username": "ana"}, token=token).status_code == 422
    if field not in ("role", "disabled"):
        assert authsvc.call("PATCH", f"/users/{ADMIN}", {field: "x"}, token=token).status_code == 422
    assert auth_db["users"].find_one({"username": ADMIN}) == before


def test_registration_is_closed_by_default(authsvc, admin):
    assert authsvc.call("GET", "/register").json() == {"registration": "closed"}
    answer = authsvc.call("POST", "/register", {"username": "ana", "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_failures_of_one_account_make_the_wait_grow(authsvc, admin):
    body = {"username": "victim", "password": "wrong"}
    answers = [authsvc.call("POST", "/session/login", body, address=f"192.0.2.{i}") for i in range(33)]
    statuses = [a.status_code for a in answers]
    assert statuses[:30] == [401] * 30
    refused = [a for a in answers if a.status_code == 429]
    assert refused
    assert all(int(a.headers["Retry-After"]) >= 1 for a in refused)


def test_failures_of_one_address_make_it_wait_whatever_the_account(authsvc, admin):
    statuses = []
    for i in range(24):
        body = {"username": f"user{i}", "password": "wrong"}
        statuses.append(authsvc.call("POST", "/session/login", body, address="198.51.100.7").status_code)
    assert statuses[:20] == [401] * 20
    assert 429 in statuses[20:]
    other = authsvc.call("POST", "/session/login", {"username": ADMIN, "password": PASSWORD}, address="198.51.100.8")
    assert other.status_code == 200


def test_an_ipv6_customer_is_one_address(authsvc, admin):
    statuses = [
        authsvc.call(
            "POST", "/session/login", {"username": f"user{i}", "password": "x"}, address=f"2001:db8:1:2::{i:x}"
        ).status_code
        for i in range(24)
    ]
    assert 429 in statuses


def test_many_attempts_at_the_same_moment_do_not_slip_through(authsvc, admin):
    def try_it(i):
        body = {"username": "victim", "password": "wrong"}
        return authsvc.call("POST", "/session/login", body, address=f"192.0.2.{i}").status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(try_it, range(60)))
    assert statuses.count(401) <= 33
    assert set(statuses) == {401, 429}


def test_the_right_password_starts_the_count_anew(authsvc, admin):
    for _ in range(3):
        for _ in range(4):
            authsvc.call("POST", "/session/login", {"username": ADMIN, "password": "wrong"})
        authsvc.log_in()


def test_after_a_flood_from_an_address_people_there_can_log_in_one_after_the_other(authsvc, admin, auth_db):
    for i in range(24):
        authsvc.call("POST", "/session/login", {"username": f"user{i}", "password": "wrong"})
    auth_db["attempts"].update_one({"_id": "address:192.0.2.1"}, {"$unset": {"open_at": ""}})  # the wait is over
    for _ in range(3):
        authsvc.log_in()


def test_quiet_makes_an_address_free_again(authsvc, admin, auth_db):
    for i in range(24):
        authsvc.call("POST", "/session/login", {"username": f"user{i}", "password": "wrong"})
    long_ago = datetime.now(UTC) - timedelta(minutes=16)
    auth_db["attempts"].update_one({"_id": "address:192.0.2.1"}, {"$set": {"last_at": long_ago, "open_at": long_ago}})
    statuses = [
        authsvc.call("POST", "/session/login", {"username": f"later{i}", "password": "wrong"}).status_code
        for i in range(10)
    ]
    assert statuses == [401] * 10


def test_what_could_not_be_tried_does_not_count_as_failed(authsvc, admin):
    waiting = authsvc.service.accounts._hasher._waiting
    taken = 0
    while waiting.acquire(blocking=False):  # as if so many logins were waiting for a core already
        taken += 1
    try:
        for _ in range(8):
            answer = authsvc.call("POST", "/session/login", {"username": ADMIN, "password": PASSWORD})
            assert (answer.status_code, bool(answer.headers["Retry-After"])) == (503, True)
    finally:
        for _ in range(taken):
            waiting.release()
    assert authsvc.log_in()
