"""The REST API as its callers see it, on the running system."""

import uuid

import pytest
import requests

from tests.support.site import TIMEOUT_SECONDS, is_problem


@pytest.fixture(scope="module")
def admin(site):
    return site.token()


@pytest.fixture(scope="module")
def viewer(site):
    return site.token("viewer")


@pytest.fixture
def product(site, admin):
    """A product of this test's own."""
    answer = site.call("POST", "/products", {"name": f"Leche {uuid.uuid4()}", "price": "0.95"}, token=admin)
    assert answer.status_code == 201
    return answer


def raw(site, admin, body, content_type="application/json", method="POST", path="/products"):
    headers = {"Authorization": f"Bearer {admin}", "Content-Type": content_type}
    return requests.request(method, f"{site.url}/api/v1{path}", data=body, headers=headers, timeout=TIMEOUT_SECONDS)


def test_created_product_says_where_it_is_and_which_version(site, admin, product):
    made = product.json()
    assert product.headers["Location"] == f"/api/v1/products/{made['id']}"
    assert product.headers["ETag"] == '"1"'
    assert (made["price"], made["currency"], made["shard"], made["updated_by"]) == ("0.95", "EUR", "rsA", "Ana")
    read = requests.get(
        site.url + product.headers["Location"], headers={"Authorization": f"Bearer {admin}"}, timeout=TIMEOUT_SECONDS
    )
    assert read.json() == made


def test_version_that_the_caller_has_is_not_sent_again(site, admin, product):
    answer = site.call("GET", f"/products/{product.json()['id']}", token=admin, **{"If-None-Match": '"1"'})
    assert (answer.status_code, answer.content) == (304, b"")


def test_edit_needs_the_version_that_was_seen(site, admin, product):
    path = f"/products/{product.json()['id']}"
    is_problem(site.call("PATCH", path, {"stock": 1}, token=admin), 428, "precondition_required")
    is_problem(site.call("PATCH", path, {"stock": 1}, token=admin, **{"If-Match": "*"}), 400, "unreadable_input")
    edited = site.call("PATCH", path, {"stock": 1}, token=admin, **{"If-Match": '"1"'})
    assert (edited.status_code, edited.headers["ETag"], edited.json()["stock"]) == (200, '"2"', 1)
    stale = site.call("PATCH", path, {"stock": 9}, token=admin, **{"If-Match": '"1"'})
    assert is_problem(stale, 412, "version_conflict")["version"] == 2


def test_delete_needs_the_version_that_was_seen(site, admin, product):
    path = f"/products/{product.json()['id']}"
    is_problem(site.call("DELETE", path, token=admin), 428)
    is_problem(site.call("DELETE", path, token=admin, **{"If-Match": '"7"'}), 412)
    assert site.call("DELETE", path, token=admin, **{"If-Match": '"1"'}).status_code == 204
    is_problem(site.call("GET", path, token=admin), 404, "product_deleted")


def test_create_repeated_with_its_id_is_one_product(site, admin):
    body = {"id": str(uuid.uuid4()), "name": f"Nata {uuid.uuid4()}", "price": 1}
    answers = [site.call("POST", "/products", body, token=admin) for _ in range(2)]
    assert [a.status_code for a in answers] == [201, 201]
    assert {a.json()["id"] for a in answers} == {body["id"]}


def test_name_in_another_spelling_is_taken(site, admin):
    name = f"Ñandú {uuid.uuid4()}"
    assert site.call("POST", "/products", {"name": name, "price": 1}, token=admin).status_code == 201
    is_problem(site.call("POST", "/products", {"name": name.upper(), "price": 1}, token=admin), 409, "product_exists")
    found = site.call("GET", "/products/by-name?name=" + name.lower(), token=admin)
    assert (found.json()["name"], found.json()["shard"]) == (name, "rsB")


def test_pages_follow_each_other_by_cursor_and_link(site, admin):
    word = f"x{uuid.uuid4().hex[:8]}"
    names = [f"{first} {word}" for first in ("Ajo", "Miel", "Nuez", "Ñora", "Ostra")]
    for name in names:
        site.call("POST", "/products", {"name": name, "price": 1}, token=admin)
    answer, seen = site.call("GET", f"/products?search={word}&limit=2", token=admin), []
    while True:
        seen += [item["name"] for item in answer.json()["items"]]
        if "next" not in answer.links:
            break
        assert answer.json()["next_cursor"] in answer.links["next"]["url"]
        answer = requests.get(
            site.url + answer.links["next"]["url"],
            headers={"Authorization": f"Bearer {admin}"},
            timeout=TIMEOUT_SECONDS,
        )
    assert seen == names
    assert (answer.json()["partial"], answer.json()["unavailable"]) == (False, [])


