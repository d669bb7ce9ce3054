"""``prodctl product list``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from prodctl.client import open_client
from prodctl.importing.product_filters import filter_options, query_of, sort_option
from prodctl.terminal.output import columns, output_option, row_writer, success
from prodctl.terminal.rows import Column

_COLUMNS = columns(
    "Name",
    "Variant",
    "Price>",
    "Cur=currency",
    "Stock>",
    "Shard",
    "Active+",
    "Category+",
    "Tags+",
    "SKU=sku+",
    "Description+",
    "ID=id+",
    "Version>+",
    "Created=created_at+",
    "Updated=updated_at+",
    "By=updated_by+",
)


@click.command("list")
@filter_options
@sort_option
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them, page by page.")
@click.option("--cursor", help="Go on where an earlier list ended.")
@click.option("--fields", metavar="NAMES", help="Only these fields, with commas between: name,price,stock.")
@click.option("--require-all", is_flag=True, help="Print nothing of a list that is incomplete or may be out of date.")
@output_option
def list_products(
    limit: int,
    everything: bool,
    cursor: str | None,
    fields: str | None,
    require_all: bool,
    output: str,
    **filters: Any,
) -> None:
    """List products over all shards.

    All filters must hold; bounds are inclusive. Rows are printed as they come. When a shard does not answer, the
    products of the others are printed; of one that has lost its majority, what its last member knows. stderr and JSON
    (partial, unavailable, stale) say what is missing or may be out of date, and the exit status is 6.

    \b
    Examples:
      prodctl product list --search "aceite oli"
      prodctl product list --category lácteos --stock-max 5 --sort stock
      prodctl product list --all --sort -price -o csv > products.csv
      prodctl product list --updated-since 2026-01-31 --fields name,price -o json
    """
    from prodctl.client.products import Lacks, pages

    query = query_of(filters) | ({"require_all": "true"} if require_all else {}) | _fields(fields, output)
    writer = row_writer(_shown(fields), output, "products", empty=_nothing(filters))
    lacks = Lacks()
    next_cursor: str | None = None
    for page in pages(open_client(), query, cursor, None if everything else limit):
        writer.add(page.items)
        lacks.add(page)
        next_cursor = page.next_cursor
    writer.finish({"next_cursor": next_cursor, **lacks.as_dict()})
    if next_cursor:
        success(f"There are more: --all, or go on with --cursor {next_cursor}", output)
    lacks.refuse(f"{'their' if len(lacks.unavailable) > 1 else 'its'} products are missing")


def _fields(asked: str | None, output: str) -> dict[str, str]:
    """What is read: what was asked for; for a table no more than it shows."""
    if asked is None and output == "table":
        asked = ",".join(column.key for column in _COLUMNS if not column.wide)
    return {} if asked is None else {"fields": asked}


def _shown(asked: str | None) -> list[Column]:
    """The columns: those asked for, in that order, wide or not."""
    if asked is None:
        return list(_COLUMNS)
    known = {column.key: column for column in _COLUMNS}
    return [replace(known[name], wide=False) for name in asked.split(",") if name in known]


def _nothing(filters: dict[str, Any]) -> str:
    return "No product matches." if len(query_of(filters)) > 1 else "No products."
