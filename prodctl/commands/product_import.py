"""``prodctl product import``: import a file, list the imports, take one back."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

import click

from prodcore.errors import EXIT_OK, Conflict, InvalidInput, OutcomeUnknown, Unavailable
from prodctl.client import open_client
from prodctl.importing.options import patience_option, reading_options, saved_options
from prodctl.terminal.arguments import Whole, complete_imports, complete_mappings
from prodctl.terminal.groups import DefaultGroup, NounGroup
from prodctl.terminal.output import columns, counted, message, output_option, print_item, print_rows, print_text
from prodctl.terminal.prompt import confirm, confirm_options
from prodctl.terminal.rows import readable, with_short_ids

if TYPE_CHECKING:
    from prodcore.tabular.report import ImportReport
    from prodcore.tabular.source import Reading
    from prodctl.importing.importer import ImportJournal


_SHOWN = 20
_REFUSAL_COLUMNS = columns("Line>", "Column", "Value~", "Reason~", "Code")
_REASON_COLUMNS = columns("Rows>", "Column", "Code")
_DIFFERENCE_COLUMNS = columns("Line>", "Field", "Old", "New")


@click.command("import")
@click.argument("file", type=click.File("rb"))
@reading_options
@click.option("--dry-run", is_flag=True, help="Store nothing: say what would be created, changed and refused.")
@click.option(
    "--refused",
    "refused_file",
    type=click.File("w", encoding="utf-8-sig", lazy=False),
    metavar="FILE",
    help="Write every refused row here as CSV, with what is wrong, to be corrected and imported.",
)
@click.option("--batch", type=Whole(1, 1000), default=1000, show_default=True, help="Rows per request.")
@click.option(
    "--mapping",
    "mapping_name",
    metavar="NAME",
    shell_complete=complete_mappings,
    help="Read it as a saved mapping says; other options win.",
)
@patience_option
@output_option
def import_file(
    file: IO[bytes],
    dry_run: bool,
    refused_file: IO[str] | None,
    batch: int,
    patience: float,
    output: str,
    mapping_name: str | None,
    **reading: Any,
) -> int:
    """Create and change products from a FILE: CSV, XLSX, ODS or NDJSON (- for stdin).

    A row is stored under its name and variant, or with --by sku in the product that has its SKU: created if there is
    none, changed if it differs, else unchanged. Importing the same file again changes nothing. An empty cell, or a
    column that is missing, leaves that field as it is. Bad rows are refused with line, column, value and reason; they
    never stop the others.

    Delimiter and encoding (UTF-8 or Windows-1252) are detected; headings may be Spanish or English, such as nombre,
    precio, existencias, código or subcategoría (a tag). With --locale es 1.234,50 is a number, with en it is 1,234.50.
    NDJSON contains one object per line, with the field names of the REST API.

    While a shard elects a primary or does not answer, the import waits and sends the same rows again with the same
    ids, so that nothing is stored twice.

    An import has an id, by which it can be undone. After an interruption, the same command continues where it
    stopped. Give a file named list, undo or mapping as ./undo.

    Exit status 0 all rows are in, 2 some were refused, 6 some could not be stored now, 7 some outcomes are unknown.
    Importing the file again settles 6 and 7.

    \b
    Examples:
      prodctl product import productos.csv --locale es --dry-run
      prodctl product import a.csv --locale es --map PVP=price --map Notas=ignore
      prodctl product import stock.xlsx --by sku --refused refused.csv
      prodctl product import precios.csv --mapping "Mayorista Sur"
      curl -s https://example.org/products.csv | prodctl product import - -o json
      prodctl product import undo 6f1c0c2e-7a1b-4c59-9d55-0f3f4b6f2d10
    """
    from prodcore.tabular.report import ImportReport
    from prodcore.tabular.source import Reading
    from prodctl.importing.run import ImportRun

    report, how = ImportReport(), Reading(**reading)
    if mapping_name:
        how = _with_mapping(how, mapping_name)
    run = ImportRun(file, how, batch, patience, dry_run, refused_file)
    with run.journal() as journal:
        facts = {"dry_run": True} if dry_run else {"import_id": str(journal.import_id)}
        try:
            run.run(report, journal)
        except BaseException as ended:  # Ctrl-C too: what has been stored is told in any case
            if report.rows > report.refused + report.not_sent:
                _print_report(report, output, facts)
            if isinstance(ended, KeyboardInterrupt) and not dry_run:
                ended.add_note(_what_stands(report, journal))
            raise
    _print_report(report, output, facts)
    _raise_unsettled(report)
    return InvalidInput.exit_status if report.refused else EXIT_OK


product_import = DefaultGroup(name="import", default=import_file)


def _with_mapping(how: Reading, name: str) -> Reading:
    """What the saved mapping says, where no option says otherwise. Raises MappingNotFound."""
    from prodcore.tabular.source import SavedReading

    kept = open_client().call("GET", f"/imports/mappings/{quote(name)}")
    saved = SavedReading(kept["by"], kept["locale"], kept["delimiter"], kept["columns"])
    source_of, default = click.get_current_context().get_parameter_source, click.core.ParameterSource.DEFAULT
    unsaid = [option for option in ("by", "locale", "delimiter") if source_of(option) is default]
    return replace(how, saved=saved, **{option: getattr(saved, option) for option in unsaid})


def _described(found: dict[str, Any]) -> str:
    counts = [f"{found['counts'][name]:,} {name}" for name in ("created", "changed") if found["counts"].get(name)]
    begun = readable(found["started_at"]) if found["started_at"] else "at an unknown time"
    done = ", ".join(counts) or "counts unknown"
    return f"Import {found['id'][:8]} of {found['source'] or 'an unknown file'}, {begun}: {done}."


def _print_report(report: ImportReport, output: str, facts: dict[str, Any]) -> None:
    """The counts, and the refused rows: the first of them for people, up to the kept number for programs."""
    refused = [entry for row in sorted(report.kept, key=lambda r: r.line) for entry in row.as_dicts()]
    differences = sorted(report.differences, key=lambda d: d["line"])
    if output in ("json", "yaml"):
        document = {**facts, "rows": report.rows, **report.counts()}
        if facts.get("dry_run"):
            document["differences"] = differences
        more = report.refused - len(report.kept)
        by_reason = {"refused_by_reason": report.refused_by_reason()}
        rows = {"refused_rows": refused, "refused_rows_left_out": more}
        print_item(document | by_reason | rows, output, kind="import_report")
        return
    print_item(report.counts(), output, kind="import_report")
    if output == "csv":
        return
    _print_first(differences, _DIFFERENCE_COLUMNS, output, "differences", "-o json shows them")
    _print_first(refused, _REFUSAL_COLUMNS, output, "refused_rows", "--refused FILE writes them all")
    if len(refused) > _SHOWN:
        _print_first(report.refused_by_reason(), _REASON_COLUMNS, output, "refused_by_reason", "-o json shows them")
    if facts.get("dry_run"):
        message("Nothing was stored: this was a dry run.")
    elif report.created + report.changed:
        message(f"To undo it: prodctl product import undo {facts['import_id']}")


def _what_stands(report: ImportReport, journal: ImportJournal) -> str:
    """After an interruption: what is stored, what is not known, and the commands that go on or take it back."""
    stored = report.created + report.changed
    lines = [f"Of the rows that were read, {stored:,} are stored, {report.unknown:,} were sent and not answered."]
    if journal.file:
        lines.append(f"The same command continues after line {journal.line:,} and stores no row twice.")
    else:
        lines.append("The same command starts from the beginning and stores no row twice.")
    if stored + report.unknown:
        lines.append(f"To undo it: prodctl product import undo {journal.import_id}")
    return "\n".join(lines)


def _print_first(rows: list[dict[str, Any]], shown: Any, output: str, kind: str, way: str) -> None:
    if not rows:
        return
    print_text("")
    print_rows(rows if output == "wide" else rows[:_SHOWN], shown, output, kind=kind)
    if output == "table" and len(rows) > _SHOWN:
        message(f"… and more: {way}")


def _raise_unsettled(report: ImportReport) -> None:
    """Raises OutcomeUnknown or Unavailable where rows are left that another import of the file settles."""
    again = "import the same file again with the same options: it continues where it stopped"
    left = report.unavailable + report.not_sent
    if report.unknown:
        raise OutcomeUnknown(f"sent and not answered, may be stored: {counted(report.unknown, 'row')}", hint=again)
    if left:
        raise Unavailable(f"the import gave up waiting, not stored: {counted(left, 'row')}", hint=again)


_IMPORT_COLUMNS = columns(
    "ID=short_id!",
    "Started=started_at",
    "Source~",
    "Created>",
    "Changed>",
    "Refused>",
    "By",
    "Undone=undone_at",
    "Ended=finished_at+",
    "Whole ID=id+",
)
_LEFT_COLUMNS = columns("Name~", "Variant~", "Why=message~", "Code", "Status+", "ID=id+")


@product_import.command("list")
@click.option("--limit", type=Whole(1, 500), default=50, show_default=True, help="How many at most.")
@output_option
def list_imports(limit: int, output: str) -> None:
    """List the last imports, newest first.

    The beginning of an id is enough for undo.

    \b
    Examples:
      prodctl product import list
      prodctl product import list -o json
    """

    found = open_client().call("GET", "/imports", query={"limit": limit})["items"]
    rows = [item | ({} if output in ("json", "yaml") else item["counts"]) for item in with_short_ids(found, output)]
    print_rows(rows, _IMPORT_COLUMNS, output, kind="imports", empty="No imports yet.")


@product_import.command("undo")
@click.argument("import_id", metavar="[ID]", required=False, shell_complete=complete_imports)
@click.option("--last", is_flag=True, help="The newest import that changed anything and was not undone.")
@patience_option
@confirm_options
@output_option
def undo(import_id: str | None, last: bool, patience: float, yes: bool, no_input: bool, output: str) -> int:
    """Undo an import, after asking.

    The beginning of the id is enough.

    What it created is deleted (and can be restored for some days), what it changed gets its previous values.
    Products that were changed since stay as they are and are listed. The command can be repeated: it continues where
    it stopped.

    Exit status 0 everything is undone, 5 some products were changed since, 6 some could not be reached.

    \b
    Examples:
      prodctl product import undo --last
      prodctl product import undo 6f1c0c2e
      prodctl product import undo 6f1c0c2e-7a1b-4c59-9d55-0f3f4b6f2d10 --yes
    """
    from prodctl.importing.importer import Patience
    from prodctl.importing.run import UndoReport, find_import, undo_import
    from prodctl.terminal.prompt import row_progress

    if last == bool(import_id):
        raise click.UsageError("give the id of an import, or --last")
    client = open_client()
    found = find_import(client, import_id)
    total = found["counts"].get("created", 0) + found["counts"].get("changed", 0)
    message(_described(found))
    confirm("Undo it?", yes=yes, no_input=no_input)
    report = UndoReport()
    try:
        with row_progress(report.done, total or None, "products") as tell:
            undo_import(client, UUID(found["id"]), Patience(patience, message), report, tell)
    except KeyboardInterrupt as interruption:
        interruption.add_note(f"Undone: {counted(report.done(), 'product')}; the others are as the import left them.")
        interruption.add_note(f"To continue: prodctl product import undo {found['id']}")
        raise
    facts = {"import_id": found["id"]}
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
        raise Unavailable(f"not everything is undone: {silent} did not answer", hint="repeat the command: it continues")
    return Conflict.exit_status if report.refused else EXIT_OK


@product_import.group("mapping", cls=NounGroup)
def mapping() -> None:
    """How a supplier's files are read, kept under a name.

    A mapping keeps what each column gives, how numbers look, the delimiter and how rows find their products. The
    preview of an import in the browser saves one too; everybody who may import uses and changes them.
    """


_MAPPING_COLUMNS = columns("Name~", "Locale", "By", "Columns>", "Saved by=saved_by", "Saved at=saved_at", "Delimiter+")
_MAPPED_COLUMNS = columns("Column~", "Field")


@mapping.command("list")
@output_option
def list_mappings(output: str) -> None:
    """List the saved mappings.

    \b
    Examples:
      prodctl product import mapping list
      prodctl product import mapping list -o json
    """
    found = open_client().call("GET", "/imports/mappings")["items"]
    rows = found if output in ("json", "yaml") else [item | {"columns": len(item["columns"])} for item in found]
    print_rows(rows, _MAPPING_COLUMNS, output, kind="mappings", empty="No mapping yet.")


@mapping.command("show")
@click.argument("name", shell_complete=complete_mappings)
@output_option
def show_mapping(name: str, output: str) -> None:
    """Show what a mapping says.

    \b
    Examples:
      prodctl product import mapping show "Mayorista Sur"
      prodctl product import mapping show "Mayorista Sur" -o json
    """
    found = open_client().call("GET", f"/imports/mappings/{quote(name)}")
    if output in ("json", "yaml"):
        return print_item(found, output, kind="mapping")
    if output != "csv":
        print_item({name: value for name, value in found.items() if name != "columns"}, output, kind="mapping")
        print_text("")
    mapped = [{"column": column, "field": field} for column, field in found["columns"].items()]
    return print_rows(mapped, _MAPPED_COLUMNS, output, kind="columns")


@mapping.command("save")
@click.argument("name", shell_complete=complete_mappings)
@saved_options
@output_option
def save_mapping(name: str, output: str, mapping: dict[str, str], **reading: Any) -> None:
    """Save a mapping, or replace the one of this name.

    \b
    Examples:
      prodctl product import mapping save Norte --locale es --map PVP=price
    """
    saved = open_client().call("PUT", f"/imports/mappings/{quote(name)}", body={**reading, "columns": mapping})
    message(f"Saved: prodctl product import FILE --mapping {shlex.quote(saved['name'])}")
    if output != "table":
        print_item(saved, output, kind="mapping")


@mapping.command("rename")
@click.argument("name", shell_complete=complete_mappings)
@click.argument("new_name")
def rename_mapping(name: str, new_name: str) -> None:
    """Give a mapping another name.

    \b
    Examples:
      prodctl product import mapping rename "Mayorista Sur" Norte
    """
    renamed = open_client().call("PATCH", f"/imports/mappings/{quote(name)}", body={"name": new_name})
    message(f"The mapping is called {renamed['name']!r} now")


@mapping.command("rm")
@click.argument("name", shell_complete=complete_mappings)
@confirm_options
def remove_mapping(name: str, yes: bool, no_input: bool) -> None:
    """Remove a mapping, after asking. Imports that were read with it stay.

    \b
    Examples:
      prodctl product import mapping rm "Mayorista Sur" --yes
    """
    client, path = open_client(), f"/imports/mappings/{quote(name)}"
    found = client.call("GET", path)
    confirm(f"Remove the mapping {found['name']!r}?", yes=yes, no_input=no_input)
    client.call("DELETE", path)
    message(f"Removed: {found['name']}")
