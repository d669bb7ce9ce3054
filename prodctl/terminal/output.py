"""The only way to stdout, and the one translator from errors to exit statuses.

Data goes to stdout in the format that ``-o`` asks for; everything else (progress, hints, errors) goes to stderr.
Only ``table`` and ``wide`` are for people: they fit the terminal or are complete, and show no character that could
steer a terminal. ``json``, ``yaml`` and ``csv`` are an API.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import click

from prodcore.errors import EXIT_INTERRUPTED, EXIT_OK, ConfigError, InvalidInput, ProdError
from prodctl.terminal.rows import SCHEMA_VERSION, Column, print_document, readable, row_writer, visible

__all__ = ["row_writer", "visible"]  # from here too: a command needs one module for its output

FORMATS = ("table", "wide", "json", "yaml", "csv")

F = TypeVar("F", bound=Callable[..., Any])


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
    writer = row_writer(shown, output, kind, empty)
    writer.add(list(rows))
    writer.finish(extra or {})


def print_item(item: Mapping[str, Any], output: str, *, kind: str) -> None:
    """Print one thing: a field a line for people."""
    if output in ("json", "yaml"):
        print_document({"schema_version": SCHEMA_VERSION, "kind": kind, **item}, output)
    elif output == "csv":
        print_rows([item], [Column(key, key) for key in item], output, kind=kind)
    else:
        width = max(map(len, item), default=0)
        for key, value in item.items():
            shown = visible(readable(value), keep_lines=True).replace("\n", "\n" + " " * (width + 2))
            print_text(f"{key.replace('_', ' '):<{width}}  {shown}".rstrip())


def print_text(text: str) -> None:
    """Print text that is the answer itself."""
    click.echo(text, nl=not text.endswith("\n"))


def message(text: str) -> None:
    """Tell the person something; not part of the data."""
    click.echo(visible(text, keep_lines=True), err=True)


def warn_if_stale(shards: Collection[str]) -> None:
    """Say on stderr that what is printed may be out of date, if it may."""
    if shards:
        message(f"{', '.join(sorted(shards))} without a majority: this may be out of date.")


def success(text: str, output: str = "table") -> None:
    """Say what was done; silent where a program reads."""
    if output in ("table", "wide"):
        message(text)


def run_and_exit(command: click.Command, argv: list[str] | None = None) -> NoReturn:
    """Run ``command`` and leave the process with the documented exit status."""
    try:
        status = command.main(argv, standalone_mode=False)
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001  the door: whatever came this far becomes a sentence and a status
        status = _report(error)
    except KeyboardInterrupt:
        status = _interrupted()
    except SystemExit:  # click's own way out: it has completed a word, or the reader of our pipe has gone
        status = EXIT_OK
    _leave(status if isinstance(status, int) else EXIT_OK)


def _report(error: Exception) -> int:
    if isinstance(error, ProdError):
        _report_own(error)
        return error.exit_status
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, click.Abort):
        return _interrupted()
    if isinstance(error, BrokenPipeError):  # the reader has seen enough
        return EXIT_OK
    if _debugging():
        raise error
    click.echo(f"Error: something unexpected went wrong ({type(error).__name__}: {visible(str(error))})", err=True)
    click.echo("Hint:  run it again as prodctl --debug …, and report what it prints", err=True)
    return 1


def _report_own(error: ProdError) -> None:
    """A sentence, or a line for each of several problems; then the hint."""
    problems = error.problems if isinstance(error, InvalidInput | ConfigError) else ()
    several = len(problems) > 1
    click.echo(f"Error: {error.title if several else visible(error.message, keep_lines=True)}", err=True)
    for problem in problems if several else ():
        click.echo(f"  {visible(f'{problem.field}: ' if problem.field else '')}{visible(problem.message)}", err=True)
    if error.hint:
        click.echo(f"Hint:  {visible(error.hint, keep_lines=True)}", err=True)


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
