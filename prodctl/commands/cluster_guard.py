"""``prodctl cluster guard``: a service that makes failovers short."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import UTC, datetime

import click

from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import columns, message, output_option, print_rows, visible

_COLUMNS = columns(
    "Set!", "Active", "Primary!", "Successor!", "Elected>", "Guard=_id!", "Refrained+>", "Seen+"
)  # fmt: skip


@click.group(cls=NounGroup, invoke_without_command=True)
@click.option(
    "--silence",
    type=click.FloatRange(0.5),
    default=1.5,
    show_default=True,
    help="Seconds after which a silent primary counts as hung; more than the set's heartbeat interval.",
)
@click.option(
    "--cooldown",
    type=click.FloatRange(1),
    default=5.0,
    show_default=True,
    help="Seconds between two actions on a set.",
)
@click.option(
    "--fence-after", type=click.FloatRange(1), help="Kill a replaced primary that stays silent for so many seconds."
)
@click.pass_context
def guard(ctx: click.Context, silence: float, cooldown: float, fence_after: float | None) -> None:
    """Watch the primaries and shorten failovers.

    When a primary dies or hangs, the freshest secondary is asked to run for election.

    Runs until it is stopped. Several may run. It can only ask for ordinary elections, so it cannot lose data, and
    when it is gone the sets behave as MongoDB's do. docs/explanation/guard.md says why, and what was measured.

    \b
    Examples:
      prodctl cluster guard
      prodctl cluster guard --cooldown 10 --fence-after 30
    """
    if ctx.invoked_subcommand:
        return
    from prodcore.app.guard import run_guards
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
        raise click.UsageError(f"--fence-after cannot kill anybody: {control.cannot_stop_host()}")
    message("Guarding; stop with Ctrl-C.")
    run_guards(settings, rules, _Log(), stop, control)


@guard.command()
@click.option("--for", "seconds", type=click.FloatRange(1), default=600.0, show_default=True, help="Seconds.")
def off(seconds: float) -> None:
    """Disable every guard for a while, as for maintenance; they are enabled again by themselves.

    \b
    Examples:
      prodctl cluster guard off --for 600
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
    """The active guards, the successors, what was done. Exit status 6 when there is no guard.

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
    print_rows(rows, _COLUMNS, output, kind="guards", empty="No guard is active.")
    return 0 if rows else 6


class _Log:
    """A line on stderr for each event; a guard goes on when nobody reads them."""

    def __init__(self) -> None:
        from prodcore.support.log_output import LogOutput

        self._output = LogOutput(sys.stderr)

    def __call__(self, set_name: str, what: str, details: str) -> None:
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._output.line(visible(f"{moment} {set_name} {what}: {details}"))
