"""``prodctl cluster``: replica sets, member by member, straight from the members, and the guard."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from prodctl.terminal.arguments import Duration, complete_members, complete_sets
from prodctl.terminal.cluster_view import show_prometheus, show_status, show_topology, status_line
from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import columns, message, output_option, print_item, print_rows, print_text, visible
from prodctl.terminal.prompt import confirm, confirm_options

if TYPE_CHECKING:
    from prodcore.replicaset.cluster import ClusterStatus
    from prodcore.settings import Settings


EXIT_NOT_HEALTHY = 6
_REFRESH_SECONDS = 1.0

_ELECTION_COLUMNS = columns("Set=set_name!", "Term>", "Time=at", "Old primary!", "New primary!", "Reason~")
_FINDING_COLUMNS = columns("Severity!", "Subject!", "Finding=text~", "Fix~", "Code+")


@click.group(cls=NounGroup)
def cluster() -> None:
    """Shards and their members: roles, health, lag.

    Goes straight to the members, so it works while the web tier is down.
    """


@cluster.command()
@click.option("--watch", is_flag=True, help="Refresh every second, until Ctrl-C.")
@click.option("--wait", type=click.Choice(["healthy"]), help="Wait until all is healthy.")
@click.option("--timeout", type=Duration("100ms"), default="60s", show_default=True, help="How long to --wait.")
@click.option("--check", is_flag=True, help="One line and exit status 0, 1 or 2, for Nagios and similar.")
@click.option("--prometheus", is_flag=True, help="Prometheus text format.")
@output_option
def status(output: str, watch: bool, wait: str | None, timeout: float, check: bool, prometheus: bool) -> int:
    """Every member, both services, the map, and what is wrong.

    Exit status 0 when all is healthy, 6 when anything is degraded or down.

    \b
    Examples:
      prodctl cluster status --watch
      prodctl cluster status --wait healthy --timeout 2m
      prodctl cluster status --check
    """
    from prodcore.app.cluster import cluster_status
    from prodcore.settings import load_settings

    settings = load_settings()
    if watch:
        return _watch(settings)
    seen = _wait_healthy(settings, timeout) if wait else cluster_status(settings)
    if check:
        print_text(status_line(seen))
        return {"healthy": 0, "degraded": 1, "down": 2}[seen.health.value]
    if prometheus:
        show_prometheus(seen)
    else:
        show_status(seen, output)
    return 0 if not seen.problems else EXIT_NOT_HEALTHY


@cluster.command()
def topology() -> int:
    """Services, sets and members as a tree: who copies from whom.

    \b
    Examples:
      prodctl cluster topology
    """
    from prodcore.app.cluster import cluster_status
    from prodcore.settings import load_settings

    seen = cluster_status(load_settings())
    show_topology(seen)
    return 0 if not seen.problems else EXIT_NOT_HEALTHY


@cluster.command()
@click.argument("set_name", metavar="[SET]", required=False, shell_complete=complete_sets)
@output_option
def history(set_name: str | None, output: str) -> None:
    """Elections: when, who, why, from the members' own records.

    \b
    Examples:
      prodctl cluster history
      prodctl cluster history rsA -o json
    """
    from prodcore.app.cluster import cluster_elections
    from prodcore.settings import load_settings

    elections, names = cluster_elections(load_settings(), set_name)
    rows = [
        {
            "set_name": e.set_name,
            "term": e.term,
            "at": e.at.isoformat(timespec="milliseconds") if e.at else None,
            "old_primary": e.old_primary or None,
            "new_primary": e.new_primary or None,
            "reason": e.reason or None,
        }
        for e in elections
    ]
    if output in ("table", "wide"):
        rows = [_named(row, names) for row in rows]
    print_rows(rows, _ELECTION_COLUMNS, output, kind="election_history", empty="No member has a record of an election.")


@cluster.command()
@output_option
def lint(output: str) -> int:
    """Risks in the setup, by cause: severity and fix.

    Exit status 6 when there is a problem; warnings and notes are risks that may be acceptable.

    \b
    Examples:
      prodctl cluster lint
      prodctl cluster lint -o json
    """
    from prodcore.app.cluster import lint_cluster
    from prodcore.app.wiring import member_control
    from prodcore.replicaset.diagnostic import Severity, count
    from prodcore.replicaset.lint import by_cause
    from prodcore.settings import load_settings

    settings = load_settings()
    found = lint_cluster(settings, member_control(settings))
    shown = by_cause(found) if output in ("table", "wide") else found
    print_rows([d.as_dict() for d in shown], _FINDING_COLUMNS, output, kind="lint", empty="Nothing risky was found.")
    return EXIT_NOT_HEALTHY if count(found, Severity.PROBLEM) else 0


@cluster.command()
@click.argument("set_name", metavar="SET", shell_complete=complete_sets)
@click.option(
    "--to",
    default="",
    metavar="MEMBER",
    shell_complete=complete_members,
    help="Who takes over; else the first secondary that keeps up.",
)
@click.option("--dry-run", is_flag=True, help="Say who would take over; change nothing.")
@confirm_options
@output_option
def switchover(set_name: str, to: str, dry_run: bool, yes: bool, no_input: bool, output: str) -> None:
    """Make another member primary, and measure the interruption.

    Refuses before anything changes when the set is not healthy or the successor lags. It succeeds only when the chosen
    member is primary and the old primary copies from the set again. A member is named as in the status: rsA-2, or
    host:port.

    It takes some seconds; longer for a member other than the first secondary, as the others have to sync from it first.

    \b
    Examples:
      prodctl cluster switchover rsA --dry-run
      prodctl cluster switchover rsA --to rsA-2 --yes
    """
    from prodcore.app.cluster import open_switchover
    from prodcore.replicaset.switchover import plan_switchover, switch_over
    from prodcore.settings import load_settings

    with open_switchover(load_settings(), set_name) as parts:
        primary, successor = plan_switchover(parts, to)
        names = {member.address: member.name for member in (primary, successor)} if output in ("table", "wide") else {}
        if dry_run:
            would = {"set_name": set_name, "old_primary": primary.address, "new_primary": successor.address}
            print_item({**_named(would, names), "dry_run": True}, output, kind="switchover")
            return
        who = f"{successor.name} ({successor.address}) takes over from {primary.name} ({primary.address})"
        confirm(f"{set_name}: {who}, writes wait for a moment. Continue?", yes=yes, no_input=no_input)
        print_item(_named(switch_over(parts, successor.address).as_dict(), names), output, kind="switchover")


def _named(item: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The item with members called as the status calls them."""
    return {key: names.get(value, value) if isinstance(value, str) else value for key, value in item.items()}


