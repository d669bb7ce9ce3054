"""What holds on every page: access for everybody, weight, headers, languages, colours, errors that help."""

import gzip
import re
from itertools import takewhile
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.support.browser import IN_EVERY_VIEW, complaints_of_axe, log_in, log_in_by_form, open_page
from tests.support.language import IN_EVERY_LANGUAGE, LOCALES
from tests.support.site import ADMIN, PASSWORD


@pytest.fixture(scope="module")
def product(site):
    return site.add_product(
        name=f"Azafrán {uuid4().hex[:6]}",
        variant="Caja 1 g",
        stock=3,
        tags=["especia"],
        category="Especias",
        description="D",
    )


def paths(product):
    mine = f"/products/{product['id']}"
    return [
        "/",
        "/products",
        "/products?search=zzzzzz",
        "/products/facets",
        "/products/views",
        "/products/new",
        mine,
        f"{mine}/edit",
        f"{mine}/delete",
        "/products/deleted",
        "/products/import",
        "/products/imports",
        "/cluster",
        "/users",
        "/users/new",
        "/users/viewer",
        "/tokens",
        "/account",
        "/audit",
        "/cluster/rsA",
        "/cluster/history",
        "/cluster/rsA/rsA-1",
        "/cluster/rsA/rsA-1/stop",
        "/cluster/rsA/switchover",
        "/cluster/moves/new?target=rsB&from=g&below=n",
        "/drills",
        "/drills/new",
    ]


@IN_EVERY_VIEW
def test_axe_finds_nothing_on_any_page(browser, site, product, theme, width):
    with open_page(browser, site, color_scheme=theme, viewport={"width": width, "height": 844}) as page:
        page.goto("/login")
        assert complaints_of_axe(page) == []
        page.get_by_label("User name").fill(f"nobody-{theme}")
        page.get_by_label("Password", exact=True).fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).not_to_be_empty()  # wrong, or too many of these tests at once
        assert complaints_of_axe(page) == []
        log_in(page, site)
        for path in [*paths(product), "/no-such-page"]:
            page.goto(path)
            assert complaints_of_axe(page) == [], path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        page.goto(f"/products/{product['id']}")
        page.locator(".menu summary").click()
        assert complaints_of_axe(page) == []
        page.keyboard.press("Escape")
        page.get_by_role("link", name="Delete").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert complaints_of_axe(page) == []


def test_every_page_has_a_title_of_its_own_one_main_heading_and_a_skip_link(browser, site, product):
    with open_page(browser, site) as page:
        log_in(page, site)
        titles = set()
        for path in paths(product):
            page.goto(path)
            titles.add(page.title())
            assert page.locator("h1").count() == 1, path
            page.keyboard.press("Tab") if path == "/products" else None
        assert len(titles) == len(paths(product))
        page.goto("/products")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()


def test_the_first_products_page_is_light(browser, site):
    """All assets, cold cache: at most 100 KB as they are sent, in at most 5 requests after the document."""
    sizes = {}
    with open_page(browser, site) as page:
        log_in(page, site)
    with open_page(browser, site) as page:
        requests = []
        page.on("requestfinished", lambda request: requests.append(request))
        log_in(page, site)
        page.wait_for_load_state("networkidle")
        for request in requests:
            measured = request.sizes()
            sizes[request.url] = measured["responseBodySize"] + measured["responseHeadersSize"]
    assert len(sizes) <= 6, sizes
    assert sum(sizes.values()) <= 100_000, sizes


def test_a_search_sends_less_than_ten_kilobytes(browser, site):
    items = [{"name": f"Ligero {n:03}", "price": "1", "category": "Categoría larga, con palabras"} for n in range(60)]
    assert site.call("POST", "/products/batch", {"items": items}, token=site.token()).ok
    with open_page(browser, site) as page:
        log_in(page, site)
        with page.expect_response(re.compile("search=ligero")) as answer:
            page.get_by_label("Search products").fill("ligero")
        sizes = answer.value.request.sizes()
        assert sizes["responseBodySize"] <= 10_000
        expect(page.locator(".product-name")).to_have_count(50)


def test_assets_are_kept_for_ever_and_compressed(browser, site):
    with open_page(browser, site) as page:
        page.goto("/login")
        for url in (
            page.locator("link[rel=stylesheet]").get_attribute("href"),
            page.locator("script").get_attribute("src"),
        ):
            answer = page.request.get(url)
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["content-encoding"] == "gzip"
            assert "set-cookie" not in answer.headers


def test_the_policy_lets_nothing_in_from_elsewhere(browser, site):
    with open_page(browser, site) as page:
        for path in ("/login", "/no-such-page"):
            headers = page.goto(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("locale", "words"), [("es-MX", "Iniciar sesión"), ("en-US", "Log in"), ("fr-FR", "Log in")])
def test_the_browser_s_language_is_spoken(browser, site, locale, words):
    with open_page(browser, site, locale=locale) as page:
        page.goto("/login")
        expect(page.get_by_role("heading", level=1)).to_have_text(words)


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "no script"])
def test_language_and_colours_are_chosen_and_remembered(browser, site, javascript):
    with open_page(browser, site, java_script_enabled=javascript) as page:
        page.goto("/login?next=/cluster")
        page.locator(".menu summary").click()
        page.get_by_role("button", name="Español").click()
        expect(page).to_have_url(re.compile("next="))
        expect(page.get_by_role("heading", level=1)).to_have_text("Iniciar sesión")
        page.locator(".menu summary").click()
        page.get_by_role("button", name="Oscuro").click()
        assert page.locator("html").get_attribute("data-theme") == "dark"
        assert page.locator("html").get_attribute("lang") == "es"
        if javascript:
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 23, 26)"


