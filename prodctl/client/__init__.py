"""The REST API and the credentials, as the command line uses them. Importing this loads nothing that is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prodctl.client.api import ApiClient


def open_client() -> ApiClient:
    """The REST API of the webapp that the settings name, with this user's login or token. Raises ConfigError."""
    import click

    from prodcore.settings import load_settings
    from prodctl.client.api import ApiClient

    client = ApiClient(load_settings())
    client.ask_proof = _ask_proof
    if context := click.get_current_context(silent=True):
        context.call_on_close(client.close)
    return client


def _ask_proof(with_code: bool) -> dict[str, str]:
    """Ask for the password once more; in a script it is the next line of stdin. Raises InvalidInput."""
    import sys

    from prodctl.terminal.prompt import ask_secret, from_stdin

    read = ask_secret if sys.stdin.isatty() else from_stdin
    given = {"password": read("your password again" if sys.stdin.isatty() else "password")}
    return given | ({"code": read("code of the second factor")} if with_code else {})
