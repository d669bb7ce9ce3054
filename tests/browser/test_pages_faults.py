"""The pages while something is broken: they say what, keep what works working, and nobody has to reload."""

from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.support.browser import log_in, open_page
from tests.support.faults import members, primary, stopped
from tests.support.survivor import wait_until_known


@pytest.fixture
def page(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        yield page


def test_a_primary_dies_while_somebody_saves_and_the_save_succeeds(page, site):
    product = site.add_product(name=f"Alcachofa {uuid4().hex[:6]}")
    page.goto("/cluster")
    old = primary(page, "rsA")
    page.goto(f"/products/{product['id']}/edit")
    page.get_by_label("Stock").fill("77")
    with stopped(site, [old]):
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".figures")).to_contain_text("77")


def test_a_shard_without_a_majority_is_shown_as_what_it_may_be(page, site):
    product = site.add_product(name=f"Sandía {uuid4().hex[:6]}")
    *others, survivor = members(site, "rsB")
    wait_until_known(site.cluster, survivor, product["id"])
    with stopped(site, others):
        for path in ("/products?shard=rsB", f"/products/{product['id']}", f"/products/{product['id']}/edit"):
            page.goto(path)
            expect(page.get_by_role("alert")).to_contain_text("rsB has lost its majority")
        page.get_by_label("Stock").fill("5")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert").first).to_contain_text("rsB")
        page.goto("/products?shard=rsB")
        page.get_by_label("Search products").fill(product["name"])
        expect(page.locator(".product-name")).to_have_text([product["name"]])
        expect(page.get_by_role("alert")).to_contain_text("rsB has lost its majority")
        assert page.request.get("/products/export?format=csv").status == 503, "no file is silently out of date"


def test_a_whole_shard_is_gone_and_the_other_one_works(page, site):
    here = site.add_product(name=f"Berenjena {uuid4().hex[:6]}")
    gone = site.add_product(name=f"Sandía {uuid4().hex[:6]}")
    with stopped(site, members(site, "rsB")):
        page.goto("/products")
        expect(page.get_by_role("alert")).to_contain_text("rsB is unavailable")
        page.get_by_label("Search products").fill(here["name"])
        expect(page.locator(".product-name")).to_have_text([here["name"]])
        page.goto("/products?shard=rsB")
        expect(page.locator(".empty")).to_contain_text("Nothing to show right now")
        for path in ("/products/deleted", "/products?sort=-price"):
            page.goto(path)
            expect(page.get_by_role("alert")).to_contain_text("rsB is unavailable")
        page.get_by_label("All products, on every page").check()
        page.get_by_role("button", name="Delete them").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("rsB")
        assert page.request.get("/products/export?format=csv").status == 503, "no file is silently short"
        page.goto(f"/products/{here['id']}/edit")
        page.get_by_label("Stock").fill("5")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".figures")).to_contain_text("5")

        answer = page.goto(f"/products/{gone['id']}")
        assert answer.status == 503
        expect(page.get_by_role("heading", level=1)).to_contain_text("rsB")

        page.goto("/products/new")
        page.get_by_label("Name").fill("Zanahoria nueva")
        page.get_by_label("Price").fill("1")
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("alert")).to_contain_text("rsB")
        expect(page.get_by_label("Name")).to_have_value("Zanahoria nueva")

        page.goto("/cluster")
        expect(page.locator(".verdict")).to_contain_text("rsB: no member is responding")


def test_authsvc_is_down_and_people_keep_working(browser, page, site):
    product = site.add_product(name=f"Cebolla {uuid4().hex[:6]}")
    site.cluster.stop("authsvc")
    try:
        page.goto(f"/products/{product['id']}/edit")
        page.get_by_label("Stock").fill("6")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".figures")).to_contain_text("6")
        page.goto("/cluster")
        expect(page.locator(".services")).to_contain_text("down")
        with open_page(browser, site) as stranger:
            stranger.goto("/login")
            expect(stranger.get_by_role("alert")).to_contain_text("The login service is not responding")
            stranger.get_by_label("User name").fill("Ana")
            stranger.get_by_label("Password", exact=True).fill("anything")
            stranger.get_by_role("button", name="Log in").click()
            expect(stranger.get_by_role("alert")).to_contain_text("The login service is not responding")
    finally:
        site.cluster.start("authsvc")
