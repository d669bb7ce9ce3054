"""The live picture of the cluster: what is wrong first, an election as it happens, nobody reloads."""

import time
from contextlib import closing

import pytest
from playwright.sync_api import expect

from prodcore.mongo.client.observer import MongoSetWatch
from prodcore.mongo.client.replica_set import SetAddress
from tests.support.browser import log_in, open_page
from tests.support.faults import members, paused, primary, stopped, wait_healthy
from tests.support.waiting import wait_until

ELECTED_WITHIN_SECONDS = 20.0
NEW_PRIMARY = "old => ![old, ''].includes(document.querySelector('[data-set=rsA]').dataset.primary)"


@pytest.fixture
def page(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site)
        wait_healthy(site)
        yield page


@pytest.fixture
def watch(site):
    """Somebody else who watches rsA, to know when the election was."""
    address = SetAddress(site.cluster.addresses("operator")["db1_url"].get_secret_value())
    with closing(MongoSetWatch(address)) as watch:
        assert watch.wait_for_new_primary("", 0.0, time.monotonic() + ELECTED_WITHIN_SECONDS)
        yield watch


def open_cluster(page):
    """The page, once its stream has begun."""
    with page.expect_response(lambda answer: "text/event-stream" in answer.headers.get("content-type", "")):
        page.goto("/cluster")


def test_the_cluster_page_shows_every_member_with_its_role(page, site):
    page.goto("/cluster")
    for name in ("rsA", "rsB", "rsU"):
        card = page.locator(f"[data-set={name}]")
        expect(card.locator(".role-primary")).to_have_count(1)
        expect(card.locator(".role-secondary")).to_have_count(2)
    expect(page.locator(".verdict")).to_contain_text("All systems healthy")
    expect(page.locator("[data-set=rsA]")).to_contain_text("a ≤ key < n")
    expect(page.locator(".services")).to_contain_text("guard")


@pytest.mark.parametrize("fault", [lambda site, member: stopped(site, [member]), paused], ids=["kill", "pause"])
def test_an_election_is_seen_as_it_happens_and_nothing_jumps(page, site, watch, fault):
    page.set_viewport_size({"width": 1000, "height": 500})
    open_cluster(page)
    old = primary(page, "rsA")
    page.locator("#link-rsB").focus()
    page.evaluate("scrollTo(0, 150)")
    with fault(site, old):
        broken = time.monotonic()
        page.wait_for_function(NEW_PRIMARY, arg=old)
        shown = time.monotonic()
        elected = watch.wait_for_new_primary(old, broken - 1, shown + 1)
        assert elected, "what is shown has happened"
        new = primary(page, "rsA")
        assert new in set(members(site, "rsA")) - {old}
        expect(page.locator("#announcements")).to_contain_text(f"New primary of rsA: {new}")
        expect(page.locator(".verdict")).to_contain_text(old)
        expect(page.locator("#link-rsB")).to_be_focused()
        assert page.evaluate("scrollY") == 150
    expect(page.locator(".verdict")).to_contain_text("All systems healthy")


def test_what_is_wrong_is_said_in_spanish(browser, site):
    with open_page(browser, site, locale="es-ES") as page:
        log_in(page, site, "viewer")
        open_cluster(page)
        fallen = page.locator("[data-set=rsB] .role-secondary .address").first.inner_text()
        with stopped(site, [fallen]):
            expect(page.locator(".verdict")).to_contain_text(f"rsB: {fallen} está en estado «caído»")
            page.goto("/cluster/rsB")
            expect(page.locator(".verdict")).to_contain_text(f"rsB: {fallen} está en estado «caído»")
        expect(page.locator(".verdict")).to_contain_text("En buen estado")


