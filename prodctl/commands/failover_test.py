"""``prodctl failover-test``: break a member under load, measure, prove that nothing is lost; the runner."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prodcore.drill.faults import Fault
from prodctl.terminal.arguments import Duration, Whole, complete_drills, complete_sets, complete_targets
from prodctl.terminal.drill_view import keep, show_comparison, show_history, show_preflight, show_progress, show_report
from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import message, output_option, visible

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from prodcore.drill.engine import Parts
    from prodcore.drill.orders import DrillOrder
    from prodcore.drill.plan import DrillPlan
    from prodcore.drill.report import LiveDrill
    from prodcore.processes.control import MemberControl
    from prodcore.settings import Settings
    from prodctl.client.api import ApiClient


_FAULTS = tuple(fault.value for fault in Fault if not fault.deed.kills_secondaries_first)


class _Percent(click.ParamType[float]):
    """A percentage: 25% or 25."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", str(value).strip())
        if not match:
            self.fail(f"{value!r} is not a percentage such as 25%", param, ctx)
        return float(match[1])


class _DefaultGroup(NounGroup):
    """``failover-test rsA …`` is ``failover-test run rsA …``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, and the sets that ``run`` takes."""
        sets = next(p for p in self.commands["run"].params if isinstance(p, click.Argument))
        return [*super().shell_complete(ctx, incomplete), *sets.shell_complete(ctx, incomplete)]


@click.group("failover-test", cls=_DefaultGroup)
def failover_test() -> None:
    """Break a member under load and prove that nothing is lost.

    \b
    Examples:
      prodctl failover-test rsA                     kill the primary of rsA
      prodctl failover-test rsA --fault stepdown    hand over cleanly
      prodctl failover-test --all --rounds 10 --member random --max-write-gap 5s
      prodctl failover-test rsA --report out.html   and look at the curves

    Exit status 0 when every promise and limit held, 8 when one did not, 9 when the drill proved nothing, 6 when it
    could not begin. What a drill breaks it puts back, also after Ctrl-C; after kill -9 the next drill does, or
    "failover-test restore".
    """


