"""Accounts in the browser: one's own, other people's, and the audit of it all."""

import re
from uuid import uuid4

import pyotp
import pytest
from playwright.sync_api import expect

from tests.support.browser import HOME, complaints_in_both_themes, log_in, log_in_by_form, open_page
from tests.support.site import PASSWORD
from tests.support.waiting import wait_until

NEW_PASSWORD = "otra frase bien larga y rara"


@pytest.fixture
def person(site):
    """Somebody new, with the name and PASSWORD."""
    site.count_failed_logins(0)  # those of the tests before
    name = f"luis-{uuid4().hex[:8]}"
    body = {"username": name, "password": PASSWORD, "role": "viewer"}
    assert site.call("POST", "/users", body, token=site.token()).status_code == 201
    return name


def may_create(page):
    return page.get_by_role("link", name="New product").count() > 0


def test_an_admin_makes_an_account_changes_its_role_and_closes_it(browser, site):
    name = f"eva-{uuid4().hex[:8]}"
    with open_page(browser, site) as admin, open_page(browser, site) as newcomer:
        log_in(admin, site)
        admin.goto("/users/new")
        admin.get_by_label("User name").fill(name)
        admin.get_by_label("Initial password", exact=True).fill("1234567890")
        admin.get_by_role("button", name="Create").click()
        expect(admin.locator("#password-error")).to_contain_text("Too short")
        admin.get_by_label("Initial password", exact=True).fill(PASSWORD)
        admin.get_by_role("button", name="Create").click()
        expect(admin.get_by_role("heading", level=1)).to_have_text(name)

        log_in_by_form(newcomer, name)
        expect(newcomer.get_by_role("link", name="New product")).to_have_count(0)

        admin.get_by_label("Role").select_option("editor")
        admin.get_by_role("button", name="Change the role").click()
        expect(admin.get_by_role("status").first).to_contain_text("The role was changed")
        wait_until(lambda: newcomer.goto("/products") and may_create(newcomer), "the new role holds")

        admin.get_by_role("button", name="Disable the account").click()
        expect(admin.get_by_role("status").first).to_contain_text("The account is disabled")
        newcomer.context.clear_cookies()
        newcomer.goto("/login")
        newcomer.get_by_label("User name").fill(name)
        newcomer.get_by_label("Password", exact=True).fill(PASSWORD)
        newcomer.get_by_role("button", name="Log in").click()
        expect(newcomer.get_by_role("alert")).to_contain_text("The user name or password is not correct")

        admin.goto(f"/users/{name}/delete")
        assert complaints_in_both_themes(admin) == []
        admin.goto(f"/users/{name}")
        admin.get_by_role("link", name="Delete").click()
        admin.get_by_role("button", name="Delete").click()
        admin.wait_for_url("**/users")
        expect(admin.get_by_role("link", name=name)).to_have_count(0)