def test_batch_tells_of_each_item(site, admin):
    word = uuid.uuid4().hex
    items = [
        {"name": f"Ajo {word}", "price": "1.10"},
        {"name": f"Zumo {word}", "price": "1,10"},
        {"name": f"AJO {word}", "price": "2"},
        {"price": 1},
    ]
    answer = site.call("POST", "/products/batch", {"items": items}, token=admin)
    results = answer.json()["results"]
    assert [r["status"] for r in results] == ["created", "refused", "refused", "refused"]
    assert results[1]["errors"][0]["field"] == "price"
    assert results[2]["errors"][0]["code"] == "duplicate_in_batch"
    assert results[3]["errors"][0] == {"field": "name", "code": "missing", "message": "is required"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"name": "a", "price": NaN}', 400),
        (b'{"name": "a", "price": Infinity}', 400),
        (b'{"name": "a", "price": 1e999}', 400),
        (b'{"name": "a", "price": 1, "stock": 9223372036854775808}', 422),
        (b'{"name": "\\ud800", "price": 1}', 400),
        (b'{"na\\u0000me": "a", "price": 1}', 422),
        (b'{"name": "a\\u0000b", "price": 1}', 422),
        (b"[" * 100_000, 400),
        (b'{"name": "a", "name": "b", "price": 1}', 400),
        (b"null", 422),
        (b'"text"', 422),
        (b"[]", 422),
        (b"5", 422),
        (b'{"name": "a", "price": 1, "$gt": 1}', 422),
        (b'{"name": {"$ne": null}, "price": 1}', 422),
        (b'{"name": ["Arroz"], "price": 1}', 422),
        (b'{"name": "a", "price": 1, "a.b": 1}', 422),
        (b'{"name": "a", "price": 1, "": 1}', 422),
        (b'{"name": "a", "price": 1, "shard": "rsB"}', 422),
        (b'{"name": "a", "price": 1, "version": 7}', 422),
        (b'{"name": "a", "price": 1, "id": "zzz"}', 422),
        (b'{"name": "a", "price": 1, "id": {"$gt": ""}}', 422),
        ('{"name": "a", "price": 1}'.encode("utf-16"), 400),
        (b'\xef\xbb\xbf{"name": "a", "price": 1}', 400),
        (b'{"name": "caf\xe9", "price": 1}', 400),
        (b'{"name": "a", "price": ' + b"9" * 5000 + b"}", 400),
        (b'{"name": "", "price": 1}', 422),
        (b'{"name": "a", "price": "22,95 \xe2\x82\xac"}', 422),
        (b'{"name": "a", "price": true}', 422),
        (b'{"name": "a", "price": 1, "stock": "5"}', 422),
        (b"", 400),
        (b"{", 400),
    ],
)
def test_body_that_cannot_be_a_product_is_refused_with_a_reason(site, admin, body, status):
    problem = is_problem(raw(site, admin, body), status)
    assert problem["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_body_that_is_not_said_to_be_json_is_refused(site, admin, content_type):
    is_problem(raw(site, admin, b'{"name": "a", "price": 1}', content_type), 415)


def test_body_without_end_is_refused(site, admin):
    is_problem(raw(site, admin, b'{"name": "' + b"a" * 5_000_000 + b'"}'), 413)


@pytest.mark.parametrize(("page", "status"), [("login", 413), ("products/import", 303), ("nowhere", 404)])
def test_a_browser_gets_a_page_for_a_body_that_is_too_large(site, page, status):
    headers = {"Accept": "text/html", "Accept-Language": "es"}
    answer = requests.post(f"{site.url}/{page}", b"a" * 5_000_000, headers=headers, allow_redirects=False, timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=-1", 422),
        ("limit=abc", 422),
        ("limit=1000000000", 422),
        ("cursor=%00", 400),
        ("cursor=AAAA", 400),
        ("cursor=" + "A" * 5000, 422),
        ("sort=$where", 422),
        ("search[$ne]=", 422),
        ("search=a&search=b", 422),
        ("search=" + "a" * 101, 422),
        ("search=%00", 200),
        ("search=[", 200),
        ("search=(", 200),
        ("search=%5C", 200),
        ("search=%5E(a%2B)%2B%24", 200),
        ("search=%F0%9F%8D%8E", 200),
        ("search=%ff%fe", 200),
    ],
)
def test_query_is_answered_or_refused_and_never_breaks(site, admin, query, status):
    assert site.call("GET", f"/products?{query}", token=admin).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/products/zzz", 404),
        ("GET", f"/products/{uuid.UUID(int=0)}", 404),
        ("GET", "/products/", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/products", 405),
        ("TRACE", "/products", 405),
        ("GET", "/products/by-name", 422),
        ("GET", "/products/by-name?name=%00", 422),
        ("GET", "/shards/where?name=", 422),
        ("GET", "/shards/where?name=%E2%80%8B", 422),
    ],
)
def test_path_that_leads_nowhere_says_so_as_a_problem(site, admin, method, path, status):
    is_problem(site.call(method, path, token=admin), status)


