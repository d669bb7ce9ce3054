"""Many products at once in the browser: chosen, looked at, confirmed by typing, done in steps, reported."""

from datetime import UTC, datetime
from urllib.parse import quote
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.support.browser import IN_EVERY_VIEW, SCRIPT_OR_NOT, complaints_of_axe, log_in, open_page
from tests.support.products import add_many, stored
from tests.support.waiting import wait_until


@SCRIPT_OR_NOT
def test_ticked_products_are_changed_after_a_look_and_a_typed_number(browser, site, javascript):
    word = add_many(site, 3, category="Vieja")
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site, "editor")
        page.goto(f"/products?search={word}")
        page.locator("[name=item]").nth(0).check()
        page.locator("[name=item]").nth(2).check()
        page.get_by_role("button", name="Edit them").click()
        page.get_by_label("Price").fill("2.75")
        page.get_by_label("Remove the category").check()
        page.get_by_label("Add tags").fill("mar, verde")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator(".changes")).to_contain_text("€1.00 → after: €2.75", use_inner_text=True)
        expect(page.locator(".changes")).to_contain_text("mar, verde")
        assert {product["price"] for product in stored(site, word)} == {"1"}, "nothing is stored by looking"
        page.get_by_label("Type 2 to confirm").fill("3")
        page.get_by_role("button", name="Change 2 products").click()
        expect(page.locator("#typed-error")).to_have_text("Type this number: 2")
        page.get_by_label("Type 2 to confirm").fill("2")
        page.get_by_label("Type 2 to confirm").press("Enter")
        expect(page.get_by_text("All products processed")).to_be_visible()
        expect(page.locator(".facts")).to_contain_text("Changed2", use_inner_text=False)
        page.get_by_role("link", name="Go to products").click()
        expect(page.locator(".product-name")).to_have_count(3)
    changed = [p for p in stored(site, word) if p["price"] == "2.75"]
    assert [(p["category"], p["tags"]) for p in changed] == [("", ["mar", "verde"])] * 2


def test_what_is_done_in_the_browser_stands_in_the_audit_and_what_is_only_looked_at_does_not(browser, site):
    word, since = add_many(site, 2), datetime.now(UTC).isoformat()
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        page.goto(f"/products?search={word}")
        page.get_by_label("Select all on this page").check()
        page.get_by_role("button", name="Delete them").click()
        page.get_by_label("Type 2 to confirm").fill("2")
        page.get_by_role("button", name="Delete 2 products").click()
        expect(page.get_by_text("All products processed")).to_be_visible()
        page.goto("/products/deleted?name=" + f"Alga 0000 {word}")
        page.get_by_role("button", name=f"Restore Alga 0000 {word}").click()
        expect(page.get_by_role("status").first).to_contain_text("was restored")

    def actions():
        entries = site.call("GET", f"/audit?by=editor&since={quote(since)}", token=site.token()).json()["items"]
        return sorted(entry["action"] for entry in entries)

    wait_until(lambda: actions() == ["product.bulk_remove", "product.restore"], "both are noted, once")


@SCRIPT_OR_NOT
def test_all_that_match_are_deleted_in_steps_and_can_be_restored(browser, site, javascript):
    word = add_many(site, 620)
    with open_page(browser, site, java_script_enabled=javascript) as page:
        log_in(page, site, "editor")
        page.goto(f"/products?search={word}")
        page.get_by_label("All matching products, on every page").check()
        if javascript:
            expect(page.locator("[data-selected]")).to_have_text("All matching products")
        page.get_by_role("button", name="Delete them").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Delete 620 products?")
        page.get_by_label("Type 620 to confirm").fill("620")
        page.get_by_role("button", name="Delete 620 products").click()
        if not javascript:
            page.get_by_role("button", name="Continue").click()
        expect(page.get_by_text("All products processed")).to_be_visible()
        expect(page.locator(".facts")).to_contain_text("Deleted620")
        page.get_by_role("link", name="Go to products").click()
        expect(page.locator(".empty")).to_be_visible()
    assert stored(site, word) == []


