"""``prodctl audit``: who did what to whom or what, when, and from where."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from prodctl.client import open_client
from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import columns, output_option, print_rows

_COLUMNS = columns(
    "When=at",
    "Who=by",
    "Action",
    "What=subject",
    "Outcome",
    "From=address",
    "Details",
    "Device+",
    "Request=request_id+",
    "ID=id+",
)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group(cls=NounGroup)
def audit() -> None:
    """Who did what to whom or what, when, and from where."""


@audit.command("list")
@click.option("--since", metavar="WHEN", help="A moment (2026-11-24 or 2026-11-24T12:00:00Z) or an age (30m, 24h, 7d).")
@click.option("--action", help="Only this action, such as user.add or session.login.")
@click.option("--by", help="Only what this user did.")
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

    wanted = {"since": _moment(since), "action": action, "by": by, "subject": subject, "limit": limit}
    query = {name: value for name, value in wanted.items() if value is not None}
    print_rows(open_client().call("GET", "/audit", query=query)["items"], _COLUMNS, output, kind="audit")


def _moment(text: str | None) -> str | None:
    """A moment or an age as ISO 8601 in UTC. Raises BadParameter."""
    if text is None:
        return None
    if match := re.fullmatch(r"([0-9]{1,6})([smhdw])", text):
        return (datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})).isoformat()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a moment such as 2026-11-24 nor an age such as 24h") from None
    return (moment if moment.tzinfo else moment.astimezone()).isoformat()
