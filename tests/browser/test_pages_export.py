"""Exporting from the browser: the products of the list that is on the screen, in its order."""

import csv
import io
import json
from uuid import uuid4

import openpyxl
import pytest
from playwright.sync_api import expect

from tests.support.browser import log_in, open_page


@pytest.fixture(scope="module")
def word(site):
    """Four products that share a word."""
    word = f"w{uuid4().hex[:8]}"
    items = [
        {"name": f"{letter}orra {word}", "price": f"{n}.5", "tags": ["lana"][:n]} for n, letter in enumerate("GPBZ")
    ]
    assert site.call("POST", "/products/batch", {"items": items}, token=site.token()).ok
    return word


def read_csv(path):
    return [row["name"] for row in csv.DictReader(path.read_text("utf-8-sig").splitlines())]


def read_ndjson(path):
    return [json.loads(line)["name"] for line in path.read_text("utf-8").splitlines()]


def read_xlsx(path):
    rows = openpyxl.load_workbook(io.BytesIO(path.read_bytes())).active.iter_rows(values_only=True)
    column = next(rows).index("name")
    return [row[column] for row in rows]


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize(("label", "read"), [("CSV", read_csv), ("NDJSON", read_ndjson), ("Excel", read_xlsx)])
def test_the_file_holds_what_the_list_shows_in_its_order(browser, site, word, tmp_path, label, read, javascript):
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site, "viewer")
        page.goto(f"/products?search={word}&tag=lana&sort=-price")
        shown = page.locator(".product-name").all_inner_texts()
        page.locator("summary", has_text="Export").click()
        with page.expect_download() as download:
            page.get_by_role("link", name=label, exact=True).click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert read(path) == shown == [f"{letter}orra {word}" for letter in "ZBP"]


def test_what_is_exported_after_typing_a_search_is_that_search(browser, site, word, tmp_path):
    with open_page(browser, site) as page:
        log_in(page, site, "viewer")
        page.get_by_label("Search products").fill(f"zorra {word}")
        expect(page.locator(".product-name")).to_have_count(1)
        page.locator("summary", has_text="Export").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        download.value.save_as(tmp_path / "one.csv")
        assert read_csv(tmp_path / "one.csv") == [f"Zorra {word}"]


@pytest.mark.parametrize("query", ["format=pdf", "", "format=csv&price_min=abc"])
def test_what_cannot_be_exported_is_refused(browser, site, query):
    with open_page(browser, site) as page:
        log_in(page, site, "viewer")
        assert page.request.get(f"/products/export?{query}").status == 400
