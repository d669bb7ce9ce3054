"""Products, drills and tokens by keyboard alone: no click, no script's help to find the way."""

from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.support.browser import HOME, log_in, open_page
from tests.support.faults import wait_healthy
from tests.support.keyboard import press, tab_to, type_into
from tests.support.site import ADMIN, PASSWORD


def test_log_in_create_find_edit_delete_and_log_out_by_keyboard(browser, site):
    name = f"Alubias {uuid4().hex[:8]}"
    with open_page(browser, site) as page:
        page.goto("/login")
        type_into(page, page.locator("#username"), ADMIN)
        tab_to(page, page.get_by_label("Password", exact=True))
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(HOME)

        press(page, page.get_by_role("link", name="New product").first)
        page.wait_for_url("**/new")
        type_into(page, page.locator("#name"), name)
        tab_to(page, page.get_by_label("Price"))
        page.keyboard.type("1.35")
        tab_to(page, page.get_by_label("Active"))
        page.keyboard.press("Space")
        press(page, page.get_by_role("button", name="Create"))
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.get_by_label("Details")).to_contain_text("not active")

        press(page, page.get_by_role("link", name="Products").first)
        page.wait_for_url("**/products")
        page.keyboard.press("/")
        type_into(page, page.get_by_role("searchbox"), name)
        expect(page.locator(".product-name")).to_have_text([name])
        press(page, page.locator(".product-name"))
        expect(page.get_by_role("heading", level=1)).to_have_text(name)

        press(page, page.get_by_role("link", name="Edit"))
        page.wait_for_url("**/edit")
        tab_to(page, page.get_by_label("Stock"))
        page.keyboard.press("Control+A")
        page.keyboard.type("12")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Details")).to_contain_text("12")

        press(page, page.get_by_role("link", name="Delete"))
        expect(page.get_by_role("link", name="Keep it")).to_be_focused()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/products")

        press(page, page.locator(".menu summary"))
        press(page, page.get_by_role("button", name="Log out"))
        page.wait_for_url("**/login")


@pytest.mark.timeout(400)
def test_a_drill_is_ordered_followed_and_ended_by_keyboard(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site, "operator")
        wait_healthy(site)
        press(page, page.get_by_role("link", name="Drills"))
        page.wait_for_url("**/drills")
        press(page, page.get_by_role("link", name="New drill"))
        page.wait_for_url("**/drills/new")
        tab_to(page, page.locator("[name=sets][value=rsA]"))
        press(page, page.locator("[name=sets][value=rsB]"), "Space")
        tab_to(page, page.locator("[name=fault]:checked"))
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        expect(page.locator("[name=fault]:checked")).to_have_value("stepdown")
        tab_to(page, page.get_by_label("Rounds"))
        page.keyboard.press("Control+A")
        page.keyboard.type("20")
        expect(page.locator("#verdict")).to_contain_text("The drill can start", timeout=60_000)
        expect(page.get_by_label("Rounds")).to_be_focused()
        press(page, page.get_by_role("button", name="Start the drill"))
        page.wait_for_url("**/drills/live/*")
        expect(page.locator(".steps")).to_contain_text("fault", timeout=60_000)
        press(page, page.get_by_role("button", name="Stop now"))
        expect(page.locator(".verdict")).to_contain_text("The drill was interrupted", timeout=120_000)


def test_a_token_is_made_and_revoked_by_keyboard(browser, site):
    name = f"nightly-{uuid4().hex[:8]}"
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/users")
        press(page, page.get_by_role("link", name="Service tokens"))
        page.wait_for_url("**/tokens")
        tab_to(page, page.get_by_label("Name"))
        page.keyboard.type(name)
        press(page, page.get_by_label("products:read"), "Space")
        press(page, page.get_by_role("button", name="Create the token"))
        type_into(page, page.locator("#proof_password"), PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").filter(has_text=name)).to_contain_text("prodctl_")
        press(page, page.get_by_role("button", name=f"Revoke {name}"))
        expect(page.get_by_role("status").first).to_contain_text(f"“{name}” is revoked")