def test_what_somebody_changed_meanwhile_is_left_and_named(browser, site):
    word = add_many(site, 2)
    first = stored(site, word)[0]
    with open_page(browser, site, locale="es-ES") as page:
        log_in(page, site, "editor")
        page.goto(f"/products?search={word}")
        page.get_by_label("Seleccionar todos los de esta página").check()
        page.get_by_role("button", name="Eliminarlos").click()
        headers = {"If-Match": f'"{first["version"]}"', "Content-Type": "application/merge-patch+json"}
        assert site.call("PATCH", f"/products/{first['id']}", {"stock": 99}, token=site.token(), **headers).ok
        page.get_by_label("Escriba 2 para confirmar").fill("2")
        page.get_by_role("button", name="Eliminar 2 productos").click()
        expect(page.get_by_text("Todos los productos procesados")).to_be_visible()
        expect(page.locator("#refused-rows")).to_contain_text(first["name"])
        expect(page.locator("#refused-rows")).to_contain_text("Otro usuario lo ha cambiado mientras tanto.")
        assert complaints_of_axe(page) == []
    assert [p["id"] for p in stored(site, word)] == [first["id"]]


def test_nothing_chosen_and_nothing_to_change_are_said(browser, site):
    word = add_many(site, 1)
    with open_page(browser, site, java_script_enabled=False) as page:
        log_in(page, site, "editor")
        page.goto(f"/products?search={word}")
        page.get_by_role("button", name="Edit them").click()
        expect(page.get_by_role("status").first).to_contain_text("Choose products first.")
        page.locator("[name=item]").check()
        page.get_by_role("button", name="Edit them").click()
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("alert")).to_contain_text("Choose what to change.")
        page.get_by_label("Price").fill("cheap")
        page.get_by_label("Stock").fill("-1")
        page.get_by_role("button", name="Preview").click()
        for field in ("price", "stock"):
            expect(page.locator(f"#{field}-error")).not_to_be_empty()


def test_buttons_wait_for_a_selection_and_count_it(browser, site):
    word = add_many(site, 3)
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        page.goto(f"/products?search={word}")
        button = page.get_by_role("button", name="Edit them")
        expect(button).to_be_disabled()
        page.locator("[name=item]").first.check()
        expect(page.locator("[data-selected]")).to_have_text("1 selected")
        expect(button).to_be_enabled()
        page.get_by_label("Select all on this page").check()
        expect(page.locator("[data-selected]")).to_have_text("3 selected")
        page.get_by_label("Search products").fill(f"{word} 0001")
        expect(page.locator(".product-name")).to_have_count(1)
        expect(page.locator("[data-selected]")).to_have_text("None selected")
        expect(button).to_be_disabled()


@IN_EVERY_VIEW
def test_axe_finds_nothing_on_the_pages_of_a_bulk(browser, site, theme, width):
    word = add_many(site, 12)
    with open_page(browser, site, color_scheme=theme, viewport={"width": width, "height": 844}) as page:
        log_in(page, site, "editor")
        for action, words in (("Edit them", "Preview"), ("Delete them", "Delete 12 products")):
            page.goto(f"/products?search={word}")
            page.get_by_label("All matching products, on every page").check()
            page.get_by_role("button", name=action).click()
            assert complaints_of_axe(page) == []
            if action == "Edit them":
                page.get_by_label("Price").fill("3")
            page.get_by_role("button", name=words).click()
            expect(page.locator("#typed")).to_be_visible()
            assert complaints_of_axe(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    "form",
    [
        {"action": "delete", "item": "no-id:1"},
        {"action": "delete", "item": f"{uuid4()}:0"},
        {"action": "burn", "item": f"{uuid4()}:1"},
        {"action": "delete", "chosen": "%%%"},
    ],
)
def test_forms_that_are_not_ours_are_refused(browser, site, form):
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        sent = {**form, "csrf_token": page.locator("[name=csrf_token]").first.input_value()}
        path = "/products/bulk/run" if "chosen" in form else "/products/bulk"
        assert page.request.post(path, form=sent).status == 400