@pytest.mark.parametrize("header", ["", "Basic eDp5", "Bearer", "Bearer ", "Bearer a b", "Bearer a.b.c", "Bearer ñ"])
def test_caller_without_a_valid_token_is_nobody(site, header):
    headers = {"Authorization": header.encode("utf-8")} if header else {}
    answer = requests.get(f"{site.url}/api/v1/products", headers=headers, timeout=TIMEOUT_SECONDS)
    is_problem(answer, 401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_viewer_reads_and_does_not_write(site, viewer, product):
    path = f"/products/{product.json()['id']}"
    assert site.call("GET", path, token=viewer).status_code == 200
    for method, target in (("POST", "/products"), ("POST", "/products/batch"), ("PATCH", path), ("DELETE", path)):
        body = {"name": "a", "price": 1} if method != "DELETE" else None
        is_problem(site.call(method, target, body, token=viewer, **{"If-Match": '"1"'}), 403, "forbidden")


def test_shards_are_listed_and_names_explained(site, admin):
    shards = site.call("GET", "/shards", token=admin).json()
    assert [s["shard"] for s in shards["items"]] == ["rsA", "rsB"]
    assert shards["items"][0]["ranges"] == ["a ≤ key < n"]
    where = site.call("GET", "/shards/where?name=%C3%91and%C3%BA", token=admin).json()
    assert (where["shard"], where["key"]) == ("rsB", "ñandu")


def test_cluster_shows_every_member(site, admin):
    document = site.call("GET", "/cluster", token=admin).json()
    assert [s["name"] for s in document["sets"]] == ["rsA", "rsB", "rsU"]
    for replica_set in document["sets"]:
        assert [m["role"] for m in replica_set["members"]].count("PRIMARY") == 1
        assert len(replica_set["members"]) == 3


def test_health_readiness_and_metrics_are_open(site):
    for path in ("/healthz", "/readyz", "/metrics"):
        assert requests.get(site.url + path, timeout=TIMEOUT_SECONDS).status_code == 200
    ready = requests.get(site.url + "/readyz", timeout=TIMEOUT_SECONDS).json()
    assert ready["status"] == "ready"
    assert {"rsA", "rsB"} <= ready["checks"].keys()
    metrics = requests.get(site.url + "/metrics", timeout=TIMEOUT_SECONDS).text
    assert "prodctl_http_requests_total" in metrics


def test_request_id_of_the_caller_comes_back_and_a_hostile_one_does_not(site, admin):
    answer = site.call("GET", "/shards", token=admin, **{"X-Request-ID": "abc-123"})
    assert answer.headers["X-Request-ID"] == "abc-123"
    answer = site.call("GET", "/shards", token=admin, **{"X-Request-ID": "<script>" * 50})
    assert "<" not in answer.headers["X-Request-ID"]


def test_api_document_names_every_route_and_nothing_else(site, admin):
    document = requests.get(f"{site.url}/api/openapi.json", timeout=TIMEOUT_SECONDS).json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]["/api/v1/products"]) == {"get", "post"}
    assert set(document["paths"]["/api/v1/products/{product_id}"]) == {"get", "patch", "delete"}
    assert all(path.startswith("/api/v1/") for path in document["paths"])
    operations = [o for path in document["paths"].values() for o in path.values()]
    errors = [r for o in operations for status, r in o["responses"].items() if int(status) >= 400]
    assert all(list(error["content"]) == ["application/problem+json"] for error in errors)


def test_whole_shard_down_leaves_the_other_usable_and_is_named(site, admin):
    control = site.cluster.members
    rsb = [m.address for m in site.cluster.plan.members if m.replica_set == "rsB"]
    word = uuid.uuid4().hex
    kept = site.call("POST", "/products", {"name": f"Ajo {word}", "price": 1}, token=admin).json()
    for address in rsb:
        control.kill(address)
    try:
        answer = site.call("POST", "/products", {"name": f"Zumo {word}", "price": 1}, token=admin)
        assert is_problem(answer, 503, "shard_unavailable")["shard"] == "rsB"
        assert answer.headers["Retry-After"]
        listed = site.call("GET", f"/products?search={word}", token=admin).json()
        assert [p["id"] for p in listed["items"]] == [kept["id"]]
        assert (listed["partial"], listed["unavailable"]) == (True, ["rsB"])
        assert site.call("POST", "/products", {"name": f"Bollo {word}", "price": 1}, token=admin).status_code == 201
        ready = requests.get(site.url + "/readyz", timeout=TIMEOUT_SECONDS)
        assert (ready.status_code, ready.json()["status"]) == (503, "degraded")
    finally:
        site.cluster.up()
    assert site.call("POST", "/products", {"name": f"Zumo {word}", "price": 1}, token=admin).status_code == 201


@pytest.mark.parametrize("count", [False, "1", 1.5, -1, 2**54, None])
def test_counts_of_an_import_are_whole_numbers(site, admin, count):
    body = {"source": "products.csv", "counts": {"created": count}}
    is_problem(site.call("PUT", f"/imports/{uuid.uuid4()}", body, token=admin), 422)


@pytest.mark.parametrize("name", ["", "a\0b", "$inc", "a.b", "\u0007", "x" * 21, "Ñ"])
def test_counts_of_an_import_have_plain_names_only(site, admin, name):
    body = {"source": "products.csv", "counts": {name: 1}}
    is_problem(site.call("PUT", f"/imports/{uuid.uuid4()}", body, token=admin), 422)
