"""``prodctl product``: one product at a time, its history, and the group with list, import, export and bulk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from prodcore.product.fields import FIELDS, Field
from prodctl.client import open_client
from prodctl.commands.product_bulk import bulk
from prodctl.commands.product_import import product_import
from prodctl.commands.product_list import export_products, list_products
from prodctl.terminal.arguments import Whole, complete_products
from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import (
    columns,
    message,
    output_option,
    print_item,
    print_rows,
    row_writer,
    success,
    warn_if_stale,
)
from prodctl.terminal.prompt import confirm, confirm_options

if TYPE_CHECKING:
    from prodctl.client.products import Product


F = TypeVar("F", bound=Callable[..., Any])

_CHANGES = columns(
    "Version>",
    "When=at",
    "Who=by",
    "Action",
    "Before=was~",
    "From=from+",
    "To=to+",
    "Import=import+",
    "Request=request_id+",
)
_DELETED = columns(
    "Name~",
    "Variant~",
    "Price>",
    "Cur=currency",
    "Deleted=deleted_at",
    "By=deleted_by",
    "Until=restorable_until",
    "Shard+",
    "ID=id+",
)


@click.group(cls=NounGroup, elsewhere=dict.fromkeys(("search", "find"), "list --search WORDS"))
def product() -> None:
    """Add, find, edit, delete, restore, import and export products.

    They use the REST API of the webapp at PRODCTL_URL, with the rights of the user who is logged in.
    """


product.add_command(product_import)
product.add_command(export_products)
product.add_command(bulk)
product.add_command(list_products)


def _value_option(row: Field) -> Callable[[F], F]:
    help = row.help or None
    if row.kind == "tags":
        return click.option("--tag", row.name, multiple=True, help=help)
    if row.kind == "flag":
        return click.option(f"--{row.name}/--in{row.name}", default=None, help=help)
    kind = Whole() if row.kind == "count" else str
    return click.option(f"--{row.name}", type=kind, metavar=_METAVARS.get(row.kind), help=help)


_METAVARS = {"price": "AMOUNT", "currency": "CODE"}


def _value_options(command: F) -> F:
    """The fields that add and edit share; a field that is not given is None."""
    for row in reversed(FIELDS):
        if row.name not in ("name", "variant"):
            command = _value_option(row)(command)
    return command


_which = click.argument("name_or_id", metavar="NAME|ID", shell_complete=complete_products)
_variant = click.option("--variant", help="Which one, where several products have the name.")


@product.command()
@click.argument("name")
@click.option("--variant", help="What tells products of one name apart, such as 'Botella 1 L'.")
@click.option("--id", "product_id", type=click.UUID, help="Repeat an add whose outcome is unknown, with its id.")
@_value_options
@output_option
def add(name: str, product_id: UUID | None, output: str, **values: Any) -> None:
    """Add a product.

    Name and variant together are unique, whatever the case, accents and spacing. If the answer is lost (a primary
    dies, webapp restarts), the same product is sent again with the same id, so that it is added once.

    \b
    Examples:
      prodctl product add "Arroz" --price 1.20 --stock 40
      prodctl product add "Aceite" --variant "1 L" --price 8.95 --tag oliva
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
@click.option("--add-tag", "add_tags", multiple=True, help="Add this tag; may be given several times.")
@click.option("--remove-tag", "remove_tags", multiple=True, help="Remove this tag; may be given several times.")
@click.option("--no-tags", is_flag=True, help="Remove all tags.")
@click.option("--version", type=Whole(1), help="Edit this version only: fail if it is not the current one.")
@output_option
def edit(
    name_or_id: str,
    variant: str | None,
    new_variant: str | None,
    add_tags: tuple[str, ...],
    remove_tags: tuple[str, ...],
    no_tags: bool,
    version: int | None,
    output: str,
    **values: Any,
) -> None:
    """Change fields of a product; those not given stay as they are.

    The edit is for the version that was just read: if another user edits the product meanwhile, nothing is changed
    and the exit status is 5. --tag replaces all tags; an empty text empties a field.

    \b
    Examples:
      prodctl product edit arroz --price 1.25
      prodctl product edit "Aceite" --variant "Botella 1 L" --stock 12 --inactive
      prodctl product edit arroz --add-tag oferta --remove-tag novedad
      prodctl product edit arroz --sku ""          take the SKU away
    """
    from prodcore.errors import InvalidInput
    from prodctl.client.products import find

    changes = _given(values | {"variant": new_variant})
    if no_tags:
        changes["tags"] = []
    tags = _Tags(add_tags, remove_tags)
    if tags.given and "tags" in changes:
        raise click.UsageError("--add-tag and --remove-tag change the tags; --tag and --no-tags replace them")
    changes |= {row.name: None for row in FIELDS if row.nullable and changes.get(row.name) == ""}
    if not changes and not tags.given:
        raise InvalidInput("nothing to change is given", hint="prodctl product edit --help lists what can be changed")
    client = open_client()
    old = find(client, name_or_id, variant)
    if tags.given:
        changes["tags"] = tags.applied(old["tags"])
    seen = {"If-Match": f'"{version or old["version"]}"'}
    new = client.call("PATCH", f"/products/{old['id']}", body=changes, headers=seen)
    done = "is as it was" if new["version"] == old["version"] else f"is at version {new['version']} now"
    success(f"{_title(new)} {done}.", output)
    print_item(new, output, kind="product")


