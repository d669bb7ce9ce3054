"""Products in the browser: find, read, create, edit, delete; with a script and without."""

import re
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.support.browser import SCRIPT_OR_NOT, complaints_in_both_themes, log_in, open_page
from tests.support.daily import daily
from tests.support.products import HOSTILE, unique


@pytest.fixture
def page(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        yield page


@SCRIPT_OR_NOT
def test_a_product_is_created_edited_and_deleted(browser, site, javascript):
    name = unique("Arroz")
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site)
        page.get_by_role("link", name="New product").first.click()  # an empty list has one too
        page.get_by_label("Name").fill(name)
        page.get_by_label("Price").fill("1.20")
        page.get_by_label("Stock").fill("40")
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("status").first).to_contain_text(f"“{name}” was created in rsA.")
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.get_by_text("€1.20")).to_be_visible()

        page.get_by_role("link", name="Edit").click()
        page.get_by_label("Stock").fill("41")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".figures")).to_contain_text("41")

        page.get_by_role("link", name="Delete").click()
        page.get_by_role("button", name="Delete").click()
        page.wait_for_url("**/products")
        expect(page.get_by_role("status").first).to_contain_text(f"“{name}” was deleted.")


def test_the_dialog_asks_before_deleting_and_gives_the_focus_back(page, site):
    product = site.add_product(name=unique("Manzana"))
    page.goto(f"/products/{product['id']}")
    page.get_by_role("link", name="Delete").press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("link", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("link", name="Delete")).to_be_focused()


def test_every_wrong_field_says_what_is_wrong_and_is_linked_to_it(page):
    page.goto("/products/new")
    page.get_by_label("Price").fill("abc")
    page.get_by_label("Stock").fill("-1")
    page.get_by_label("SKU").fill("with space")
    page.get_by_role("button", name="Create").click()
    for field in ("name", "price", "stock", "sku"):
        control = page.locator(f"#{field}")
        expect(control).to_have_attribute("aria-invalid", "true")
        expect(control).to_have_attribute("aria-describedby", re.compile(rf"\b{field}-error\b"))
        expect(page.locator(f"#{field}-error")).not_to_be_empty()
    expect(page.get_by_label("Price")).to_have_value("abc")


def test_search_narrows_while_one_types_and_survives_reload_and_back(page, site):
    word = uuid4().hex[:10]
    site.add_product(name=f"Café {word} molido")
    site.add_product(name=f"Leche {word}")
    page.goto("/products")
    page.get_by_label("Search products").press_sequentially(f"cafe {word}")
    expect(page.locator(".product-name")).to_have_text([f"Café {word} molido"])
    expect(page.get_by_label("Search products")).to_be_focused()
    expect(page).to_have_url(re.compile(r"search=cafe"))
    page.reload()
    expect(page.locator(".product-name")).to_have_text([f"Café {word} molido"])
    page.locator(".product-name").click()
    page.go_back()
    expect(page.locator(".product-name")).to_have_text([f"Café {word} molido"])


def test_pages_follow_each_other_over_the_border_of_the_shards_and_back(page, site):
    word = uuid4().hex[:10]
    items = [{"name": f"{letter}{n:02} {word}", "price": "1"} for letter in ("M", "N") for n in range(30)]
    assert site.call("POST", "/products/batch", {"items": items}, token=site.token()).ok
    page.goto(f"/products?search={word}")
    assert page.locator(".product-name").count() == 50
    assert page.locator(".shard-rsA, .shard-rsB").filter(visible=True).count() >= 50
    page.get_by_role("link", name="Next page").click()
    expect(page.locator(".product-name")).to_have_count(10)
    page.reload()
    expect(page.locator(".product-name")).to_have_count(10)
    page.go_back()
    expect(page.locator(".product-name")).to_have_count(50)


def test_a_letter_leads_to_its_products(page, site):
    name = f"Ñandú {uuid4().hex[:6]}"
    site.add_product(name=name)
    site.add_product(name=unique("Naranja"))
    page.goto("/products")
    page.get_by_role("link", name="Ñ", exact=True).click()
    expect(page.locator(".product-name").first).to_have_text(re.compile("^Ñ"))


