"""The list of products in the browser: filters, order, columns, places; all of it in the address."""

import re
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.support.browser import IN_EVERY_VIEW, SCRIPT_OR_NOT, complaints_of_axe, log_in, open_page
from tests.support.daily import daily
from tests.support.products import HOSTILE

BOTH_LANGUAGES = pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-GB", {"filters": "Filters", "price": "Price from", "show": "Show", "chip": "Price ≥ 2.5"}),
        ("es-ES", {"filters": "Filtros", "price": "Precio desde", "show": "Mostrar", "chip": "Precio ≥ 2,5"}),
    ],
    ids=["English", "Spanish"],
)


@pytest.fixture
def page(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        yield page


@pytest.fixture(scope="module")
def fruits(site):
    """Products that share a word: dearer and dearer, fewer and fewer, every second one not for sale."""
    word = f"z{uuid4().hex[:8]}"
    items = [
        {
            "name": f"{letter}ruta {word}",
            "price": f"{n}.50",
            "stock": 30 - 10 * n,
            "active": n % 2 == 0,
            "category": f"Cesta {word}",
            "tags": ["bio", f"n{n}"],
        }
        for n, letter in enumerate("BDPT")
    ]
    assert site.call("POST", "/products/batch", {"items": items}, token=site.token()).ok
    return word


def names(page):
    return page.locator(".product-name")


def short(page):
    """The first letters of the names, in the list's order."""
    return [text[0] for text in names(page).all_inner_texts()]


@BOTH_LANGUAGES
@SCRIPT_OR_NOT
def test_filters_narrow_the_list_and_can_be_taken_away_one_by_one(browser, site, fruits, locale, words, javascript):
    with open_page(browser, site, locale=locale, java_script_enabled=javascript) as page:
        log_in(page, site, "viewer")
        page.goto(f"/products?category=cesta+{fruits}&tag=bio")
        expect(names(page)).to_have_count(4)
        page.locator("summary", has_text=words["filters"]).click()
        page.get_by_label(words["price"]).fill("2.5")
        page.locator("summary", has_text=words["filters"]).locator("..").get_by_role(
            "button", name=words["show"]
        ).click()
        expect(names(page)).to_have_count(2)
        assert "stock_min" not in page.url, "empty fields do not stay in the address"
        chips = page.locator(".chip")
        expect(chips).to_have_count(4)
        expect(chips.nth(2)).to_contain_text(words["chip"])
        page.reload()
        expect(names(page)).to_have_count(2)
        chips.nth(2).click()
        expect(names(page)).to_have_count(4)
        page.go_back()
        expect(names(page)).to_have_count(2)


def test_every_filter_does_what_it_says(page, fruits):
    for query, letters in (
        ("active=true", "BP"),
        ("active=false", "DT"),
        ("stock_max=0", "T"),
        ("stock_min=10&stock_max=20", "DP"),
        ("price_max=1.50", "BD"),
        ("tag=n2", "P"),
        ("shard=rsA", "BD"),
        ("shard=rsB", "PT"),
        ("updated_since=2020-01-01", "BDPT"),
        ("updated_since=2200-01-01", ""),
    ):
        page.goto(f"/products?search={fruits}&{query}")
        assert short(page) == list(letters), query


def test_headings_sort_both_ways_and_say_so(page, fruits):
    page.goto(f"/products?search={fruits}")
    heading = page.get_by_role("columnheader", name="Price")
    assert heading.get_attribute("aria-sort") is None
    expect(page.get_by_role("columnheader", name="Product")).to_have_attribute("aria-sort", "ascending")
    heading.get_by_role("link").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert short(page) == list("BDPT")
    heading.get_by_role("link").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert short(page) == list("TPDB")
    page.get_by_role("columnheader", name="Stock").get_by_role("link").click()
    expect(page).to_have_url(re.compile("sort=stock"))
    assert short(page) == list("TPDB")


def test_a_search_while_typing_keeps_filters_order_and_columns(page, fruits):
    page.goto(f"/products?tag=bio&sort=-price&columns=price,tags&category=cesta+{fruits}")
    page.get_by_label("Search products").fill(fruits)
    expect(page).to_have_url(re.compile(f"search={fruits}"))
    assert re.search("sort=-price", page.url)
    assert "columns=tags%2Cprice" in page.url
    assert "price_min" not in page.url
    assert short(page) == list("TPDB")
    expect(page.get_by_role("columnheader")).to_have_text(["", "Product", "Tags", "Price"])


@SCRIPT_OR_NOT
def test_chosen_columns_are_in_the_address_and_remembered(browser, site, fruits, javascript):
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site, "viewer")
        page.goto(f"/products?search={fruits}")
        page.locator("summary", has_text="Columns").click()
        page.locator(".panel-small").get_by_label("SKU").check()
        page.get_by_label("Stock", exact=True).uncheck()
        page.locator(".panel-small .btn-primary").click()
        headings = page.locator("thead th")
        expect(headings).to_have_text(["Product", "SKU", "Category", "Price", "Shard"])
        assert "columns=sku%2Ccategory%2Cprice%2Cshard" in page.url
        page.goto(f"/products?search={fruits}")
        expect(headings).to_have_text(["Product", "SKU", "Category", "Price", "Shard"])
        page.goto(f"/products?search={fruits}&columns=price")
        expect(headings).to_have_text(["Product", "Price"])


