"""Attacks on accounts: guessing, keeping owners out, and what a stolen session alone must not do."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from authsvc.limits import KnownDevices, LoginLimits
from authsvc.sessions import Caller
from prodcore.errors import NotAuthenticated, TooManyAttempts
from prodcore.identity.routes import IDENTITY_ROUTES
from tests.support.identity import ADMIN, OTHER_PASSWORD, PASSWORD

ADDRESSES = [f"10.{i >> 8}.{i & 255}.1" for i in range(1000)]
SHORT = "zq7!Lm2x#W"  # long enough beside a second factor alone


class Clock:
    def __init__(self):
        self.now = datetime.now(UTC) + timedelta(days=2)  # no count of other tests is recent, none is purged

    def __call__(self):
        return self.now


def guess(limits, address, own=""):
    """Seconds to wait, 0 where a wrong password was judged."""
    try:
        with limits.attempt(address, "victim", own):
            raise NotAuthenticated
    except TooManyAttempts as error:
        return error.details["retry_after_seconds"]
    except NotAuthenticated:
        return 0


def test_a_thousand_addresses_guess_at_most_a_hundred_times_an_hour(authsvc):
    clock = Clock()
    limits = LoginLimits(authsvc.service.stores.attempts, clock)
    judged = []
    for second in range(0, 2 * 3600, 6):
        clock.now += timedelta(seconds=6)
        wait = guess(limits, ADDRESSES[(second // 6) % 1000])
        assert wait <= 60
        if not wait:
            judged.append(second)
    worst = max(sum(1 for s in judged if start <= s < start + 3600) for start in judged)
    assert 50 < worst <= 100
    with limits.attempt("192.0.2.7", "victim", own="victims-device"):
        pass  # the owner's own device is let in meanwhile


def test_a_device_guesses_no_more_than_a_stranger(authsvc):
    clock = Clock()
    limits = LoginLimits(authsvc.service.stores.attempts, clock)
    judged = 0
    for _ in range(1200):
        clock.now += timedelta(seconds=3)
        judged += guess(limits, "192.0.2.9", own="stolen-device") == 0
    assert judged <= 30


def wrong(authsvc, count, **more):
    for i in range(count):
        body = {"username": ADMIN, "password": "wrong"}
        authsvc.call("POST", "/session/login", body, address=f"198.51.{i // 250}.{i % 250}", **more)


def test_strangers_keep_no_owner_out(authsvc, admin):
    first = authsvc.log_in()
    code = authsvc.call("POST", f"/users/{ADMIN}/reset", token=admin["access_token"]).json()["code"]
    wrong(authsvc, 40)
    body = {"username": ADMIN, "password": PASSWORD}
    stranger = authsvc.call("POST", "/session/login", body, address="203.0.113.5")
    assert stranger.status_code == 429
    assert int(stranger.headers["Retry-After"]) <= 60
    known = {"X-Known-Device": f"x.y~{first['device']}"}
    assert authsvc.call("POST", "/session/login", body, address="203.0.113.5", **known).status_code == 200
    change = {"old_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert authsvc.call("POST", "/account/password", change, token=admin["access_token"]).status_code == 204
    reset = {"username": ADMIN, "code": code, "password": PASSWORD}
    assert authsvc.call("POST", "/reset", reset, address="203.0.113.5").status_code == 401, "the change ended the code"


def test_a_right_reset_code_is_taken_whatever_strangers_do(authsvc, admin):
    code = authsvc.call("POST", f"/users/{ADMIN}/reset", token=admin["access_token"]).json()["code"]
    wrong(authsvc, 40)
    for i in range(40):
        body = {"username": ADMIN, "code": f"wrong{i}", "password": OTHER_PASSWORD}
        assert authsvc.call("POST", "/reset", body, address="203.0.113.5").status_code == 401
    reset = {"username": ADMIN, "code": code, "password": OTHER_PASSWORD}
    assert authsvc.call("POST", "/reset", reset, address="203.0.113.5").status_code == 204


def test_thirty_wrong_logins_from_the_one_address_of_all_cost_known_devices_nothing(authsvc, admin, workers):
    """Behind a proxy that tells no addresses everybody has one."""
    device = workers[0].call("POST", "/session/login", {"username": ADMIN, "password": PASSWORD}).json["device"]
    for i in range(30):
        workers[0].call("POST", "/session/login", {"username": f"other{i}", "password": "wrong"})
    body = {"username": ADMIN, "password": PASSWORD}
    assert workers[0].call("POST", "/session/login", body).status_code == 429
    assert workers[0].call("POST", "/session/login", body, headers={"X-Known-Device": device}).status_code == 200


def test_a_device_is_known_for_its_account_alone():
    devices = KnownDevices(b"k" * 32)
    made = devices.make("ana")
    assert devices.recognise("ana", f"junk~{made}~")
    assert devices.recognise("ana", made) == devices.recognise("ana", made)
    for forged in (made, "", "~", "x.y", made[:-1], made + "0", "é.ü", made.replace(".", "~")):
        assert not devices.recognise("bob", forged)


def test_a_stolen_session_alone_gets_no_access_that_lasts(authsvc, admin, workers):
    """The thief has an access token of somebody who has just logged in; not the password."""
    authsvc.add("eva", token=admin["access_token"])
    stolen = authsvc.log_in()["access_token"]
    bodies = {
        "begin_second_factor": None,
        "create_token": {"name": "mine", "scopes": ["users:manage"]},
        "invite": {"role": "admin"},
        "create_reset_code": None,
        "remove_second_factor_of": None,
    }
    assert {row.name for row in IDENTITY_ROUTES if row.proof} == set(bodies)
    for row in IDENTITY_ROUTES:
        if row.proof:
            path = row.rule.replace("<username>", "eva")
            for proof in ("", "0.00", "99999999999.00", "x", "1" * 500, "é"):
                headers = {"X-Proof": proof.encode().decode("latin-1")}
                for refused in (
                    authsvc.call(row.method, path, bodies[row.name], token=stolen, **headers).json(),
                    workers[0].call(row.method, path, bodies[row.name], token=stolen, headers=headers).json,
                ):
                    assert (refused["code"], refused["status"]) == ("proof_required", 403)
                    assert "/api/v1/account/proof" in refused["hint"]
    assert authsvc.call("GET", "/account/second-factor", token=stolen).json() == {"in_force": False}
    for path, body in (
        ("/account/password", {"old_password": "wrong", "new_password": OTHER_PASSWORD}),
        ("/account/proof", {"password": "wrong"}),
    ):
        assert authsvc.call("POST", path, body, token=stolen).status_code == 401


def test_a_proof_is_good_for_its_session_for_five_minutes_and_until_the_password_changes(authsvc, admin, monkeypatch):
    mine, other = authsvc.log_in()["access_token"], authsvc.log_in()["access_token"]
    proof = {"X-Proof": authsvc.prove(mine).json()["proof"]}
    assert authsvc.call("POST", "/invitations", {}, token=mine, **proof).status_code == 201
    assert authsvc.call("POST", "/invitations", {}, token=other, **proof).json()["code"] == "proof_required"
    later = datetime.now(UTC) + timedelta(minutes=5, seconds=1)
    with monkeypatch.context() as patched:
        patched.setattr(authsvc.service.own, "_clock", lambda: later)
        assert authsvc.call("POST", "/invitations", {}, token=mine, **proof).json()["code"] == "proof_required"
    change = {"old_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert authsvc.call("POST", "/account/password", change, token=mine).status_code == 204
    assert authsvc.call("POST", "/invitations", {}, token=mine, **proof).json()["code"] == "proof_required"


def test_a_service_token_gives_nobody_access_that_outlives_it(authsvc, admin, workers):
    body = {"name": "ci", "scopes": ["users:manage"]}
    made = authsvc.call("POST", "/tokens", body, token=admin["access_token"]).json()["token"]
    for path, given in (("/tokens", body | {"name": "second"}), ("/invitations", {}), (f"/users/{ADMIN}/reset", None)):
        assert workers[0].call("POST", path, given, token=made).status_code == 403
    assert workers[0].call("GET", "/users", token=made).status_code == 200


@pytest.fixture
def app(authsvc, admin):
    """The admin's authenticator, which is in force."""
    token = admin["access_token"]
    begun = authsvc.call("POST", "/account/second-factor", token=token).json()
    app = pyotp.TOTP(begun["secret"])
    code = app.at(datetime.now(UTC) - timedelta(seconds=30))
    app.codes = authsvc.call("PUT", "/account/second-factor", {"code": code}, token=token).json()["recovery_codes"]
    return app


