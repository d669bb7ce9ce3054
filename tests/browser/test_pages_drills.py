"""Drills and single replica sets in the browser."""

import re
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from prodcore.app.wiring import open_history
from prodcore.settings import load_settings
from tests.support.browser import IN_EVERY_VIEW, complaints_of_axe, log_in, open_page


def stream(acknowledged, gaps):
    slowest, failed = [0.01, 0.02, 0.01, None, 1.1], [0, 0, 0, 2, 0]
    return {"acknowledged": acknowledged, "failed": failed, "max_latency_seconds": slowest, "gaps": gaps}


def report(run, **changed):
    """A drill as the history keeps it."""
    latency = {"count": 9, "p50": 0.01, "p95": 0.02, "p99": 0.03, "max": 1.1}
    timeline = [
        {"seconds": 0.0, "at": 2.0, "event": "fault", "detail": "kill 127.0.0.1:27017"},
        {"seconds": 1.05, "at": 3.05, "event": "new primary", "detail": "127.0.0.1:27018"},
        {"seconds": 1.15, "at": 3.15, "event": "first acknowledged write", "detail": ""},
    ]
    played = {
        "number": 1,
        "set": "rsA",
        "member": "127.0.0.1:27017",
        "old_primary": "127.0.0.1:27017",
        "new_primary": "127.0.0.1:27018",
        "latency_seconds": {"before": latency, "during": latency, "after": latency},
        "write_gap_seconds": 1.2,
        "read_gap_seconds": 1.1,
        "election_reason": None,
        "timeline": timeline,
    }
    return {
        "run": run,
        "outcome": "passed",
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "duration_seconds": 9.5,
        "plan": {
            "sets": ["rsA"],
            "fault": "kill",
            "target": "primary",
            "rounds": 1,
            "writes_per_second": 50.0,
            "via": "driver",
        },
        "write_gap_seconds": 1.2,
        "read_gap_seconds": 1.1,
        "verdict": {"acknowledged": 612, "moved": 12, "failed": 0, "lost": 0, "duplicated": 0, "examples": []},
        "missed": [],
        "rounds": [played],
        "series": [
            {
                "set": "rsA",
                "point_seconds": 1.0,
                "writes": stream([50, 50, 10, 0, 60], [{"at": 1.95, "seconds": 1.2}]),
                "reads": stream([50, 50, 40, 0, 60], [{"at": 1.98, "seconds": 1.1}]),
            }
        ],
        **changed,
    }


@pytest.fixture(scope="module")
def runs(site):
    """Two drills in the history: one passed, one that lost a write."""
    good, bad = f"drill{uuid4().hex[:8]}", f"drill{uuid4().hex[:8]}"
    verdict = {"acknowledged": 600, "failed": 3, "lost": 1, "duplicated": 0, "examples": ["<b>lost</b> & gone"]}
    with open_history(load_settings(**site.cluster.addresses("operator"))) as history:
        history.add(report(good))
        history.add(report(bad, outcome="failed", verdict=verdict, write_gap_seconds=2.4, missed=["1 write was lost"]))
    return good, bad


@pytest.fixture
def page(browser, site):
    with open_page(browser, site) as page:
        log_in(page, site, "viewer")
        yield page


def test_a_viewer_reads_a_drill_with_its_curve_and_steps(page, runs):
    good, bad = runs
    page.get_by_role("link", name="Drills").click()
    expect(page.get_by_role("row").filter(has_text="failed").first).to_contain_text("2.4 s")
    page.goto(f"/drills/{good}")
    expect(page.locator(".verdict")).to_contain_text("Passed")
    picture = page.locator(".picture-wide")
    expect(picture).to_contain_text("fault to first write: 1.15 s")
    assert picture.locator(".fail").count() == 2
    expect(page.locator(".steps").last).to_contain_text("new primary")
    page.get_by_text("Values of rsA as a table").click()
    expect(page.get_by_role("row").filter(has_text="1.1 s").last).to_contain_text("60")
    page.goto(f"/drills/{bad}")
    expect(page.locator(".verdict")).to_contain_text("<b>lost</b> & gone")


OVERLAPS = """() => {
  const shown = [...document.querySelectorAll('.drill-picture')].filter((one) => one.checkVisibility());
  const boxes = shown.flatMap((one) => {
    const outer = one.getBoundingClientRect();
    return [...one.querySelectorAll('text')].map((text) => (
      { text: text.textContent, outer, at: text.getBoundingClientRect() }
    ));
  });
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom;
  return boxes.flatMap(({ text, outer, at }, n) => [
    ...(at.left < outer.left - 1 || at.right > outer.right + 1 ? [`${text} is outside`] : []),
    ...boxes.slice(n + 1).filter((other) => meet(at, other.at)).map((other) => `${text} / ${other.text}`),
  ]);
}"""


def test_the_values_of_a_picture_are_read_by_keyboard(page, runs):
    page.goto(f"/drills/{runs[0]}")
    picture = page.get_by_role("slider")
    picture.focus()
    page.keyboard.press("Home")
    expect(picture).to_have_attribute("aria-valuetext", re.compile("^0 s · Writes per second 50"))
    page.keyboard.press("ArrowRight")
    expect(page.locator(".reading")).to_have_text(re.compile("^1 s · .* Slowest write 0.02 s"))
    page.keyboard.press("Escape")
    expect(page.locator(".reading")).to_have_count(0)
    page.goto("/drills")
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_url("**/drills/drill*")


def test_two_drills_are_compared(page, runs):
    good, bad = runs
    page.goto(f"/drills/{bad}")
    page.get_by_label("Compare with").select_option(good)
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("row").filter(has_text="write gap")).to_contain_text("+100 %")


@IN_EVERY_VIEW
def test_axe_finds_nothing_on_the_pages_of_drills(browser, site, runs, theme, width):
    good, bad = runs
    with open_page(browser, site, color_scheme=theme, viewport={"width": width, "height": 844}) as page:
        log_in(page, site, "viewer")
        for path in ("/drills", f"/drills/{good}", f"/drills/{bad}", f"/drills/compare?a={good}&b={bad}"):
            page.goto(path)
            assert complaints_of_axe(page) == [], path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert page.evaluate(OVERLAPS) == [], path


def test_the_report_is_one_file_to_keep(page, runs, tmp_path):
    page.goto(f"/drills/{runs[0]}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the report").click()
    assert download.value.suggested_filename == f"{runs[0]}.html"
    download.value.save_as(tmp_path / "report.html")
    assert "<!doctype html>" in (tmp_path / "report.html").read_text("utf-8")


def test_a_drill_that_is_not_there_says_so(page):
    assert page.goto("/drills/drill00000000").status == 404
    expect(page.get_by_role("heading", level=1)).to_have_text("Drill not found")