def _wait_healthy(settings: Settings, timeout: float) -> ClusterStatus:
    """Look until all is healthy or the time is up; the last look."""
    from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

    from prodcore.app.cluster import cluster_status

    retrying = Retrying(
        retry=retry_if_result(lambda seen: bool(seen.problems)), wait=wait_fixed(0.25), stop=stop_after_delay(timeout)
    )
    try:
        return retrying(cluster_status, settings)
    except RetryError as late:
        message(f"Not healthy after {timeout:g} s.")
        last: ClusterStatus = late.last_attempt.result()
        return last


def _watch(settings: Settings) -> int:
    """A screen that follows the cluster; a new page a second where there is no screen."""
    import sys
    import threading

    from prodcore.app.cluster import cluster_status

    never = threading.Event()
    while True:
        seen = cluster_status(settings)
        if sys.stdout.isatty():
            click.clear()
        show_status(seen, "table")
        never.wait(_REFRESH_SECONDS)


_GUARD_COLUMNS = columns(
    "Set!", "Active", "Primary!", "Successor!", "Elected>", "Guard=_id!", "Refrained+>", "Seen+"
)  # fmt: skip


@click.group(cls=NounGroup, invoke_without_command=True)
@click.option(
    "--silence",
    type=Duration("500ms"),
    default="1500ms",
    show_default=True,
    help="How long until an unresponsive primary counts as hung; more than the set's heartbeat interval.",
)
@click.option(
    "--cooldown",
    type=Duration("1s"),
    default="5s",
    show_default=True,
    help="Least time between two actions on a set.",
)
@click.option(
    "--fence-after",
    type=Duration("1s"),
    help="Kill a replaced primary that stays unresponsive for so long, such as 30s.",
)
@click.pass_context
def guard(ctx: click.Context, silence: float, cooldown: float, fence_after: float | None) -> None:
    """Watch the primaries and shorten failovers.

    When a primary dies or hangs, the freshest secondary is asked to run for election.

    Runs until it is stopped. Several can run. It can only ask for ordinary elections, so it cannot lose data, and
    without it the sets behave like any other of MongoDB. docs/explanation/guard.md says why.

    \b
    Examples:
      prodctl cluster guard
      prodctl cluster guard --cooldown 10s --fence-after 30s
    """
    if ctx.invoked_subcommand:
        return
    from prodcore.app.cluster import run_guards
    from prodcore.app.wiring import member_control
    from prodcore.guard.decision import GuardRules
    from prodcore.settings import load_settings

    settings = load_settings()
    rules = GuardRules(silence_seconds=silence, cooldown_seconds=cooldown, fence_seconds=fence_after)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    control = member_control(settings) if fence_after else None
    if control and not control.addresses():
        raise click.UsageError(f"--fence-after cannot kill a member: {control.cannot_stop_host()}")
    message("Guarding; stop with Ctrl-C.")
    run_guards(settings, rules, _Log(), stop, control)


