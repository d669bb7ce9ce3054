"""What somebody typed is never lost: not when a session ends, nor by a login in another tab, nor for a language."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import SCRIPT_OR_NOT, log_in, log_in_by_form, open_page
from tests.support.site import ADMIN, PASSWORD


def type_a_product(page, name):
    page.goto("/products/new")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Price").fill("3.50")
    page.get_by_label("Description").fill("Two lines,\nwith “quotes” & <signs>")
    page.get_by_label("Active (on sale)").uncheck()


def expect_the_typed_product(page, name):
    expect(page.get_by_label("Name", exact=True)).to_have_value(name)
    expect(page.get_by_label("Price")).to_have_value("3.50")
    expect(page.get_by_label("Description")).to_have_value("Two lines,\nwith “quotes” & <signs>")
    expect(page.get_by_label("Active (on sale)")).not_to_be_checked()


def log_in_here(page, username=ADMIN):
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def back_to_the_form(page, javascript):
    if not javascript:
        page.get_by_role("button", name="Back to the form").click()


@SCRIPT_OR_NOT
def test_a_form_outlives_the_end_of_its_session(browser, site, javascript):
    name = f"Draft of a session {javascript}"
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site)
        type_a_product(page, name)
        page.context.clear_cookies()
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("alert")).to_contain_text("What you typed is kept")
        page.get_by_label("User name").fill(ADMIN)
        page.get_by_label("Password", exact=True).fill("wrong, at first")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("not correct")
        log_in_here(page)
        back_to_the_form(page, javascript)
        expect(page).to_have_url(re.compile("/products/new$"))
        expect(page.get_by_role("status").first).to_contain_text("Nothing has been saved yet")
        expect_the_typed_product(page, name)
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)


@SCRIPT_OR_NOT
def test_a_form_outlives_another_login_in_another_tab(browser, site, javascript):
    name = f"Draft of a tab {javascript}"
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in_by_form(page)
        type_a_product(page, name)
        page.context.clear_cookies()
        log_in_by_form(page.context.new_page(), "editor")
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("status").first).to_contain_text("Nothing has been saved yet")
        expect_the_typed_product(page, name)
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)


@SCRIPT_OR_NOT
def test_a_form_outlives_other_colours_and_another_language(browser, site, javascript):
    name = f"Draft of a language {javascript}"
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site)
        type_a_product(page, name)
        page.get_by_label(re.compile("Account and display")).click()
        page.get_by_role("button", name="Dark").click()
        back_to_the_form(page, javascript)
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        expect_the_typed_product(page, name)
        page.get_by_label(re.compile("Account and display")).click()
        page.get_by_role("button", name="Español").click()
        if not javascript:
            page.get_by_role("button", name="Volver al formulario").click()
        expect(page.get_by_label("Nombre", exact=True)).to_have_value(name)
        expect(page.get_by_label("Precio")).to_have_value("3.50")  # as it was typed; Spanish says so when it is sent
        expect(page).to_have_url(re.compile("/products/new$"))


def test_an_edit_that_was_refused_outlives_another_language(browser, site):
    body = {"name": "Draft of an edit", "price": "1.00"}
    product = site.call("POST", "/products", body, token=site.token()).json()
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto(f"/products/{product['id']}/edit")
        page.get_by_label("Price").fill("cheap")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#price-error")).to_be_visible()
        page.get_by_label(re.compile("Account and display")).click()
        page.get_by_role("button", name="Español").click()
        expect(page.get_by_label("Precio")).to_have_value("cheap")
        page.get_by_label("Precio").fill("2,00")
        page.get_by_role("button", name="Guardar").click()
        expect(page.get_by_role("status").first).to_contain_text("se ha guardado")


@pytest.mark.parametrize(
    ("path", "label", "text"),
    [("/users/new", "User name", "draft-user"), ("/tokens", "Name", "draft-token"), ("/drills/new", "Rounds", "3")],
)
def test_every_form_comes_back_as_it_was_typed(browser, site, path, label, text):
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto(path)
        page.get_by_label(label, exact=True).fill(text)
        page.get_by_label(re.compile("Account and display")).click()
        page.get_by_role("button", name="Light").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "light")
        expect(page.get_by_label(label, exact=True)).to_have_value(text)


def test_no_password_is_kept(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/users/new")
        page.get_by_label("User name").fill("draft-secret")
        page.get_by_label("Initial password", exact=True).fill("a long sentence of words")
        page.get_by_label(re.compile("Account and display")).click()
        page.get_by_role("button", name="Light").click()
        expect(page.get_by_label("User name")).to_have_value("draft-secret")
        expect(page.get_by_label("Initial password", exact=True)).to_have_value("")


def test_who_searches_or_watches_comes_back_there_after_the_login(browser, site):
    with open_page(browser, site) as page:
        log_in_by_form(page)
        page.goto("/products")
        page.context.clear_cookies()
        page.get_by_label("Search products").fill("acei")
        expect(page).to_have_url(re.compile("/login"))
        log_in_here(page)
        expect(page.get_by_label("Search products")).to_have_value("acei")
        page.goto("/cluster")
        expect(page.locator("#live-part .member").first).to_be_visible()
        elsewhere = page.context.new_page()
        elsewhere.goto("/account")
        elsewhere.get_by_label(re.compile("Account and display")).click()
        elsewhere.get_by_role("button", name="Log out").click()
        expect(page).to_have_url(re.compile("/login.*cluster"))
        log_in_here(page)
        expect(page).to_have_url(re.compile("/cluster$"))


def test_a_lookup_without_login_leaves_the_typed_form_alone(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/products/new")
        page.get_by_label("Description").fill("typed before")
        page.context.clear_cookies()
        page.get_by_label("Name", exact=True).fill("Draft of a lookup")
        expect(page.get_by_role("status").first).to_contain_text("What you typed is kept")
        expect(page.get_by_label("Description")).to_have_value("typed before")


def test_what_cannot_be_typed_says_why_nothing_was_done(browser, site):
    body = {"name": "Draft of a button", "price": "1.00"}
    product = site.call("POST", "/products", body, token=site.token()).json()
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/account")
        page.context.clear_cookies()
        page.get_by_role("button", name="Set up an authenticator").click()
        expect(page.get_by_role("status").first).to_contain_text("nothing was done")
        log_in_here(page)
        expect(page).to_have_url(re.compile("/account$"))
        page.goto(f"/products/{product['id']}/delete")
        page.context.clear_cookies()
        page.get_by_role("button", name="Delete").click()
        log_in_here(page)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Draft of a button")
