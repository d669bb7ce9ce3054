"""The pages while something is broken: they say what, keep what works working, and nobody has to reload."""

import time
from contextlib import contextmanager
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.system.browser import log_in, open_page

ELECTION_SEEN_WITHIN_SECONDS = 2.0


@pytest.fixture
def page(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        yield page


def wait_healthy(site):
    """Until all members are back in their places; the deadline is generous: they may have to catch up."""
    deadline = time.monotonic() + 60
    while not all(program.is_well for program in site.cluster.status()):
        assert time.monotonic() < deadline, site.cluster.status()
        site.cluster.up()


def members(site, replica_set):
    return [member.address for member in site.cluster.plan.members_of(replica_set)]


def primary(page, replica_set):
    return page.locator(f"[data-set={replica_set}]").get_attribute("data-primary")


@contextmanager
def stopped(site, addresses):
    for address in addresses:
        site.cluster.members.kill(address)
    try:
        yield
    finally:
        for address in addresses:
            site.cluster.members.start(address)
        wait_healthy(site)


def test_the_cluster_page_shows_every_member_with_its_role(page, site):
    page.goto("/cluster")
    for name in ("rsA", "rsB", "rsU"):
        card = page.locator(f"[data-set={name}]")
        expect(card.locator(".role-primary")).to_have_count(1)
        expect(card.locator(".role-secondary")).to_have_count(2)
    expect(page.locator(".verdict")).to_contain_text("Everything is well")
    expect(page.locator("[data-set=rsA]")).to_contain_text("a ≤ key < n")


def test_an_election_is_seen_without_a_reload(page, site):
    page.goto("/cluster")
    old = primary(page, "rsA")
    with stopped(site, [old]):
        killed = time.monotonic()
        page.wait_for_function(
            "old => ![old, ''].includes(document.querySelector('[data-set=rsA]').dataset.primary)", arg=old
        )
        seen_after = time.monotonic() - killed
        new = primary(page, "rsA")
        assert new in set(members(site, "rsA")) - {old}
        expect(page.locator("#announcements")).to_contain_text(f"New primary of rsA: {new}")
        expect(page.locator(".verdict")).to_contain_text(f"{old} is DOWN")
        # electionTimeoutMillis is 1 s here: what is more than that is ours
        assert seen_after < 1.5 + ELECTION_SEEN_WITHIN_SECONDS
    expect(page.locator(".verdict")).to_contain_text("Everything is well")


def test_a_primary_dies_while_somebody_saves_and_the_save_succeeds(page, site):
    product = site.add_product(name=f"Alcachofa {uuid4().hex[:6]}")
    page.goto("/cluster")
    old = primary(page, "rsA")
    page.goto(f"/products/{product['id']}/edit")
    page.get_by_label("Stock").fill("77")
    with stopped(site, [old]):
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".figures")).to_contain_text("77")


def test_a_whole_shard_is_gone_and_the_other_one_works(page, site):
    here = site.add_product(name=f"Berenjena {uuid4().hex[:6]}")
    gone = site.add_product(name=f"Sandía {uuid4().hex[:6]}")
    with stopped(site, members(site, "rsB")):
        page.goto("/products")
        expect(page.get_by_role("alert")).to_contain_text("rsB is unavailable")
        page.get_by_label("Search products").fill(here["name"])
        expect(page.locator(".product-name")).to_have_text([here["name"]])
        page.goto(f"/products/{here['id']}/edit")
        page.get_by_label("Stock").fill("5")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".figures")).to_contain_text("5")

        answer = page.goto(f"/products/{gone['id']}")
        assert answer.status == 503
        expect(page.get_by_role("heading", level=1)).to_contain_text("rsB")

        page.goto("/products/new")
        page.get_by_label("Name").fill("Zanahoria nueva")
        page.get_by_label("Price").fill("1")
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("alert")).to_contain_text("rsB")
        expect(page.get_by_label("Name")).to_have_value("Zanahoria nueva")

        page.goto("/cluster")
        expect(page.locator(".verdict")).to_contain_text("rsB: no member answers")


def test_authsvc_is_down_and_people_keep_working(browser, page, site):
    product = site.add_product(name=f"Cebolla {uuid4().hex[:6]}")
    site.cluster.stop("authsvc")
    try:
        page.goto(f"/products/{product['id']}/edit")
        page.get_by_label("Stock").fill("6")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".figures")).to_contain_text("6")
        page.goto("/cluster")
        expect(page.locator(".services")).to_contain_text("down")
        with open_page(browser, site) as stranger:
            stranger.goto("/login")
            expect(stranger.get_by_role("alert")).to_contain_text("The login service does not answer")
            stranger.get_by_label("User name").fill("Ana")
            stranger.get_by_label("Password", exact=True).fill("anything")
            stranger.get_by_role("button", name="Log in").click()
            expect(stranger.get_by_role("alert")).to_contain_text("The login service does not answer")
    finally:
        site.cluster.start("authsvc")


def test_the_live_picture_says_when_the_server_itself_is_silent(browser, site):
    with open_page(browser, site, tolerated=("ERR_INTERNET_DISCONNECTED", "Failed to fetch")) as page:
        log_in(page, site)
        page.goto("/cluster")
        expect(page.locator("#live")).to_contain_text("Live")
        page.context.set_offline(True)
        expect(page.locator("#live")).to_contain_text("No answer from the server")
        page.context.set_offline(False)
        expect(page.locator("#live")).to_contain_text("Live")
