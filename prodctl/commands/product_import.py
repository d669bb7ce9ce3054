"""``prodctl product import``."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, cast

import click

from prodcore.errors import EXIT_OK, InvalidInput, OutcomeUnknown, Unavailable
from prodctl.output import columns, message, output_option, print_item, print_rows, print_text

if TYPE_CHECKING:
    from prodcore.catalog.import_report import ImportReport, RefusedRow, Sink
    from prodcore.catalog.import_text import CsvText

_SHOWN_REFUSALS = 20
_REFUSAL_COLUMNS = columns("Line>", "Column", "Value", "Code", "Reason")


def _delimiter(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    value = {"tab": "\t", "\\t": "\t"}.get(value, value)
    if len(value) > 1 or value in ('"', "\n", "\r"):
        raise click.BadParameter("give one character, or tab")
    return value


def _encoding(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    import codecs

    try:
        return codecs.lookup(value).name if value else ""
    except LookupError:
        raise click.BadParameter(f"{value!r} is no encoding that Python knows") from None


def _mapping(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.rpartition("=") for value in values]
    if any(not title or not target for title, _equals, target in pairs):
        raise click.BadParameter("write COLUMN=FIELD, such as PVP=price")
    return {title: target for title, _equals, target in pairs}


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--locale", type=click.Choice(["es", "en"]), default="en", show_default=True, help="How numbers look.")
@click.option(
    "--delimiter", default="", callback=_delimiter, help="Between cells: a character, or tab.  [default: found]"
)
@click.option("--encoding", default="", callback=_encoding, help="Such as utf-8 or cp1252.  [default: found]")
@click.option("--map", "mapping", multiple=True, callback=_mapping, metavar="COLUMN=FIELD", help="What a column gives.")
@click.option("--batch", type=click.IntRange(1, 500), default=500, show_default=True, help="Rows a request.")
@click.option("--report", "report_file", type=click.File("w", encoding="utf-8"), help="Write every refused row here.")
@click.option(
    "--patience",
    type=click.FloatRange(0, 3600),
    default=60,
    show_default=True,
    help="Seconds to wait while nothing moves.",
)
@output_option
def import_products(
    file: IO[bytes],
    locale: Any,
    delimiter: str,
    encoding: str,
    mapping: dict[str, str],
    batch: int,
    report_file: IO[str] | None,
    patience: float,
    output: str,
) -> int:
    """Create and change products from a CSV FILE (- for stdin).

    A row is stored under its name and variant: created if there is none, changed if it differs, else unchanged.
    Importing the same file again changes nothing. An empty cell, or a column that is missing, leaves that field as it
    is. Bad rows are refused with line, column, value and reason; they never stop the others.

    Delimiter and encoding (UTF-8 or Windows-1252) are found; headings may be Spanish or English: nombre,
    presentación, precio, moneda, existencias, sku or código, descripción, categoría, subcategoría (a tag), etiquetas,
    activo. FIELD is one of name, variant, price, currency, stock, sku, description, category, tags, tag, active,
    ignore. With --locale es 1.234,50 is a number, with en it is 1,234.50.

    While a shard elects a primary or does not answer, the import waits and sends the same rows with the same ids
    again, so that nothing is stored twice.

    Exit status 0 all rows are in, 2 some were refused, 6 some could not be stored now, 7 some outcomes are unknown.
    Importing the file again settles 6 and 7.

    \b
    Examples:
      prodctl product import productos.csv --locale es
      prodctl product import precios.csv --locale es --map PVP=price --map Notas=ignore
      prodctl product import stock.csv --report refused.csv
      curl -s https://example.org/products.csv | prodctl product import - -o json
    """
    from prodcore.catalog.import_report import ImportReport

    report = ImportReport(sink=_csv_sink(report_file) if report_file else None)
    try:
        _run(_open(file, delimiter, encoding), file, mapping, locale, batch, patience, report)
    except BaseException:  # Ctrl-C too: what has been stored is told in any case
        if report.rows > report.refused + report.not_sent:
            _print_report(report, output)
        raise
    _print_report(report, output)
    _raise_unsettled(report)
    return InvalidInput.exit_status if report.refused else EXIT_OK


def _open(file: IO[bytes], delimiter: str, encoding: str) -> CsvText:
    import io

    from prodcore.catalog.import_columns import count_known
    from prodcore.catalog.import_text import CsvText

    source = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", file))
    return CsvText(source, count_known, delimiter, encoding)


def _run(
    text: CsvText,
    file: IO[bytes],
    mapping: dict[str, str],
    locale: Any,
    batch: int,
    patience: float,
    report: ImportReport,
) -> None:
    import time

    from prodcore.catalog.import_columns import map_columns
    from prodcore.catalog.import_rows import read_rows, without_repeats
    from prodcore.catalog.import_seen import Seen
    from prodcore.settings import load_settings
    from prodctl.api_client import ApiClient
    from prodctl.batch_sender import Patience
    from prodctl.importer import Importer
    from prodctl.progress import row_progress

    mapped = map_columns(text.header.cells, mapping)
    if unknown := [column.title for column in mapped if column.target == "ignore" and column.title not in mapping]:
        message(f"Not imported, as no field is called so: {', '.join(unknown)} (--map COLUMN=FIELD says what it is)")
    client = ApiClient(load_settings())

    def post(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = client.call("POST", "/products/batch", body={"items": items})["results"]
        return results

    started = time.monotonic()
    with Seen() as seen, row_progress(file.tell, _size(file)) as tell:
        importer = Importer(post, Patience(patience, message), seen, report, batch, tell)
        importer.run(without_repeats(read_rows(text.records(), mapped, locale), seen))
    seconds = max(time.monotonic() - started, 0.001)
    message(f"{report.rows:,} rows in {seconds:.1f} s ({report.rows / seconds:,.0f} a second)")


def _size(file: IO[bytes]) -> int | None:
    """How long the file is; None for a pipe."""
    import os
    import stat

    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _csv_sink(file: IO[str]) -> Sink:
    import csv

    from prodcore.catalog.import_report import SINK_COLUMNS, harmless

    writer = csv.DictWriter(file, SINK_COLUMNS)
    writer.writeheader()

    def sink(row: RefusedRow) -> None:
        writer.writerows({key: harmless(value) for key, value in entry.items()} for entry in row.as_dicts())
        file.flush()

    return sink


def _print_report(report: ImportReport, output: str) -> None:
    """The counts, and the refused rows: the first of them for people, up to the kept number for programs."""
    refused = [entry for row in sorted(report.kept, key=lambda r: r.line) for entry in row.as_dicts()]
    if output in ("json", "yaml"):
        more = report.refused - len(report.kept)
        print_item(
            {"rows": report.rows, **report.counts(), "refused_rows": refused, "refused_rows_left_out": more},
            output,
            kind="import_report",
        )
        return
    print_item(report.counts(), output, kind="import_report")
    if output == "csv" or not refused:
        return
    print_text("")
    print_rows(
        refused if output == "wide" else refused[:_SHOWN_REFUSALS], _REFUSAL_COLUMNS, output, kind="refused_rows"
    )
    if output == "table" and len(refused) > _SHOWN_REFUSALS:
        message(f"… and {report.refused - _SHOWN_REFUSALS:,} more: --report FILE writes them all")


def _raise_unsettled(report: ImportReport) -> None:
    """Raises OutcomeUnknown or Unavailable where rows are left that another import of the file settles."""
    again = "import the same file again: rows that are in count as unchanged"
    left = report.unavailable + report.not_sent
    if report.unknown:
        raise OutcomeUnknown(f"{report.unknown:,} rows were sent and not answered, they may be stored", hint=again)
    if left:
        raise Unavailable(f"{left:,} rows are not stored: the import gave up waiting", hint=again)
