"""``prodctl product history``, ``deleted`` and ``restore``: what was done to products, and taking a removal back."""

from __future__ import annotations

from typing import Any

import click

from prodctl.client import open_client
from prodctl.terminal.output import columns, output_option, print_item, print_rows, row_writer, success, warn_if_stale

_CHANGES = columns(
    "Version>",
    "When=at",
    "Who=by",
    "Action",
    "Before=was",
    "From=from+",
    "To=to+",
    "Import=import+",
    "Request=request_id+",
)
_DELETED = columns(
    "Name",
    "Variant",
    "Price>",
    "Cur=currency",
    "Deleted=deleted_at",
    "By=deleted_by",
    "Until=restorable_until",
    "Shard+",
    "ID=id+",
)

_which = click.argument("name_or_id", metavar="NAME|ID")
_variant = click.option("--variant", help="Which one, where several products have the name.")


@click.command()
@_which
@_variant
@output_option
def history(name_or_id: str, variant: str | None, output: str) -> None:
    """Who changed what of a product, and when; of a removed one too.

    The last change comes first, with what the changed fields held before it.

    \b
    Examples:
      prodctl product history arroz
      prodctl product history arroz -o json
    """
    from prodctl.client.deleted import find_any

    client = open_client()
    changes = client.call("GET", f"/products/{find_any(client, name_or_id, variant)['id']}/history")["items"]
    warn_if_stale(client.stale)
    shown = [c | {"was": _before(c["was"])} for c in changes] if output in ("table", "wide", "csv") else changes
    print_rows(shown, _CHANGES, output, kind="product_history", empty="Nothing is known of its changes.")


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them, page by page.")
@output_option
def deleted(limit: int, everything: bool, output: str) -> None:
    """List removed products that can still be restored, the last one first.

    \b
    Examples:
      prodctl product deleted
      prodctl product deleted --all -o json
    """
    from prodctl.client.deleted import deleted_pages
    from prodctl.client.products import Lacks

    writer = row_writer(_DELETED, output, "deleted_products", empty="Nothing to restore.")
    lacks = Lacks()
    for page in deleted_pages(open_client(), None if everything else limit):
        writer.add(page.items)
        lacks.add(page)
    writer.finish(lacks.as_dict())
    lacks.refuse("removed products are missing")


@click.command()
@_which
@_variant
@output_option
def restore(name_or_id: str, variant: str | None, output: str) -> None:
    """Bring a removed product back, as it was.

    That works for 30 days (PRODCTL_DELETED_DAYS of webapp). If its name or SKU was given to another product meanwhile
    nothing is changed, and the exit status is 5.

    \b
    Examples:
      prodctl product restore arroz
      prodctl product restore 7f0e0a3c-5d2f-4b52-9d7e-3f6f4b1f3a10
    """
    from prodctl.client.deleted import find_deleted

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
