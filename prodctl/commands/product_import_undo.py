"""``prodctl product import undo`` and ``list``: which imports there were, and taking one back."""

from __future__ import annotations

from uuid import UUID

import click

from prodcore.errors import EXIT_OK, Conflict, Unavailable
from prodctl.client import open_client
from prodctl.importing.options import patience_option
from prodctl.terminal.confirm import confirm, confirm_options
from prodctl.terminal.output import columns, message, output_option, print_item, print_rows, print_text

_SHOWN = 20
_IMPORT_COLUMNS = columns(
    "ID=id",
    "Started=started_at",
    "By",
    "Source",
    "Created>",
    "Changed>",
    "Refused>",
    "Ended=finished_at+",
    "Undone=undone_at",
)
_LEFT_COLUMNS = columns("Name", "Variant", "Status+", "Code", "Why=message", "ID=id+")


@click.command("list")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many at most.")
@output_option
def list_imports(limit: int, output: str) -> None:
    """List the last imports, the newest first.

    \b
    Examples:
      prodctl product import list
      prodctl product import list -o json
    """

    found = open_client().call("GET", "/imports", query={"limit": limit})["items"]
    rows = found if output in ("json", "yaml") else [{**item, **item["counts"]} for item in found]
    print_rows(rows, _IMPORT_COLUMNS, output, kind="imports", empty="No import yet.")


@click.command("undo")
@click.argument("import_id", metavar="ID", type=click.UUID)
@patience_option
@confirm_options
@output_option
def undo(import_id: UUID, patience: float, yes: bool, no_input: bool, output: str) -> int:
    """Take back what an import did, after asking.

    What it created is deleted (and can be restored for some days), what it changed gets its former values. Products
    that somebody has changed since stay as they are and are listed. The command may be repeated: it finds what it has
    done and goes on.

    Exit status 0 all is taken back, 5 some products were changed since, 6 some could not be reached.

    \b
    Examples:
      prodctl product import undo 6f1c0c2e-7a1b-4c59-9d55-0f3f4b6f2d10
      prodctl product import undo 6f1c0c2e-7a1b-4c59-9d55-0f3f4b6f2d10 --yes -o json
    """
    from prodctl.importing.batch_sender import Patience
    from prodctl.importing.undo import undo_import
    from prodctl.terminal.progress import row_progress

    confirm(f"Take the import {import_id} back?", yes=yes, no_input=no_input)
    with row_progress(lambda: 0, None) as tell:
        report = undo_import(open_client(), import_id, Patience(patience, message), tell)
    facts = {"import_id": str(import_id)}
    if output in ("json", "yaml"):
        missing = {"partial": bool(report.unavailable), "unavailable": report.unavailable}
        print_item({**facts, **report.as_dict(), "left": report.left, **missing}, output, kind="undo_report")
    else:
        print_item(report.as_dict(), output, kind="undo_report")
        if output != "csv" and report.left:
            print_text("")
            shown = report.left if output == "wide" else report.left[:_SHOWN]
            print_rows(shown, _LEFT_COLUMNS, output, kind="left")
            if len(shown) < len(report.left):
                message(f"… and {len(report.left) - len(shown):,} more: -o json lists them all")
    if report.unavailable or report.open:
        silent = ", ".join(report.unavailable) or "a shard"
        raise Unavailable(f"not all is taken back: {silent} did not answer", hint="repeat the command: it goes on")
    return Conflict.exit_status if report.refused else EXIT_OK
