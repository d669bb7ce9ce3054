"""``prodctl token`` and ``key``: credentials for cron and CI, and the keys that sign access tokens."""

from __future__ import annotations

import click

from prodctl.client import open_client
from prodctl.terminal.arguments import Duration, complete_tokens
from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import columns, message, output_option, print_item, print_rows, print_text, success
from prodctl.terminal.prompt import confirm, confirm_options

_TOKEN_COLUMNS = columns(
    "Name!",
    "Scopes~",
    "Expires=expires_at",
    "Revoked",
    "Last used=last_used_at",
    "By=created_by+",
    "Created=created_at+",
)


@click.group(cls=NounGroup)
def token() -> None:
    """Credentials for cron and CI: named, limited to what they need, expiring, revocable.

    A job uses one as PRODCTL_TOKEN, or in the header Authorization: Bearer ….
    """


@token.command("add")
@click.option("--name", required=True, help="What it is for: small letters, digits and . _ -")
@click.option("--scope", required=True, metavar="SCOPE[,SCOPE…]", help="Such as products:read,drill:run.")
@click.option(
    "--expires", type=Duration("1d", "400d"), default="90d", show_default=True, help="How long it is valid: 30d, 12w."
)
@output_option
def add_token(name: str, scope: str, expires: float, output: str) -> None:
    """Create a token; it is shown only once.

    Scopes: products:read products:write cluster:read drill:run shards:change users:manage audit:read

    \b
    Examples:
      prodctl token add --name ci --scope products:read,drill:run --expires 90d
    """
    scopes = [part.strip() for part in scope.split(",") if part.strip()]
    body = {"name": name, "scopes": scopes, "days": round(expires / 86_400)}
    made = open_client().call("POST", "/tokens", body=body)
    if output in ("table", "wide"):
        message(f"Token {made['name']}, valid until {made['expires_at'][:10]}; it is not shown again:")
        print_text(made["token"])
    else:
        print_item(made, output, kind="token")


@token.command("list")
@output_option
def list_tokens(output: str) -> None:
    """Every token, with its expiry and last use. Never the tokens themselves.

    \b
    Examples:
      prodctl token list
      prodctl token list -o wide
    """
    print_rows(open_client().call("GET", "/tokens")["items"], _TOKEN_COLUMNS, output, kind="tokens")


@token.command("rm")
@click.argument("name", shell_complete=complete_tokens)
@confirm_options
def revoke(name: str, yes: bool, no_input: bool) -> None:
    """Revoke a token; it is refused everywhere within seconds. Exit status 3 when there is none of that name.

    \b
    Examples:
      prodctl token rm nightly-drill
      prodctl token rm nightly-drill --yes
    """
    from prodcore.support.http import path_of

    confirm(f"Revoke {name}? What uses it stops working.", yes=yes, no_input=no_input)
    open_client().call("DELETE", path_of("/tokens/<name>", name=name))
    success(f"Revoked {name}.")


_KEY_COLUMNS = columns("Key=kid!", "State", "Active from")


@click.group(cls=NounGroup)
def key() -> None:
    """The keys that sign access tokens."""


@key.command("list")
@output_option
def list_keys(output: str) -> None:
    """Every key and what it does. One signs, one may be published ahead, retired ones only verify.

    \b
    Examples:
      prodctl key list
    """
    print_rows(open_client().call("GET", "/keys")["items"], _KEY_COLUMNS, output, kind="keys")


@key.command()
@output_option
def rotate(output: str) -> None:
    """Create a new key. It is published at once and signs seconds later; nobody is logged out.

    \b
    Examples:
      prodctl key rotate
    """
    made = open_client().call("POST", "/keys")
    success(f"Key {made['kid']} is published and signs from {made['active_from']} on.", output)
    if output not in ("table", "wide"):
        print_item(made, output, kind="key")
