"""``prodctl login``, ``logout`` and ``whoami``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prodctl.client import open_client
from prodctl.terminal.output import message, output_option, print_item, success
from prodctl.terminal.secret_input import ask, ask_secret, from_file, from_stdin

if TYPE_CHECKING:
    from prodctl.client.api import ApiClient

_SCRIPTED = "in a script: prodctl login --username NAME --password-stdin < FILE"


@click.command()
@click.option("-u", "--username", help="Who logs in; asked for when not given.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the next line of stdin.")
@click.option("--setup-code-file", metavar="FILE", help="Make the first admin with the code in FILE (- is stdin).")
@click.option("--code-stdin", is_flag=True, help="Read the second factor's code from the last line of stdin.")
def login(username: str | None, password_stdin: bool, setup_code_file: str | None, code_stdin: bool) -> None:
    """Log in; the first time, as the first admin.

    While the system has no user yet, this asks for the setup code that `prodctl local up` printed, and makes the
    first admin. Passwords and codes come from a prompt, from stdin or from a file, never from the command line.

    \b
    Examples:
      prodctl login
      prodctl login -u admin --password-stdin < password.txt
      (cat setup-code; cat password) | prodctl login -u admin --setup-code-file - --password-stdin
    """
    client = open_client()
    first = client.call("GET", "/setup", authenticate=False)["open"]
    if first:
        message("There is no user yet: this makes the first admin.")
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

    The stored tokens go in any case; when the service cannot be told, that is said (exit status 6), and the login
    itself goes on until it is ended elsewhere.
    """
    client = open_client()
    with client.credentials.locked():
        stored = client.credentials.get(client.url)
        if stored is None:
            success(f"Nobody was logged in at {client.url}.")
            return
        client.credentials.put(client.url, None)
    body = {"refresh_token": stored.refresh_token, "everywhere": everywhere}
    client.call("POST", "/session/logout", body=body, authenticate=False)
    success(f"Logged out {stored.username} at {client.url}{', everywhere' if everywhere else ''}.")


@click.command()
@output_option
def whoami(output: str) -> None:
    """Who is logged in, with which role.

    Exit status 4 when nobody is.
    """
    client = open_client()
    print_item({"url": client.url, **client.call("GET", "/session")}, output, kind="session")


def _log_in(client: ApiClient, body: dict[str, str], code_stdin: bool) -> Any:
    """Log in; ask for the second factor's code where the account has one."""
    from prodcore.errors import SecondFactorRequired

    try:
        return client.call("POST", "/session/login", body=body, authenticate=False)
    except SecondFactorRequired:
        code = from_stdin("code") if code_stdin else ask_secret("code of the second factor", hint=_SCRIPTED)
        return client.call("POST", "/session/login", body={**body, "code": code}, authenticate=False)


def _keep(client: ApiClient, answer: dict[str, Any]) -> None:
    from prodctl.client.credentials import Login

    with client.credentials.locked():
        kept = Login(answer["user"]["username"], answer["access_token"], answer["refresh_token"])
        client.credentials.put(client.url, kept)
