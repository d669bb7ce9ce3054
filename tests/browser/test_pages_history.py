"""What was done to a product, in the browser: its history, the deleted ones, restoring, moving by a new name."""

from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.support.browser import IN_EVERY_VIEW, SCRIPT_OR_NOT, complaints_of_axe, log_in, open_page
from tests.support.daily import daily
from tests.support.products import HOSTILE, unique


def change(site, product, version=1, **fields):
    headers = {"If-Match": f'"{version}"', "Content-Type": "application/merge-patch+json"}
    answer = site.call("PATCH", f"/products/{product['id']}", fields, token=site.token(), **headers)
    assert answer.ok, answer.text


def delete(site, product, version=1):
    headers = {"If-Match": f'"{version}"'}
    assert site.call("DELETE", f"/products/{product['id']}", token=site.token(), **headers).ok


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-GB", ["Renamed", "Edited", "€1.20", "€2.50", "Created"]),
        ("es-ES", ["Editado", "1,20 €", "2,50 €", "Creado"]),
    ],
    ids=["English", "Spanish"],
)
def test_the_history_tells_what_each_field_was_and_became(browser, site, locale, words):
    product = site.add_product(name=unique("Berenjena"), stock=4)
    change(site, product, 1, price="2.50", tags=["fresca"], active=False)
    change(site, product, 2, name=unique("Calabaza"))
    with open_page(browser, site, locale=locale) as page:
        log_in(page, site, "viewer")
        page.goto(f"/products/{product['id']}")
        history = page.locator(".history")
        expect(history.locator("> li")).to_have_count(3)
        for text in words:
            expect(history).to_contain_text(text)
        expect(history.locator("> li").first).to_contain_text(product["name"])
        expect(history.locator("> li").nth(1)).to_contain_text("fresca")
        assert complaints_of_axe(page) == []


def test_a_long_history_is_cut_and_shown_on_demand(browser, site):
    product = site.add_product(name=unique("Berro"))
    for version in range(1, 14):
        change(site, product, version, stock=version)
    with open_page(browser, site) as page:
        log_in(page, site, "viewer")
        page.goto(f"/products/{product['id']}")
        expect(page.locator(".history > li")).to_have_count(10)
        page.get_by_role("link", name="4 earlier changes").click()
        expect(page.locator(".history > li")).to_have_count(14)


@SCRIPT_OR_NOT
def test_a_deleted_product_is_found_and_restored(browser, site, javascript):
    product = site.add_product(name=unique("Cardo"))
    delete(site, product)
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site, "editor")
        page.get_by_role("link", name="Deleted", exact=True).click()
        page.get_by_label("Exact name").fill(product["name"].upper())
        page.get_by_role("button", name="Search").click()
        expect(page.locator(".product-name")).to_have_text([product["name"]])
        assert page.goto(f"/products/{product['id']}").status == 404
        expect(page.get_by_role("heading", name="It was deleted")).to_be_visible()
        assert javascript is False or complaints_of_axe(page) == []
        page.get_by_role("button", name="Restore").click()
        expect(page.get_by_role("status").first).to_contain_text(f"“{product['name']}” was restored.")
        expect(page.locator(".history > li").first).to_contain_text("Restored")


def test_a_name_that_was_given_away_is_not_restored_over_it(browser, site):
    product = site.add_product(name=unique("Col"))
    delete(site, product)
    site.add_product(name=product["name"])
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        page.goto(f"/products/{product['id']}")
        page.get_by_role("button", name="Restore").click()
        expect(page.get_by_role("status").first).to_contain_text("rename that one first")
        expect(page.get_by_role("button", name="Restore")).to_be_visible()


def test_a_viewer_sees_the_deleted_ones_and_restores_none(browser, site):
    product = site.add_product(name=unique("Endivia"))
    delete(site, product)
    with open_page(browser, site) as page:
        log_in(page, site, "viewer")
        page.goto("/products/deleted")
        expect(page.get_by_text(product["name"])).to_be_visible()
        page.goto(f"/products/{product['id']}")
        assert page.get_by_role("button", name="Restore").count() == 0


@SCRIPT_OR_NOT
def test_a_rename_over_the_border_is_announced_before_it_happens(browser, site, javascript):
    product = site.add_product(name=unique("Lombarda"))
    new = unique("Puerro")
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site, "editor")
        page.goto(f"/products/{product['id']}/edit")
        page.get_by_label("Name").fill(new)
        if javascript:
            expect(page.locator("#name-where")).to_contain_text("Saving moves the product there.")
        else:
            page.get_by_role("button", name="Save").click()
            expect(page.get_by_role("alert")).to_contain_text("Saving moves the product from rsA to rsB")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(new)
        expect(page.locator(".history > li").first).to_contain_text("Moved to another shard")
        expect(page.locator(".side .shard")).to_have_text("rsB")


def test_who_edits_what_was_deleted_meanwhile_is_told_and_can_restore_it(browser, site):
    product = site.add_product(name=unique("Escarola"))
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        page.goto(f"/products/{product['id']}/edit")
        delete(site, product)
        page.get_by_label("Stock").fill("8")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("Another user has deleted it")
        expect(page.get_by_label("Stock")).to_have_value("8")
        page.get_by_role("link", name="See it").click()
        expect(page.get_by_role("button", name="Restore")).to_be_visible()


@pytest.mark.parametrize("text", daily(HOSTILE, 1, 4, 7))
def test_hostile_texts_in_a_history_are_text(browser, site, text):
    product = site.add_product(name=f"{text} {uuid4().hex[:6]}"[:200], category=text[:100], description=text)
    change(site, product, 1, category="", description="", tags=[text[:50]])
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        page.goto(f"/products/{product['id']}")
        expect(page.locator(".history > li")).to_have_count(2)
        assert page.locator("main b, main i, main img").count() == 0
        delete(site, product, 2)
        for path in (f"/products/{product['id']}", "/products/deleted"):
            page.goto(path)
            assert page.locator("main b, main i, main img").count() == 0
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@IN_EVERY_VIEW
def test_axe_finds_nothing_on_the_pages_of_deleted_products(browser, site, theme, width):
    product = site.add_product(name=unique("Hinojo"), variant="Manojo")
    change(site, product, 1, stock=3, name=unique("Hinojos"))
    with open_page(browser, site, color_scheme=theme, viewport={"width": width, "height": 844}) as page:
        log_in(page, site, "editor")
        page.goto(f"/products/{product['id']}")
        assert complaints_of_axe(page) == []
        delete(site, product, 2)
        for path in (f"/products/{product['id']}", "/products/deleted", "/products/deleted?name=nobody"):
            page.goto(path)
            assert complaints_of_axe(page) == [], path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
