"""One system and one browser a run; everybody logs in with contexts of their own."""

import signal
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.system.browser import complaints_in_both_themes, launch, open_page
from tests.system.cli import Cli
from tests.system.site import ADMIN, PASSWORD, start_site

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell starts its background jobs with Ctrl-C ignored, and what the tests start would inherit that."""


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
    """The system with its first admin, made in the browser with the setup code, and one person of each other role."""
    with open_page(browser, fresh_site) as page:
        page.goto("/")
        page.wait_for_url("**/setup")
        assert complaints_in_both_themes(page) == []  # nobody sees this page again
        page.get_by_label("Setup code").fill("AAAAA-BBBBB-CCCCC-DDDDD")
        page.get_by_label("User name").fill(ADMIN)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Make the account").click()
        page.get_by_text("This is not the setup code").wait_for()
        page.get_by_label("Setup code").fill(fresh_site.cluster.setup_code())
        page.get_by_label("Password", exact=True).fill("short")
        page.get_by_role("button", name="Make the account").click()
        page.locator("#password-error").wait_for()
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Make the account").click()
        page.wait_for_url("**/products")
    for role in ("viewer", "editor", "operator"):
        fresh_site.add_person(role)
    return fresh_site


@pytest.fixture
def cli(site, tmp_path):
    """The installed program, logged in as the admin by a token in its environment."""
    return Cli(tmp_path, {"PRODCTL_URL": site.url, "PRODCTL_TOKEN": site.token()})


@pytest.fixture(scope="module")
def token(site):
    """The admin's access token."""
    return site.token()


def pytest_collection_modifyitems(items):
    """The first test of a run also waits for the whole system to come up, which takes minutes on a busy machine."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(400))
