"""Pages for what goes wrong: they say what happened in the reader's language, and where to go from here."""

from uuid import uuid4

import pytest
import requests
from playwright.sync_api import expect
from pymongo import MongoClient
from requests.adapters import HTTPAdapter

from tests.support.browser import complaints_of_axe, log_in, open_page
from tests.support.language import IN_EVERY_LANGUAGE, LOCALES, speak
from tests.support.site import PASSWORD

ELSEWHERE = [f"127.0.0.{n}" for n in range(2, 8)]
"""Where the attempts come from: their addresses are made to wait as well, and the browser's is not."""
ATTEMPTS_EACH = 10


class _From(HTTPAdapter):
    """Connections that begin at an address."""

    def __init__(self, address):
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, source_address=(self._address, 0), **kwargs)


@pytest.fixture(scope="module")
def tried_too_often(site):
    """A name under which somebody else has tried passwords until they had to wait."""
    name = f"nobody-{uuid4().hex[:8]}"
    body = {"username": name, "password": "wrong"}
    for address in ELSEWHERE:
        with requests.Session() as session:
            session.mount("http://", _From(address))
            for _ in range(ATTEMPTS_EACH):
                if session.post(f"{site.url}/api/v1/session/login", json=body, timeout=20).status_code == 429:
                    return name
    raise AssertionError("nobody had to wait")


def heading(page):
    return page.get_by_role("heading", level=1)


@IN_EVERY_LANGUAGE
def test_403_and_404_help(browser, site, language):
    say = speak(language)
    with open_page(browser, site, locale=LOCALES[language]) as page:
        log_in(page, site, "viewer")
        for path, status, words in (
            ("/users", 403, "Your role does not allow this"),
            ("/products/new", 403, "Your role does not allow this"),
            ("/nowhere", 404, "Page not found"),
            (f"/products/{uuid4()}", 404, "Product not found"),
        ):
            assert page.goto(path).status == status
            expect(heading(page)).to_have_text(say(words))
            expect(page.get_by_role("link", name=say("Go to products"))).to_be_visible()


@IN_EVERY_LANGUAGE
def test_409_names_what_is_there_already_beside_the_field(browser, site, language):
    say, name = speak(language), f"t-{uuid4().hex[:8]}"
    with open_page(browser, site, locale=LOCALES[language]) as page:
        log_in(page, site)
        for _ in range(2):
            page.goto("/tokens")
            page.get_by_label(say("Name")).fill(name)
            page.get_by_label("products:read").check()
            with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
                page.get_by_role("button", name=say("Create the token")).click()
            if answer.value.status == 403:  # what gives access that lasts asks for the password once more
                page.locator("#proof_password").fill(PASSWORD)
                with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
                    page.get_by_role("button", name=say("Confirm")).click()
        assert answer.value.status == 409
        expect(page.locator(".field-error")).to_have_text(say("Another token has this name."))
        page.goto("/users/new")
        page.get_by_label(say("User name")).fill("VIEWER")
        page.get_by_label(say("Initial password"), exact=True).fill(PASSWORD)
        with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
            page.get_by_role("button", name=say("Create")).click()
        assert answer.value.status == 409
        expect(page.locator("#username-error")).to_have_text(say("This user name is taken."))
        expect(page.get_by_label(say("User name"))).to_have_value("VIEWER")


@IN_EVERY_LANGUAGE
def test_429_says_how_long_to_wait(browser, site, tried_too_often, language):
    say = speak(language)
    with open_page(browser, site, locale=LOCALES[language]) as page:
        page.goto("/login")
        for _ in range(5):  # where the wait was over already, the next one is longer
            page.get_by_label(say("User name")).fill(tried_too_often)
            page.get_by_label(say("Password"), exact=True).fill("wrong")
            with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
                page.get_by_role("button", name=say("Log in")).click()
            if answer.value.status == 429:
                break
        assert answer.value.status == 429
        expect(page.get_by_role("alert")).to_contain_text(say("Too many attempts"))
        expect(page.get_by_label(say("User name"))).to_have_value(tried_too_often)
        assert complaints_of_axe(page) == []


@IN_EVERY_LANGUAGE
def test_500_takes_the_blame_and_gives_a_number_to_report(browser, site, language):
    """What nobody foresaw: a product that was damaged behind the system's back."""
    say = speak(language)
    product = site.add_product(name=f"Rota {uuid4().hex[:8]}")
    with (
        MongoClient(site.cluster.addresses("root")["db2_url"].get_secret_value()) as client,
        open_page(browser, site, locale=LOCALES[language]) as page,
    ):
        log_in(page, site, "viewer")
        products = client["products_db"]["products"]
        damaged = products.update_one({"name": product["name"]}, {"$rename": {"price": "prize"}})
        assert damaged.modified_count == 1
        try:
            answer = page.goto(f"/products/{product['id']}")
            assert answer.status == 500
            expect(heading(page)).to_have_text(say("Something went wrong"))
            expect(page.locator("main code")).to_have_text(answer.headers["x-request-id"])
            assert "Traceback" not in page.content()
            assert complaints_of_axe(page) == []
            expect(page.get_by_role("link", name=say("Go to products"))).to_be_visible()
        finally:
            products.delete_one({"name": product["name"]})