@failover_test.command()
@click.argument("sets", nargs=-1, metavar="[SET]...", shell_complete=complete_sets)
@click.option("--all", "every", is_flag=True, help="Every set at once.")
@click.option("--fault", type=click.Choice(_FAULTS), default="kill", show_default=True, help="What to do to a member.")
@click.option(
    "--member",
    "target",
    default="primary",
    show_default=True,
    shell_complete=complete_targets,
    help="primary, random, or its name: rsA-2.",
)
@click.option("--rounds", type=Whole(1, 1000), default=1, show_default=True, help="How often.")
@click.option(
    "--rate", type=click.FloatRange(1, 1000), default=50.0, show_default=True, help="Writes a second on each set."
)
@click.option(
    "--via",
    type=click.Choice(["api", "driver"]),
    default="api",
    show_default=True,
    help="How the load reaches the products: REST API, with your login, or driver. rsU always takes the driver.",
)
@click.option("--compare-guard", is_flag=True, help="Do each round once more with the guards disabled; report both.")
@click.option("--max-write-gap", type=Duration(), help="Longest time without an acknowledged write, such as 5s.")
@click.option("--max-read-gap", type=Duration(), help="Longest time without an answered read.")
@click.option("--max-p99", type=Duration(), help="99th percentile of the answers from fault to recovery.")
@click.option("--max-failed", type=Whole(0), help="How many failed requests are allowed.")
@click.option("--max-lost", type=Whole(0), default=0, help="How many lost acknowledged writes are allowed (0).")
@click.option(
    "--fail-if-slower",
    type=_Percent(),
    help="Fail if slower than the median of the last ten such drills by more than this: 25%.",
)
@click.option("--report", "html", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML report.")
@click.option("--json", "json_", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as JSON.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML, for CI.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write Markdown, for a comment.")
@click.option("--lose-writes", is_flag=True, hidden=True, help="Lose writes on purpose; the drill must find that out.")
@click.option("--dry-run", is_flag=True, help="Say whether it could start; change nothing.")
@output_option
def run(output: str, dry_run: bool, lose_writes: bool, **options: Any) -> int:
    """Rehearse a failover (the default: "failover-test rsA" is enough).

    Writes and reads steadily, causes the fault, waits for the new primary, restores the member, waits until it has
    caught up, and then compares every acknowledged write with a majority read of every member.

    \b
    Examples:
      prodctl failover-test rsA
      prodctl failover-test rsA --fault stepdown --max-write-gap 2s
      prodctl failover-test --all --dry-run
    """
    from prodcore.app.drills import open_drill
    from prodcore.app.wiring import member_control
    from prodcore.drill.engine import preflight, run_drill
    from prodcore.settings import load_settings
    from prodctl.client.api import ApiClient
    from prodctl.client.products import ApiTraffic

    settings = load_settings()
    options |= {"fault": "lose", "via": "driver"} if lose_writes else {}
    api = ApiClient(settings) if options["via"] == "api" else None
    traffic = partial(ApiTraffic, api) if api else None
    with open_drill(settings, member_control(settings), unsafe=lose_writes, product_traffic=traffic) as parts:
        plan = _plan(parts, options)
        if api and parts.drills_products(plan):
            _check_login(api)
        if dry_run:
            with parts.journal.lock():  # refused while another drill is at work
                against = preflight(plan, parts)
            show_preflight(against, output)
            return 6 if against else 0
        with _graceful_signals():
            report = run_drill(plan, parts, show_progress).as_dict()
    if not lose_writes:
        keep(settings, report, options["fail_if_slower"])
    _write_files(report, options)
    show_report(report, output)
    return exit_status(report)


@failover_test.command()
def restore() -> int:
    """Restore what an interrupted drill has left: stopped or paused members, and its own records.

    \b
    Examples:
      prodctl failover-test restore
    """
    from prodcore.app.drills import open_drill
    from prodcore.app.wiring import member_control
    from prodcore.drill.engine import restore_leftovers
    from prodcore.settings import load_settings

    settings = load_settings()
    with open_drill(settings, member_control(settings)) as parts, parts.journal.lock():
        left = restore_leftovers(parts.journal, parts.control, parts.sets, show_progress)
    message(f"Drill {left.run} is cleaned up." if left else "There is nothing to restore.")
    return 0


@failover_test.command()
@click.option("--limit", type=Whole(1, 500), default=20, show_default=True, help="How many, the newest first.")
@output_option
def history(limit: int, output: str) -> None:
    """Past drills.

    \b
    Examples:
      prodctl failover-test history
      prodctl failover-test history --limit 5 -o json
    """
    with _history() as kept:
        show_history(kept.last(limit), output)


@failover_test.command()
@click.argument("drill", shell_complete=complete_drills)
@click.option("--report", "html", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML report.")
@output_option
def show(drill: str, html: Path | None, output: str) -> None:
    """One drill, by its id or the beginning of its id.

    \b
    Examples:
      prodctl failover-test show 3f2a
      prodctl failover-test show 3f2a --report drill.html
    """
    with _history() as kept:
        report = kept.get(drill)
    _write_files(report, {"html": html})
    show_report(report, output)


@failover_test.command()
@click.argument("a", shell_complete=complete_drills)
@click.argument("b", shell_complete=complete_drills)
@output_option
def compare(a: str, b: str, output: str) -> None:
    """Two drills side by side, with the change from A to B.

    \b
    Examples:
      prodctl failover-test compare 3f2a 91bc
    """
    from prodcore.drill.report import compare as compare_reports

    with _history() as kept:
        show_comparison(compare_reports(kept.get(a), kept.get(b)), output)


def exit_status(report: dict[str, Any]) -> int:
    """0, 8 for a missed limit or broken promise, 9 for a drill that proved nothing."""
    from prodcore.errors import DrillFailed, DrillVacuous

    return {"passed": 0, "failed": DrillFailed.exit_status, "vacuous": DrillVacuous.exit_status}[report["outcome"]]


def _plan(parts: Parts, options: dict[str, Any]) -> DrillPlan:
    from prodcore.drill.plan import DrillLimits, DrillPlan

    if options["every"] == bool(options["sets"]):
        raise click.UsageError(f"name a set ({', '.join(parts.sets)}), or use --all")
    limits = ("max_write_gap", "max_read_gap", "max_p99", "max_failed", "max_lost")
    return DrillPlan(
        tuple(parts.sets) if options["every"] else tuple(dict.fromkeys(options["sets"])),
        Fault(options["fault"]),
        target=options["target"],
        rounds=options["rounds"],
        writes_per_second=options["rate"],
        limits=DrillLimits(**{name: options[name] for name in limits}),
        via=options["via"],
        compare_guard=options["compare_guard"],
    )


def _check_login(client: ApiClient) -> None:
    """Raise when the load would not be let in, before anything is touched."""
    from prodcore.errors import Forbidden, NotAuthenticated, ServiceUnavailable

    way_out = "--via driver needs neither webapp nor a login"
    try:
        rights = client.call("GET", "/session")["rights"]
    except (NotAuthenticated, ServiceUnavailable) as error:
        raise type(error)(error.message, hint="; ".join(filter(None, (error.hint, way_out)))) from None
    if "products:write" not in rights:
        raise Forbidden("the load writes products, but this login is not allowed to (products:write)", hint=way_out)


def _history() -> Any:
    from prodcore.app.wiring import open_history
    from prodcore.settings import load_settings

    return open_history(load_settings())


def _write_files(report: dict[str, Any], options: dict[str, Any]) -> None:
    import json

    from prodcore.drill.render import render_html, render_junit, render_markdown
    from prodcore.drill.report import SCHEMA_VERSION

    def as_json(of: dict[str, Any]) -> str:
        document = {"schema_version": SCHEMA_VERSION, "kind": "drill_report", **of}
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"

    writers = {"html": render_html, "json_": as_json, "junit": render_junit, "markdown": render_markdown}
    for name, render in writers.items():
        path: Path | None = options.get(name)
        if path:
            path.write_text(render(report), encoding="utf-8")
            message(f"Report written to {path}")


@contextmanager
def _graceful_signals() -> Iterator[None]:
    """SIGTERM and the first Ctrl-C interrupt the drill, which puts everything back; more of them change nothing."""

    def interrupt(_number: int, _frame: object) -> None:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_IGN)
        message("Interrupted: restoring everything …")
        raise KeyboardInterrupt

    before = {name: signal.signal(name, interrupt) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@click.command()
@click.option(
    "--dir", "directory", type=click.Path(file_okay=False, path_type=Path), help="Where the local cluster lives."
)
def serve(directory: Path | None) -> None:
    """Run the drills and actions that operators order in the browser, and the range moves of prodctl shard.

    Runs until it is stopped, on the machine that controls the members; "local up" starts it. It needs an operator's
    access, so that webapp needs none: orders and progress go through the users' set. It runs one drill at a time and
    records the cluster's curves. Stopped during a drill, it restores everything first; a move continues when it runs
    again.

    \b
    Examples:
      prodctl failover-test serve
    """
    from prodcore.app.cluster import record_curves
    from prodcore.app.drills import serve_actions
    from prodcore.app.range_moves import serve_moves
    from prodcore.app.wiring import member_control, open_board, patient
    from prodcore.drill.orders import DrillRunner, RunnerSign

    settings = _runner_settings(directory)
    control = member_control(settings, directory)
    interrupts = _Interrupts()
    _put_back(settings, control)
    with open_board(patient(settings)) as board:
        board.prepare()
        sign = RunnerSign(f"{socket.gethostname()}:{os.getpid()}", control.addresses())
        _log("Waiting for orders; stop with Ctrl-C.")
        moving = _beside("moves of ranges", interrupts.stop, lambda: serve_moves(settings, interrupts.stop, _log))
        _beside("actions", interrupts.stop, lambda: serve_actions(settings, control, interrupts.stop, _log))
        _beside("curves", interrupts.stop, lambda: record_curves(settings, interrupts.stop))
        DrillRunner(board, sign, _performer(settings, control, interrupts), interrupts.ask).run(interrupts.stop)
        moving.join(_LAST_BATCH_SECONDS)


def _beside(what: str, stop: threading.Event, serve: Callable[[], None]) -> threading.Thread:
    """A thread that serves until ``stop`` whatever happens: what nobody expected is logged, and it begins again."""

    def go_on() -> None:
        while not stop.is_set():
            try:
                serve()
            except Exception as error:  # noqa: BLE001
                _log(f"{what} restart after {type(error).__name__}: {error}")
                stop.wait(_BEGIN_AGAIN_SECONDS)

    thread = threading.Thread(target=go_on, name=what, daemon=True)
    thread.start()
    return thread


_BEGIN_AGAIN_SECONDS = 5.0
_LAST_BATCH_SECONDS = 10.0  # a move ends with the batch at work; whoever goes on repeats what was not done


class _Interrupts:
    """A signal ends the drill at work, once; it then puts everything back. SIGTERM and SIGINT end the runner, too."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._busy = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        signal.signal(signal.SIGUSR1, self._interrupt)

    def ask(self) -> None:
        """End the drill that is at work, from any thread."""
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    @contextmanager
    def possible(self) -> Iterator[None]:
        """Inside the block, in the main thread, a signal raises KeyboardInterrupt."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _end(self, number: int, frame: object) -> None:
        self.stop.set()
        self._interrupt(number, frame)

    def _interrupt(self, _number: int, _frame: object) -> None:
        if self._busy:
            self._busy = False
            _log("Interrupted: restoring everything …")
            raise KeyboardInterrupt


def _runner_settings(directory: Path | None) -> Settings:
    """The settings; a cluster that is not where this user's own one lives keeps the drills' journal with its data."""
    from prodcore.local.cluster import default_directory
    from prodcore.settings import load_settings

    settings = load_settings()
    elsewhere = directory is not None and directory != default_directory(settings)
    return settings.changed(state_dir=directory) if elsewhere else settings


def _performer(settings: Settings, control: MemberControl, interrupts: _Interrupts) -> Any:
    from prodcore.app.drills import open_drill
    from prodcore.drill.engine import run_drill

    def perform(order: DrillOrder, live: LiveDrill) -> dict[str, Any]:
        _log(f"{order.by} orders a drill: {order.plan.fault} of {order.plan.target} in {', '.join(order.plan.sets)}")
        with open_drill(settings, control) as parts, interrupts.possible():
            report = run_drill(order.plan, parts, live.note, live.ledger).as_dict()
        report["by"] = order.by
        keep(settings, report)
        return report

    return perform


def _put_back(settings: Settings, control: MemberControl) -> None:
    """Put back what a killed runner has left. Where that fails, the next drill tries again before it begins."""
    from prodcore.app.drills import open_drill
    from prodcore.drill.engine import restore_leftovers
    from prodcore.errors import ProdError

    try:
        with open_drill(settings, control) as parts:
            if parts.journal.unfinished():
                with parts.journal.lock():
                    restore_leftovers(parts.journal, parts.control, parts.sets, show_progress)
    except ProdError as error:
        _log(f"Not everything could be restored: {error.message}")


def _log(text: str) -> None:
    """A line on stderr; the runner goes on when nobody reads it."""
    from prodcore.support.secure_files import LogOutput

    LogOutput(sys.stderr).line(visible(text))


failover_test.add_command(serve)
