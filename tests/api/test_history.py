"""History, removal and restoring through the API and the command line."""

from uuid import uuid4

import pytest


@pytest.fixture
def word():
    """A name that no other test uses."""
    return f"b{uuid4().hex[:12]}"


def test_history_tells_who_changed_what_by_which_request(site, cli, word):
    made = site.call(
        "POST", "/products", {"name": word, "price": "1.20"}, token=site.token(), **{"X-Request-ID": "r-1"}
    )
    cli("product", "edit", word, "--price", "1.25", "--tag", "bio")
    listed = cli("product", "history", word, "-o", "json")
    assert (listed.status, listed.err) == (0, "")
    second, first = listed.json["items"]
    assert (first["action"], first["version"], first["by"], first["request_id"]) == ("created", 1, "Ana", "r-1")
    assert (second["action"], second["version"]) == ("edited", 2)
    assert second["was"] == {"price": "1.20", "tags": []}
    shown = cli("product", "history", made.json()["id"])
    assert "tags: –; price: 1.20" in shown.out


def test_removed_product_comes_back_by_name_or_id(cli, word):
    product_id = cli("product", "add", word, "--price", "1.20", "-o", "json").json["id"]
    cli("product", "rm", word, "--yes")
    gone = cli("product", "show", product_id)
    assert (gone.status, gone.out) == (3, "")
    assert f"prodctl product restore {product_id}" in gone.err
    assert word in cli("product", "deleted").out
    assert [c["action"] for c in cli("product", "history", word, "-o", "json").json["items"]] == ["deleted", "created"]
    back = cli("product", "restore", word, "-o", "json")
    assert (back.status, back.json["id"], back.json["version"]) == (0, product_id, 3)
    again = cli("product", "restore", product_id)
    assert (again.status, again.err) == (5, f"Error: '{word}' is not deleted\n")
    cli("product", "rm", product_id, "--yes")
    assert cli("product", "restore", product_id).status == 0
    assert cli("product", "restore", f"{word} nothing").status == 3


def test_restoring_needs_the_version_and_the_right(site, word):
    admin, viewer = site.token(), site.token("viewer")
    made = site.call("POST", "/products", {"name": word, "price": "1"}, token=admin).json()
    path = f"/products/{made['id']}"
    site.call("DELETE", path, token=admin, **{"If-Match": '"1"'})
    gone = site.call("GET", path, token=admin)
    assert (gone.status_code, gone.json()["code"], gone.json()["version"]) == (404, "product_deleted", 2)
    assert site.call("POST", f"{path}/restore", token=admin).status_code == 428
    assert site.call("POST", f"{path}/restore", token=viewer, **{"If-Match": '"2"'}).status_code == 403
    assert site.call("POST", f"{path}/restore", token=admin, **{"If-Match": '"1"'}).status_code == 412
    back = site.call("POST", f"{path}/restore", token=admin, **{"If-Match": '"2"'})
    assert (back.status_code, back.headers["ETag"]) == (200, '"3"')
    assert site.call("GET", f"{path}/history", token=viewer).json()["items"][0]["action"] == "restored"
    assert site.call("GET", f"/products/{uuid4()}/history", token=viewer).status_code == 404
    assert site.call("GET", "/products/deleted?limit=0", token=viewer).status_code == 422
    assert site.call("GET", "/products/deleted?cursor=zz", token=viewer).status_code == 400
