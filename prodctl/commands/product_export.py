"""``prodctl product export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prodctl.client import open_client
from prodctl.importing.product_filters import filter_options, query_of, sort_option
from prodctl.terminal.output import message

if TYPE_CHECKING:
    from prodctl.importing.export_run import Exported

_FORMATS = ("csv", "ndjson", "xlsx")


@click.command("export")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--format", "kind", type=click.Choice(_FORMATS), help="Without it the file's name says; - is csv.")
@filter_options
@sort_option
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--allow-partial", is_flag=True, help="Write what there is while a shard does not answer.")
def export_products(file: Path, kind: str | None, force: bool, allow_partial: bool, **filters: Any) -> None:
    """Write all products of a filter to a FILE (- for stdout) that importing changes nothing.

    The file appears under its name when it is whole. While a shard does not answer, or has no majority and may show
    what is out of date, nothing is written; with --allow-partial what there is, and the exit status is 6.

    In CSV a cell that a spreadsheet would take for a formula begins with ', which the import takes off again; several
    tags stand in one cell with | between them. XLSX needs the extra prodctl[xlsx].

    \b
    Examples:
      prodctl product export products.csv
      prodctl product export sold-out.xlsx --stock-max 0 --sort -updated
      prodctl product export - --format ndjson --category lácteos | jq .name
    """
    from prodctl.importing.export_run import export_to

    query = query_of(filters) | ({} if allow_partial else {"require_all": "true"})
    done = export_to(file, kind or _kind_of(file), open_client(), query, force=force)
    message(_told(done, file))
    done.lacks.refuse("the file is not whole")


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
    products = "1 product" if done.products == 1 else f"{done.products:,} products"
    return f"Exported {products}{'' if str(file) == '-' else f' to {file}'}."
