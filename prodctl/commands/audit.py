"""``prodctl audit``: who did what to whom or what, when, and from where."""

from __future__ import annotations

import click

from prodctl.client import open_client
from prodctl.terminal.arguments import Moment, complete_users
from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import columns, output_option, print_rows

_COLUMNS = columns(
    "When=at",
    "Who=by",
    "Action",
    "What=subject~",
    "Outcome",
    "From=address",
    "Details~",
    "Device+",
    "Request=request_id+",
    "ID=id+",
)


@click.group(cls=NounGroup)
def audit() -> None:
    """Who did what to whom or what, when, and from where."""


@audit.command("list")
@click.option("--since", type=Moment(), help="A moment (2026-11-24 or 2026-11-24T12:00:00Z) or an age (30m, 24h, 7d).")
@click.option("--action", help="Only this action, such as user.add or session.login.")
@click.option("--by", shell_complete=complete_users, help="Only what this user did.")
@click.option("--subject", help="Only what was done to this user or product.")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@output_option
def list_entries(
    since: str | None, action: str | None, by: str | None, subject: str | None, limit: int, output: str
) -> None:
    """The newest entries first.

    \b
    Examples:
      prodctl audit list --since 24h
      prodctl audit list --action session.login --since 2026-11-24 -o json
    """

    wanted = {"since": since, "action": action, "by": by, "subject": subject, "limit": limit}
    query = {name: value for name, value in wanted.items() if value is not None}
    print_rows(open_client().call("GET", "/audit", query=query)["items"], _COLUMNS, output, kind="audit")
