"""``prodctl user`` and ``audit``: who may use the catalogue, with which role, and what was done by whom."""

from __future__ import annotations

import re
from typing import Any

import click

from prodctl.client import open_client
from prodctl.commands.account import SESSION_COLUMNS
from prodctl.terminal.arguments import Duration, Moment, Whole, complete_users
from prodctl.terminal.groups import DefaultGroup, NounGroup
from prodctl.terminal.output import (
    columns,
    counted,
    message,
    output_option,
    print_item,
    print_rows,
    print_text,
    success,
)
from prodctl.terminal.prompt import ask_secret, confirm, confirm_options, from_stdin
from prodctl.terminal.rows import with_short_ids

ROLES = ("viewer", "editor", "operator", "admin")

_COLUMNS = columns(
    "User=username!", "Role", "Disabled", "Second factor", "Last login=last_login_at", "Created=created_at+", "ID=id+"
)

_role_option = click.option(
    "--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="What the user may do."
)


@click.group(cls=NounGroup)
def user() -> None:
    """Who may use the catalogue, and with which role.

    \b
    viewer    reads products and the cluster page
    editor    also adds, edits, imports and deletes products
    operator  also runs drills and changes shards from the dashboard
    admin     also manages users, tokens and keys, and reads the audit
    """


@user.command("list")
@output_option
def list_users(output: str) -> None:
    """Every user, by name.

    \b
    Examples:
      prodctl user list
      prodctl user list -o json
    """
    print_rows(open_client().call("GET", "/users")["items"], _COLUMNS, output, kind="users")


@user.command()
@click.argument("username", shell_complete=complete_users)
@output_option
def show(username: str, output: str) -> None:
    """One user. Exit status 3 when there is none of that name.

    \b
    Examples:
      prodctl user show ana
    """
    print_item(open_client().call("GET", _path(username)), output, kind="user")


@user.command()
@click.argument("username")
@_role_option
@click.option("--password-stdin", is_flag=True, help="Read the password from the next line of stdin.")
@output_option
def add(username: str, role: str, password_stdin: bool, output: str) -> None:
    """Add a user. Exit status 5 when the name is taken.

    \b
    Examples:
      prodctl user add ana --role editor
      prodctl user add ana --role editor --password-stdin < password.txt
    """
    hint = "in a script: --password-stdin < FILE"
    password = from_stdin("password") if password_stdin else ask_secret("password", twice=True, hint=hint)
    body = {"username": username, "password": password, "role": role}
    added = open_client().call("POST", "/users", body=body)
    success(f"Added {added['username']} ({added['role']}).", output)
    _show_to_programs(added, output)


@user.command("role")
@click.argument("username", shell_complete=complete_users)
@click.argument("role", type=click.Choice(ROLES))
@output_option
def set_role(username: str, role: str, output: str) -> None:
    """Change a user's role. It takes effect on every worker within seconds. The last admin keeps the role (exit status
    5).

    \b
    Examples:
      prodctl user role ana operator
    """
    changed = open_client().call("PATCH", _path(username), body={"role": role})
    success(f"{changed['username']} is {changed['role']} now.", output)
    _show_to_programs(changed, output)


@user.command()
@click.argument("username", shell_complete=complete_users)
@click.argument("new_username")
@output_option
def rename(username: str, new_username: str, output: str) -> None:
    """Change a user's name. Exit status 5 when it is taken.

    \b
    Examples:
      prodctl user rename ana ana.ruiz
    """
    changed = open_client().call("PATCH", _path(username), body={"username": new_username})
    success(f"{username} is now called {changed['username']}.", output)
    _show_to_programs(changed, output)


@user.command()
@click.argument("username", shell_complete=complete_users)
@output_option
def disable(username: str, output: str) -> None:
    """Disable a user. Their logins end; nothing is removed. The last admin cannot be disabled.

    \b
    Examples:
      prodctl user disable ana
    """
    changed = open_client().call("PATCH", _path(username), body={"disabled": True})
    success(f"{changed['username']} is disabled.", output)
    _show_to_programs(changed, output)


@user.command()
@click.argument("username", shell_complete=complete_users)
@output_option
def enable(username: str, output: str) -> None:
    """Enable a disabled user.

    \b
    Examples:
      prodctl user enable ana
    """
    changed = open_client().call("PATCH", _path(username), body={"disabled": False})
    success(f"{changed['username']} is enabled.", output)
    _show_to_programs(changed, output)


@user.command()
@click.argument("username", shell_complete=complete_users)
@confirm_options
def rm(username: str, yes: bool, no_input: bool) -> None:
    """Delete a user and end their logins. The last admin cannot be removed (exit status 5).

    \b
    Examples:
      prodctl user rm ana
      prodctl user rm ana --yes
    """
    client = open_client()
    found = client.call("GET", _path(username))
    confirm(f"Delete {found['username']} ({found['role']})?", yes=yes, no_input=no_input)
    client.call("DELETE", _path(username))
    success(f"Deleted {found['username']}.")


