"""Drills that operators order in the browser: checked first, seen as they run, one at a time, kept."""

import os
import re
import signal

import pytest
from playwright.sync_api import expect

from prodcore.app.wiring import open_board
from prodcore.settings import load_settings
from tests.support.browser import complaints_of_axe, log_in, open_page
from tests.support.faults import stopped, wait_healthy
from tests.support.waiting import wait_until

DRILL_MS = 120_000


@pytest.fixture
def board(site):
    with open_board(load_settings(**site.cluster.addresses("web"))) as board:
        wait_until(board.runners, "a drill runner is active", 60)
        wait_until(lambda: not (board.latest() and not board.latest().is_over), "no drill is at work", 90)
        wait_healthy(site)
        yield board


def begin(page, fault="Step down", **fields):
    page.goto("/drills/new")
    page.get_by_text(fault, exact=True).click()
    for label, value in fields.items():
        page.get_by_label(label).fill(value)
    expect(page.locator("#verdict .verdict")).to_have_class(re.compile("verdict-healthy"))
    page.get_by_role("button", name="Start the drill").click()
    page.wait_for_url("**/drills/live/*")


@pytest.mark.timeout(300)
def test_an_operator_drills_sees_it_run_and_finds_the_result(browser, site, board):
    with open_page(browser, site) as page, open_page(browser, site, locale="es-ES") as viewer:
        log_in(page, site, "operator")
        log_in(viewer, site, "viewer")
        page.goto("/drills")
        page.get_by_role("link", name="New drill").click()
        begin(page)
        expect(page.locator(".picture-wide .curve.of-writes").first).to_be_visible(timeout=60_000)
        expect(page.locator(".verdict")).to_contain_text("The drill is running")
        page.locator("#stop-button").focus()
        assert complaints_of_axe(page) == []

        viewer.goto("/drills")
        expect(viewer.get_by_role("link", name="Nuevo simulacro")).to_have_count(0)
        viewer.get_by_role("link", name="Verlo").click()
        expect(viewer.locator(".verdict")).to_contain_text("El simulacro está en marcha")
        expect(viewer.get_by_role("button", name="Detener ahora")).to_have_count(0)
        expect(page.locator("#stop-button")).to_be_focused()

        expect(page.locator(".verdict")).to_contain_text("The drill has finished: passed", timeout=DRILL_MS)
        expect(page.locator(".steps")).to_contain_text("new primary")
        expect(viewer.locator(".verdict")).to_contain_text("El simulacro ha terminado: superado")
        page.get_by_role("link", name="See the result").click()
        expect(page.locator(".verdict")).to_contain_text("Passed")
        expect(page.locator(".page-head")).to_contain_text("operator")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the report").click()
        assert re.fullmatch(r"drill[0-9a-f]{8}\.html", download.value.suggested_filename)


@pytest.mark.timeout(300)
def test_a_drill_goes_on_without_a_browser_and_a_second_one_is_refused(browser, site, board):
    with open_page(browser, site) as page:
        log_in(page, site, "operator")
        begin(page, Rounds="2")
        address = page.url
        page.goto("/drills/new")
        expect(page.locator("#verdict")).to_contain_text("The drill cannot start")
        expect(page.locator("#verdict")).to_contain_text("operator")
        expect(page.get_by_role("button", name="Start the drill")).to_be_disabled()
    wait_until(lambda: board.latest().is_over, "it ends with nobody looking", DRILL_MS / 1000)
    with open_page(browser, site) as page:
        log_in(page, site, "viewer")
        page.goto(address)
        expect(page.locator(".verdict")).to_contain_text("The drill has finished: passed")


@pytest.mark.timeout(300)
def test_a_drill_is_ended_by_hand_and_everything_is_put_back(browser, site, board):
    with open_page(browser, site) as page:
        log_in(page, site, "operator")
        begin(page, "Kill", Rounds="20")
        expect(page.locator(".steps")).to_contain_text("new primary", timeout=60_000)
        page.get_by_role("button", name="Stop now").click()
        expect(page.locator(".verdict")).to_contain_text("The drill was interrupted", timeout=DRILL_MS)
        page.goto("/cluster")
        expect(page.locator(".verdict")).to_contain_text("All systems healthy", timeout=60_000)


@pytest.mark.timeout(300)
def test_a_runner_that_is_killed_in_a_drill_comes_back_and_puts_everything_back(browser, site, board):
    with open_page(browser, site) as page:
        log_in(page, site, "operator")
        begin(page, "Pause", Rounds="20")
        expect(page.locator(".steps")).to_contain_text("fault", timeout=60_000)
        [runner] = [p for p in site.cluster.status() if p.name == "drills"]

        os.kill(runner.pid, signal.SIGKILL)
        expect(page.locator(".verdict")).to_contain_text("The drill was interrupted", timeout=DRILL_MS)
        page.goto("/cluster")
        expect(page.locator(".verdict")).to_contain_text("All systems healthy", timeout=60_000)


def test_what_speaks_against_a_drill_is_said_before_it_begins(browser, site, board):
    with open_page(browser, site, locale="es-ES") as page:
        log_in(page, site, "operator")
        page.goto("/drills/new")
        expect(page.locator("#verdict")).to_contain_text("El simulacro puede iniciarse")
        fallen = next(m.address for m in site.cluster.plan.members_of("rsB") if m.number == 3)
        with stopped(site, [fallen]):
            expect(page.locator("#verdict")).to_contain_text(f"{fallen} está en estado «caído»")
            expect(page.locator("#verdict")).to_contain_text("El simulacro no puede iniciarse")
            expect(page.get_by_role("button", name="Iniciar el simulacro")).to_be_disabled()
        expect(page.locator("#verdict")).to_contain_text("El simulacro puede iniciarse", timeout=40_000)
        page.get_by_label("Rondas").fill("99")
        expect(page.locator("#verdict")).to_contain_text("Corrija antes el formulario")


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_who_is_no_operator_may_look_and_not_begin(browser, site, role):
    with open_page(browser, site) as page:
        log_in(page, site, role)
        page.goto("/drills")
        expect(page.get_by_role("link", name="New drill")).to_have_count(0)
        assert page.goto("/drills/new").status == 403
        assert page.goto("/drills/live/00000000-0000-4000-8000-000000000000").status == 404