def test_a_sorted_list_goes_on_page_by_page_and_comes_back(page, site):
    word = f"y{uuid4().hex[:8]}"
    items = [{"name": f"Cosa {n:03} {word}", "price": f"{n}"} for n in range(60)]
    assert site.call("POST", "/products/batch", {"items": items}, token=site.token()).ok
    page.goto(f"/products?search={word}&sort=-price")
    expect(names(page).first).to_have_text(f"Cosa 059 {word}")
    page.get_by_role("link", name="Next page").click()
    expect(names(page)).to_have_count(10)
    page.reload()
    expect(names(page).first).to_have_text(f"Cosa 009 {word}")
    page.go_back()
    expect(names(page)).to_have_count(50)
    page.go_forward()
    expect(names(page)).to_have_count(10)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("search=zzzzzz", "No products match “zzzzzz”"),
        ("tag=nobody-has-this", "No products match"),
        ("price_min=abc", "This filter is not valid"),
        ("shard=rsZ", "This filter is not valid"),
        ("sort=colour", "This filter is not valid"),
    ],
)
def test_an_empty_list_says_why_and_leads_on(page, fruits, query, words):
    page.goto(f"/products?{query}")
    expect(page.locator(".empty")).to_contain_text(words)
    assert complaints_of_axe(page) == []
    page.locator(".empty a").first.click()
    expect(names(page).first).to_be_visible()


@IN_EVERY_VIEW
def test_axe_finds_nothing_in_a_full_list_with_open_panels(browser, site, fruits, theme, width):
    with open_page(browser, site, color_scheme=theme, viewport={"width": width, "height": 844}) as page:
        log_in(page, site, "editor")
        every = "sku,barcode,category,tags,price,stock,active,shard,version,updated_at,updated_by,created_at"
        page.goto(f"/products?search={fruits}&tag=bio&price_max=9&sort=-price&columns={every}")
        page.locator("[name=item]").first.check()
        for panel in (None, "Filters", "Columns", "Export"):
            if panel:
                page.locator("summary", has_text=panel).click()
            assert complaints_of_axe(page) == [], panel
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), panel
            page.keyboard.press("Escape")


