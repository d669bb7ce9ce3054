"""``prodctl key``: the keys that sign access tokens."""

from __future__ import annotations

import click

from prodctl.client import open_client
from prodctl.terminal.output import columns, output_option, print_item, print_rows, success

_COLUMNS = columns("Key=kid", "State", "Active from")


@click.group()
def key() -> None:
    """The keys that sign access tokens."""


@key.command("list")
@output_option
def list_keys(output: str) -> None:
    """Every key and what it does. One signs, one may be published ahead, retired ones only verify."""
    print_rows(open_client().call("GET", "/keys")["items"], _COLUMNS, output, kind="keys")


@key.command()
@output_option
def rotate(output: str) -> None:
    """Make a new key. It is published at once and signs seconds later; nobody is logged out."""
    made = open_client().call("POST", "/keys")
    success(f"Key {made['kid']} is published and signs from {made['active_from']} on.", output)
    if output not in ("table", "wide"):
        print_item(made, output, kind="key")
