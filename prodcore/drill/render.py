"""A drill's report as JUnit XML, as Markdown and as HTML. Pure: the report's JSON in, text out.

The HTML is one file that stands alone: no script, no network, curves as SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from xml.sax.saxutils import quoteattr

from prodcore.drill.picture import NARROW, WIDE, Layer, Words, draw

Report = Mapping[str, Any]

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float | None], width: int = 60) -> str:
    """Values as a line of blocks, the largest of neighbours where there are too many; a space for None.

    >>> sparkline([0.0, 1.0, None, 7.0])
    '▁▂ █'
    """
    step = max(1, -(-len(values) // width))
    merged = [
        max((v for v in values[i : i + step] if v is not None), default=None) for i in range(0, len(values), step)
    ]
    top = max((v for v in merged if v is not None), default=0.0) or 1.0
    return "".join(" " if v is None else _BLOCKS[min(7, int(v / top * 7 + 0.5))] for v in merged)


def seconds(value: float | None) -> str:
    """A time for people.

    >>> seconds(0.0421), seconds(None)
    ('0.042 s', '–')
    """
    return "–" if value is None else f"{value:.3f} s"


def render_junit(report: Report) -> str:
    """A test suite: one case for each round on each set, one for the promises, one for the limits."""
    cases = []
    for of in report["rounds"]:
        name = f"round {of['number']}: {report['plan']['fault']} {of['member']}"
        bad = of["problem"] or ("no fault or no election took place" if of["vacuous"] else "")
        cases.append(_case(of["set"], name, of["write_gap_seconds"] or 0, bad))
    verdict = report["verdict"]
    broken = {k: verdict[k] for k in ("lost", "duplicated", "wrong", "contradicted") if verdict[k]}
    told = "; ".join([*(f"{n} {what}" for what, n in broken.items()), *verdict["examples"]])
    cases.append(_case("promises", "no acknowledged write is lost, duplicated or wrong", 0, told if broken else ""))
    cases.append(_case("limits", "no limit is exceeded", 0, "; ".join(report["missed"])))
    failures = sum("<failure" in case for case in cases)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name="failover-test" tests="{len(cases)}" failures="{failures}" '
        f'time="{report["duration_seconds"]}" timestamp={quoteattr(report["started_at"])}>\n'
        + "".join(cases)
        + "</testsuite>\n"
    )


def _case(group: str, name: str, time: float, bad: str) -> str:
    inner = f"<failure message={quoteattr(bad)}>{escape(bad)}</failure>" if bad else ""
    head = f"classname={quoteattr(group)} name={quoteattr(name)} time={quoteattr(str(time))}"
    return f"  <testcase {head}>{inner}</testcase>\n"


def render_markdown(report: Report) -> str:
    """A comment for a pull request."""
    verdict, plan = report["verdict"], report["plan"]
    lines = [
        f"## Failover drill: {report['outcome']}",
        "",
        f"`{plan['fault']}` of {plan['target']} in {', '.join(plan['sets'])}, {plan['rounds']} round(s), "
        f"{plan['writes_per_second']:g} writes a second on each set, via {plan['via']}.",
        "",
        "| round | set | old primary | new primary | write gap | read gap | p99 during |",
        "|--:|---|---|---|--:|--:|--:|",
    ]
    lines += [
        f"| {r['number']} | {r['set']} | {r['old_primary']} | {r['new_primary'] or '–'} "
        f"| {seconds(r['write_gap_seconds'])} | {seconds(r['read_gap_seconds'])} "
        f"| {seconds(r['latency_seconds']['during']['p99'])} |"
        for r in report["rounds"]
    ]
    lines += [
        "",
        f"Acknowledged **{verdict['acknowledged']}** ({verdict.get('moved', 0)} renames to the other shard), "
        f"lost **{verdict['lost']}**, duplicated **{verdict['duplicated']}**, wrong **{verdict['wrong']}**, "
        f"failed **{verdict['failed']}**, sent again {verdict.get('retries', 0)} times, "
        f"unknown but stored {verdict['phantom']}.",
    ]
    without = report.get("write_gap_without_guard_seconds")
    lines += [] if without is None else ["", f"Longest write gap without the guard: **{seconds(without)}**."]
    lines += [f"- ❌ {line}" for line in report["missed"]]
    return "\n".join(lines) + "\n"


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667085; --line: #d0d5dd; --paper: #fff;
  --curve: #1d6fd1; --bad: #c4320a; --good: #107a48 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #98a2b3; --line: #3a414c; --paper: #14171b;
  --curve: #6cb0ff; --bad: #ff8a66; --good: #4cc38a } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1080px; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line) }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.failed, .vacuous { color: var(--bad) }
.passed { color: var(--good) }
.big { display: flex; gap: 2.5rem; flex-wrap: wrap; margin: 1rem 0 }
.big b { display: block; font-size: 1.7rem }
.big span { color: var(--soft) }
.drill-picture { display: block; width: 100%; height: auto; overflow: visible }
.picture-wide { max-width: 1150px }
.picture-narrow { max-width: 480px }
@media (width < 44rem) { .picture-wide { display: none } }
@media (width >= 44rem) { .picture-narrow { display: none } }
.drill-picture text { fill: var(--soft); font-size: 12px; paint-order: stroke; stroke: var(--paper); stroke-width: 3px }
.drill-picture .panel-name, .drill-picture .event-name { font-weight: 600 }
.drill-picture .gap-name, .drill-picture .dimension-name { fill: var(--bad); font-weight: 600 }
.drill-picture path, .drill-picture polyline { fill: none; stroke-width: 1.5 }
.drill-picture .axis { stroke: var(--soft); stroke-width: 1 }
.drill-picture .grid { stroke: var(--line); stroke-width: 1 }
.drill-picture .rate { fill: var(--curve); opacity: .55 }
.drill-picture .curve { stroke: var(--curve) }
.drill-picture .of-reads { --curve: var(--good) }
.drill-picture .gap { fill: var(--bad); opacity: .16 }
.drill-picture .fail, .drill-picture .dimension { stroke: var(--bad) }
.drill-picture .event { stroke: var(--soft); stroke-dasharray: 3 3; stroke-width: 1 }
.drill-picture .spot { fill: transparent }
"""


