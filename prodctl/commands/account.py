"""``prodctl login``, ``logout``, ``whoami`` and ``account``: one's own logins, password and second factor."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from prodctl.client import open_client
from prodctl.terminal.arguments import FILE, complete_sessions
from prodctl.terminal.groups import NounGroup
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
from prodctl.terminal.prompt import ask, ask_secret, confirm, confirm_options, from_file, from_stdin
from prodctl.terminal.rows import with_short_ids

if TYPE_CHECKING:
    from prodctl.client.api import ApiClient


SESSION_COLUMNS = columns(
    "ID=short_id!",
    "Current",
    "Last used=last_used_at",
    "Device~",
    "From=address",
    "Began=created_at",
    "Ends=expires_at+",
    "Whole ID=id+",
)
_HINT = "in a script: give them on stdin, one line each, with the option --stdin"
_stdin_option = click.option("--stdin", "stdin", is_flag=True, help="Read secrets from stdin, one line each.")


@click.group(cls=NounGroup)
def account() -> None:
    """Your own password, logins and second factor."""


@account.command()
@_stdin_option
def password(stdin: bool) -> None:
    """Change your password; your other logins end. On stdin: the old one, then the new one.

    \b
    Examples:
      prodctl account password
      prodctl account password --stdin < old-and-new.txt
    """
    body = {
        "old_password": _secret("old password", stdin),
        "new_password": _secret("new password", stdin, twice=True),
    }
    _call_with_code("POST", "/account/password", body, stdin)
    success("The password is changed; your other logins have ended.")


@account.command()
@output_option
def sessions(output: str) -> None:
    """Your logins, with device and last use.

    \b
    Examples:
      prodctl account sessions
      prodctl account sessions -o wide
    """
    items = open_client().call("GET", "/account/sessions")["items"]
    print_rows(with_short_ids(items, output), SESSION_COLUMNS, output, kind="sessions")


@account.command("end-session")
@click.argument("session_id", required=False, shell_complete=complete_sessions)
@click.option("--others", is_flag=True, help="End all of your logins but this one.")
def end_session(session_id: str | None, others: bool) -> None:
    """End one of your logins, or all the others. See `prodctl account sessions`.

    \b
    Examples:
      prodctl account end-session 6f1c0c2e
      prodctl account end-session --others
    """
    from prodcore.support.http import path_of

    if (session_id is None) != others:
        raise click.UsageError("give a session id, or --others")
    if others:
        ended = open_client().call("DELETE", "/account/sessions")["ended"]
        success(f"Ended {counted(ended, 'other login')}.")
    else:
        open_client().call("DELETE", path_of("/account/sessions/<session_id>", session_id=session_id or ""))
        success("Ended.")


@account.group("second-factor")
def second_factor() -> None:
    """Codes of an authenticator app, besides the password."""


@second_factor.command("add")
@_stdin_option
def add_second_factor(stdin: bool) -> None:
    """Set up an authenticator app; prints the recovery codes once.

    On a terminal, scan the picture with the app; elsewhere, enter the secret by hand or open the otpauth:// address.
    The app's first code confirms it.

    \b
    Examples:
      prodctl account second-factor add
    """
    begun = open_client().call("POST", "/account/second-factor")
    message("Give this to your authenticator app:")
    if sys.stdout.isatty():
        _print_picture(begun["uri"])
    print_text(begun["secret"])
    print_text(begun["uri"])
    code = _secret("code that the app shows", stdin)
    codes = open_client().call("PUT", "/account/second-factor", body={"code": code})["recovery_codes"]
    message("The second factor is enabled. Recovery codes, each valid once, in case you lose the app:")
    print_text("\n".join(codes))


def _print_picture(uri: str) -> None:
    """The address as a QR code; nothing where the terminal cannot show one, the texts follow anyway."""
    import segno

    with suppress(UnicodeEncodeError):
        segno.make(uri).terminal(out=sys.stdout, compact=True)


@second_factor.command("rm")
@_stdin_option
@confirm_options
def remove_second_factor(stdin: bool, yes: bool, no_input: bool) -> None:
    """Remove your second factor; asks for the password.

    \b
    Examples:
      prodctl account second-factor rm
    """
    confirm("Remove your second factor?", yes=yes, no_input=no_input)
    _call_with_code("DELETE", "/account/second-factor", {"password": _secret("password", stdin)}, stdin)
    success("The second factor is removed.")


@account.command()
@click.argument("username")
@click.option("--invitation-file", type=FILE, metavar="FILE", help="The invitation's code is in FILE (- is stdin).")
@_stdin_option
def register(username: str, invitation_file: str | None, stdin: bool) -> None:
    """Create an account. Registration must be open, or you need an invitation.

    \b
    Examples:
      prodctl account register eva --invitation-file invitation.txt
    """
    body: dict[str, Any] = {"username": username}
    if invitation_file:
        body["invitation"] = from_file(invitation_file, "invitation")
    body["password"] = _secret("password", stdin, twice=True)
    made = open_client().call("POST", "/register", body=body, authenticate=False)["user"]
    success(f"Created the account {made['username']} ({made['role']}). Now: prodctl login -u {made['username']}")


@account.command()
@click.argument("username")
@_stdin_option
def reset(username: str, stdin: bool) -> None:
    """Set a new password with the one-time code from an admin. On stdin: the code, then the password.

    \b
    Examples:
      prodctl account reset ana
    """
    body = {
        "username": username,
        "code": _secret("one-time code", stdin),
        "password": _secret("new password", stdin, twice=True),
    }
    open_client().call("POST", "/reset", body=body, authenticate=False)
    success("The password is set. Now: prodctl login")


def _call_with_code(method: str, path: str, body: dict[str, str], stdin: bool) -> None:
    """Call, and once more with the code of the second factor where the account has one."""
    from prodcore.errors import SecondFactorRequired

    client = open_client()
    try:
        client.call(method, path, body=body)
    except SecondFactorRequired:
        client.call(method, path, body={**body, "code": _secret("code of the second factor", stdin)})


def _secret(what: str, stdin: bool, *, twice: bool = False) -> str:
    return from_stdin(what) if stdin else ask_secret(what, twice=twice, hint=_HINT)


_SCRIPTED = "in a script: prodctl login --username NAME --password-stdin < FILE"


@click.command()
@click.option("-u", "--username", help="Who logs in; asked for when not given.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the next line of stdin.")
@click.option(
    "--setup-code-file", type=FILE, metavar="FILE", help="Create the first admin with the code in FILE (- is stdin)."
)
@click.option("--code-stdin", is_flag=True, help="Read the second factor's code from the last line of stdin.")
def login(username: str | None, password_stdin: bool, setup_code_file: str | None, code_stdin: bool) -> None:
    """Log in; the first time, as the first admin.

    While the system has no user yet, this asks for the setup code that `prodctl local up` printed, and creates
    the first admin. Passwords and codes come from a prompt, from stdin or from a file, never from the command line.

    \b
    Examples:
      prodctl login
      prodctl login -u admin --password-stdin < password.txt
      cat code pw | prodctl login -u admin --setup-code-file - --password-stdin
    """
    client = open_client()
    first = client.call("GET", "/setup", authenticate=False)["open"]
    if first:
        message("There is no user yet: this creates the first admin. A password needs 15 characters or more.")
        code = from_file(setup_code_file, "setup code") if setup_code_file else ask_secret("setup code", hint=_SCRIPTED)
        name = username or ask("user name", default="admin", hint=_SCRIPTED)
        password = from_stdin("password") if password_stdin else ask_secret("password", twice=True, hint=_SCRIPTED)
        body = {"code": code, "username": name, "password": password}
        answer = client.call("POST", "/setup", body=body, authenticate=False)
    else:
        name = username or ask("user name", hint=_SCRIPTED)
        password = from_stdin("password") if password_stdin else ask_secret("password", hint=_SCRIPTED)
        answer = _log_in(client, {"username": name, "password": password}, code_stdin)
    _keep(client, answer)
    user = answer["user"]
    success(f"Logged in at {client.url} as {user['username']} ({user['role']}).")


@click.command()
@click.option("--everywhere", is_flag=True, help="End all of your logins, on every machine and in every browser.")
def logout(everywhere: bool) -> None:
    """End the login on this machine.

    The stored tokens are always removed. If the service cannot be reached, the exit status is 6 and the login stays
    valid until it is ended elsewhere.

    \b
    Examples:
      prodctl logout
      prodctl logout --everywhere
    """
    client = open_client()
    with client.credentials.locked():
        stored = client.credentials.get(client.url)
        if stored is None:
            success(f"You were not logged in at {client.url}.")
            return
        client.credentials.put(client.url, None)
    body = {"refresh_token": stored.refresh_token, "everywhere": everywhere}
    client.call("POST", "/session/logout", body=body, authenticate=False)
    success(f"Logged out {stored.username} at {client.url}{', everywhere' if everywhere else ''}.")


@click.command()
@output_option
def whoami(output: str) -> None:
    """Who is logged in, with which role, and until when.

    session_expires_at says when you have to log in again; it is null for a service token and while authsvc does not
    answer. The access token, which expires sooner, is renewed automatically. Exit status 4 when nobody is logged in.

    \b
    Examples:
      prodctl whoami
      prodctl whoami -o json
    """
    client = open_client()
    who = client.call("GET", "/session")
    print_item({"url": client.url, **who, "session_expires_at": _session_end(client)}, output, kind="session")


def _session_end(client: ApiClient) -> str | None:
    from prodcore.errors import Forbidden, Unavailable

    with suppress(Forbidden, Unavailable):
        sessions = client.call("GET", "/account/sessions")["items"]
        return next((str(session["expires_at"]) for session in sessions if session["current"]), None)
    return None


def _log_in(client: ApiClient, body: dict[str, str], code_stdin: bool) -> Any:
    """Log in; ask for the second factor's code where the account has one."""
    from prodcore.errors import SecondFactorRequired

    known = client.credentials.device(client.url)
    headers = {"X-Known-Device": known} if known else {}
    try:
        return client.call("POST", "/session/login", body=body, headers=headers, authenticate=False)
    except SecondFactorRequired:
        code = from_stdin("code") if code_stdin else ask_secret("code of the second factor", hint=_SCRIPTED)
        full = {**body, "code": code}
        return client.call("POST", "/session/login", body=full, headers=headers, authenticate=False)


def _keep(client: ApiClient, answer: dict[str, Any]) -> None:
    from prodctl.client.api import Login

    with client.credentials.locked():
        kept = Login(answer["user"]["username"], answer["access_token"], answer["refresh_token"])
        client.credentials.put(client.url, kept)
        if made := answer.get("device"):
            client.credentials.keep_device(client.url, made)
    for notice in answer.get("notices", ()):
        what = notice["what"].replace("_", " ")
        message(f"Since your last login, {notice['at'][:16]}: {what}, from {notice['address']} ({notice['device']}).")
