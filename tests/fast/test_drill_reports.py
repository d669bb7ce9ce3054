"""Reports of a drill: JSON, HTML, JUnit, Markdown, comparisons."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from uuid import uuid4

import pytest

from prodcore.drill.faults import Fault
from prodcore.drill.ledger import Attempt, Operation, RequestOutcome
from prodcore.drill.plan import DrillLimits, DrillPlan, DrillStep, Progress
from prodcore.drill.render import render_html, render_junit, render_markdown
from prodcore.drill.report import DrillReport, LiveDrill, compare, missed_limits, report_round, slower_than_before
from prodcore.drill.round import RoundResult, TimedStep
from prodcore.drill.verdict import judge
from prodctl.commands.failover_test import exit_status
from tests.fast.test_home import Shop
from webapp.pages.drills import report_page
from webapp.pages.errors import _CORE_SENTENCES, core_text

STEPS = (
    TimedStep(12.0, DrillStep.FAULT, "kill a:1"),
    TimedStep(12.1, DrillStep.DETECTED),
    TimedStep(13.0, DrillStep.NEW_PRIMARY, "b:1"),
    TimedStep(14.0, DrillStep.RESTORE, "a:1"),
    TimedStep(15.0, DrillStep.BACK, "a:1"),
)


def attempts():
    """A request every 100 ms from 10 s to 16 s, with nothing answered between 12 and 13.2 s."""
    moments = [10 + i / 10 for i in range(61) if not 20 < i < 32]
    kinds = (Operation.CREATE, Operation.READ)
    return [Attempt("rsA", k, uuid4(), None, t - 0.05, t, RequestOutcome.ACKNOWLEDGED) for t in moments for k in kinds]


def a_round(**change):
    facts = {"problem": "", "term_after": 4, "steps": STEPS} | change
    return RoundResult(
        1, "rsA", "a:1", "a:1", "b:1", 3, facts["term_after"], "electionTimeout", 11.9, 16.0, facts["steps"],
        facts["problem"],
    )  # fmt: skip


def a_report(limits=DrillLimits(), **change):  # noqa: B008  frozen
    plan = DrillPlan(("rsA",), Fault.KILL, limits=limits)
    made = attempts()
    rounds = (report_round(a_round(**change), made, plan),)
    verdict = judge([], {})
    missed = tuple(missed_limits(limits, verdict, rounds))
    return DrillReport(
        "drill1", datetime(2026, 1, 2, tzinfo=UTC), 10.0, 16.0, plan, rounds, verdict, missed, made
    )  # fmt: skip


def test_the_gap_and_the_first_answers_are_in_the_report():
    of = a_report().as_dict()["rounds"][0]
    at = {e["event"]: e["seconds"] for e in of["timeline"]}
    assert of["write_gap_seconds"] == pytest.approx(1.2)
    assert at["first acknowledged write"] == pytest.approx(1.2)
    assert (at["fault"], at["new primary"]) == (0, pytest.approx(1.0))
    assert of["latency_seconds"]["before"]["count"] > 0


def test_the_report_is_json():
    document = json.loads(json.dumps(a_report().as_dict()))
    assert document["outcome"] == "passed"
    assert document["series"][0]["set"] == "rsA"
    [series] = document["series"]
    assert sum(sum(series[name]["acknowledged"]) for name in ("writes", "reads")) == len(attempts())
    assert series["writes"]["gaps"] == [{"at": 2.0, "seconds": 1.2}]


def test_a_drill_that_runs_and_its_report_have_the_same_figures():
    """The load and the steps of two rounds, looked at every now and then while they come, and reported at the end."""
    live, plan, rounds = LiveDrill(), DrillPlan(("rsA",), Fault.KILL, rounds=2), []
    live.ledger.started = 10.0
    load = [replace(a, begun=a.begun + shift, ended=a.ended + shift) for shift in (0.0, 6.05) for a in attempts()]
    for shift in (0.0, 6.05):
        over = TimedStep(15.5 + shift, DrillStep.OVER)
        steps = (*(replace(s, at=s.at + shift) for s in STEPS), over)
        rounds.append(replace(a_round(steps=steps), ended=over.at))
    steps = [s for of in rounds for s in of.steps]
    for moment in range(10, 24):
        for one in [a for a in load if moment - 1 <= a.ended < moment]:
            live.ledger.add(one)
        for s in [s for s in steps if moment - 1 <= s.at < moment]:
            live.note(Progress(s.step, s.detail, "rsA", {"moment": s.at}))
        so_far = live.so_far(plan.sets)
    made = live.ledger.attempts()
    assert len(made) == len(load)
    reports = tuple(report_round(r, made, plan) for r in rounds)
    document = replace(a_report(), rounds=reports, attempts=made).as_dict()
    assert list(so_far["series"]) == document["series"]
    assert len(document["series"][0]["writes"]["gaps"]) == 2
    assert so_far["figures"]["write_gap_seconds"] == document["write_gap_seconds"]
    assert so_far["figures"]["read_gap_seconds"] == document["read_gap_seconds"]
    timeline = [(t["at"], t["event"], t["seconds"]) for r in document["rounds"] for t in r["timeline"]]
    assert [(s.at, s.step, s.since_fault) for s in so_far["steps"]] == timeline


@pytest.mark.parametrize(("limits", "told"), [
    (DrillLimits(max_write_gap=1.0), "the write gap was 1.200 s, allowed are 1 s"),
    (DrillLimits(max_read_gap=1.0), "the read gap was 1.200 s, allowed are 1 s"),
    (DrillLimits(max_p99=0.01), "the p99 during the fault was 0.050 s, allowed are 0.01 s"),
])  # fmt: skip
def test_a_missed_limit_fails(limits, told):
    report = a_report(limits)
    assert (report.outcome, report.missed) == ("failed", (told,))


def test_counts_read_well_whatever_they_are_and_the_pages_know_them():
    verdict = replace(judge([], {}), lost=1, duplicated=2, wrong=1, contradicted=1, refused=3, unknown=0)
    told = missed_limits(DrillLimits(max_lost=0, max_failed=2), verdict, [])
    assert told == [
        "acknowledged writes lost: 1",
        "records stored more than once: 2",
        "records that lack their last write: 1",
        "records stored although their request was refused: 1",
        "requests failed: 3, allowed: 2",
    ]
    assert [core_text(text, dict.fromkeys(_CORE_SENTENCES, "known")) for text in told] == ["known"] * 5


def test_a_drill_without_an_election_is_vacuous():
    assert a_report(term_after=3).outcome == "vacuous"


def test_a_fault_that_nobody_noticed_is_vacuous_and_nothing_worse():
    report = a_report(steps=STEPS[:1], problem="no member noticed the fault")
    assert (report.outcome, report.missed) == ("vacuous", ())


def test_a_member_that_did_not_come_back_fails():
    assert a_report(problem="a:1 did not come back in time").outcome == "failed"


class Collector(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_html_report_stands_alone_and_needs_no_script():
    page = render_html(a_report().as_dict())
    seen = Collector()
    seen.feed(page)
    assert "svg" in seen.tags
    assert "polyline" in seen.tags
    assert "script" not in seen.tags
    assert seen.links == []
    assert "fault to first write: 1.200 s" in page


def test_the_html_report_shows_texts_as_texts():
    report = a_report().as_dict()
    report["missed"] = ["<script>alert(1)</script>"]
    assert "<script>" not in render_html(report)


@pytest.mark.parametrize(("language", "words"), [
    ("es", {"Escrituras por segundo", "del fallo a la 1.ª escritura: 1,2 s", "Mayor interrupción de escritura"}),
    ("en", {"Writes per second", "fault to first write: 1.2 s", "Longest write gap"}),
])  # fmt: skip
def test_the_page_s_report_is_one_file_in_the_reader_s_language(language, words):
    app = Shop().app
    with app.test_request_context(headers={"Accept-Language": language}):
        page = report_page(a_report().as_dict())
    seen = Collector()
    seen.feed(page)
    assert f'<html lang="{language}">' in page
    assert seen.tags.count("svg") == 2
    assert {"script", "link", "img"}.isdisjoint(seen.tags)
    assert seen.links == []
    assert "@import" not in page
    assert "url(" not in page
    assert {word for word in words if word in page} == words


def test_junit_has_a_case_for_each_round_and_fails_where_the_drill_did():
    suite = ElementTree.fromstring(render_junit(a_report(DrillLimits(max_write_gap=1.0)).as_dict()))  # noqa: S314  our own
    assert suite.get("tests") == "3"
    assert [c.get("classname") for c in suite if c.find("failure") is not None] == ["limits"]


def test_markdown_tells_the_figures():
    text = render_markdown(a_report().as_dict())
    assert text.startswith("## Failover drill: passed")
    assert "| 1 | rsA | a:1 | b:1 | 1.200 s | 1.200 s |" in text


def test_slower_than_the_median_of_earlier_drills():
    mine = a_report().as_dict()
    earlier = [{"outcome": "passed", "write_gap_seconds": gap} for gap in (0.8, 0.9, 5.0)]
    assert slower_than_before(mine, earlier, 50) == ""
    assert "more than 25 % above the median of the last 3, 0.900 s" in slower_than_before(mine, earlier, 25)
    assert slower_than_before(mine, [], 25) == ""


def test_two_drills_side_by_side():
    a, b = a_report().as_dict(), a_report().as_dict() | {"write_gap_seconds": 0.6}
    [gap] = [r for r in compare(a, b) if r["figure"] == "write gap (s)"]
    assert gap == {"figure": "write gap (s)", "a": 1.2, "b": 0.6, "change": -50.0}


def test_each_outcome_has_its_own_exit_status():
    outcomes = ("passed", "failed", "vacuous")
    assert [exit_status({"outcome": outcome}) for outcome in outcomes] == [0, 8, 9]


def test_a_round_without_the_guard_has_a_gap_of_its_own_and_no_limit():
    made, plan = attempts(), DrillPlan(("rsA",), Fault.KILL, limits=DrillLimits(max_write_gap=1.0))
    rounds = (report_round(replace(a_round(), extra=True), made, plan),)
    assert missed_limits(plan.limits, judge([], {}), rounds) == []
    report = replace(a_report(), rounds=rounds).as_dict()
    assert report["write_gap_seconds"] is None
    assert report["write_gap_without_guard_seconds"] == pytest.approx(1.2)
    assert "Longest write gap without the guard: **1.200 s**" in render_markdown(report)
    assert "<b>1.200 s</b><span>longest write gap without the guard</span>" in render_html(report)