def test_a_change_of_factors_ends_the_other_sessions_and_the_owner_is_told(authsvc, admin):
    mine, other = authsvc.log_in(), authsvc.log_in()
    authsvc.prove(mine["access_token"])
    begun = authsvc.call("POST", "/account/second-factor", token=mine["access_token"]).json()
    body = {"code": pyotp.TOTP(begun["secret"]).now()}
    codes = authsvc.call("PUT", "/account/second-factor", body, token=mine["access_token"]).json()["recovery_codes"]
    ended = authsvc.call("POST", "/session/refresh", {"refresh_token": other["refresh_token"]})
    assert ended.status_code == 401
    renewed = authsvc.call("POST", "/session/refresh", {"refresh_token": mine["refresh_token"]}).json()
    assert renewed["notices"] == []
    told = authsvc.log_in(code=codes[0])["notices"]
    assert [(n["what"], n["address"]) for n in told] == [("second_factor_added", "192.0.2.1")]
    assert authsvc.log_in(code=codes[1])["notices"] == []


def test_sessions_that_go_on_are_told_of_a_token_made_in_another_one(authsvc, admin):
    other = authsvc.log_in()
    body = {"name": "ci", "scopes": ["products:read"]}
    assert authsvc.call("POST", "/tokens", body, token=admin["access_token"]).status_code == 201
    told = authsvc.call("POST", "/session/refresh", {"refresh_token": other["refresh_token"]}).json()["notices"]
    assert [n["what"] for n in told] == ["token_made"]


