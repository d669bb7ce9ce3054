"""Exports: the same products as the list, files that import as no change, nothing half done."""

import csv
import io
import json
from uuid import uuid4

import pytest
import requests

from tests.support.faults import members, stopped
from tests.support.site import TIMEOUT_SECONDS, is_problem

NAMES = ["=1+1", "'=2", "@SUM", 'Aceite, "virgen"; 1 L', "Ñandú ½", "007", "Zumo"]


@pytest.fixture(scope="module")
def category(site, token):
    """A category whose products are all that these tests export: more than a page of them, in both shards."""
    category = f"=cat {uuid4().hex[:12]}"
    odd = [
        {"name": f"{name} {category}", "price": "1.234", "tags": ["a, b", "c|d\\"], "description": "=x\r\ny\tz"}
        for name in NAMES
    ]
    plain = [{"name": f"{'BP'[i % 2]}{i} {category}", "price": f"{i}.50", "stock": i} for i in range(230)]
    items = [{**item, "category": category} for item in odd + plain]
    answer = site.call("POST", "/products/batch", {"items": items}, token=token)
    assert {result["status"] for result in answer.json()["results"]} == {"created"}
    return category


def get(site, token, path, **headers):
    headers["Authorization"] = f"Bearer {token}"
    return requests.get(f"{site.url}/api/v1{path}", headers=headers, timeout=TIMEOUT_SECONDS)


@pytest.mark.parametrize("kind", ["csv", "ndjson", "xlsx"])
def test_imported_export_changes_nothing(cli, tmp_path, category, kind):
    file = tmp_path / f"products.{kind}"
    exported = cli("product", "export", str(file), "--category", category)
    assert (exported.status, exported.out, exported.err) == (0, "", f"Exported 237 products to {file}.\n")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [file.name]
    imported = cli("product", "import", str(file), "-o", "json")
    assert imported.status == 0, imported.err
    done = imported.json
    assert (done["unchanged"], done["created"], done["changed"], done["refused"]) == (237, 0, 0, 0)


def test_stdout_gets_the_filtered_products_in_order(cli, category):
    out = cli("product", "export", "-", "--category", category, "--stock-min", "225", "--sort", "-stock").out
    assert [row["stock"] for row in csv.DictReader(io.StringIO(out))] == ["229", "228", "227", "226", "225"]
    lines = cli("product", "export", "-", "--format", "ndjson", "--search", f"007 {category}").out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == [f"007 {category}"]


def test_a_file_that_is_there_stays_as_it_is(cli, tmp_path, category):
    file = tmp_path / "mine.csv"
    file.write_text("mine")
    refused = cli("product", "export", str(file), "--category", category)
    assert (refused.status, file.read_text()) == (2, "mine")
    assert refused.err.endswith("Hint:  --force overwrites it\n")
    failed = cli("product", "export", str(file), "--category", category, "--price-min", "x", "--force")
    assert (failed.status, file.read_text()) == (2, "mine")
    assert cli("product", "export", str(file), "--category", category, "--force").status == 0
    assert len(list(csv.reader(io.StringIO(file.read_bytes().decode(), newline="")))) > 237


@pytest.mark.parametrize("file", ["products", "products.pdf", "/nowhere/products.csv", "/dev/null"])
def test_odd_files_are_refused(cli, file):
    refused = (
        cli.inside("product", "export", file, "--format", "csv")
        if file == "/dev/null"
        else cli.inside("product", "export", file)
    )
    assert refused.status == 2
    assert "Error: " in refused.err


def test_api_streams_what_the_list_has(site, token, category):
    listed = get(site, token, f"/products?category={category}&limit=200&sort=-price".replace("=cat", "%3Dcat")).json()
    path = f"/products/export?category=%3D{category[1:]}&sort=-price"
    answer = get(site, token, path, Accept="application/x-ndjson")
    assert answer.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="products.ndjson"'
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert len(rows) == 237
    assert rows[:200] == listed["items"]
    table = get(site, token, path + "&format=csv")
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert [row["id"] for row in csv.DictReader(io.StringIO(table.text, newline=""))] == [row["id"] for row in rows]


def test_api_refuses_what_it_cannot_write(site, token):
    is_problem(get(site, token, "/products/export", Accept="application/xml"), 406, "not_acceptable")
    is_problem(get(site, token, "/products/export?format=xlsx"), 422, "invalid_input")
    is_problem(get(site, token, "/products/export?limit=5"), 422, "invalid_input")


def test_nothing_is_exported_while_a_shard_is_out_unless_it_may_be(cli, site, token, tmp_path, category):
    file = tmp_path / "products.csv"
    with stopped(site, members(site, "rsB")):
        refused = cli("product", "export", str(file), "--category", category)
        assert (refused.status, file.exists()) == (6, False)
        assert "rsB" in refused.err
        assert is_problem(get(site, token, "/products/export"), 503, "shard_unavailable")["shard"] == "rsB"
        part = cli("product", "export", str(file), "--category", category, "--allow-partial")
        assert part.status == 6
        assert "Exported 116 products" in part.err
        assert "rsB unavailable: the file is incomplete" in part.err
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [file.name]