def test_the_last_admin_stays(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/users/Ana")
        page.get_by_label("Role").select_option("viewer")
        page.get_by_role("button", name="Change the role").click()
        expect(page.get_by_role("status").first).to_contain_text("This is the last administrator")


@pytest.mark.parametrize("role", ["viewer", "editor", "operator"])
def test_who_is_no_admin_sees_neither_users_nor_audit(browser, site, role):
    with open_page(browser, site) as page:
        log_in(page, site, role)
        for name, path in (("Users", "/users"), ("Audit", "/audit")):
            expect(page.get_by_role("navigation").get_by_role("link", name=name)).to_have_count(0)
            assert page.goto(path).status == 403
            page.goto("/products")


def test_a_new_password_ends_the_other_sessions(browser, site, person):
    with open_page(browser, site) as page, open_page(browser, site) as elsewhere:
        log_in_by_form(page, person)
        log_in_by_form(elsewhere, person)
        page.goto("/account")
        page.get_by_label("Current password", exact=True).fill("wrong")
        page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
        page.get_by_role("button", name="Change the password").click()
        expect(page.locator("#old_password-error")).to_have_text("This is not your password.")
        page.get_by_label("Current password", exact=True).fill(PASSWORD)
        page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
        page.get_by_role("button", name="Change the password").click()
        expect(page.get_by_role("status").first).to_contain_text("The password was changed")
        page.goto("/products")
        expect(page.get_by_role("heading", level=1)).to_have_text("Products")
        expect(elsewhere.get_by_role("heading", level=1)).to_have_text("Home")
        wait_until(lambda: elsewhere.request.get("/products", max_redirects=0).status != 200, "the session has ended")
        elsewhere.goto("/products")
        expect(elsewhere).to_have_url(re.compile("/login"))


def test_a_second_factor_is_set_up_asked_for_and_removed(browser, site, person):
    with open_page(browser, site) as page:
        log_in_by_form(page, person)
        page.goto("/account")
        page.get_by_role("button", name="Set up an authenticator").click()
        page.locator("#proof_password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        expect(page.get_by_role("img", name="QR code for the authenticator")).to_be_visible()
        assert complaints_in_both_themes(page) == []
        key = pyotp.TOTP(page.locator("code.key").inner_text())
        page.get_by_role("textbox", name="Code").fill("000000")
        page.get_by_role("button", name="Confirm").click()
        expect(page.locator("#code-error")).to_contain_text("not correct")
        expect(page.get_by_role("img", name="QR code for the authenticator")).to_be_visible()
        page.get_by_role("textbox", name="Code").fill(key.now())
        page.get_by_role("button", name="Confirm").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Your second factor is enabled")
        assert complaints_in_both_themes(page) == []
        recovery_code, another = page.locator(".codes code").all_inner_texts()[:2]
    with open_page(browser, site) as page:
        page.goto("/login")
        page.get_by_label("User name").fill(person)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("textbox", name="Code")).to_be_visible()
        assert complaints_in_both_themes(page) == []
        expect(page.get_by_label("Password", exact=True)).to_have_count(0)  # it is not typed twice
        page.get_by_role("textbox", name="Code").fill("000000")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("This code is not correct")
        page.get_by_role("textbox", name="Code").fill(recovery_code)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(HOME)
        page.goto("/account")
        expect(page.get_by_text("Your second factor is enabled")).to_be_visible()
        page.get_by_text("Remove the second factor").click()
        assert complaints_in_both_themes(page) == []
        page.get_by_label("Your password", exact=True).fill(PASSWORD)
        page.locator("#removal_code").fill(another)
        page.get_by_role("button", name="Remove it").click()
        expect(page.get_by_role("status").first).to_contain_text("The second factor was removed")


def test_who_mistypes_too_often_is_told_how_long_to_wait(browser, site, person):
    with open_page(browser, site) as page:
        log_in_by_form(page, person)
        page.goto("/account")
        page.get_by_role("button", name="Set up an authenticator").click()
        page.locator("#proof_password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        said = page.locator("#code-error")
        for _ in range(25):  # the wait doubles, and soon is longer than an attempt takes
            page.get_by_role("textbox", name="Code").fill("000000")
            with page.expect_navigation():
                page.get_by_role("button", name="Confirm").click()
            if "Too many attempts" in said.inner_text():
                break
        expect(said).to_contain_text(re.compile(r"Too many attempts. Try again in \d+ seconds"))


def test_a_session_elsewhere_is_seen_and_ended(browser, site, person):
    with open_page(browser, site) as page, open_page(browser, site) as elsewhere:
        log_in_by_form(elsewhere, person)
        log_in_by_form(page, person)
        page.goto("/account")
        expect(page.get_by_text("this one", exact=True)).to_be_visible()
        page.get_by_role("button", name="End it").click()
        expect(page.get_by_role("status").first).to_contain_text("The session has ended")
        expect(page.get_by_role("button", name="End it")).to_have_count(0)


def test_the_audit_tells_who_did_what_and_is_filtered(browser, site, person):
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/audit")
        page.get_by_label("Affected").fill(person)
        expect(page).to_have_url(re.compile(person))
        expect(page.locator(".audit tbody tr")).to_have_count(1)
        expect(page.locator(".audit tbody tr")).to_contain_text("user.add")
        page.reload()
        expect(page.locator(".audit tbody tr")).to_have_count(1)


def test_the_audit_is_filtered_by_action_and_time_in_spanish(browser, site, person):
    with open_page(browser, site, locale="es-ES") as page:
        log_in(page, site)
        page.goto("/audit")
        page.get_by_label("Afectado").fill(person)
        page.get_by_label("Acción", exact=True).select_option(label="Usuario creado")
        page.get_by_label("Fecha").select_option(label="la última hora")
        expect(page).to_have_url(re.compile("action=user.add.*since=1h"))
        expect(page.locator(".audit tbody tr")).to_have_count(1)
        page.reload()
        expect(page.locator(".audit tbody tr")).to_contain_text("Usuario creado")
        page.get_by_label("Acción", exact=True).select_option(label="Usuario eliminado")
        expect(page.locator("#entries")).to_contain_text("No se ha encontrado nada")


def test_a_service_token_is_made_shown_once_used_and_revoked(browser, site):
    name = f"nightly-{uuid4().hex[:8]}"
    with open_page(browser, site) as page:
        log_in(page, site)
        page.goto("/tokens")
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Create the token").click()
        expect(page.locator(".field-error")).to_have_text("Choose at least one.")
        expect(page.get_by_label("Name")).to_have_value(name)
        page.get_by_label("products:read").check()
        page.get_by_role("button", name="Create the token").click()
        page.get_by_label("Your password").fill("not it")
        page.get_by_role("button", name="Confirm").click()
        expect(page.locator("#proof_password-error")).to_have_text("This is not your password.")
        page.get_by_label("Your password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        token = page.locator("code.key").inner_text()
        assert site.call("GET", "/products", token=token).status_code == 200
        assert site.call("POST", "/products", {"name": "x", "price": "1"}, token=token).status_code == 403
        page.goto("/tokens")
        expect(page.locator("code.key")).to_have_count(0)
        page.get_by_role("button", name=f"Revoke {name}").click()
        expect(page.get_by_role("status").first).to_contain_text("is revoked")
        wait_until(lambda: site.call("GET", "/products", token=token).status_code == 401, "it is refused")


@pytest.mark.parametrize("role", ["viewer", "editor", "operator"])
def test_who_is_no_admin_makes_no_tokens(browser, site, role):
    with open_page(browser, site) as page:
        log_in(page, site, role)
        assert page.goto("/tokens").status == 403
