"""A drill's report for CI: JUnit XML and Markdown. Pure: the report's JSON in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

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
    cases.append(_case("promises", "nothing acknowledged is lost, doubled or wrong", 0, told if broken else ""))
    cases.append(_case("limits", "no limit is missed", 0, "; ".join(report["missed"])))
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
        f"unknown and there {verdict['phantom']}.",
    ]
    without = report.get("write_gap_without_guard_seconds")
    lines += [] if without is None else ["", f"Longest write gap without the guard: **{seconds(without)}**."]
    lines += [f"- ❌ {line}" for line in report["missed"]]
    return "\n".join(lines) + "\n"