def test_whoever_is_not_logged_in_comes_back_to_where_they_wanted_to_go(browser, site):
    with open_page(browser, site) as page:
        page.goto("/cluster")
        expect(page).to_have_url(re.compile(r"/login\?next=%2Fcluster"))
        page.get_by_label("User name").fill(ADMIN)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/cluster")


@pytest.mark.parametrize("evil", ["//evil.example", "https://evil.example", "/\\evil.example", "/%09/evil.example"])
def test_a_login_never_leads_elsewhere(browser, site, evil):
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto(f"/login?next={evil}")
        assert page.url.startswith(f"{site.url}/")


def test_log_out_ends_the_session_even_for_a_copied_cookie(browser, site):
    with open_page(browser, site) as page:
        log_in_by_form(page, "viewer")
        copied = page.context.cookies()
        page.locator(".menu summary").click()
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        expect(page.get_by_role("status").first).to_contain_text("You are logged out")
        page.context.clear_cookies()
        page.context.add_cookies(copied)
        page.goto("/products")
        expect(page).to_have_url(re.compile("/login"))


def test_a_form_without_its_token_is_not_sent_and_comes_back_as_typed(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/products/new")
        page.locator(".product-form [name=csrf_token]").evaluate("input => input.remove()")
        page.get_by_label("Name").fill("x")
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("status").first).to_contain_text("Nothing has been saved yet")
        expect(page.get_by_label("Name", exact=True)).to_have_value("x")


def test_pages_that_are_not_there_say_so(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        for path, words in (
            ("/nowhere", "Page not found"),
            ("/products/00000000-0000-4000-8000-000000000000", "Product not found"),
            ("/products?cursor=nonsense", "This page of the list no longer exists"),
        ):
            page.goto(path)
            expect(page.get_by_role("heading", level=1)).to_have_text(words)
            expect(page.get_by_role("link", name="Go to products")).to_be_visible()


def test_the_page_is_compressed_but_its_length_does_not_tell(site):
    import requests

    def fetch():
        return requests.get(
            f"{site.url}/login", headers={"Accept-Encoding": "gzip"}, stream=True, timeout=20
        ).raw.read()

    bodies = [fetch() for _ in range(6)]
    assert len({len(body) for body in bodies}) > 1
    assert gzip.decompress(bodies[0]).startswith(b"<!doctype html>")


SHIFTS = """window.shifted = 0; window.moved = [];
const told = (one) => `${one.node?.outerHTML?.slice(0, 120)} ${one.previousRect.y} -> ${one.currentRect.y}`;
new PerformanceObserver((list) => { for (const one of list.getEntries()) {
  window.shifted += one.value; window.moved.push(...one.sources.map(told)); } })
  .observe({ type: "layout-shift", buffered: true });"""
PAINTED = "() => performance.getEntriesByName('first-paint').length > 0"
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.mark.parametrize("width", [1440, 390], ids=["wide", "phone"])
def test_nothing_moves_when_the_script_comes_late(browser, site, product, width):
    """The script is held back until the page can be seen, in a zone far from UTC."""

    def hold(route):
        page.wait_for_function(PAINTED)
        route.continue_()

    options = {"viewport": {"width": width, "height": 844}, "timezone_id": "America/New_York"}
    with open_page(browser, site, **options) as page:
        log_in(page, site)
        page.add_init_script(SHIFTS)
        page.route("**/assets/app*.js", hold)

        def moved(path):
            page.goto(path)
            page.evaluate(TWO_FRAMES)
            return page.evaluate("window.shifted >= 0.01 && window.moved")

        for path in paths(product):
            # what the script moves, it moves each time; what the cluster page tells of a service may change just then
            seen = list(takewhile(bool, (moved(path) for _try in range(3))))
            assert len(seen) < 3, (path, seen)
        page.evaluate("document.querySelector('main').style.marginTop = '300px'")
        page.evaluate(TWO_FRAMES)
        page.wait_for_function("() => window.shifted > 0.01")  # what moves is noticed


NARROW_TABLES_FIT = """() => [...document.querySelectorAll(".wide-table:has(.narrow)")].every(
  (frame) => frame.scrollWidth <= frame.clientWidth)"""
ROWS_FILL_TABLES = """() => [...document.querySelectorAll("table.simple")].every((table) =>
  [...table.querySelectorAll("tbody tr")].every((row) => row.getBoundingClientRect().width >= table.clientWidth - 2))"""


@IN_EVERY_LANGUAGE
def test_no_page_is_wider_than_its_window(browser, site, product, language):
    with open_page(browser, site, locale=LOCALES[language]) as page:
        log_in(page, site)
        for path in [*paths(product), "/no-such-page"]:
            page.goto(path)
            for width in (320, 360, 768, 1024):
                page.set_viewport_size({"width": width, "height": 740})
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)
                assert page.evaluate(NARROW_TABLES_FIT), (path, width)
                assert page.evaluate(ROWS_FILL_TABLES), (path, width)
