"""One system and one browser a run; every user logs in with a context of their own."""

import pytest
from playwright.sync_api import sync_playwright

from tests.support.browser import HOME, complaints_in_both_themes, launch, open_page
from tests.support.site import ADMIN, PASSWORD, start_site


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def fresh_site(tmp_path_factory):
    """The system as ``prodctl local up`` leaves it: nobody has an account."""
    site = start_site(tmp_path_factory.mktemp("site") / "cluster")
    yield site
    site.cluster.destroy()


@pytest.fixture(scope="session")
def site(fresh_site, browser):
    """The system with its first admin, made in the browser with the setup code, and one user of each other role."""
    with open_page(browser, fresh_site) as page:
        page.goto("/")
        page.wait_for_url("**/setup")
        assert complaints_in_both_themes(page) == []  # nobody sees this page again
        page.get_by_label("Setup code").fill("AAAAA-BBBBB-CCCCC-DDDDD")
        page.get_by_label("User name").fill(ADMIN)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Create the account").click()
        page.get_by_text("This is not the setup code").wait_for()
        page.get_by_label("Setup code").fill(fresh_site.cluster.setup_code())
        page.get_by_label("Password", exact=True).fill("short")
        page.get_by_role("button", name="Create the account").click()
        page.locator("#password-error").wait_for()
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Create the account").click()
        page.wait_for_url(HOME)
    fresh_site.add_people()
    return fresh_site
