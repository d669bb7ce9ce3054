"""The only way to stdout, and the one translator from errors to exit statuses.

Data goes to stdout in the format that ``-o`` asks for; everything else (progress, hints, errors) goes to stderr.
Only ``table`` and ``wide`` are for people: they fit the terminal or are complete, and show no character that could
steer a terminal. ``json``, ``yaml`` and ``csv`` are an API.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import click

from prodcore.errors import EXIT_INTERRUPTED, EXIT_OK, InvalidInput, ProdError

FORMATS = ("table", "wide", "json", "yaml", "csv")
SCHEMA_VERSION = 1

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, the row's key, whether only ``wide`` shows it, whether it is a number."""

    title: str
    key: str
    wide: bool = False
    right: bool = False


def output_option(command: F) -> F:
    """Add ``-o/--output``; the command gets it as ``output``."""
    option = click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to print the answer.",
    )
    return option(command)


def columns(*specs: str) -> tuple[Column, ...]:
    """Columns from short specs: ``"Name"``, ``"Price>"`` (a number), ``"Updated+"`` (only in wide), ``"Title=key"``."""
    made = []
    for spec in specs:
        title, _, key = spec.rstrip(">+").partition("=")
        flags = spec[len(spec.rstrip(">+")) :]
        made.append(Column(title, key or title.lower().replace(" ", "_"), "+" in flags, ">" in flags))
    return tuple(made)


def print_rows(
    rows: Iterable[Mapping[str, Any]],
    shown: Sequence[Column],
    output: str,
    *,
    kind: str,
    extra: Mapping[str, Any] | None = None,
    empty: str = "Nothing to show.",
) -> None:
    """Print a list. ``kind`` names it in JSON; ``extra`` are further facts there (``partial``, ``next_cursor``)."""
    rows = list(rows)
    if output in ("json", "yaml"):
        _print_document({"schema_version": SCHEMA_VERSION, "kind": kind, "items": rows, **(extra or {})}, output)
    elif output == "csv":
        _print_csv(rows, shown)
    elif not rows:
        message(empty)
    else:
        _print_table(rows, [c for c in shown if output == "wide" or not c.wide], fit=output == "table")


def print_item(item: Mapping[str, Any], output: str, *, kind: str) -> None:
    """Print one thing: a field a line for people."""
    if output in ("json", "yaml"):
        _print_document({"schema_version": SCHEMA_VERSION, "kind": kind, **item}, output)
    elif output == "csv":
        _print_csv([item], [Column(key, key) for key in item])
    else:
        rows = [{"field": key.replace("_", " "), "value": value} for key, value in item.items()]
        width = max((len(row["field"]) for row in rows), default=0)
        for row in rows:
            _write(f"{row['field']:<{width}}  {visible(_cell(row['value']), keep_lines=True)}\n")


def print_text(text: str) -> None:
    """Print text that is the answer itself."""
    _write(text if text.endswith("\n") else text + "\n")


def message(text: str) -> None:
    """Tell the person something; not part of the data."""
    click.echo(visible(text, keep_lines=True), err=True)


def success(text: str, output: str = "table") -> None:
    """Say what was done; silent where a program reads."""
    if output in ("table", "wide"):
        message(text)


def visible(text: str, *, keep_lines: bool = False) -> str:
    r"""Show characters that steer terminals or reorder text as escapes.

    >>> visible("a\x1b[31mb\u202e")
    'a\\x1b[31mb\\u202e'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c
        if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or (keep_lines and c == "\n")
        else c.encode("unicode_escape").decode()
        for c in text
    )


def run_and_exit(command: click.Command, argv: list[str] | None = None) -> NoReturn:
    """Run ``command`` and leave the process with the documented exit status."""
    try:
        status = command.main(argv, standalone_mode=False)
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001  the door: whatever came this far becomes a sentence and a status
        status = _report(error)
    except KeyboardInterrupt:
        status = _interrupted()
    _leave(status if isinstance(status, int) else EXIT_OK)


def _report(error: Exception) -> int:
    if isinstance(error, ProdError):
        click.echo(f"Error: {visible(error.message, keep_lines=True)}", err=True)
        if error.hint:
            click.echo(f"Hint:  {visible(error.hint, keep_lines=True)}", err=True)
        _list_problems(error)
        return error.exit_status
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, click.Abort):
        return _interrupted()
    if isinstance(error, BrokenPipeError):
        return EXIT_OK
    if _debugging():
        raise error
    click.echo(f"Error: something unexpected went wrong ({type(error).__name__}: {visible(str(error))})", err=True)
    click.echo("Hint:  run it again as prodctl --debug …, and report what it prints", err=True)
    return 1


def _list_problems(error: ProdError) -> None:
    if isinstance(error, InvalidInput) and len(error.problems) > 1:
        for problem in error.problems:
            click.echo(f"  {problem.field or '(all)'}: {visible(problem.message)}", err=True)


def _interrupted() -> int:
    click.echo("\nInterrupted.", err=True)
    return EXIT_INTERRUPTED


def _debugging() -> bool:
    return "--debug" in sys.argv or bool(os.environ.get("PRODCTL_DEBUG"))


def _leave(status: int) -> NoReturn:
    """Leave at once: the driver's background threads would keep the process for half a second."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        pass
    os._exit(status)


def _write(text: str) -> None:
    click.echo(text, nl=False)


def _print_document(document: Mapping[str, Any], output: str) -> None:
    if output == "json":
        import json

        _write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    else:
        import yaml

        _write(yaml.safe_dump(dict(document), allow_unicode=True, sort_keys=False))


def _print_csv(rows: Sequence[Mapping[str, Any]], shown: Sequence[Column]) -> None:
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.key for column in shown])
    writer.writerows([[_cell(row.get(column.key)) for column in shown] for row in rows])
    _write(buffer.getvalue())


def _print_table(rows: Sequence[Mapping[str, Any]], shown: Sequence[Column], *, fit: bool) -> None:
    from tabulate import tabulate

    cells = [[visible(_cell(row.get(column.key))) for column in shown] for row in rows]
    if fit and sys.stdout.isatty():
        _shorten(cells, [column.title for column in shown])
    text = tabulate(
        cells,
        headers=[column.title.upper() for column in shown],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if column.right else "left" for column in shown],
    )
    _write("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


def _shorten(cells: list[list[str]], titles: Sequence[str]) -> None:
    """Cut the widest columns until a row fits the terminal; a cut cell ends in ``…``."""
    import shutil

    room = shutil.get_terminal_size().columns - 2 * (len(titles) - 1)
    widths = [max(len(title), *(len(row[i]) for row in cells)) for i, title in enumerate(titles)]
    while sum(widths) > room and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1
    for row in cells:
        for i, width in enumerate(widths):
            if len(row[i]) > width:
                row[i] = row[i][: width - 1] + "…"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={_cell(item)}" for key, item in value.items())
    return str(value)