@guard.command()
@click.option("--for", "seconds", type=Duration("1s"), default="10m", show_default=True, help="How long.")
def off(seconds: float) -> None:
    """Disable every guard for a while, for example for maintenance; they are enabled again automatically.

    \b
    Examples:
      prodctl cluster guard off --for 10m
    """
    from prodcore.app.wiring import open_switch
    from prodcore.settings import load_settings

    with open_switch(load_settings()) as switch:
        switch.turn_off(seconds)
    message(f"Guards are disabled for {seconds:g} s.")


@guard.command()
def on() -> None:
    """Enable every guard again.

    \b
    Examples:
      prodctl cluster guard on
    """
    from prodcore.app.wiring import open_switch
    from prodcore.settings import load_settings

    with open_switch(load_settings()) as switch:
        switch.turn_on()
    message("Guards are enabled.")


@guard.command()
@output_option
def show(output: str) -> int:
    """The active guards, the successors and past actions. Exit status 6 when there is no guard.

    \b
    Examples:
      prodctl cluster guard show
      prodctl cluster guard show -o json
    """
    from prodcore.app.wiring import open_switch
    from prodcore.settings import load_settings

    with open_switch(load_settings()) as switch:
        guards = switch.guards()
    rows = [
        {
            "_id": g["_id"],
            "set": name,
            "seen": g["seen"].isoformat(timespec="seconds"),
            "elected": facts["counts"].get("elected", 0),
            "refrained": facts["counts"].get("refrained", 0),
            **facts,
        }
        for g in guards
        for name, facts in g["sets"].items()
    ]
    print_rows(rows, _GUARD_COLUMNS, output, kind="guards", empty="No guard is active.")
    return 0 if rows else 6


class _Log:
    """A line on stderr for each event; a guard goes on when nobody reads them."""

    def __init__(self) -> None:
        from prodcore.support.secure_files import LogOutput

        self._output = LogOutput(sys.stderr)

    def __call__(self, set_name: str, what: str, details: str) -> None:
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._output.line(visible(f"{moment} {set_name} {what}: {details}"))


cluster.add_command(guard)