def test_a_keyboard_is_enough_to_filter_sort_and_select(browser, site, fruits):
    from tests.support.keyboard import press, tab_to

    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        page.goto(f"/products?search={fruits}")
        press(page, page.locator("summary", has_text="Filters"))
        tab_to(page, page.get_by_label("Price up to"))
        page.keyboard.type("2")
        page.keyboard.press("Enter")
        expect(names(page)).to_have_count(2)
        press(page, page.get_by_role("columnheader", name="Price").get_by_role("link"))
        expect(page.get_by_role("columnheader", name="Price")).to_have_attribute("aria-sort", "ascending")
        press(page, page.locator("[name=item]").nth(1), "Space")
        expect(page.locator("[data-selected]")).to_have_text("1 selected")
        press(page, page.get_by_role("button", name="Edit them"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Change 1 product")


@SCRIPT_OR_NOT
def test_a_list_is_saved_as_a_tab_renamed_and_removed(browser, site, fruits, javascript):
    with open_page(browser, site, java_script_enabled=javascript, viewport={"width": 390, "height": 844}) as page:
        log_in(page, site, "viewer")
        page.goto(f"/products?search={fruits}&sort=-price")
        page.locator("summary", has_text="Save view").click()
        if javascript:
            assert complaints_of_axe(page) == []
        page.get_by_label("Name of the view").fill("Cestas 🧺")
        page.keyboard.press("Enter")
        tab = page.locator(".view[aria-current]")
        expect(tab).to_have_text("Cestas 🧺")
        assert short(page) == list("TPDB")
        page.get_by_role("link", name="All", exact=True).click()
        expect(tab).to_have_text("All")
        page.get_by_role("link", name="Manage saved views").click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") if javascript else True
        page.get_by_label("New name of “Cestas 🧺”").fill("Cestas")
        page.get_by_role("button", name="Rename").click()
        page.get_by_role("link", name="Cestas", exact=True).click()
        assert short(page) == list("TPDB")
        page.get_by_role("link", name="Manage saved views").click()
        page.get_by_role("button", name="Remove").click()
        expect(page.get_by_text("The view “Cestas” was removed.")).to_be_visible()


def test_escape_closes_a_panel_and_gives_the_focus_back(page):
    page.goto("/products")
    page.locator("summary", has_text="Filters").press("Enter")
    expect(page.locator("#category")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#category")).to_be_hidden()
    expect(page.locator("summary", has_text="Filters")).to_be_focused()


@pytest.mark.parametrize("text", daily(HOSTILE, 2, 5, 8))
def test_hostile_texts_in_columns_and_chips_are_text(page, site, text):
    word = f"x{uuid4().hex[:8]}"
    site.add_product(name=f"{text} {word}"[:200], variant=text, category=text[:100], tags=[text[:50]])
    page.goto("/products")
    page.goto(f"/products?search={word}&columns=category,tags")
    expect(names(page)).to_have_count(1)
    page.locator("summary", has_text="Filters").click()
    page.locator("#category").fill(text[:100])
    page.locator("#tag-1").fill(text[:50])
    page.locator("#tag-1").press("Enter")
    expect(page.locator(".chip")).to_have_count(3)
    expect(names(page)).to_have_count(1)
    assert page.locator("main b, main i, main img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_list_of_a_viewer_has_nothing_to_change_with(browser, site, fruits, theme):
    with open_page(browser, site, color_scheme=theme) as page:
        log_in(page, site, "viewer")
        page.goto(f"/products?search={fruits}")
        expect(names(page)).to_have_count(4)
        assert page.locator("#selection, [name=item]").count() == 0
        for path in ("/products/bulk", "/products/bulk/run"):
            assert page.request.post(path, form={"action": "delete"}).status in (400, 403)


def test_a_printed_list_is_the_list_alone_on_white(browser, site, fruits):
    with open_page(browser, site, color_scheme="dark") as page:
        log_in(page, site, "editor")
        page.goto(f"/products?search={fruits}")
        page.emulate_media(media="print")
        for hidden in (".site-header", ".finder", ".list-bar", ".pick >> nth=0"):
            expect(page.locator(hidden)).to_be_hidden()
        name = page.locator(".product-name").first
        expect(name).to_be_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        red, green, blue = (
            int(part) for part in name.evaluate("element => getComputedStyle(element).color")[4:-1].split(",")
        )
        assert max(red, green, blue) < 80, "dark on white, whatever the screen's colours are"
