"""The list of products as a page: what is found, how much, by what it is narrowed, and from page to page."""

import re
from html import unescape

import pytest

from prodcore.identity.rights import Role
from tests.support.desk import Desk
from tests.support.products import ANA, draft


@pytest.fixture(scope="module")
def desk():
    desk = Desk()
    for n in range(130):
        name = f"{'AN'[n % 2]}{n:03} rroz"
        fields = {"category": "Cocina" if n % 2 else "Despensa", "tags": ["bio"] if n < 30 else [], "stock": n}
        desk.catalog.create(draft(name, sku=f"ARR-{n}", **fields), ANA)
    desk.catalog.create(draft("Té verde", barcode="0012345678905", category="Bebidas"), ANA)
    return desk


def names(page):
    return re.findall(r'<th scope="row"><a class="product-name user-text"[^>]*>([^<]*)<', page.text)


def link(page, words):
    found = re.search(rf'<a [^>]*href="([^"]*)"[^>]*>(?:<[^>]*>[^<]*</[^>]*> )?{words}', page.text)
    return unescape(found[1]) if found else None


def test_pages_lead_forth_and_back_to_the_same_products(desk):
    first = desk.get("/products?search=rroz&size=50&sort=stock")
    second = desk.get(link(first, "Next page"))
    third = desk.get(link(second, "Next page"))
    assert [len(names(page)) for page in (first, second, third)] == [50, 50, 30]
    assert link(first, "Previous page") is None
    back = desk.get(link(third, "Previous page"))
    assert back.status_code == 303
    assert names(desk.get(back.location)) == names(second)
    start = desk.get(link(second, "Previous page")).location
    assert "cursor" not in start
    assert names(desk.get(start)) == names(first)


def test_a_page_has_as_many_products_as_were_chosen(desk):
    assert len(names(desk.get("/products?size=25"))) == 25
    page = desk.get("/products?size=100")
    assert len(names(page)) == 100
    assert "size=100" in link(page, "Next page")
    assert len(names(desk.get("/products?size=7"))) == 50


@pytest.mark.parametrize("before", ["nonsense", "e30"])
def test_a_page_before_nothing_says_so(desk, before):
    assert desk.get(f"/products?before={before}").status_code == 400


def test_the_matches_of_a_list_are_counted(desk):
    assert "130 products match" in desk.get("/products?search=rroz").text
    assert "1 product matches" in desk.get("/products?search=verde").text
    assert "30 products match" in desk.get("/products?tag=bio").text
    assert "match" not in re.sub("<[^>]*>", "", desk.get("/products").text)


def test_a_list_is_narrowed_by_categories_and_tags_with_their_counts(desk):
    part = desk.part("/products/facets?search=rroz").text
    found = re.findall(r'href="([^"]*)"><span class="user-text">(\w+)</span> <span class="facet-count">(\d+)', part)
    assert [(value, count) for _href, value, count in found] == [("Cocina", "65"), ("Despensa", "65"), ("bio", "30")]
    assert "15 products match" in desk.get(unescape(found[0][0]) + "&tag=bio").text
    whole = desk.get("/products/facets?search=rroz")
    assert whole.text.startswith("<!doctype html>")
    assert part.strip() in whole.text
    assert "No product of this list" in desk.get("/products/facets?search=nothing").text


@pytest.mark.parametrize("typed", ["ARR-7", "arr-7", "012345678905", "0012345678905"])
def test_a_code_leads_to_its_product(desk, typed):
    page = desk.get(f"/products?search={typed}")
    assert "This code" in page.text
    shown = names(page)
    assert shown[0] in ("Té verde", "N007 rroz")
    assert len(set(shown)) == len(shown)
    answer = desk.get(f"/products?search={typed}&go=1")
    assert answer.status_code == 303
    shown = desk.get(answer.location)
    assert ("Té verde" if typed.isdigit() else "N007 rroz") in shown.text


def test_a_search_that_is_no_code_stays_a_list(desk):
    answer = desk.get("/products?search=Arr-&go=1")
    assert answer.location == "/products?search=Arr-"


def test_another_spelling_is_proposed(desk):
    page = desk.get("/products?search=verda")
    assert link(page, "verde") == "/products?search=verde"


def test_a_viewer_finds_the_same(desk):
    desk.role = Role.VIEWER
    try:
        assert "130 products match" in desk.get("/products?search=rroz").text
    finally:
        desk.role = Role.EDITOR
