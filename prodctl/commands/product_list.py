"""``prodctl product list`` and ``export``: all products of a filter, on the screen or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prodcore.product.fields import FIELDS, Field
from prodctl.client import open_client
from prodctl.importing.options import filter_options, query_of, sort_option
from prodctl.terminal.arguments import Whole
from prodctl.terminal.output import columns, counted, message, output_option, row_writer, success
from prodctl.terminal.rows import RAW, TableColumn

if TYPE_CHECKING:
    from prodctl.client.api import ApiClient
    from prodctl.importing.export import Exported


def _column(row: Field) -> str:
    mark = ">" if row.kind in ("price", "count") else "~" if row.kind == "text" else ""
    return f"{row.short or row.label}={row.name}{mark}{'' if row.narrow else '+'}"


_COLUMNS = columns(
    *(_column(row) for row in FIELDS if row.narrow),
    "Shard",
    *(_column(row) for row in FIELDS if not row.narrow),
    "ID=id+",
    "Version>+",
    "Created=created_at+",
    "Updated=updated_at+",
    "By=updated_by+",
)


@click.command("list")
@filter_options
@sort_option
@click.option("--limit", type=Whole(1), default=50, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them, page by page.")
@click.option("--page", type=Whole(1), default=1, help="Of --limit products each: 2 shows the next ones.")
@click.option("--cursor", help="Continue at the next_cursor of an earlier list, as -o json shows it.")
@click.option("--fields", metavar="NAMES", help="Only these fields, with commas between: name,price,stock.")
@click.option("--require-all", is_flag=True, help="Print nothing of a list that is incomplete or may be out of date.")
@output_option
def list_products(
    limit: int,
    everything: bool,
    page: int,
    cursor: str | None,
    fields: str | None,
    require_all: bool,
    output: str,
    **filters: Any,
) -> None:
    """List products of all shards.

    Products must match all filters; bounds are inclusive. Rows are printed as they arrive. When a shard does not
    answer, the products of the others are printed; for one that has lost its majority, what its last member has. stderr
    and JSON (partial, unavailable, stale) say what is missing or may be out of date, and the exit status is 6.

    \b
    Examples:
      prodctl product list --search "aceite oli"
      prodctl product list --category lácteos --stock-max 5 --sort stock
      prodctl product list --page 2
      prodctl product list --all --sort -price -o csv > products.csv
      prodctl product list --updated-since 2026-01-31 --fields name,price -o json
    """
    from prodctl.client.products import Lacks, pages

    if page > 1 and (cursor or everything):
        raise click.UsageError("--page goes with neither --cursor nor --all")
    client, shown = open_client(), 0
    query = query_of(filters) | ({"require_all": "true"} if require_all else {}) | _fields(fields, output)
    writer = row_writer(_shown(fields), output, "products", empty=_nothing(filters))
    lacks = Lacks()
    next_cursor: str | None = None
    if page > 1:
        cursor = _skip(client, query, (page - 1) * limit)
    for part in pages(client, query, cursor, None if everything else limit) if page == 1 or cursor else ():
        writer.add([_as_exported(item) for item in part.items] if output == "csv" else part.items)
        lacks.add(part)
        shown += len(part.items)
        next_cursor = part.next_cursor
    writer.finish({"next_cursor": next_cursor, **lacks.as_dict()})
    if next_cursor and output in ("table", "wide"):
        seen = (page - 1) * limit + shown
        on = "--all shows all" if cursor and page == 1 else f"--page {page + 1} continues, --all shows all"
        total = _total(client, filters)
        success(f"{seen:,} of {total}: {on}." if total else f"{seen:,} shown, and there are more: {on}.", output)
    lacks.refuse(f"{'their' if len(lacks.unavailable) > 1 else 'its'} products are missing")


def _as_exported(product: Mapping[str, Any]) -> dict[str, Any]:
    """Its cells as an export writes them: an import takes such a list for one."""
    from prodcore.tabular.export import cell_of, marked

    mark = (lambda _name, cell: cell) if click.get_current_context().meta.get(RAW) else marked
    return {name: mark(name, cell_of(name, value)) for name, value in product.items()}


def _skip(client: ApiClient, query: dict[str, Any], products: int) -> str | None:
    """The cursor behind so many products; None where there are no more."""
    from prodctl.client.products import pages

    cursor: str | None = None
    for part in pages(client, {**query, "fields": "id"}, None, products):
        cursor = part.next_cursor
    return cursor


def _total(client: ApiClient, filters: dict[str, Any]) -> str:
    """How many products there are, where that is known without counting; else empty."""
    from prodcore.errors import ProdError

    if len(query_of(filters)) > 1:
        return ""
    try:
        counts = [shard["products"] for shard in client.call("GET", "/shards")["items"]]
    except ProdError:
        return ""
    return counted(sum(counts), "product") if None not in counts else ""


def _fields(asked: str | None, output: str) -> dict[str, str]:
    """What is read: what was asked for; for a table no more than it shows."""
    if asked is None and output == "table":
        asked = ",".join(column.key for column in _COLUMNS if not column.wide)
    return {} if asked is None else {"fields": asked}


def _shown(asked: str | None) -> list[TableColumn]:
    """The columns: those asked for, in that order, wide or not."""
    if asked is None:
        return list(_COLUMNS)
    known = {column.key: column for column in _COLUMNS}
    return [replace(known[name], wide=False) for name in asked.split(",") if name in known]


def _nothing(filters: dict[str, Any]) -> str:
    return "No product matches." if len(query_of(filters)) > 1 else "No products."


_FORMATS = ("csv", "ndjson", "xlsx")


@click.command("export")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--format", "kind", type=click.Choice(_FORMATS), help="Without it the file's name says; - is csv.")
@filter_options
@sort_option
@click.option("--bom", is_flag=True, help="Begin CSV with the mark by which Excel knows UTF-8, so that accents show.")
@click.option("--raw", is_flag=True, help="Leave cells of CSV as they are, formulas too: for programs.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.option("--allow-partial", is_flag=True, help="Write what is available while a shard does not answer.")
def export_products(
    file: Path, kind: str | None, bom: bool, raw: bool, force: bool, allow_partial: bool, **filters: Any
) -> None:
    """Write all products that match a filter to a FILE (- for stdout).

    Importing the file again changes nothing. It appears under its name when it is complete. While a shard does not
    answer, or has no majority and may be out of date, nothing is written; with --allow-partial, what is available is
    written, and the exit status is 6.

    In CSV a cell that a spreadsheet would take for a formula begins with ', which the import takes off again (--raw
    leaves it out: for programs, not for a spreadsheet); several tags stand in one cell with | between them.
    XLSX needs the extra prodctl[xlsx].

    \b
    Examples:
      prodctl product export products.csv
      prodctl product export for-excel.csv --bom
      prodctl product export sold-out.xlsx --stock-max 0 --sort -updated
      prodctl product export - --format ndjson --category lácteos | jq .name
    """
    from prodctl.importing.export import export_to

    query = query_of(filters) | ({} if allow_partial else {"require_all": "true"})
    done = export_to(file, kind or _kind_of(file), open_client(), query, force=force, bom=bom, raw=raw)
    message(_told(done, file))
    done.lacks.refuse("the file is incomplete")


def _kind_of(file: Path) -> str:
    """The format that a file's name says. Raises InvalidInput for one that says nothing."""
    from prodcore.errors import InvalidInput

    if str(file) == "-":
        return "csv"
    kind = {".jsonl": "ndjson"}.get(file.suffix.lower(), file.suffix.lower().removeprefix("."))
    if kind not in _FORMATS:
        raise InvalidInput(f"the name {file.name!r} says no format", hint=f"--format {'|'.join(_FORMATS)}")
    return kind


def _told(done: Exported, file: Path) -> str:
    products = counted(done.products, "product")
    return f"Exported {products}{'' if str(file) == '-' else f' to {file}'}."
