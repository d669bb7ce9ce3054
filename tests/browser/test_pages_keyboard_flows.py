"""The other flows by keyboard alone, in both languages, each as the role whose work it is."""

import csv
from uuid import uuid4

import pyotp
from playwright.sync_api import expect

from tests.support.browser import log_in, log_in_by_form, open_page
from tests.support.keyboard import choose, fill, press, tab_to, type_into
from tests.support.language import IN_EVERY_LANGUAGE, LOCALES, speak
from tests.support.products import add_many, stored, write_csv
from tests.support.site import PASSWORD

NEW_PASSWORD = "otra frase bien larga y rara"


def button(page, name, **options):
    return page.get_by_role("button", name=name, **options)


def link(page, name, **options):
    return page.get_by_role("link", name=name, **options)


@IN_EVERY_LANGUAGE
def test_a_file_is_imported_and_taken_back(browser, site, tmp_path, language):
    word, say = uuid4().hex[:8], speak(language)
    path = write_csv(tmp_path, word)
    with open_page(browser, site, locale=LOCALES[language]) as page:
        log_in(page, site, "editor")
        press(page, link(page, say("Import"), exact=True).first)  # an empty list shows another one
        page.wait_for_url("**/import")
        with page.expect_file_chooser() as chooser:
            press(page, page.get_by_label(say("File"), exact=True))
        chooser.value.set_files(path)
        choose(page, page.get_by_label(say("Number format")), "1.234,50")
        press(page, button(page, say("Preview")))
        expect(page.get_by_label(say("Figures"))).to_contain_text(say("New") + "3")
        press(page, page.locator('main [formaction$="/run"]'))
        expect(page.get_by_text(say("All rows processed"))).to_be_visible()
        assert len(stored(site, word)) == 3
        with page.expect_download() as download:
            press(page, button(page, say("Download the refused rows")))
        assert download.value.suggested_filename.endswith(".csv")
        press(page, link(page, say("Undo the import")))
        press(page, button(page, say("Undo the import")))
        expect(page.get_by_text(say("All products processed"))).to_be_visible()
    assert stored(site, word) == []


@IN_EVERY_LANGUAGE
def test_a_selection_is_changed_exported_deleted_and_one_is_restored(browser, site, tmp_path, language):
    word, say = add_many(site, 3), speak(language)
    with open_page(browser, site, locale=LOCALES[language]) as page:
        log_in(page, site, "editor")
        page.keyboard.press("/")
        type_into(page, page.get_by_role("searchbox"), word)
        expect(page.locator(".product-name")).to_have_count(3)
        press(page, page.get_by_label(say("Select all on this page")), "Space")
        press(page, button(page, say("Edit them")))
        page.wait_for_url("**/bulk")
        fill(page, page.get_by_label(say("Stock")), "44")
        press(page, button(page, say("Preview")))
        fill(page, page.get_by_label(say("Type %(n)s to confirm", n=3)), "3")
        page.keyboard.press("Enter")
        expect(page.get_by_text(say("All products processed"))).to_be_visible()
        press(page, link(page, say("Go to products")))
        expect(page.locator(".product-name")).to_have_count(3)

        press(page, page.locator("summary", has_text=say("Export")))
        with page.expect_download() as download:
            press(page, link(page, "CSV", exact=True))
        download.value.save_as(tmp_path / "all.csv")
        rows = list(csv.DictReader((tmp_path / "all.csv").read_text("utf-8-sig").splitlines()))
        assert [row["stock"] for row in rows] == ["44"] * 3
        page.keyboard.press("Escape")

        press(page, page.get_by_label(say("All matching products, on every page")), "Space")
        press(page, button(page, say("Delete them")))
        fill(page, page.get_by_label(say("Type %(n)s to confirm", n=3)), "3")
        page.keyboard.press("Enter")
        expect(page.get_by_text(say("All products processed"))).to_be_visible()

        press(page, link(page, say("Products")).first)
        press(page, link(page, say("Deleted", context="several products")))
        name = f"Alga 0000 {word}"
        fill(page, page.get_by_label(say("Exact name")), name)
        page.keyboard.press("Enter")
        press(page, button(page, say("Restore %(name)s", name=name)))
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
    assert [product["name"] for product in stored(site, word)] == [name]


