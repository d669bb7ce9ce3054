"""Texts that somebody made to do harm, wherever a page shows what was typed: they stay text, and nothing gets wider."""

from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.support.browser import log_in, open_page
from tests.support.daily import daily
from tests.support.products import add_many, unique

MARKUP = "<img src=x onerror=alert(1)><b>b</b>"
BACKWARDS = "\u202eusmf\u2066\u202b txt"
LONG = "W" * 200
TEXTS = {"markup": MARKUP, "backwards": BACKWARDS, "template": "{{ 7 * 7 }}\u0301😀", "long": LONG}
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def page(browser, site):
    with open_page(browser, site, viewport=PHONE) as page:
        log_in(page, site)
        yield page


def check(page):
    """No markup of the text's own, and the page is no wider than the phone."""
    assert page.locator("main b, main i, main img, main script").count() == 0, page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def file_named(name, text):
    cell = text.replace('"', '""')
    name_cell = f"{cell[:190]} {uuid4().hex[:6]}"  # 200 are allowed
    csv = f'nombre;precio;"{cell}"\n"{name_cell}";3;x\n"a {cell}";"{cell}";x\n'
    return {"name": f"{name[:80]}.csv", "mimeType": "text/csv", "buffer": csv.encode()}


@pytest.mark.parametrize("text", daily(TEXTS.values(), 0, 3))
def test_in_the_name_the_headings_and_the_cells_of_a_file(page, text):
    page.goto("/products/import")
    page.locator("#upload").set_input_files(file_named(text.replace("/", "-"), text))
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#refused-title")).to_be_visible()
    check(page)
    page.locator('main [formaction$="/run"]').click()
    expect(page.get_by_text("All rows processed")).to_be_visible()
    check(page)
    page.get_by_role("link", name="Undo the import").click()
    check(page)
    page.goto("/products/imports")
    check(page)


@pytest.mark.parametrize("text", daily(TEXTS.values(), 0, 1))
def test_in_a_bulk_and_in_two_versions(page, site, text):
    word = add_many(site, 2, variant=text, category=text[:100])
    page.goto(f"/products?search={word}")
    page.get_by_label("All matching products, on every page").check()
    page.get_by_role("button", name="Edit them").click()
    page.get_by_label("Description", exact=True).fill(text)
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".changes > li")).to_have_count(2)
    check(page)

    product = site.add_product(name=unique("Judías"))
    page.goto(f"/products/{product['id']}/edit")
    change = {"description": text, "category": text[:100]}
    headers = {"If-Match": '"1"', "Content-Type": "application/merge-patch+json"}
    assert site.call("PATCH", f"/products/{product['id']}", change, token=site.token(), **headers).ok
    page.get_by_label("Description", exact=True).fill(f"{text} {text}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Another user has changed it")
    check(page)


@pytest.mark.parametrize("text", daily(TEXTS.values(), 0, 2))
def test_in_names_that_are_refused_and_in_the_audit(page, site, text):
    for path, field, submit in (
        ("/users/new", "User name", "Create"),
        ("/tokens", "Name", "Create the token"),
    ):
        page.goto(path)
        given = page.get_by_label(field)
        given.fill(f"<{text}")  # which no name begins with
        if path == "/users/new":
            page.get_by_label("Initial password", exact=True).fill("sandía caballo grapa correcta")
        else:
            page.get_by_label("products:read").check()
        page.get_by_role("button", name=submit).click()
        expect(given).to_have_attribute("aria-invalid", "true")
        check(page)
    site.call("POST", "/session/login", {"username": text, "password": "wrong"})
    page.goto("/audit")
    expect(page.locator(".audit tbody tr").first).to_be_visible()
    check(page)


@pytest.mark.parametrize("text", daily(TEXTS.values(), 1, 3))
def test_in_an_address(page, text):
    for path, field in (("/products", "search"), ("/products", "tag"), ("/products/deleted", "name"), ("/audit", "by")):
        page.goto("/login")
        page.evaluate(
            "([path, field, text]) => location.assign(`${path}?${field}=${encodeURIComponent(text)}`)",
            [path, field, text],
        )
        page.wait_for_url(f"**{path}?*")
        expect(page.locator("h1")).to_have_count(1)
        check(page)
