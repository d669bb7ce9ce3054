"""``prodctl failover-test``: break a member under load, measure, put it back, prove that nothing is lost."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from prodctl.output import columns, message, output_option, print_item, print_rows, print_text

if TYPE_CHECKING:
    from prodcore.drill.engine import Parts
    from prodcore.drill.events import Progress
    from prodcore.drill.plan import DrillPlan
    from prodcore.drill.report import DrillReport

_ROUND_COLUMNS = columns(
    "Round>", "Set", "Fault", "Old primary", "New primary", "Write gap=write_gap>", "Read gap=read_gap>",
    "Elected after=elected>", "Member back=back>", "p99 during=p99>", "Election=election_reason+",
)  # fmt: skip
_FAULTS = ("kill", "stop", "stepdown", "pause")


class _DefaultGroup(click.Group):
    """``failover-test rsA …`` is ``failover-test run rsA …``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group("failover-test", cls=_DefaultGroup)
def failover_test() -> None:
    """Break a member under load and prove that nothing is lost.

    \b
    Examples:
      prodctl failover-test rsA                     kill the primary of rsA
      prodctl failover-test rsA --fault stepdown    hand over in good order
      prodctl failover-test --all --rounds 10       every set at once, ten times

    Exit status 0 when every promise and limit held, 8 when one did not, 9 when the drill proved nothing, 6 when it
    could not begin. What a drill breaks it puts back, also after Ctrl-C; after kill -9 the next drill does, or
    "failover-test restore".
    """


@failover_test.command()
@click.argument("sets", nargs=-1, metavar="[SET]...")
@click.option("--all", "every", is_flag=True, help="Every set at once.")
@click.option("--fault", type=click.Choice(_FAULTS), default="kill", show_default=True, help="What to do to a member.")
@click.option("--member", "target", default="primary", show_default=True, help="primary, random, or its host:port.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=1, show_default=True, help="How often.")
@click.option(
    "--rate", type=click.FloatRange(1, 1000), default=50.0, show_default=True, help="Writes a second on each set."
)
@click.option("--control", is_flag=True, hidden=True, help="Lose writes on purpose; the drill must find that out.")
@click.option("--dry-run", is_flag=True, help="Say whether it could begin; touch nothing.")
@output_option
def run(sets: tuple[str, ...], every: bool, output: str, dry_run: bool, control: bool, **options: Any) -> int:
    """Rehearse a failover (the default: "failover-test rsA" is enough).

    Writes and reads steadily, breaks a member, waits for the new primary, puts the member back, waits until it has
    caught up, and then compares every acknowledged write with a majority read of every member.
    """
    from prodcore.bootstrap_cluster import local_member_control, open_drill
    from prodcore.drill.engine import preflight, run_drill
    from prodcore.settings import load_settings

    settings = load_settings()
    options |= {"fault": "lose"} if control else {}
    with open_drill(settings, local_member_control(settings), unsafe=control) as parts:
        plan = _plan(sets, every, parts, **options)
        if dry_run:
            return _print_verdict(preflight(plan, parts), output)
        with _graceful_signals():
            report = run_drill(plan, parts, show_progress)
    show_report(report, output)
    return exit_status(report)


@failover_test.command()
def restore() -> int:
    """Put back what a drill that was killed has left: stopped or paused members, records of its own."""
    from prodcore.bootstrap_cluster import local_member_control, open_drill
    from prodcore.drill.restore import restore_leftovers
    from prodcore.settings import load_settings

    settings = load_settings()
    with open_drill(settings, local_member_control(settings)) as parts, parts.journal.lock():
        left = restore_leftovers(parts.journal, parts.control, parts.sets, show_progress)
    message(f"Drill {left.run} is cleared away." if left else "There is nothing to put back.")
    return 0


def _plan(sets: tuple[str, ...], every: bool, parts: Parts, **options: Any) -> DrillPlan:
    from prodcore.drill.plan import DrillPlan, Fault

    if every == bool(sets):
        raise click.UsageError(f"name a set ({', '.join(parts.sets)}), or use --all")
    return DrillPlan(
        tuple(parts.sets) if every else tuple(dict.fromkeys(sets)),
        Fault(options["fault"]),
        target=options["target"],
        rounds=options["rounds"],
        writes_per_second=options["rate"],
    )


@contextmanager
def _graceful_signals() -> Iterator[None]:
    """SIGTERM and the first Ctrl-C interrupt the drill, which puts everything back; more of them change nothing."""

    def interrupt(_number: int, _frame: object) -> None:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_IGN)
        message("Interrupted: putting everything back …")
        raise KeyboardInterrupt

    before = {name: signal.signal(name, interrupt) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def show_progress(progress: Progress) -> None:
    """One line on stderr for every step."""
    since = progress.facts.get("seconds_since_fault")
    clock = f"{since:+8.3f} s" if since is not None else " " * 10
    message(f"{clock}  {progress.set_name:<4} {progress.step}{': ' if progress.text else ''}{progress.text}")


def _print_verdict(against: list[str], output: str) -> int:
    verdict = {"may_begin": not against, "against": against}
    if output in ("table", "wide"):
        print_text("The drill may begin." if not against else "The drill must not begin:")
        for line in against:
            print_text(f"  ! {line}")
    else:
        print_item(verdict, output, kind="drill_preflight")
    return 6 if against else 0


def show_report(report: DrillReport, output: str) -> None:
    """Print what was found, in any of the formats."""
    if output in ("json", "yaml"):
        print_item(report.as_dict(), output, kind="drill_report")
        return
    print_rows([_row(r) for r in report.as_dict()["rounds"]], _ROUND_COLUMNS, output, kind="drill_report")
    if output == "csv":
        return
    v = report.verdict
    print_text("")
    print_text(f"Longest gap between acknowledged writes  {_time(report.write_gap)}")
    print_text(f"Longest gap between answered reads       {_time(report.read_gap)}")
    print_text(f"Acknowledged {v.acknowledged}, failed {v.failed} (refused {v.refused}, unknown {v.unknown})")
    print_text(
        f"Lost {v.lost}, duplicated {v.duplicated}, wrong {v.wrong}, refused and there all the same {v.contradicted}, "
        f"unknown and there {v.phantom}"
    )
    for line in (*report.missed, *v.examples):
        print_text(f"  ! {line}")
    print_text({"passed": "Passed.", "failed": "FAILED.", "vacuous": "VACUOUS: it proved nothing."}[report.outcome])
    sys.stdout.flush()


def exit_status(report: DrillReport) -> int:
    """0, 8 for a missed limit or broken promise, 9 for a drill that proved nothing."""
    from prodcore.errors import DrillFailed, DrillVacuous

    return {"passed": 0, "failed": DrillFailed.exit_status, "vacuous": DrillVacuous.exit_status}[report.outcome]


def _row(of: dict[str, Any]) -> dict[str, Any]:
    at = {e["event"]: e["seconds"] for e in of["timeline"]}
    return of | {
        "round": of["number"],
        "fault": next((e["detail"].split()[0] for e in of["timeline"] if e["event"] == "fault"), ""),
        "write_gap": _time(of["write_gap_seconds"]),
        "read_gap": _time(of["read_gap_seconds"]),
        "elected": _time(at.get("new primary")),
        "back": _time(at.get("old member back")),
        "p99": _time(of["latency_seconds"]["during"]["p99"]),
    }


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.3f} s"