@IN_EVERY_LANGUAGE
def test_the_list_is_filtered_sorted_and_given_other_columns(browser, site, language):
    word, say = add_many(site, 3, category="Teclado"), speak(language)
    with open_page(browser, site, locale=LOCALES[language]) as page:
        log_in(page, site, "viewer")
        page.keyboard.press("/")
        type_into(page, page.get_by_role("searchbox"), word)
        press(page, page.locator("summary", has_text=say("Filters")))
        fill(page, page.get_by_label(say("Stock from")), "1")
        page.keyboard.press("Enter")
        expect(page.locator(".product-name")).to_have_count(2)
        press(page, page.locator("summary", has_text=say("Columns")))
        press(page, page.locator("[name=columns][value=version]"), "Space")
        page.keyboard.press("Enter")
        expect(page.locator("th.c-version")).to_be_visible()
        press(page, page.locator("th.c-stock a"))
        expect(page.locator("th.c-stock")).to_have_attribute("aria-sort", "ascending")
        press(page, page.locator(".chip").first)
        expect(page.locator(".product-name")).to_have_count(3)


@IN_EVERY_LANGUAGE
def test_an_account_is_made_given_a_role_closed_and_found_in_the_audit(browser, site, language):
    name, say = f"eva-{uuid4().hex[:8]}", speak(language)
    with open_page(browser, site, locale=LOCALES[language]) as page:
        log_in(page, site)
        press(page, link(page, say("Users")))
        press(page, link(page, say("New user")))
        fill(page, page.get_by_label(say("User name")), name)
        fill(page, page.get_by_label(say("Initial password"), exact=True), PASSWORD)
        press(page, button(page, say("Create")))
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        tab_to(page, page.get_by_label(say("Role")))
        page.keyboard.press("ArrowDown")
        press(page, button(page, say("Change the role")))
        expect(page.get_by_role("status").first).to_contain_text(
            say("The role was changed. It takes effect within seconds.")
        )
        press(page, button(page, say("Disable the account")))
        expect(button(page, say("Enable the account"))).to_be_visible()
        press(page, link(page, say("Audit")))
        page.wait_for_url("**/audit")
        fill(page, page.get_by_label(say("Affected")), name)
        expect(page.locator(".audit tbody tr")).to_have_count(3)
        page.goto(f"/users/{name}")
        press(page, link(page, say("Delete")))
        press(page, button(page, say("Delete")))
        page.wait_for_url("**/users")
        expect(link(page, name)).to_have_count(0)


@IN_EVERY_LANGUAGE
def test_somebody_changes_password_second_factor_language_and_sessions(browser, site, language):
    name, say = f"luis-{uuid4().hex[:8]}", speak(language)
    body = {"username": name, "password": PASSWORD, "role": "viewer"}
    assert site.call("POST", "/users", body, token=site.token()).status_code == 201
    with open_page(browser, site, locale=LOCALES[language]) as page, open_page(browser, site) as elsewhere:
        log_in_by_form(elsewhere, name)
        log_in_by_form(page, name)
        press(page, page.locator(".menu summary"))
        press(page, link(page, say("My account")))
        page.wait_for_url("**/account")
        press(page, button(page, say("End it")))
        expect(button(page, say("End it"))).to_have_count(0)
        press(page, button(page, say("Set up an authenticator")))
        page.wait_for_url("**/second-factor")
        type_into(page, page.locator("#proof_password"), PASSWORD)
        page.keyboard.press("Enter")
        page.locator("code.key").wait_for()
        type_into(page, page.locator("#code"), pyotp.TOTP(page.locator("code.key").inner_text()).now())
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(say("Your second factor is enabled"))
        recovery_code = page.locator(".codes code").first.inner_text()
        press(page, page.locator(".menu summary"))
        press(page, link(page, say("My account")))
        page.wait_for_url("**/account")
        fill(page, page.get_by_label(say("Current password"), exact=True), PASSWORD)
        fill(page, page.get_by_label(say("New password"), exact=True), NEW_PASSWORD)
        fill(page, page.locator("#password_code"), recovery_code)
        press(page, button(page, say("Change the password")))
        expect(page.get_by_role("status").first).to_contain_text(
            say("The password was changed. Your other sessions have ended.")
        )
        press(page, page.locator(".menu summary"))
        other = page.locator("button[name=language][aria-pressed=false]")
        press(page, other)
        expect(page.locator("html")).to_have_attribute("lang", "en" if language == "es" else "es")


@IN_EVERY_LANGUAGE
def test_the_cluster_and_a_shard_are_looked_at(browser, site, language):
    say = speak(language)
    with open_page(browser, site, locale=LOCALES[language]) as page:
        log_in(page, site, "operator")
        press(page, link(page, say("Cluster")))
        page.wait_for_url("**/cluster")
        press(page, page.locator("a[href='/cluster/rsA']").first)
        page.wait_for_url("**/cluster/rsA")
        expect(page.get_by_role("heading", level=1)).to_contain_text("rsA")
        expect(page.locator("main")).to_contain_text(say("primary"))