def test_the_form_tells_where_a_name_goes_and_that_another_shard_means_a_move(page, site):
    page.goto("/products/new")
    page.get_by_label("Name").press_sequentially("Ñandú")
    expect(page.locator("#name-where")).to_contain_text("Stored in rsB")
    product = site.add_product(name=unique("Almendra"))
    page.goto(f"/products/{product['id']}/edit")
    page.get_by_label("Name").fill("Nuez")
    expect(page.locator("#name-where")).to_contain_text("another shard")


def test_two_people_edit_the_same_product_and_both_versions_are_shown(page, site):
    product = site.add_product(name=unique("Judías"), stock=1, category="Legumbres")
    page.goto(f"/products/{product['id']}/edit")
    change = {"stock": 7, "category": "Verdura"}
    headers = {"If-Match": '"1"', "Content-Type": "application/merge-patch+json"}
    assert site.call("PATCH", f"/products/{product['id']}", change, token=site.token(), **headers).ok
    page.get_by_label("Stock").fill("9")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Another user has changed it")
    assert complaints_in_both_themes(page) == []
    stock = page.get_by_role("group", name="Stock")
    expect(stock).to_contain_text("9")
    expect(stock).to_contain_text("7")
    expect(stock.get_by_role("radio", name="Yours")).to_be_checked()
    expect(page.get_by_role("group", name="Category").get_by_role("radio", name="Stored now")).to_be_checked()
    page.get_by_role("button", name="Save this choice").click()
    stored = site.call("GET", f"/products/{product['id']}", token=site.token()).json()
    assert (stored["stock"], stored["category"], stored["version"]) == (9, "Verdura", 3)


@SCRIPT_OR_NOT
def test_an_impatient_double_click_makes_one_product(browser, site, javascript):
    name = unique("Garbanzos")
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site)
        page.goto("/products/new")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Price").fill("1.5")
        page.get_by_role("button", name="Create").dblclick()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
    assert len(site.call("GET", f"/products?search={name}", token=site.token()).json()["items"]) == 1


@pytest.mark.parametrize("name", daily(HOSTILE, 0, 3, 6))
def test_hostile_names_are_text_everywhere(page, site, name):
    product = site.add_product(name=f"{name} {uuid4().hex[:6]}", variant=name, category="<i>x</i>")
    for path in ("", "/edit", "/delete"):
        page.goto(f"/products/{product['id']}{path}")
        assert page.locator("main b, main i, main img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.goto(f"/products/{product['id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text(product["name"])
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text(product["name"])


def test_a_spaniard_writes_prices_the_spanish_way(browser, site):
    name = unique("Aceite")
    with open_page(browser, site, locale="es-ES") as page:
        log_in(page, site)
        page.get_by_role("link", name="Nuevo producto").click()
        page.get_by_label("Nombre").fill(name)
        page.get_by_label("Precio").fill("1.20")
        page.get_by_role("button", name="Crear").click()
        expect(page.locator("#price-error")).to_have_text("Escriba un precio como 1,20.")
        page.get_by_label("Precio").fill("1.234,50 €")
        page.get_by_role("button", name="Crear").click()
        expect(page.locator(".figures")).to_contain_text("1.234,50 €")


def test_a_viewer_looks_and_changes_nothing(browser, site):
    product = site.add_product(name=unique("Higos"))
    with open_page(browser, site) as page:
        log_in(page, site, "viewer")
        expect(page.get_by_role("link", name="New product")).to_have_count(0)
        page.goto(f"/products/{product['id']}")
        expect(page.get_by_role("link", name="Edit")).to_have_count(0)
        for path in ("/products/new", f"/products/{product['id']}/edit", f"/products/{product['id']}/delete"):
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 403
            expect(page.get_by_role("heading", level=1)).to_have_text("Your role does not allow this")
