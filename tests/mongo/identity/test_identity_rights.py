"""The table of rights, run: every role on every route of both services."""

import pytest

from prodcore.identity.rights import Right, Role, rights_of
from prodcore.identity.routes import ROUTES, right_for
from tests.support.identity import ADMIN
from tests.support.routes import address, rules

NOBODY = "nobody"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
API = [(row, method) for row in ROUTES for method in row.methods if row.rule.startswith("/api/v1/")]
GUARDED = [(row, method) for row, method in API if row.right is not Right.PUBLIC]


def test_every_route_of_both_services_has_a_row(running_authsvc, running_workers):
    served = rules(running_authsvc.app) | rules(running_workers[0].app)
    assert {(rule, method) for rule, method in served if right_for(rule, method) is None} == set()


def test_every_row_of_the_api_is_served(running_authsvc, running_workers):
    served = rules(running_authsvc.app) | rules(running_workers[0].app)
    listed = {(row.rule, method) for row, method in API}
    assert {(r, m) for r, m in listed - served if m != "PUT"} == set()


@pytest.fixture
def people(authsvc, admin):
    """A token of each role."""
    tokens = {}
    for role in Role:
        if role is not Role.ADMIN:
            authsvc.add(str(role), role, token=admin["access_token"])
            tokens[role] = authsvc.log_in(str(role))["access_token"]
    tokens[Role.ADMIN] = admin["access_token"]
    return tokens


def test_each_role_may_what_the_table_says_and_nothing_else(authsvc, people, workers, raw_products):
    for token in people.values():
        authsvc.prove(token)
        workers[0].proofs[token] = authsvc.proofs[token]
    served = rules(workers[0].app)
    wrong = []
    for row, method in GUARDED:
        if (row.rule, method) not in served or row.right is Right.SERVICE:
            continue
        path = address(row.rule)
        if method == "POST" and path == "/keys":
            continue  # the admin would rotate; the others are tried below
        statuses = {NOBODY: workers[0].call(method, path, {}).status_code}
        for role, token in people.items():
            if method == "DELETE" and path == "/account/sessions" and role is Role.ADMIN:
                continue  # harmless, but the loop needs its sessions
            statuses[role] = workers[0].call(method, path, {}, token=token).status_code
        for who, status in statuses.items():
            allowed = who != NOBODY and row.right in rights_of(who)
            fits = status not in (401, 403) if allowed else status == (401 if who == NOBODY else 403)
            if allowed and row.right is Right.ACCOUNT:
                fits = status != 403
            if not fits or status >= 500:
                wrong.append((method, row.rule, str(who), status))
    assert wrong == []


def test_authsvc_checks_rights_by_itself(authsvc, people):
    """A webapp that forgets to check gives nobody anything."""
    wrong = []
    for row, method in GUARDED:
        if (row.rule, method) not in rules(authsvc.app) or row.right in (Right.SERVICE, Right.ACCOUNT):
            continue
        path = address(row.rule)
        if authsvc.call(method, path, {}).status_code != 401:
            wrong.append((method, path, NOBODY))
        for role in (Role.VIEWER, Role.EDITOR, Role.OPERATOR):
            status = authsvc.call(method, path, {}, token=people[role]).status_code
            if status != (403 if row.right not in rights_of(role) else status):
                wrong.append((method, path, str(role), status))
    assert wrong == []


def test_what_is_between_the_services_is_not_served_by_webapp(workers, people):
    for row, method in API:
        if row.right is Right.SERVICE:
            status = workers[0].call(method, address(row.rule), {}, token=people[Role.ADMIN]).status_code
            assert status == 404


def test_head_and_options_give_nothing_away(workers, people):
    for method in ("HEAD", "OPTIONS"):
        assert workers[0].call(method, "/users").status_code == 401
        assert workers[0].call(method, "/users", token=people[Role.VIEWER]).status_code == 403


def test_nobody_raises_their_own_role(authsvc, people, workers):
    for role in (Role.VIEWER, Role.EDITOR, Role.OPERATOR):
        body = {"role": "admin"}
        assert workers[0].call("PATCH", f"/users/{role}", body, token=people[role]).status_code == 403
        assert authsvc.call("PATCH", f"/users/{role}", body, token=people[role]).status_code == 403


def test_bearer_is_the_only_way_into_the_api(workers, admin):
    token = admin["access_token"]
    for headers in (
        {"Cookie": f"prodctl={token}"},
        {"Cookie": f"session={token}"},
        {"Authorization": token},
        {"Authorization": f"Basic {token}"},
        {"X-Access-Token": token},
    ):
        assert workers[0].call("GET", "/users", headers=headers).status_code == 401
    assert workers[0].call("GET", f"/users?access_token={token}").status_code == 401


@pytest.mark.parametrize(
    "bad", ["x", "Bearer", "Bearer ", "bearer x.y.z", "Bearer \u00ff", "Bearer " + "a" * 9000], ids=ascii
)
def test_a_garbled_header_is_401_never_500(workers, admin, bad):
    assert workers[0].call("GET", "/users", headers={"Authorization": bad}).status_code == 401
    assert workers[0].call("GET", "/session", headers={"Authorization": bad}).status_code == 401


def test_names_of_users_in_paths_are_taken_literally(authsvc, admin, workers):
    for name in ("$ne", "{}", "../tokens", "%2e%2e", ADMIN + "\0", "a/b", "*", ".*"):
        from urllib.parse import quote

        answer = workers[0].call("GET", f"/users/{quote(name, safe='')}", token=admin["access_token"])
        assert answer.status_code == 404, name