def test_more_pages_than_there_is_room_for_streams_poll_and_see_the_same(browser, site):
    with open_page(browser, site) as one, open_page(browser, site) as two, open_page(browser, site) as three:
        for page in (one, two, three):
            log_in(page, site)
        open_cluster(one)
        open_cluster(two)
        with three.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true") as polled:
            three.goto("/cluster")
        assert polled.value.status == 200
        assert polled.value.request.sizes()["responseBodySize"] <= 10_000
        fallen = three.locator("[data-set=rsB] .role-secondary .address").first.inner_text()
        with stopped(site, [fallen]):
            for page in (one, two, three):
                expect(page.locator(".verdict")).to_contain_text(f"{fallen} is down")
        expect(three.locator(".verdict")).to_contain_text("All systems healthy")


def test_the_picture_says_when_the_server_itself_is_silent(browser, site):
    with open_page(browser, site, tolerated=("ERR_", "Failed to fetch")) as page:
        log_in(page, site)
        open_cluster(page)
        expect(page.locator("#live")).to_contain_text("Live")
        site.cluster.stop("webapp")
        try:
            expect(page.locator("#live")).to_contain_text("No answer from the server")
            expect(page.locator("[data-set=rsA]")).to_be_visible()
        finally:
            site.cluster.start("webapp")
        expect(page.locator("#live")).to_contain_text("Live", timeout=40_000)


def test_a_replica_set_has_a_page_of_its_own(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site, "viewer")
        page.goto("/cluster")
        page.get_by_role("link", name="rsA").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Replica set rsA")
        expect(page.locator(".member-card")).to_have_count(3)
        expect(page.locator(".member-card.role-primary")).to_contain_text("Oplog window")
        assert page.goto("/cluster/rsX").status == 404


def test_the_products_of_a_file_lie_where_their_letters_say(page, site):
    items = [{"name": f"Xilófono {n}", "price": "1"} for n in range(8)]
    assert site.call("POST", "/products/batch", {"items": items}, token=site.token()).ok
    page.goto("/cluster")
    bar = page.locator(".letter-rsB", has_text="x")
    expect(bar.locator("rect")).not_to_have_attribute("height", "0.0", timeout=40_000)
    expect(page.locator(".ranges")).to_contain_text("n ≤ key …")


def test_operators_see_what_a_move_would_be_and_others_move_nothing(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site, "operator")
        page.goto("/cluster")
        expect(page.locator("#ranges .range-band")).to_be_visible()
        page.get_by_role("link", name="Move a range…").click()
        page.get_by_label("From name").fill("g")
        page.get_by_label("To name (not included)").fill("c")
        page.get_by_label("Target shard").select_option("rsB")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#below-error")).to_be_visible()
        page.get_by_label("To name (not included)").fill("n")
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("row", name="g ≤ key < n")).to_contain_text("rsA")
        expect(page.get_by_role("button", name="Start the move")).to_be_visible()
    with open_page(browser, site) as page:
        log_in(page, site, "editor")
        page.goto("/cluster")
        expect(page.get_by_role("link", name="Move a range…")).to_have_count(0)
        for path in ("/cluster/moves/new", "/cluster/rsA/switchover", "/cluster/rsA/rsA-1/stop"):
            assert page.goto(path).status == 403
        page.goto("/cluster/rsA/rsA-1")
        expect(page.get_by_role("heading", name="Recent log")).to_have_count(0)


def test_an_operator_switches_a_set_over_without_a_script(browser, site):
    with open_page(browser, site, java_script_enabled=False) as page:
        log_in(page, site, "operator")
        wait_healthy(site)
        page.goto("/cluster/rsB")
        page.get_by_role("link", name="Switchover…").click()
        new = page.get_by_label("New primary").input_value()
        with page.expect_navigation():  # else it is broken off by the first reload
            page.get_by_role("button", name="Start the switchover").click()
        done = page.locator("h2", has_text="Done")
        wait_until(lambda: page.reload() and done.count(), "it is done", 60, every=0.5)
        expect(page.locator(".verdict")).to_contain_text(f"{new} is the new primary")
