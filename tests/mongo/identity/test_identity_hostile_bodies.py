"""Every route of both services with bodies, queries and headers that no client of ours sends: never a 5xx."""

import pytest

from prodcore.identity.rights import Right
from prodcore.identity.routes import ROUTES
from tests.support.identity import SERVICE_SECRET
from tests.support.routes import address, rules

NUMBERS = ["1e9999999999999999999", "-1E-9999999999999999999", "0e-60000000", "1e400", "9" * 5000, "0." + "9" * 5000]
BODIES = [
    *(f'{{"username": {number}, "price": {number}, "days": {number}, "limit": {number}}}' for number in NUMBERS),
    *NUMBERS,
    '{"a": [[{"b": 1e9999999999999999999}]]}',
    '{"username": NaN}',
    '{"username": Infinity}',
    '{"username": "a", "username": "b"}',
    '{"username": "\\ud800"}',
    "[" * 100_000,
    '{"a":' * 50_000,
    "null",
    "[]",
    '"x"',
    "{}",
    "",
    "{",
    "\ufeff{}",
    "\0",
    '{"$where": "sleep(1000)", "username": {"$ne": null}, "password": {"$gt": ""}}',
]
HEADERS = [
    {"If-Match": '"99999999999999999999999999"'},
    {"If-Match": '"' + "9" * 5000 + '"'},
    {"Idempotency-Key": "x" * 300},
    {"X-Budget-Seconds": "nan"},
    {"X-Budget-Seconds": "1e999"},
    {"X-Proof": "9" * 5000},
    {"X-Known-Device": "~" * 5000},
    {"Range": "bytes=0-9999999999999999999"},
]
QUERIES = [
    f"{name}={value}"
    for name in ("limit", "price_min", "stock_max", "cursor", "since", "before", "name", "sort")
    for value in ("1e9999999999999999999", "9" * 5000, "0e-60000000", "NaN", "%00", "[]")
]


def routes(app):
    served = rules(app)
    return [
        (method, row.rule)
        for row in ROUTES
        for method in row.methods
        if (row.rule, method) in served and row.right is not Right.SERVICE and "events" not in row.rule
    ]


def test_no_body_makes_a_route_of_webapp_fail(authsvc, admin, workers):
    app = workers[0].app
    failed = []
    client = app.test_client(use_cookies=False)
    headers = {"Authorization": f"Bearer {admin['access_token']}", "X-Proof": authsvc.proofs[admin["access_token"]]}
    for method, rule in routes(app):
        if not rule.startswith("/api/v1/") or method == "GET" or "session" in rule:
            continue
        path = f"/api/v1{address(rule)}"
        for body in BODIES:
            answer = client.open(path, method=method, data=body, headers=headers, content_type="application/json")
            if answer.status_code >= 500 or not answer.content_type.startswith("application/"):
                failed.append((method, rule, body[:60], answer.status_code))
    assert failed == []


def test_no_query_and_no_header_makes_a_route_of_webapp_fail(authsvc, admin, workers):
    app = workers[0].app
    failed = []
    client = app.test_client(use_cookies=False)
    headers = {"Authorization": f"Bearer {admin['access_token']}"}
    for method, rule in routes(app):
        if not rule.startswith("/api/v1/"):
            continue
        path = f"/api/v1{address(rule)}"
        asked = [f"{path}?{query}" for query in QUERIES] if method == "GET" else []
        for url, more in [*((url, {}) for url in asked), *((path, more) for more in HEADERS)]:
            answer = client.open(url, method=method, headers=headers | more, json=None if method == "GET" else {})
            if answer.status_code >= 500:
                failed.append((method, url[:80], list(more), answer.status_code))
    assert failed == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_body_makes_a_route_of_authsvc_fail(authsvc, admin, method):
    failed = []
    client = authsvc.app.test_client(use_cookies=False)
    token = admin["access_token"]
    headers = {"X-Service-Secret": SERVICE_SECRET, "Authorization": f"Bearer {token}", "X-Proof": authsvc.proofs[token]}
    for row in ROUTES:
        if (row.rule, method) not in rules(authsvc.app) or "logout" in row.rule:
            continue
        for body in BODIES:
            answer = client.open(
                f"/api/v1{address(row.rule)}",
                method=method,
                data=body,
                headers=headers,
                content_type="application/json",
            )
            if answer.status_code >= 500:
                failed.append((method, row.rule, body[:60], answer.status_code))
    assert failed == []