@product.command()
@_which
@click.argument("new_name", metavar="NEW-NAME")
@_variant
@click.option("--version", type=Whole(1), help="Rename this version only: fail if it is not the current one.")
@output_option
def rename(name_or_id: str, new_name: str, variant: str | None, version: int | None, output: str) -> None:
    """Give a product another name.

    If the new name belongs to another shard, the product moves there with its id and its history. Meanwhile it is found
    once, under the old name or the new one; an interrupted rename is completed automatically.

    \b
    Examples:
      prodctl product rename arroz "Arroz redondo"
      prodctl product rename "Aceite" "Virgen extra" --variant "Botella 1 L"
    """
    from prodctl.client.products import find

    client = open_client()
    old = find(client, name_or_id, variant)
    seen = {"If-Match": f'"{version or old["version"]}"'}
    new = client.call("PATCH", f"/products/{old['id']}", body={"name": new_name}, headers=seen)
    moved = f" and moved from {old['shard']} to {new['shard']}" if new["shard"] != old["shard"] else ""
    success(f"{_title(old)} is now called {_title(new)}{moved}.", output)
    print_item(new, output, kind="product")


@product.command()
@_which
@_variant
@click.option("--version", type=Whole(1), help="Delete this version only: fail if it is not the current one.")
@confirm_options
def rm(name_or_id: str, variant: str | None, version: int | None, yes: bool, no_input: bool) -> None:
    """Delete a product, after asking. It can be restored for 30 days: prodctl product restore.

    \b
    Examples:
      prodctl product rm arroz
      prodctl product rm 7f0e0a3c-5d2f-4b52-9d7e-3f6f4b1f3a10 --yes
    """
    from prodctl.client.products import find

    client = open_client()
    old = find(client, name_or_id, variant)
    confirm(
        f"Delete {_title(old)}, {old['price']} {old['currency']}, stock {old['stock']}?", yes=yes, no_input=no_input
    )
    client.call("DELETE", f"/products/{old['id']}", headers={"If-Match": f'"{version or old["version"]}"'})
    message(f"Deleted {_title(old)} from {old['shard']}. To restore it: prodctl product restore {old['id']}")


@dataclass(frozen=True)
class _Tags:
    """A change of some tags, however they are spelled; the others stay."""

    add: tuple[str, ...]
    remove: tuple[str, ...]

    @property
    def given(self) -> bool:
        return bool(self.add or self.remove)

    def applied(self, tags: list[str]) -> list[str]:
        from prodcore.routing import fold

        gone = {fold(tag) for tag in self.remove}
        left = [tag for tag in tags if fold(tag) not in gone]
        there = {fold(tag) for tag in left}
        return left + [tag for tag in self.add if fold(tag) not in there]


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """The fields that were given on the command line."""
    return {key: list(v) if key == "tags" else v for key, v in values.items() if v is not None and v != ()}


def _title(of: Product) -> str:
    return f"{of['name']} ({of['variant']})" if of["variant"] else str(of["name"])


@product.command()
@_which
@_variant
@output_option
def history(name_or_id: str, variant: str | None, output: str) -> None:
    """Who changed what in a product, and when; also of a deleted one.

    The last change comes first, with the previous values of the changed fields.

    \b
    Examples:
      prodctl product history arroz
      prodctl product history arroz -o json
    """
    from prodctl.client.products import find_any

    client = open_client()
    changes = client.call("GET", f"/products/{find_any(client, name_or_id, variant)['id']}/history")["items"]
    warn_if_stale(client.stale)
    shown = [c | {"was": _before(c["was"])} for c in changes] if output in ("table", "wide", "csv") else changes
    print_rows(shown, _CHANGES, output, kind="product_history", empty="No changes are recorded.")


@product.command()
@click.option("--limit", type=Whole(1), default=50, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them, page by page.")
@output_option
def deleted(limit: int, everything: bool, output: str) -> None:
    """List deleted products that can still be restored, newest first.

    \b
    Examples:
      prodctl product deleted
      prodctl product deleted --all -o json
    """
    from prodctl.client.products import Lacks, deleted_pages

    writer = row_writer(_DELETED, output, "deleted_products", empty="Nothing to restore.")
    lacks = Lacks()
    for page in deleted_pages(open_client(), None if everything else limit):
        writer.add(page.items)
        lacks.add(page)
    writer.finish(lacks.as_dict())
    lacks.refuse("deleted products are missing")


@product.command()
@_which
@_variant
@output_option
def restore(name_or_id: str, variant: str | None, output: str) -> None:
    """Restore a deleted product.

    This works for 30 days (PRODCTL_DELETED_DAYS of webapp). If another product has its name or SKU meanwhile, nothing
    is changed, and the exit status is 5.

    \b
    Examples:
      prodctl product restore arroz
      prodctl product restore 7f0e0a3c-5d2f-4b52-9d7e-3f6f4b1f3a10
    """
    from prodctl.client.products import find_deleted

    client = open_client()
    old = find_deleted(client, name_or_id, variant)
    new = client.call("POST", f"/products/{old['id']}/restore", headers={"If-Match": f'"{old["version"]}"'})
    success(f"Restored {new['name']} to {new['shard']}.", output)
    print_item(new, output, kind="product")


def _before(was: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {_text(value)}" for name, value in was.items())


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "–"
    return "–" if value in (None, "") else str(value)
