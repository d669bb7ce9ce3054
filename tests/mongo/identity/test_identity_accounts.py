"""Administering accounts: the last admin, reset codes, invitations, second factor, service tokens, audit."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from prodcore.errors import LastAdmin, ProdError
from prodcore.identity.rights import Role
from tests.support.faults import failing
from tests.support.identity import ADMIN, OTHER_PASSWORD, PASSWORD
from tests.support.waiting import wait_until


def test_names_that_fold_alike_are_one_user(authsvc, admin):
    token = admin["access_token"]
    authsvc.add("José", token=token)
    for twin in ("jose", "JOSÉ", "Jose\u0301"):
        body = {"username": twin, "password": PASSWORD}
        answer = authsvc.call("POST", "/users", body, token=token)
        assert (answer.status_code, answer.json()["code"]) == (409, "user_exists")
    authsvc.add("ana", token=token)
    assert authsvc.call("PATCH", "/users/ana", {"username": "JOSE"}, token=token).status_code == 409


def test_fifty_at_once_make_one_user_of_one_name(authsvc, admin):
    def add(i):
        body = {"username": ("ana", "ANA", "Aná")[i % 3], "password": PASSWORD}
        return authsvc.call("POST", "/users", body, token=admin["access_token"]).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(add, range(20)))
    assert sorted(statuses) == [201] + [409] * 19


@pytest.mark.parametrize(
    ("method", "body"),
    [("PATCH", {"role": "operator"}), ("PATCH", {"disabled": True}), ("DELETE", None)],
    ids=["demote", "disable", "remove"],
)
def test_the_last_admin_stays(authsvc, admin, method, body):
    token = admin["access_token"]
    answer = authsvc.call(method, f"/users/{ADMIN}", body, token=token)
    assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    authsvc.add("second", "admin", token=token)
    assert authsvc.call(method, "/users/second", body, token=token).status_code < 300
    assert authsvc.call(method, f"/users/{ADMIN}", body, token=token).status_code == 409


def test_admins_who_demote_each_other_leave_one(authsvc, admin, auth_db):
    names = [ADMIN, "second", "third"]
    for name in names[1:]:
        authsvc.add(name, "admin", token=admin["access_token"])
    accounts = authsvc.service.accounts

    def demote(name):
        try:
            return accounts.change(name, {"role": Role.VIEWER})
        except ProdError as error:
            return error.code

    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(demote, names))
    assert outcomes.count("last_admin") == 1, outcomes
    assert auth_db["users"].count_documents({"role": "admin"}) == 1


def test_a_change_that_was_decided_before_a_promotion_leaves_an_admin(authsvc, admin, monkeypatch):
    authsvc.add("second", token=admin["access_token"])
    accounts = authsvc.service.accounts
    before = accounts.get("second")
    accounts.change("second", {"role": Role.ADMIN})
    accounts.change(ADMIN, {"role": Role.VIEWER})
    monkeypatch.setattr(accounts, "get", lambda _name: before)
    for take_power in (lambda: accounts.change("second", {"disabled": True}), lambda: accounts.remove("second")):
        with pytest.raises(LastAdmin):
            take_power()


def test_a_removal_whose_answer_is_lost_is_done(authsvc, admin, raw_clients):
    authsvc.add("ana", token=admin["access_token"])
    authsvc.add("eva", "admin", token=admin["access_token"])
    lost = {"code": 64, "errmsg": "made by a fail point"}
    for name in ("ana", "eva"):
        with failing(raw_clients["rsU"], ["commitTransaction"], writeConcernError=lost):
            assert authsvc.call("DELETE", f"/users/{name}", token=admin["access_token"]).status_code == 204
    with failing(raw_clients["rsU"], ["findAndModify"], writeConcernError=lost):
        body = {"old_password": PASSWORD, "new_password": OTHER_PASSWORD}
        assert authsvc.call("POST", "/account/password", body, token=admin["access_token"]).status_code == 204


def test_a_removed_name_is_free_again_and_the_old_tokens_stay_dead(authsvc, admin):
    token = admin["access_token"]
    authsvc.add("ana", token=token)
    old = authsvc.log_in("ana")
    assert authsvc.call("DELETE", "/users/ana", token=token).status_code == 204
    assert authsvc.call("GET", "/users/ana", token=token).status_code == 404
    assert {u["username"] for u in authsvc.call("GET", "/users", token=token).json()["items"]} == {ADMIN}
    authsvc.add("ana", token=token)
    assert authsvc.call("POST", "/session/refresh", {"refresh_token": old["refresh_token"]}).status_code == 401
    assert authsvc.log_in("ana")


def test_a_disabled_user_can_be_enabled_again(authsvc, admin):
    token = admin["access_token"]
    authsvc.add("ana", token=token)
    authsvc.call("PATCH", "/users/ana", {"disabled": True}, token=token)
    login = {"username": "ana", "password": PASSWORD}
    assert authsvc.call("POST", "/session/login", login).status_code == 401
    authsvc.call("PATCH", "/users/ana", {"disabled": False}, token=token)
    assert authsvc.log_in("ana")


def test_a_reset_code_sets_a_new_password_once(authsvc, admin, auth_db):
    token = admin["access_token"]
    authsvc.add("ana", token=token)
    session = authsvc.log_in("ana")
    code = authsvc.call("POST", "/users/ana/reset", token=token).json()["code"]
    assert code not in str(list(auth_db["users"].find()))
    body = {"username": "ana", "code": code, "password": OTHER_PASSWORD}
    assert authsvc.call("POST", "/reset", {**body, "code": "wrong"}).status_code == 401
    assert authsvc.call("POST", "/reset", {**body, "username": "nobody"}).status_code == 401
    weak = authsvc.call("POST", "/reset", {**body, "password": "short"})
    assert weak.status_code == 422, "the code is still good after a password that was refused"
    assert authsvc.call("POST", "/reset", body).status_code == 204
    assert authsvc.call("POST", "/reset", body).status_code == 401
    assert authsvc.log_in("ana", OTHER_PASSWORD)
    assert authsvc.call("POST", "/session/refresh", {"refresh_token": session["refresh_token"]}).status_code == 401


def test_a_reset_code_that_comes_twice_at_once_sets_one_password(authsvc, admin, monkeypatch):
    authsvc.add("ana", token=admin["access_token"])
    code = authsvc.call("POST", "/users/ana/reset", token=admin["access_token"]).json()["code"]
    users = authsvc.service.stores.users
    seen = users.find("ana")
    monkeypatch.setattr(users, "find", lambda _name: seen)
    body = {"username": "ana", "code": code, "password": OTHER_PASSWORD}
    answers = [authsvc.call("POST", "/reset", body).status_code for _ in range(2)]
    assert answers == [204, 401]


def test_a_reset_code_ends_after_a_day(authsvc, admin, auth_db):
    authsvc.add("ana", token=admin["access_token"])
    code = authsvc.call("POST", "/users/ana/reset", token=admin["access_token"]).json()["code"]
    past = datetime.now(UTC) - timedelta(seconds=1)
    auth_db["users"].update_one({"username": "ana"}, {"$set": {"reset_expires_at": past}})
    body = {"username": "ana", "code": code, "password": OTHER_PASSWORD}
    assert authsvc.call("POST", "/reset", body).status_code == 401


def test_an_invitation_serves_once_and_says_the_role(authsvc, admin, monkeypatch):
    monkeypatch.setattr(authsvc.service.accounts, "registration", "invitation")
    body = {"username": "ana", "password": PASSWORD}
    assert authsvc.call("POST", "/register", body).status_code == 403
    token = admin["access_token"]
    code = authsvc.call("POST", "/invitations", {"role": "editor"}, token=token).json()["code"]
    taken = authsvc.call("POST", "/register", {**body, "username": ADMIN, "invitation": code})
    assert taken.status_code == 409
    answer = authsvc.call("POST", "/register", {**body, "invitation": code})
    assert (answer.status_code, answer.json()["user"]["role"]) == (201, "editor")
    again = authsvc.call("POST", "/register", {**body, "username": "eva", "invitation": code})
    assert again.status_code == 403


def test_open_registration_makes_viewers(authsvc, admin, monkeypatch):
    monkeypatch.setattr(authsvc.service.accounts, "registration", "open")
    answer = authsvc.call("POST", "/register", {"username": "ana", "password": PASSWORD})
    assert (answer.status_code, answer.json()["user"]["role"]) == (201, "viewer")


@pytest.fixture
def second_factor(authsvc, admin):
    """The admin with a second factor: the app and the recovery codes."""
    token = admin["access_token"]
    authsvc.prove(token)
    begun = authsvc.call("POST", "/account/second-factor", token=token).json()
    assert begun["uri"].startswith("otpauth://totp/prodctl:")
    app = pyotp.TOTP(begun["secret"])
    assert authsvc.call("PUT", "/account/second-factor", {"code": "000000"}, token=token).status_code == 401
    earlier = datetime.now(UTC) - timedelta(seconds=30)
    answer = authsvc.call("PUT", "/account/second-factor", {"code": app.at(earlier)}, token=token)
    assert answer.status_code == 200, answer.text
    return app, answer.json()["recovery_codes"]


def login(authsvc, **more):
    return authsvc.call("POST", "/session/login", {"username": ADMIN, "password": PASSWORD, **more})


def test_with_a_second_factor_the_password_alone_is_not_enough(authsvc, second_factor):
    app, _codes = second_factor
    asked = login(authsvc)
    assert (asked.status_code, asked.json()["code"]) == (401, "second_factor_required")
    wrong = authsvc.call("POST", "/session/login", {"username": ADMIN, "password": "wrong", "code": app.now()})
    assert wrong.json()["code"] == "not_authenticated"
    assert login(authsvc, code="123456").status_code == 401
    code = app.now()
    assert login(authsvc, code=code).status_code == 200
    assert login(authsvc, code=code).status_code == 401, "each code is good once"


def test_a_recovery_code_is_good_once(authsvc, second_factor, auth_db):
    _app, codes = second_factor
    assert len(set(codes)) == 10
    assert all(5 * len(code.replace("-", "")) >= 128 for code in codes), "bits, five a letter: kept by a plain hash"
    assert not any(code in str(list(auth_db["users"].find())) for code in codes)
    assert login(authsvc, code=codes[0].lower()).status_code == 200
    assert login(authsvc, code=codes[0]).status_code == 401
    assert login(authsvc, code=codes[1]).status_code == 200


def test_a_one_time_code_sets_a_password_and_leaves_the_second_factor(authsvc, admin, second_factor):
    app, codes = second_factor
    token = login(authsvc, code=app.now()).json()["access_token"]
    authsvc.prove(token, code=codes[0])
    code = authsvc.call("POST", f"/users/{ADMIN}/reset", token=token).json()["code"]
    body = {"username": ADMIN, "code": code, "password": OTHER_PASSWORD}
    assert authsvc.call("POST", "/reset", body).status_code == 204
    asked = authsvc.call("POST", "/session/login", {"username": ADMIN, "password": OTHER_PASSWORD})
    assert (asked.status_code, asked.json()["code"]) == (401, "second_factor_required")


def test_the_shared_secret_is_not_readable_in_the_database(authsvc, admin, auth_db):
    authsvc.prove(admin["access_token"])
    begun = authsvc.call("POST", "/account/second-factor", token=admin["access_token"]).json()
    assert begun["secret"] not in str(list(auth_db["users"].find()))


def test_a_second_factor_allows_a_shorter_password(authsvc, second_factor):
    app, _codes = second_factor
    tokens = login(authsvc, code=app.now()).json()
    codes = iter(_codes)
    for new, status in (("zq7!Lm2x#W", 204), ("x7!", 422)):
        old = PASSWORD if status == 204 else "zq7!Lm2x#W"
        body = {"old_password": old, "new_password": new, "code": next(codes)}
        answer = authsvc.call("POST", "/account/password", body, token=tokens["access_token"])
        assert answer.status_code == status, answer.text


def test_removing_the_second_factor_needs_the_password(authsvc, second_factor):
    app, _codes = second_factor
    token = login(authsvc, code=app.now()).json()["access_token"]
    path = "/account/second-factor"
    assert authsvc.call("DELETE", path, {"password": "wrong"}, token=token).status_code == 401
    asked = authsvc.call("DELETE", path, {"password": PASSWORD}, token=token)
    assert (asked.status_code, asked.json()["code"]) == (401, "second_factor_required")
    assert authsvc.call("DELETE", path, {"password": PASSWORD, "code": _codes[0]}, token=token).status_code == 204
    assert login(authsvc).status_code == 200


def test_an_admin_can_take_a_lost_second_factor_away(authsvc, admin, second_factor):
    app, _codes = second_factor
    token = login(authsvc, code=app.now()).json()["access_token"]
    authsvc.add("second", "admin", token=token)
    other = authsvc.log_in("second")["access_token"]
    authsvc.prove(other)
    assert authsvc.call("DELETE", f"/users/{ADMIN}/second-factor", token=other).status_code == 204
    assert login(authsvc).status_code == 200


def test_admins_can_be_made_to_have_a_second_factor(authsvc, admin, monkeypatch, workers):
    monkeypatch.setattr(authsvc.service.sessions, "_admin_second_factor", True)
    tokens = authsvc.log_in()
    assert workers[0].call("GET", "/session", token=tokens["access_token"]).json["role"] == "operator"
    assert workers[0].call("GET", "/users", token=tokens["access_token"]).status_code == 403
    authsvc.prove(tokens["access_token"])
    begun = authsvc.call("POST", "/account/second-factor", token=tokens["access_token"]).json()
    body = {"code": pyotp.TOTP(begun["secret"]).now()}
    assert authsvc.call("PUT", "/account/second-factor", body, token=tokens["access_token"]).status_code == 200
    fresh = authsvc.call("POST", "/session/refresh", {"refresh_token": tokens["refresh_token"]}).json()
    assert workers[0].call("GET", "/users", token=fresh["access_token"]).status_code == 200


def make_token(authsvc, admin, **more):
    body = {"name": "nightly", "scopes": ["products:read", "drill:run"], **more}
    answer = authsvc.call("POST", "/tokens", body, token=admin["access_token"])
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_service_token_may_what_its_scopes_say(authsvc, admin, workers, auth_db):
    made = make_token(authsvc, admin)
    assert made["token"] not in str([list(auth_db[n].find()) for n in auth_db.list_collection_names()])
    for worker in workers:
        who = worker.call("GET", "/session", token=made["token"]).json
        assert (who["username"], who["role"], who["rights"]) == ("nightly", None, ["drill:run", "products:read"])
        assert worker.call("GET", "/users", token=made["token"]).status_code == 403
        assert worker.call("GET", "/account/sessions", token=made["token"]).status_code == 403
        assert worker.call("POST", "/products", {"name": "x", "price": "1"}, token=made["token"]).status_code == 403
    listed = authsvc.call("GET", "/tokens", token=admin["access_token"]).json()["items"]
    assert listed[0]["last_used_at"]
    assert "token" not in listed[0]


def test_a_revoked_service_token_is_refused_on_every_worker(authsvc, admin, workers):
    made = make_token(authsvc, admin)
    assert [worker.status(made["token"]) for worker in workers] == [200, 200]
    assert workers[0].call("DELETE", "/tokens/nightly", token=admin["access_token"]).status_code == 204
    wait_until(lambda: all(w.status(made["token"]) == 401 for w in workers), "refused", seconds=5)
    assert authsvc.call("DELETE", "/tokens/nightly", token=admin["access_token"]).status_code == 404
    assert make_token(authsvc, admin)["token"] != made["token"]


def test_a_service_token_ends(authsvc, admin, workers, auth_db):
    made = make_token(authsvc, admin)
    past = datetime.now(UTC) - timedelta(seconds=1)
    auth_db["service_tokens"].update_one({"name": "nightly"}, {"$set": {"expires_at": past}})
    assert workers[0].status(made["token"]) == 401


def test_a_service_token_that_was_seen_works_on_without_authsvc(authsvc, admin, workers):
    made = make_token(authsvc, admin)
    unseen = make_token(authsvc, admin, name="other")["token"]
    assert workers[0].status(made["token"]) == 200
    with authsvc.down():
        wait_until(lambda: workers[0].trust.unreachable_since, "the worker notices")
        assert workers[0].status(made["token"]) == 200
        assert workers[0].status(unseen) == 503


@pytest.mark.parametrize("scopes", [[], ["public"], ["account"], ["service"], ["nonsense"], "products:read"], ids=str)
def test_a_service_token_gets_no_other_scopes(authsvc, admin, scopes):
    body = {"name": "job", "scopes": scopes}
    assert authsvc.call("POST", "/tokens", body, token=admin["access_token"]).status_code == 422


@pytest.mark.parametrize("token", ["prodctl_", "prodctl_x", "prodctl_" + "x" * 43, "prodctl_\0"], ids=ascii)
def test_an_unknown_service_token_is_refused(workers, token):
    assert workers[0].status(token) in (401, 422)


def test_the_audit_says_who_did_what_to_whom_and_no_secrets(authsvc, admin, workers):
    headers = {"X-Request-ID": "audit-me", "User-Agent": "test\x1b[31m agent"}
    token = admin["access_token"]
    body = {"username": "ana", "password": PASSWORD, "role": "editor"}
    assert workers[0].call("POST", "/users", body, token=token, headers=headers).status_code == 201
    workers[0].call("POST", "/session/login", {"username": "ana", "password": OTHER_PASSWORD})
    entries = workers[0].call("GET", "/audit", token=token).json["items"]
    added = next(e for e in entries if e["action"] == "user.add")
    assert (added["by"], added["subject"], added["request_id"]) == (ADMIN, "ana", "audit-me")
    assert (added["outcome"], added["details"]) == ("done", {"role": "editor"})
    assert added["address"] == "127.0.0.1"
    failed = next(e for e in entries if e["action"] == "session.login")
    assert (failed["subject"], failed["outcome"]) == ("ana", "not_authenticated")
    for secret in (PASSWORD, OTHER_PASSWORD, token, admin["refresh_token"]):
        assert secret not in str(entries)
    only = workers[0].call("GET", "/audit?action=user.add&limit=1", token=token).json["items"]
    assert [e["id"] for e in only] == [added["id"]]
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert workers[0].call("GET", f"/audit?since={later:%Y-%m-%dT%H:%M:%SZ}", token=token).json["items"] == []
    assert workers[0].call("GET", "/audit?since=yesterday", token=token).status_code == 422


def test_the_audit_says_who_logged_in_and_out_also_of_the_first_admin(authsvc, admin, workers):
    body = {"username": "ana", "password": PASSWORD, "role": "editor"}
    assert authsvc.call("POST", "/users", body, token=admin["access_token"]).status_code == 201
    ana = authsvc.call("POST", "/session/login", {"username": "ANA", "password": PASSWORD}).json()
    authsvc.call("POST", "/session/login", {"username": "ana", "password": OTHER_PASSWORD})
    authsvc.call("POST", "/session/logout", {"refresh_token": ana["refresh_token"]})

    def done(query):
        entries = workers[0].call("GET", f"/audit?{query}", token=admin["access_token"]).json["items"]
        return [(e["action"], e["by"], e["outcome"]) for e in entries]

    assert done("action=session.login&by=ana") == [("session.login", "ana", "done")]
    assert done("action=session.login&subject=ana")[0] == ("session.login", "", "not_authenticated")
    (entry,) = workers[0].call("GET", "/audit?action=session.login&by=ana", token=admin["access_token"]).json["items"]
    assert entry["details"] == {"second_factor": "none"}
    assert done("action=session.logout") == [("session.logout", "ana", "done")]
    assert done(f"by={ADMIN}&action=session.login") == [("session.login", ADMIN, "done")]
    assert done("action=user.set_up") == [("user.set_up", ADMIN, "done")]
    users = workers[0].call("GET", "/users", token=admin["access_token"]).json["items"]
    assert all(user["last_login_at"] for user in users)


def test_changes_of_products_reach_the_audit(authsvc, admin, workers, raw_products):
    token = admin["access_token"]
    product = workers[0].call("POST", "/products", {"name": "Arroz", "price": "1.20"}, token=token)
    assert product.status_code == 201, product.json
    assert workers[0].call("POST", "/products", {"name": "Arroz", "price": "1.20"}, token=token).status_code == 409

    def entries(query="action=product.add"):
        return workers[0].call("GET", f"/audit?{query}", token=token).json["items"]

    wait_until(entries, "the entry arrives")
    product_id = product.json["id"]
    assert [(e["by"], e["subject"]) for e in entries()] == [(ADMIN, product_id)]
    for beginning in (product_id, product_id[:8], product_id[:13]):
        assert [e["subject"] for e in entries(f"subject={beginning}")] == [product_id]
    assert entries(f"subject={product_id[:7]}") == entries(f"subject={product_id[:8]}0") == []


def test_the_audit_is_only_ever_added_to(authsvc, admin, audit):
    before = list(audit.find())
    authsvc.log_in()
    after = {e["_id"]: e for e in audit.find()}
    assert len(after) == len(before) + 1
    assert all(after[e["_id"]] == e for e in before)


def test_authsvc_itself_may_not_change_the_audit(authsvc, admin, audit, cluster):
    with MongoClient(cluster.addresses("auth")["db3_url"].get_secret_value()) as client:
        mine = client["audit_db"]["audit"]
        entry = mine.find_one()
        for change in (
            lambda: mine.delete_many({}),
            lambda: mine.update_one({"_id": entry["_id"]}, {"$set": {"by": "somebody"}}),
            mine.drop,
            lambda: mine.rename("other"),
            lambda: client["audit_db"].command("collMod", "audit", validator={}),
            lambda: client.drop_database("audit_db"),
        ):
            with pytest.raises(OperationFailure) as refused:
                change()
            assert refused.value.code == 13
    assert audit.find_one({"_id": entry["_id"]}) == entry


def test_an_audit_entry_that_is_sent_twice_is_kept_once(authsvc, admin, audit):
    event = {"id": "a" * 32, "at": datetime.now(UTC).isoformat(), "action": "product.add", "by": ADMIN}
    for _ in range(2):
        assert authsvc.call("POST", "/trust", {"since": None, "events": [event]}).status_code == 200
    assert audit.count_documents({"_id": "a" * 32}) == 1
