"""The only way to stdout, and the one translator from errors to exit statuses.

Data goes to stdout in the format that ``-o`` asks for; everything else (progress, hints, errors) goes to stderr.
Only ``table`` and ``wide`` are for people: they fit the terminal or are complete, and show no character that could
steer a terminal. ``json``, ``yaml`` and ``csv`` are an API.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import click

from prodcore.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_OUTPUT_LOST, ConfigError, InvalidInput, ProdError
from prodcore.replicaset.diagnostic import counted
from prodctl.terminal.rows import RAW, SCHEMA_VERSION, TableColumn, print_document, readable, row_writer
from prodctl.terminal.streams import OutputLost, prepare, tell, visible, write

__all__ = ["counted", "row_writer", "visible"]  # from here too: a command needs one module for its output

FORMATS = ("table", "wide", "json", "yaml", "csv")

F = TypeVar("F", bound=Callable[..., Any])


def output_option(command: F) -> F:
    """Add ``-o/--output``, which the command gets as ``output``, and ``--raw``."""

    def note(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        ctx.meta[RAW] = value

    how = click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to print the answer.",
    )
    raw = click.option(
        "--raw",
        is_flag=True,
        expose_value=False,
        callback=note,
        help="Leave cells of CSV as they are, formulas too.",
    )
    return how(raw(command))


def columns(*specs: str) -> tuple[TableColumn, ...]:
    """Columns from short specs: a title, ``=`` and the row's key if it is another word, and marks.

    ``>`` a number, ``+`` only in wide, ``!`` identifies (never cut or left out), ``~`` wraps where there is no room.
    """
    made = []
    for spec in specs:
        text = spec.rstrip(">+!~")
        marks = spec[len(text) :]
        title, _, key = text.partition("=")
        made.append(
            TableColumn(
                title, key or title.lower().replace(" ", "_"), "+" in marks, ">" in marks, "!" in marks, "~" in marks
            )
        )
    return tuple(made)


def print_rows(
    rows: Iterable[Mapping[str, Any]],
    shown: Sequence[TableColumn],
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
        print_rows([item], [TableColumn(key, key) for key in item], output, kind=kind)
    else:
        width = max(map(len, item), default=0)
        for key, value in item.items():
            shown = visible(readable(value), keep_lines=True).replace("\n", "\n" + " " * (width + 2))
            print_text(f"{key.replace('_', ' '):<{width}}  {shown}".rstrip())


def print_text(text: str) -> None:
    """Print text that is the answer itself."""
    write(text if text.endswith("\n") else f"{text}\n")


def message(text: str) -> None:
    """Tell the person something; not part of the data."""
    tell(visible(text, keep_lines=True))


def warn_if_stale(shards: Collection[str]) -> None:
    """Say on stderr that what is printed may be out of date, if it may."""
    if shards:
        message(f"{', '.join(sorted(shards))} without a majority: this may be out of date.")


def success(text: str, output: str = "table") -> None:
    """Say what was done; silent where a program reads."""
    if output in ("table", "wide"):
        message(text)


@contextmanager
def interrupted(what_stands: str) -> Iterator[None]:
    """Whoever interrupts what is done within is told what stands, and what goes on from there."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        interruption.add_note(what_stands)
        raise


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: everything that Ctrl-C would put in order is put in order."""

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.exit_status = 128 + signal_number


def run_and_exit(command: click.Command, argv: list[str] | None = None) -> NoReturn:
    """Run ``command`` and leave the process with the documented exit status."""
    prepare()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP, and so do we then
            signal.signal(number, _terminate)
    _leave(run(command, argv))


def run(command: click.Command, argv: list[str] | None = None) -> int:
    """Run ``command``, whatever becomes of it; the documented exit status."""
    try:
        status = command.main(argv, standalone_mode=False)
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001  the door: whatever came this far becomes a sentence and a status
        status = _report(error)
    except KeyboardInterrupt as interruption:
        status = _report_interruption(interruption)
    except SystemExit:  # click's own way out: it has completed a word, or the reader of our pipe has gone
        status = EXIT_OK
    return status if isinstance(status, int) else EXIT_OK


def _terminate(number: int, _frame: object) -> NoReturn:
    raise Terminated(number)


def _report(error: Exception) -> int:
    if isinstance(error, ProdError):
        _report_own(error)
        return error.exit_status
    if isinstance(error, OutputLost):
        return _report_lost(error)
    if isinstance(error, click.ClickException):
        error.show(sys.stderr)
        return error.exit_code
    if isinstance(error, click.Abort):  # what click makes of Ctrl-C, and of the end of stdin at a question
        return _report_interruption(error.__cause__ if isinstance(error.__cause__, KeyboardInterrupt) else error)
    if isinstance(error, BrokenPipeError):  # the reader has seen enough
        return EXIT_OK
    if _debugging():
        raise error
    tell(f"Error: something unexpected went wrong ({type(error).__name__}: {visible(str(error))})")
    tell("Hint:  run it again as prodctl --debug …, and report what it prints")
    return 1


def _report_own(error: ProdError) -> None:
    """A sentence, or a line for each of several problems; then the hint."""
    problems = error.problems if isinstance(error, InvalidInput | ConfigError) else ()
    several = len(problems) > 1
    tell(f"Error: {error.title if several else visible(error.message, keep_lines=True)}")
    for problem in problems if several else ():
        tell(f"  {visible(f'{problem.field}: ' if problem.field else '')}{visible(problem.message)}")
    if error.hint:
        tell(f"Hint:  {visible(error.hint, keep_lines=True)}")


def _report_lost(error: OutputLost) -> int:
    tell(f"Error: the output could not be written: {error}")
    tell("Hint:  what the command changed stays changed; only its output is lost")
    return EXIT_OUTPUT_LOST


def _report_interruption(interruption: BaseException) -> int:
    """That it ended, and what its notes say: what stands, and how to go on."""
    terminated = isinstance(interruption, Terminated)
    tell("Terminated." if terminated else "Interrupted.")
    for note in getattr(interruption, "__notes__", ()):
        tell(visible(note, keep_lines=True))
    return interruption.exit_status if isinstance(interruption, Terminated) else EXIT_INTERRUPTED


def _debugging() -> bool:
    return "--debug" in sys.argv or bool(os.environ.get("PRODCTL_DEBUG"))


def _leave(status: int) -> NoReturn:
    """Leave at once: the driver's background threads would keep the process for half a second."""
    try:
        sys.stdout.flush()
    except OutputLost as error:
        status = status if status == EXIT_OUTPUT_LOST else _report_lost(error)
    except BrokenPipeError:
        pass
    sys.stderr.flush()
    os._exit(status)
