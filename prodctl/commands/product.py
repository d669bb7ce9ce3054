"""``prodctl product``: add, show, edit, rm; the group with list, import, history and the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from prodctl.client import open_client
from prodctl.commands import product_history
from prodctl.commands.product_bulk import bulk
from prodctl.commands.product_export import export_products
from prodctl.commands.product_import import product_import
from prodctl.commands.product_list import list_products
from prodctl.terminal.confirm import confirm, confirm_options
from prodctl.terminal.output import message, output_option, print_item, success, warn_if_stale

if TYPE_CHECKING:
    from prodctl.client.products import Product

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def product() -> None:
    """Add, find, edit, remove, restore, import and export products.

    They go through the REST API of the webapp that PRODCTL_URL names, with the rights of who is logged in.
    """


product.add_command(product_import)
product.add_command(export_products)
product.add_command(bulk)
product.add_command(list_products)
product.add_command(product_history.history)
product.add_command(product_history.deleted)
product.add_command(product_history.restore)


def _value_options(command: F) -> F:
    """The fields that add and edit share; a field that is not given is None."""
    options = (
        click.option("--price", help="A decimal number such as 1.20.", metavar="AMOUNT"),
        click.option("--currency", metavar="CODE", help="ISO 4217, such as EUR."),
        click.option("--stock", type=int, help="How many there are."),
        click.option("--sku", help="Your own article number; unique."),
        click.option("--category"),
        click.option("--tag", "tags", multiple=True, help="May be given several times."),
        click.option("--description"),
        click.option("--active/--inactive", default=None, help="Whether it is for sale."),
    )
    for option in reversed(options):
        command = option(command)
    return command


_which = click.argument("name_or_id", metavar="NAME|ID")
_variant = click.option("--variant", help="Which one, where several products have the name.")


@product.command()
@click.argument("name")
@click.option("--variant", help="What tells products of one name apart, such as 'Botella 1 L'.")
@click.option("--id", "product_id", type=click.UUID, help="Repeat an add whose outcome is unknown, with its id.")
@_value_options
@output_option
def add(name: str, product_id: UUID | None, output: str, **values: Any) -> None:
    """Add a product.

    Name and variant together are unique, whatever the case, accents and spacing. While the answer is lost (a primary
    dies, webapp restarts) the same product is sent again with the same id, so that it is added once.

    \b
    Examples:
      prodctl product add "Arroz" --price 1.20 --stock 40
      prodctl product add "Aceite de oliva" --variant "Botella 1 L" --price 8.95 --tag oliva
    """
    from uuid import uuid4

    from prodctl.client.products import create

    client = open_client()
    body = {"id": str(product_id or uuid4()), "name": name, **_given(values)}
    made = create(client, body, message)
    success(f"Added {_title(made)} to {made['shard']}.", output)
    print_item(made, output, kind="product")


@product.command()
@_which
@_variant
@output_option
def show(name_or_id: str, variant: str | None, output: str) -> None:
    """Show a product.

    \b
    Examples:
      prodctl product show arroz
      prodctl product show "Aceite de oliva" --variant "Botella 1 L" -o json
    """
    from prodctl.client.products import find

    client = open_client()
    print_item(find(client, name_or_id, variant), output, kind="product")
    warn_if_stale(client.stale)


@product.command()
@_which
@_variant
@click.option(
    "--new-name", "name", metavar="NAME", help="Another name; the product moves where that belongs to another shard."
)
@click.option("--new-variant", metavar="VARIANT", help="Another variant.")
@_value_options
@click.option("--no-tags", is_flag=True, help="Take all tags away.")
@click.option("--version", type=click.IntRange(1), help="Edit this version only: fail if it is not the current one.")
@output_option
def edit(
    name_or_id: str,
    variant: str | None,
    new_variant: str | None,
    no_tags: bool,
    version: int | None,
    output: str,
    **values: Any,
) -> None:
    """Change fields of a product; those not given stay as they are.

    The edit is for the version that was just read: if somebody else edits the product meanwhile, nothing is changed
    and the exit status is 5. --tag replaces all tags; an empty text empties a field.

    \b
    Examples:
      prodctl product edit arroz --price 1.25
      prodctl product edit "Aceite de oliva" --variant "Botella 1 L" --stock 12 --inactive
      prodctl product edit arroz --sku ""          take the SKU away
    """
    from prodcore.errors import InvalidInput
    from prodctl.client.products import find

    changes = _given(values | {"variant": new_variant})
    if no_tags:
        changes["tags"] = []
    if changes.get("sku") == "":
        changes["sku"] = None
    if not changes:
        raise InvalidInput("nothing to change is given", hint="prodctl product edit --help lists what can be changed")
    client = open_client()
    old = find(client, name_or_id, variant)
    seen = {"If-Match": f'"{version or old["version"]}"'}
    new = client.call("PATCH", f"/products/{old['id']}", body=changes, headers=seen)
    done = "is as it was" if new["version"] == old["version"] else f"is at version {new['version']} now"
    success(f"{_title(new)} {done}.", output)
    print_item(new, output, kind="product")


@product.command()
@_which
@click.argument("new_name", metavar="NEW-NAME")
@_variant
@click.option("--version", type=click.IntRange(1), help="Rename this version only: fail if it is not the current one.")
@output_option
def rename(name_or_id: str, new_name: str, variant: str | None, version: int | None, output: str) -> None:
    """Give a product another name.

    Where the new name belongs to another shard the product moves there, with its id and its history. Whoever looks
    meanwhile finds it once, under the old name or the new one; a rename that is interrupted is finished by itself.

    \b
    Examples:
      prodctl product rename arroz "Arroz redondo"
      prodctl product rename "Aceite de oliva" "Virgen extra" --variant "Botella 1 L"
    """
    from prodctl.client.products import find

    client = open_client()
    old = find(client, name_or_id, variant)
    seen = {"If-Match": f'"{version or old["version"]}"'}
    new = client.call("PATCH", f"/products/{old['id']}", body={"name": new_name}, headers=seen)
    moved = f" and moved from {old['shard']} to {new['shard']}" if new["shard"] != old["shard"] else ""
    success(f"{_title(old)} is called {_title(new)} now{moved}.", output)
    print_item(new, output, kind="product")


@product.command()
@_which
@_variant
@click.option("--version", type=click.IntRange(1), help="Remove this version only: fail if it is not the current one.")
@confirm_options
def rm(name_or_id: str, variant: str | None, version: int | None, yes: bool, no_input: bool) -> None:
    """Remove a product, after asking. It can be restored for 30 days: prodctl product restore.

    \b
    Examples:
      prodctl product rm arroz
      prodctl product rm 7f0e0a3c-5d2f-4b52-9d7e-3f6f4b1f3a10 --yes
    """
    from prodctl.client.products import find

    client = open_client()
    old = find(client, name_or_id, variant)
    confirm(
        f"Remove {_title(old)}, {old['price']} {old['currency']}, stock {old['stock']}?", yes=yes, no_input=no_input
    )
    client.call("DELETE", f"/products/{old['id']}", headers={"If-Match": f'"{version or old["version"]}"'})
    message(f"Removed {_title(old)} from {old['shard']}. To bring it back: prodctl product restore {old['id']}")


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """The fields that were given on the command line."""
    return {key: list(v) if key == "tags" else v for key, v in values.items() if v is not None and v != ()}


def _title(of: Product) -> str:
    return f"{of['name']} ({of['variant']})" if of["variant"] else str(of["name"])
