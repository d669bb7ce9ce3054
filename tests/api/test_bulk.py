"""``prodctl product bulk`` and its endpoints: preview, confirmation, report."""

import csv
import io
from uuid import uuid4

import pytest

from tests.support.faults import members, stopped
from tests.support.site import is_problem


@pytest.fixture
def category(site, token):
    """A category of 12 products, half of them in each shard."""
    category = f"c{uuid4().hex[:12]}"
    items = [
        {"name": f"{'AZ'[i % 2]}{i} {category}", "price": "1.20", "category": category, "tags": ["viejo"]}
        for i in range(12)
    ]
    answer = site.call("POST", "/products/batch", {"items": items}, token=token)
    assert {result["status"] for result in answer.json()["results"]} == {"created"}
    return category


def products(cli, category):
    return cli("product", "list", "--search", category, "--all", "-o", "json").json["items"]


def test_edit_shows_what_it_will_do_and_reports_what_it_did(cli, category):
    changes = ["--set", "price=2.50", "--set", "active=no", "--add-tag", "nuevo, sí", "--remove-tag", "VIEJO"]
    preview = cli("product", "bulk", "edit", "--category", category, *changes, "--dry-run")
    assert (preview.status, preview.out) == (0, "")
    lines = preview.err.splitlines()
    assert lines[0] == "12 products to change:"
    assert lines[1].startswith(f"  A0 {category}, rsA: price 1.20 -> 2.50; active yes -> no; tags ")
    assert lines[1].endswith(" -> nuevo, sí")
    assert lines[-1] == "  … and 2 more"
    assert {p["version"] for p in products(cli, category)} == {1}

    nobody = cli("product", "bulk", "edit", "--category", category, *changes)
    assert (nobody.status, nobody.out) == (2, "")
    done = cli("product", "bulk", "edit", "--category", category, *changes, "--yes", "-o", "json")
    assert done.status == 0
    ends = {"changed": 12, "unchanged": 0, "refused": 0, "unavailable": 0, "unknown": 0}
    assert done.json == {"schema_version": 1, "kind": "bulk", **ends}
    for product in products(cli, category):
        assert (product["price"], product["active"], product["tags"]) == ("2.50", False, ["nuevo, sí"])
    again = cli("product", "bulk", "edit", "--category", category, *changes, "--yes", "-o", "json")
    assert (again.json["changed"], again.json["unchanged"]) == (0, 12)


def test_the_count_is_typed_to_agree(cli, category):
    question = "Type 12 to delete 12 products:"
    arguments = ["product", "bulk", "rm", "--category", category]
    declined = cli.on_terminal(*arguments, answers={question: "y\n"})
    assert (declined.status, declined.out.splitlines()[-1]) == (130, "Nothing was done.")
    interrupted = cli.on_terminal(*arguments, answers={question: "\x03"})
    assert (interrupted.status, interrupted.out.splitlines()[-2:]) == (130, ["Interrupted.", "Nothing was done."])
    assert len(products(cli, category)) == 12
    agreed = cli.on_terminal(*arguments, answers={question: "12\n"})
    assert agreed.status == 0
    assert "deleted      12\n" in agreed.out
    assert products(cli, category) == []
    assert cli("product", "bulk", "rm", "--category", category, "--yes").err == "No product matches.\n"


def test_what_was_refused_comes_back_in_a_file(site, token, cli, category, tmp_path):
    """Somebody else edits a product while the person is still thinking."""
    other = products(cli, category)[3]

    def edit_and_answer():
        seen = {"If-Match": '"1"'}
        assert site.call("PATCH", f"/products/{other['id']}", {"stock": 7}, token=token, **seen).status_code == 200
        return "12\n"

    file = tmp_path / "refused.csv"
    arguments = ["product", "bulk", "edit", "--category", category, "--set", "stock=9", "--refused", str(file)]
    done = cli.on_terminal(*arguments, answers={"Type 12 to change 12 products:": edit_and_answer})
    assert done.status == 5
    assert "refused      1\n" in done.out
    (row,) = csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline=""))
    assert (row["id"], row["name"], row["status"], row["code"]) == (
        other["id"], other["name"], "refused", "version_conflict"
    )  # fmt: skip
    assert {p["stock"] for p in products(cli, category)} == {7, 9}


@pytest.mark.parametrize(
    "arguments",
    [
        ["edit", "--set", "price=1"],
        ["edit", "--search", "", "--set", "price=1"],
        ["edit", "--search", "\u200b", "--set", "price=1"],
        ["edit", "--category", "x", "--all", "--set", "price=1"],
        ["edit", "--category", "x"],
        ["edit", "--category", "x", "--set", "price"],
        ["edit", "--category", "x", "--set", "stock=many"],
        ["edit", "--category", "x", "--set", "active=perhaps"],
        ["rm"],
        ["rm", "--price-min", "x"],
    ],
)
def test_odd_questions_are_refused_before_anything_is_done(cli, arguments):
    refused = cli.inside("product", "bulk", *arguments, "--yes")
    assert (refused.status, refused.out) == (2, "")
    assert "Error: " in refused.err


@pytest.mark.parametrize("setting", ["price=-1", "price=1,50", "name=x", "currency=euro", "version=3"])
def test_odd_values_are_refused_for_all(cli, category, setting):
    refused = cli.inside("product", "bulk", "edit", "--category", category, "--set", setting, "--yes")
    assert refused.status == 2
    assert {p["version"] for p in products(cli, category)} == {1}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [{"id": "zzz", "version": 1}]},
        {"items": [{"id": str(uuid4()), "version": 0}]},
        {"items": [{"id": str(uuid4())}]},
        {"items": [{"id": str(uuid4()), "version": 1, "$set": 1}]},
        {"items": [{"id": "00000000-0000-4000-8000-000000000000", "version": 1}] * 2},
        {"items": [{"id": str(uuid4()), "version": 1} for _ in range(501)]},
        {"items": [{"id": str(uuid4()), "version": 2**63}]},
    ],
)
@pytest.mark.parametrize("action", ["edit", "delete"])
def test_odd_bodies_are_refused(site, token, action, body):
    more = {"set": {"stock": 1}} if action == "edit" else {}
    is_problem(site.call("POST", f"/products/bulk/{action}", body | more, token=token), 422, "invalid_input")


def test_nothing_to_change_is_refused(site, token):
    body = {"items": [{"id": str(uuid4()), "version": 1}], "set": {}}
    is_problem(site.call("POST", "/products/bulk/edit", body, token=token), 422, "invalid_input")


def test_viewers_may_not(site):
    body = {"items": [{"id": str(uuid4()), "version": 1}]}
    is_problem(site.call("POST", "/products/bulk/delete", body, token=site.token("viewer")), 403, "forbidden")


def test_a_shard_that_is_out_stops_it_or_is_left_out(cli, site, category):
    with stopped(site, members(site, "rsB")):
        change = ["product", "bulk", "edit", "--category", category, "--set", "stock=3", "--yes", "-o", "json"]
        stopped_run = cli(*change)
        assert (stopped_run.status, stopped_run.out) == (6, "")
        assert "rsB" in stopped_run.err
        assert cli(*change, "--shard", "rsA").json["changed"] == 6
    assert cli(*change).json["changed"] == 6