def test_with_a_second_factor_the_password_alone_proves_nothing(authsvc, app):
    token = authsvc.log_in(code=app.codes[0])["access_token"]
    assert authsvc.prove(token).json()["code"] == "second_factor_required"
    assert authsvc.prove(token, code="000000").status_code == 401
    assert authsvc.prove(token, code=app.codes[1]).status_code == 201
    change = {"old_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert authsvc.call("POST", "/account/password", change, token=token).json()["code"] == "second_factor_required"
    assert authsvc.call("POST", "/account/password", {**change, "code": app.codes[2]}, token=token).status_code == 204


def test_removing_the_second_factor_leaves_no_password_below_the_policy(authsvc, app, auth_db):
    codes = iter(app.codes)
    token = authsvc.log_in(code=next(codes))["access_token"]
    change = {"old_password": PASSWORD, "new_password": SHORT, "code": next(codes)}
    assert authsvc.call("POST", "/account/password", change, token=token).status_code == 204
    body = {"password": SHORT, "code": next(codes)}
    refused = authsvc.call("DELETE", "/account/second-factor", body, token=token)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "password_too_short")
    tokens = authsvc.log_in(password=SHORT, code=next(codes))["access_token"]
    authsvc.prove(tokens, SHORT, code=next(codes))
    by_admin = authsvc.call("DELETE", f"/users/{ADMIN}/second-factor", token=tokens)
    assert (by_admin.status_code, "prodctl user reset" in by_admin.json()["hint"]) == (409, True)
    auth_db["users"].update_one({}, {"$unset": {"has_short_password": ""}})  # as an earlier version left it
    assert authsvc.call("DELETE", f"/users/{ADMIN}/second-factor", token=tokens).status_code == 409


def test_codes_of_the_second_factor_cannot_be_guessed_for_long(authsvc, app):
    def try_it(i):
        body = {"username": ADMIN, "password": PASSWORD, "code": f"{i:06}"}
        return authsvc.call("POST", "/session/login", body, address=f"192.0.2.{i}").status_code

    assert Counter(try_it(i) for i in range(20))[401] <= 7


@pytest.mark.parametrize("moment", ["change", "add"])
def test_a_login_by_a_password_that_changes_meanwhile_starts_nothing(authsvc, admin, auth_db, monkeypatch, moment):
    """Whoever knows the old password has no session that outlives it, however the two interleave."""
    stores, accounts = authsvc.service.stores, authsvc.service.accounts
    store = stores.users if moment == "change" else stores.sessions
    original = getattr(store, moment)

    def after_the_change(*arguments, **named):
        monkeypatch.setattr(store, moment, original)
        body = {"old_password": PASSWORD, "new_password": OTHER_PASSWORD}
        assert authsvc.call("POST", "/account/password", body, token=admin["access_token"]).status_code == 204
        return original(*arguments, **named)

    monkeypatch.setattr(store, moment, after_the_change)
    with pytest.raises(NotAuthenticated):
        accounts.log_in(ADMIN, PASSWORD, "", Caller("192.0.2.7"))
    live = auth_db["sessions"].find({"revoked_at": None})
    assert [session["_id"] for session in live] == [admin["session_id"]]
