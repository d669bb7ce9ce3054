"""A real Chromium that listens for everything that must not happen."""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.support.site import ADMIN, PASSWORD

PATIENCE_MS = 30_000  # a busy machine is slow, not wrong
expect.set_options(timeout=PATIENCE_MS)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium"))), "/usr/bin/chromium")
"""The same browser without its window, and at half the cost, where there is one."""


HOME = re.compile(r"://[^/]+/$")
"""The address of the first page."""


def launch(playwright):
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)


@contextmanager
def open_page(browser, site, *, tolerated=(), **options):
    """A page in a context of its own; fails at the end for console errors, policy violations and foreign requests.

    ``tolerated`` are texts that console errors may hold, in a test that provokes them.
    """
    options = {"locale": "en-GB", "viewport": {"width": 1440, "height": 900}, **options}
    context = browser.new_context(base_url=site.url, **options)
    context.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: _listen(message, complaints, tolerated))
    page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: request.url.startswith(site.url) or complaints.append(request.url))
    try:
        yield page
    finally:
        context.close()
    assert complaints == [], complaints


def _listen(message, complaints, tolerated):
    """What a page says in the console; that an answer had an error status is the tests' own doing."""
    provoked = message.text.startswith("Failed to load resource: the server") or (
        any(text in message.text for text in tolerated)
    )
    if message.type in ("error", "warning") and not provoked:
        complaints.append(f"console {message.type}: {message.text}")


_sessions: dict[tuple[str, str], tuple[float, list]] = {}
_FRESH_SECONDS = 600


def log_in(page, site, username=ADMIN):
    """Be logged in and look at the products. One login serves all pages of a person for a while: it costs seconds."""
    logged_in_at, cookies = _sessions.get((site.url, username), (0.0, []))
    if time.monotonic() - logged_in_at < _FRESH_SECONDS:
        page.context.add_cookies(cookies)
        page.goto("/products")
        return
    log_in_by_form(page, username)
    kept = [c for c in page.context.cookies() if c["name"] == "prodctl"]
    _sessions[site.url, username] = (time.monotonic(), kept)
    page.goto("/products")


def log_in_by_form(page, username=ADMIN, password=PASSWORD):
    page.goto("/login")
    page.locator("#username").fill(username)
    page.locator("#password").fill(password)
    page.locator("#password").press("Enter")
    page.wait_for_url(HOME)


def complaints_of_axe(page):
    """What axe finds wrong for people who see, hear or move otherwise."""
    found = Axe().run(page).response["violations"]
    return [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in found]


def complaints_in_both_themes(page):
    """The same of a page that only a flow reaches, in light and in dark; it stays light."""
    found = []
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")  # colours on their way
        found += complaints_of_axe(page)
    return found


IN_EVERY_VIEW = pytest.mark.parametrize(
    ("width", "theme"),
    [
        pytest.param(1440, "light", id="wide-light"),
        pytest.param(390, "dark", id="phone-dark"),
        pytest.param(1440, "dark", id="wide-dark", marks=pytest.mark.nightly),
        pytest.param(390, "light", id="phone-light", marks=pytest.mark.nightly),
    ],
)
"""Each width and each theme once; all pairs at night."""
SCRIPT_OR_NOT = pytest.mark.parametrize("javascript", [True, False], ids=["script", "no script"])
