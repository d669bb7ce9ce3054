"""How drills look in the terminal: progress, report, history; and how a report gets into the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prodctl.terminal.output import columns, message, print_item, print_rows, print_text

if TYPE_CHECKING:
    from prodcore.drill.plan import Progress
    from prodcore.settings import Settings


_ROUND_COLUMNS = columns(
    "Round=number!>", "Set!", "Old primary!", "New primary!", "Write gap=write_gap>", "Read gap=read_gap>",
    "Guard", "p50 during=p50+>", "p95 during=p95+>", "p99 during=p99+>", "Elected after=elected+>",
    "Member back=back+>", "Election=election_reason+~",
)  # fmt: skip
_HISTORY_COLUMNS = columns(
    "Drill=run!", "Started=started_at", "Sets", "Fault", "Outcome!", "Write gap=write_gap>", "Rounds+>", "Via+",
    "Read gap=read_gap+>", "Lost+>", "Failed+>", "Guarded+",
)  # fmt: skip
_COMPARE_COLUMNS = columns("Figure", "A=a>", "B=b>", "Change=shown_change>")
_ENDINGS = {"passed": "Passed.", "failed": "FAILED.", "vacuous": "VACUOUS: it proved nothing."}


def show_progress(progress: Progress) -> None:
    """One line on stderr for every step."""
    since = progress.facts.get("seconds_since_fault")
    clock = f"{since:+8.3f} s" if since is not None else " " * 10
    message(f"{clock}  {progress.set_name:<4} {progress.step}{': ' if progress.text else ''}{progress.text}")


def show_preflight(against: Sequence[str], output: str) -> None:
    """Whether a drill could begin, and what speaks against it."""
    if output in ("table", "wide"):
        print_text("The drill can start." if not against else "The drill cannot start:")
        for line in against:
            print_text(f"  ! {line}")
    else:
        print_item({"may_begin": not against, "against": list(against)}, output, kind="drill_preflight")


def show_report(report: Mapping[str, Any], output: str) -> None:
    """What a drill found, in any of the formats."""
    if output in ("json", "yaml"):
        print_item(report, output, kind="drill_report")
        return
    print_rows([_round_row(r) for r in report["rounds"]], _ROUND_COLUMNS, output, kind="drill_report")
    if output != "csv":
        _show_summary(report)


def _show_summary(report: Mapping[str, Any]) -> None:
    from prodcore.drill.ledger import streams
    from prodcore.drill.render import sparkline

    v = report["verdict"]
    print_text("")
    for series in report.get("series", ()):
        for name, stream in streams(series).items():
            what = {"writes": "write", "reads": "read"}.get(name, "answer")
            print_text(f"Slowest {what} over time, {series['set']}  {sparkline(stream['max_latency_seconds'])}")
    for what, of in (("acknowledged writes", "write"), ("answered reads", "read")):
        print_text(f"{f'Longest gap between {what}':<39}  {_gaps(report, f'{of}_gap')}")
    print_text(
        f"Acknowledged {v['acknowledged']}, {v.get('moved', 0)} of these renames to the other shard; "
        f"failed {v['failed']} (refused {v['refused']}, unknown {v['unknown']}), "
        f"sent again {v.get('retries', 0)} times"
    )
    print_text(
        f"Lost {v['lost']}, duplicated {v['duplicated']}, wrong {v['wrong']}, refused but stored "
        f"{v['contradicted']}, unknown but stored {v['phantom']}"
    )
    for line in (*report["missed"], *v["examples"]):
        print_text(f"  ! {line}")
    print_text(_ENDINGS[report["outcome"]])


def _gaps(report: Mapping[str, Any], of: str) -> str:
    """The gap with a guard or without; both where both were measured."""
    from prodcore.drill.render import seconds

    told = (
        f"{seconds(report[f'{of}_seconds'])} {'with an active guard' if report.get('guarded') else 'without a guard'}"
    )
    without = report.get(f"{of}_without_guard_seconds")
    return told if without is None else f"{told}, {seconds(without)} without"


def show_history(reports: Sequence[Mapping[str, Any]], output: str) -> None:
    """Drills that were, the newest first."""
    rows = [_history_row(r) for r in reports]
    print_rows(rows, _HISTORY_COLUMNS, output, kind="drill_history", empty="No drill has been kept yet.")


def show_comparison(rows: Sequence[Mapping[str, Any]], output: str) -> None:
    """Two drills side by side."""
    shown = [{**r, "shown_change": "" if r["change"] is None else f"{r['change']:+.1f} %"} for r in rows]
    print_rows(shown if output in ("table", "wide") else rows, _COMPARE_COLUMNS, output, kind="drill_comparison")


def _history_row(report: Mapping[str, Any]) -> dict[str, Any]:
    from prodcore.drill.render import seconds

    plan, verdict = report["plan"], report["verdict"]
    return {
        "run": report["run"],
        "started_at": report["started_at"],
        "outcome": report["outcome"],
        **{name: plan[name] for name in ("sets", "fault", "rounds", "via")},
        "write_gap_seconds": report["write_gap_seconds"],
        "read_gap_seconds": report["read_gap_seconds"],
        "write_gap": seconds(report["write_gap_seconds"]),
        "read_gap": seconds(report["read_gap_seconds"]),
        "guarded": report.get("guarded", False),
        "lost": verdict["lost"],
        "failed": verdict["failed"],
    }


def _round_row(of: Mapping[str, Any]) -> dict[str, Any]:
    from prodcore.drill.render import seconds

    at = {e["event"]: e["seconds"] for e in of["timeline"]}
    during = of["latency_seconds"]["during"]
    return {
        **of,
        "guard": "active" if of.get("guarded") else "disabled" if of.get("extra") else "none",
        "write_gap": seconds(of["write_gap_seconds"]),
        "read_gap": seconds(of["read_gap_seconds"]),
        "elected": seconds(at.get("new primary")),
        "back": seconds(at.get("old member back")),
        **{name: seconds(during[name]) for name in ("p50", "p95", "p99")},
    }


def keep(settings: Settings, report: dict[str, Any], percent: float | None = None) -> None:
    """Store the report, after it is compared with the earlier ones. A drill counts even when it cannot be kept.

    With ``percent`` it fails when it is so much slower than they were, and when nobody can tell.
    """
    from prodcore.app.wiring import open_history
    from prodcore.drill.report import COMPARED_WITH, alike, slower_than_before
    from prodcore.errors import ProdError

    try:
        with open_history(settings) as kept:
            if percent is not None:
                slower = slower_than_before(report, kept.last(COMPARED_WITH, alike(report)), percent)
                if slower:
                    report["missed"].append(slower)
                    report["outcome"] = "failed"
            kept.add(report)
    except ProdError as error:
        message(f"The report could not be kept: {error.message}")
        if percent is not None and report["outcome"] == "passed":
            report["missed"].append(f"it could not be compared with earlier drills: {error.message}")
            report["outcome"] = "failed"