def render_html(report: Report) -> str:
    """The whole page."""
    plan, verdict = report["plan"], report["verdict"]
    title = f"Failover drill {report['run']}"
    what = (
        f"{plan['fault']} of {plan['target']} in {', '.join(plan['sets'])}, {plan['rounds']} round(s), "
        f"{plan['writes_per_second']:g} writes a second on each set and as many reads, via {plan['via']}"
    )
    figures = {
        "longest write gap": seconds(report["write_gap_seconds"]),
        "longest read gap": seconds(report["read_gap_seconds"]),
        **_without_guard(report),
        "acknowledged": verdict["acknowledged"],
        "lost": verdict["lost"],
        "duplicated": verdict["duplicated"],
        "failed requests": verdict["failed"],
        "sent again": verdict.get("retries", "–"),
    }
    big = "".join(f"<div><b>{escape(str(v))}</b><span>{escape(k)}</span></div>" for k, v in figures.items())
    missed = "".join(f"<li>{escape(line)}</li>" for line in (*report["missed"], *verdict["examples"]))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f'<h1>{escape(title)}: <span class="{report["outcome"]}">{report["outcome"]}</span></h1>'
        f"<p>{escape(report['started_at'])}, {report['duration_seconds']:.1f} s. {escape(what)}.</p>"
        f'<div class="big">{big}</div>'
        + (f'<h2>What went wrong</h2><ul class="failed">{missed}</ul>' if missed else "")
        + "".join(_picture(report, series) for series in report["series"])
        + _rounds_table(report["rounds"])
        + "".join(_timeline_table(r) for r in report["rounds"])
        + "</body></html>\n"
    )


def _picture(report: Report, series: Mapping[str, Any]) -> str:
    rounds = [r for r in report["rounds"] if r["set"] == series["set"]]
    layer = Layer(series, [(event["at"], event["event"]) for r in rounds for event in r["timeline"]])
    words = Words(seconds=seconds)
    told = [
        f"longest {what} gap {seconds(max(gaps))}"
        for what in ("write", "read")
        if (gaps := [gap for r in rounds if (gap := r[f"{what}_gap_seconds"]) is not None])
    ]
    title = f"{series['set']}: {', '.join(told) or 'load over time'}"
    pictures = "".join(draw([layer], words, width, title) for width in (WIDE, NARROW))
    return f"<h2>{escape(series['set'])}: load over time</h2>{pictures}"


def _without_guard(report: Report) -> dict[str, str]:
    gap = report.get("write_gap_without_guard_seconds")
    return {} if gap is None else {"longest write gap without the guard": seconds(gap)}


def _rounds_table(rounds: Sequence[Mapping[str, Any]]) -> str:
    head = (
        "round",
        "set",
        "member",
        "new primary",
        "write gap",
        "read gap",
        "p50 / p95 / p99 / max during",
        "election",
    )
    rows = "".join(
        f'<tr><td class="n">{r["number"]}</td><td>{escape(r["set"])}</td><td>{escape(r["member"])}</td>'
        f"<td>{escape(r['new_primary'] or '–')}</td>"
        f'<td class="n">{seconds(r["write_gap_seconds"])}</td><td class="n">{seconds(r["read_gap_seconds"])}</td>'
        f'<td class="n">{_percentiles(r["latency_seconds"]["during"])}</td>'
        f"<td>{escape(r['election_reason'] or '–')}</td></tr>"
        for r in rounds
    )
    return f"<h2>Rounds</h2><table><tr>{''.join(f'<th>{h}</th>' for h in head)}</tr>{rows}</table>"


def _percentiles(of: Mapping[str, Any]) -> str:
    return " / ".join(seconds(of[name]) for name in ("p50", "p95", "p99", "max"))


def _timeline_table(of: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><td class="n">{e["seconds"]:+.3f} s</td><td>{escape(e["event"])}</td><td>{escape(e["detail"])}</td></tr>'
        for e in of["timeline"]
    )
    return f"<h3>Round {of['number']}, {escape(of['set'])}</h3><table>{rows}</table>"
