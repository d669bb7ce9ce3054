"""What the REST API answers with: types, headers, and a product that is made once however often it is asked for."""

import uuid

import pytest
import requests

from tests.support.site import TIMEOUT_SECONDS, is_problem


@pytest.fixture(scope="module")
def token(site):
    return site.token()


@pytest.fixture
def body():
    return {"name": f"Leche {uuid.uuid4()}", "price": "0.95", "tags": ["a"]}


@pytest.mark.parametrize("accepted", ["application/xml", "text/html", "image/*", "application/json;q=0"])
@pytest.mark.parametrize("path", ["/products", "/products/by-name?name=x", f"/products/{uuid.uuid4()}", "/shards"])
def test_a_type_that_cannot_be_made_is_refused(site, token, path, accepted):
    is_problem(site.call("GET", path, token=token, Accept=accepted), 406, "not_acceptable")


@pytest.mark.parametrize("accepted", ["*/*", "application/*", "application/json", "text/html, */*;q=0.1", ""])
def test_json_is_what_anybody_else_gets(site, token, accepted):
    answer = site.call("GET", "/products?limit=1", token=token, Accept=accepted)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_nothing_is_written_for_who_cannot_read_the_answer(site, token, body):
    is_problem(site.call("POST", "/products", body, token=token, Accept="text/csv"), 406)
    found = site.call("GET", f"/products/by-name?name={body['name']}", token=token)
    is_problem(found, 404, "product_not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/products", {"GET", "POST", "HEAD", "OPTIONS"}),
        ("POST", "/products/export", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/products/bulk/edit", {"POST", "OPTIONS"}),
    ],
)
def test_a_method_that_is_not_there_is_told_which_are(site, token, method, path, allowed):
    answer = site.call(method, path, {}, token=token)
    is_problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) == allowed


def test_the_same_key_is_the_same_product_with_the_same_answer(site, token, body):
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first = site.call("POST", "/products", body, token=token, **key)
    assert first.status_code == 201
    path = f"/products/{first.json()['id']}"
    assert site.call("PATCH", path, {"stock": 3}, token=token, **{"If-Match": '"1"'}).status_code == 200
    again = site.call("POST", "/products", body, token=token, **key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert {n: again.headers[n] for n in ("ETag", "Location")} == {n: first.headers[n] for n in ("ETag", "Location")}
    other = site.call("POST", "/products", {**body, "price": "1"}, token=token, **key)
    is_problem(other, 422, "idempotency_key_reused")
    assert site.call("GET", path, token=token).json()["version"] == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "é".encode().decode("latin-1")])
def test_odd_keys_are_refused(site, token, body, key):
    answer = requests.post(
        f"{site.url}/api/v1/products",
        json=body,
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": key.encode("latin-1")},
        timeout=TIMEOUT_SECONDS,
    )
    is_problem(answer, 400, "unreadable_input")


def test_a_key_and_an_id_are_one_too_many(site, token, body):
    answer = site.call("POST", "/products", {**body, "id": str(uuid.uuid4())}, token=token, **{"Idempotency-Key": "k"})
    is_problem(answer, 422, "invalid_input")


def test_every_product_route_has_an_example_and_says_every_header(site):
    document = requests.get(f"{site.url}/api/openapi.json", timeout=TIMEOUT_SECONDS).json()
    assert document["openapi"] == "3.1.0"
    for path, operations in document["paths"].items():
        if path.startswith("/api/v1/products"):
            for method, operation in operations.items():
                where = f"{method} {path}"
                assert operation["summary"], where
                assert {"401", "403", "406", "503"} <= operation["responses"].keys(), where
                if "requestBody" in operation:
                    assert "example" in operation["requestBody"]["content"]["application/json"], where
                    assert {"400", "413", "415", "422"} <= operation["responses"].keys(), where
