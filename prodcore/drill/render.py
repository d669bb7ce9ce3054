"""A drill's report as JUnit XML, as Markdown and as HTML. Pure: the report's JSON in, text out.

The HTML is one file that stands alone: no script, no network, curves as SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from xml.sax.saxutils import quoteattr

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


_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 1000, 150, 60, 70, 34
_SHOWN = ("fault", "detected", "new primary", "first acknowledged write", "restore", "old member back", "caught up")
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
svg { width: 100%; height: auto }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif }
.axis { stroke: var(--line) }
.curve { fill: none; stroke: var(--curve); stroke-width: 1.5 }
.bar { fill: var(--curve); opacity: .55 }
.fail { fill: var(--bad) }
.event { stroke: var(--bad); stroke-dasharray: 3 3 }
svg text.event-name { fill: var(--bad) }
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
        + "".join(_chart(report, series) for series in report["series"])
        + _rounds_table(report["rounds"])
        + "".join(_timeline_table(r) for r in report["rounds"])
        + "</body></html>\n"
    )


def _chart(report: Report, series: Mapping[str, Any]) -> str:
    """Latency above, throughput below, the events on the one axis they share."""
    step, count = series["point_seconds"], len(series["acknowledged"])
    duration: float = step * count
    scale = (_WIDTH - _LEFT) / duration
    slowest = max((v for v in series["max_latency_seconds"] if v is not None), default=0) or 1
    rates = [n / step for n in series["acknowledged"]]
    busiest = max(rates, default=0) or 1
    floor = _TOP + 2 * _HEIGHT + _GAP

    def x(at: float) -> float:
        return round(float(_LEFT + at * scale), 1)

    latency = " ".join(
        f"{x((i + 0.5) * step)},{_TOP + _HEIGHT - v / slowest * _HEIGHT:.1f}"
        for i, v in enumerate(series["max_latency_seconds"])
        if v is not None
    )
    bars = "".join(
        f'<rect class="bar" x="{x(i * step)}" width="{max(0.5, step * scale - 0.3):.2f}" '
        f'y="{floor - r / busiest * _HEIGHT:.1f}" height="{r / busiest * _HEIGHT:.1f}"/>'
        for i, r in enumerate(rates)
        if r
    )
    failed = "".join(
        f'<rect class="fail" x="{x(i * step)}" width="{max(1.5, step * scale):.2f}" y="{floor}" height="5">'
        f"<title>{n} failed</title></rect>"
        for i, n in enumerate(series["failed"])
        if n
    )
    events = [e for r in report["rounds"] if r["set"] == series["set"] for e in r["timeline"] if e["event"] in _SHOWN]
    marks = "".join(_mark(x(e["at"]), i, e["event"], floor, e["seconds"]) for i, e in enumerate(events))
    ticks = "".join(f'<text x="{x(t)}" y="{floor + 20}" text-anchor="middle">{t:g} s</text>' for t in _ticks(duration))
    return (
        f"<h2>{escape(series['set'])}: latency and throughput</h2>"
        f'<svg viewBox="0 0 {_WIDTH + 10} {floor + 30}" role="img" aria-label="latency and throughput over time">'
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH}" y1="{_TOP + _HEIGHT}" y2="{_TOP + _HEIGHT}"/>'
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH}" y1="{floor}" y2="{floor}"/>'
        f'<text x="0" y="{_TOP + 10}">{slowest:.2f} s</text><text x="0" y="{_TOP + _HEIGHT}">slowest</text>'
        f'<text x="0" y="{floor - _HEIGHT + 10}">{busiest:.0f}/s</text><text x="0" y="{floor}">answers</text>'
        f'{bars}{failed}<polyline class="curve" points="{latency}"/>{marks}{ticks}</svg>'
    )


def _without_guard(report: Report) -> dict[str, str]:
    gap = report.get("write_gap_without_guard_seconds")
    return {} if gap is None else {"longest write gap without the guard": seconds(gap)}


def _mark(x: float, row: int, name: str, floor: int, since_fault: float) -> str:
    y = 10 + row % 5 * 12
    return (
        f'<line class="event" x1="{x}" x2="{x}" y1="{y + 2}" y2="{floor}"/>'
        f'<text class="event-name" x="{x + 3}" y="{y + 6}">{escape(name)} {since_fault:+.2f} s</text>'
    )


def _ticks(duration: float) -> list[float]:
    step = next(s for s in (1, 2, 5, 10, 30, 60, 300, 900, 3600, 86400) if duration / s <= 15)
    return [float(t) for t in range(0, int(duration) + 1, step)]


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