@user.command()
@click.argument("username", shell_complete=complete_users)
@output_option
def reset(username: str, output: str) -> None:
    """Create a one-time code for a new password. It is shown only once and is valid for a day.

    \b
    Examples:
      prodctl user reset ana
    """
    made = open_client().call("POST", f"{_path(username)}/reset")
    if output in ("table", "wide"):
        message(f"One-time code for {made['username']}, valid until {made['expires_at']}; it is not shown again:")
        message(f"They use it with: prodctl account reset {made['username']}")
        print_text(made["code"])
    else:
        print_item(made, output, kind="reset_code")


@user.command()
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="What they may do.")
@click.option("--expires", type=Duration("1d", "90d"), default="7d", show_default=True, help="How long it is valid.")
@click.option("--days", type=Whole(1, 90), hidden=True, help="The same as a number of days.")
@output_option
def invite(role: str, expires: float, days: int | None, output: str) -> None:
    """Create an invitation to register. It is shown only once and can be used once.

    \b
    Examples:
      prodctl user invite --role editor
      prodctl user invite --expires 1d > invitation.txt
    """
    made = open_client().call("POST", "/invitations", body={"role": role, "days": days or round(expires / 86_400)})
    if output in ("table", "wide"):
        message(f"Invitation as {made['role']}, valid until {made['expires_at']}; it is not shown again:")
        print_text(made["code"])
    else:
        print_item(made, output, kind="invitation")


@user.command()
@click.argument("username", shell_complete=complete_users)
@output_option
def sessions(username: str, output: str) -> None:
    """A user's logins, with device and last use.

    \b
    Examples:
      prodctl user sessions ana
    """
    items = open_client().call("GET", f"{_path(username)}/sessions")["items"]
    print_rows(with_short_ids(items, output), SESSION_COLUMNS, output, kind="sessions")


@user.command("end-sessions")
@click.argument("username", shell_complete=complete_users)
def end_sessions(username: str) -> None:
    """Log a user out everywhere; they may log in again.

    \b
    Examples:
      prodctl user end-sessions ana
    """
    ended = open_client().call("DELETE", f"{_path(username)}/sessions")["ended"]
    success(f"Ended {counted(ended, 'login')} of {username}.")


@user.command("rm-second-factor")
@click.argument("username", shell_complete=complete_users)
@confirm_options
def remove_second_factor(username: str, yes: bool, no_input: bool) -> None:
    """Remove the second factor of a user who has lost it.

    \b
    Examples:
      prodctl user rm-second-factor ana
    """
    confirm(f"Remove the second factor of {username}?", yes=yes, no_input=no_input)
    open_client().call("DELETE", f"{_path(username)}/second-factor")
    success(f"{username} no longer has a second factor.")


def _path(username: str) -> str:
    from prodcore.support.http import path_of

    return path_of("/users/<username>", username=username)


def _show_to_programs(item: dict[str, Any], output: str) -> None:
    """What was done is a sentence for people and the whole user for programs."""
    if output not in ("table", "wide"):
        print_item(item, output, kind="user")


_UUID = re.compile(r"([0-9a-f]{8})-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
"""An id, of which a table shows the beginning: whole it would be broken over two lines."""
_ENTRY_COLUMNS = columns(
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


@click.command("list")
@click.option("--since", type=Moment(), help="A moment (2026-11-24 or 2026-11-24T12:00:00Z) or an age (30m, 24h, 7d).")
@click.option("--action", help="Only this action, such as user.add or session.login.")
@click.option("--by", shell_complete=complete_users, help="Only what this user did.")
@click.option("--subject", help="Only what was done to this user, product or other id, as the table shows it.")
@click.option("-n", "--limit", type=Whole(1, 1000), default=100, show_default=True, help="At most this many.")
@output_option
def list_entries(
    since: str | None, action: str | None, by: str | None, subject: str | None, limit: int, output: str
) -> None:
    """Who did what to whom or what, when, and from where; the newest entries first.

    \b
    Examples:
      prodctl audit list --since 24h
      prodctl audit list --subject 6f1c0c2e
      prodctl audit list --action session.login --since 2026-11-24 -o json
    """

    wanted = {"since": since, "action": action, "by": by, "subject": subject, "limit": limit}
    query = {name: value for name, value in wanted.items() if value is not None}
    show_entries(open_client().call("GET", "/audit", query=query)["items"], output)


audit = DefaultGroup(name="audit", default=list_entries)
audit.add_command(list_entries)


def show_entries(entries: list[dict[str, Any]], output: str) -> None:
    """Print entries of the audit."""
    if output == "table":
        entries = [{**entry, "subject": _UUID.sub(r"\1", entry["subject"])} for entry in entries]
    print_rows(entries, _ENTRY_COLUMNS, output, kind="audit")
