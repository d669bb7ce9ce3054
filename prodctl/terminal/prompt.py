"""What people are asked and see meanwhile: a confirmation, a name, a password, how far a long piece of work is.

Secrets also come from stdin or a file, never from argv. All of it is on stderr.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from prodcore.errors import EXIT_INTERRUPTED, InvalidInput
from prodctl.terminal.output import message, visible

F = TypeVar("F", bound=Callable[..., Any])


def confirm_options(command: F) -> F:
    """Add ``--yes`` and ``--no-input``; the command hands both to ``confirm``."""
    yes = click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
    return yes(click.option("--no-input", is_flag=True, help="Never ask: fail where --yes would be needed.")(command))


def confirm(question: str, *, yes: bool, no_input: bool) -> None:
    """Return when the person agrees; leaves with status 130 when not.

    Raises InvalidInput where nobody can be asked: with ``--no-input``, or when stdin is not a terminal.
    """
    if yes:
        return
    require_terminal(no_input=no_input)
    with _asked():
        agreed = click.confirm(visible(question), err=True)
    if not agreed:
        message("Nothing was done.")
        raise click.exceptions.Exit(EXIT_INTERRUPTED)


def typed(question: str) -> str:
    """What somebody types at a question that asks for a certain word."""
    with _asked():
        answer: str = click.prompt(question, default="", show_default=False, err=True)
    return answer.strip()


@contextmanager
def _asked() -> Iterator[None]:
    """Whoever interrupts a question reads on a line of its own that nothing was done."""
    try:
        yield
    except click.Abort as abort:
        click.echo(err=True)
        abort.add_note("Nothing was done.")
        raise


def require_terminal(*, no_input: bool) -> None:
    """Raise InvalidInput where no confirmation can be asked for."""
    if no_input or not sys.stdin.isatty():
        raise InvalidInput(
            "this needs confirmation, but the input is not interactive", hint="pass --yes to go ahead without asking"
        )


def from_stdin(what: str) -> str:
    """The next line of stdin. Raises InvalidInput at its end."""
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise InvalidInput(f"stdin ends before the {what}", hint="give it on stdin, one line each")
    return line


def from_file(path: str, what: str) -> str:
    """The first line of a file; ``-`` is stdin. Raises InvalidInput."""
    if path == "-":
        return from_stdin(what)
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  a name that a person typed
            line = file.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {type(error).__name__}") from None
    if not line:
        raise InvalidInput(f"{path} holds no {what}")
    return line


def ask_secret(what: str, *, twice: bool = False, hint: str = "") -> str:
    """Ask on the terminal, showing nothing. Raises InvalidInput where there is no terminal to ask on."""
    if not sys.stdin.isatty():
        raise InvalidInput(f"the {what} is missing, but the input is not interactive", hint=hint)
    with _asked():
        answer: str = click.prompt(what.capitalize(), hide_input=True, confirmation_prompt=twice, err=True)
    return answer


def ask(what: str, *, default: str | None = None, hint: str = "") -> str:
    """Ask on the terminal. Raises InvalidInput where there is no terminal to ask on."""
    if not sys.stdin.isatty():
        raise InvalidInput(f"the {what} is missing, but the input is not interactive", hint=hint)
    with _asked():
        answer: str = click.prompt(what.capitalize(), default=default, err=True)
    return answer


_SECONDS_BETWEEN_LINES = 5.0

Tell = Callable[[int], None]
"""Told how many rows are done so far."""


@contextmanager
def row_progress(position: Callable[[], int], total: int | None, noun: str = "rows") -> Iterator[Tell]:
    """Show rows as they get done. ``position`` out of ``total`` says how far the input is read; None: no end known."""
    if sys.stderr.isatty():
        with _bar(position, total, noun) as tell:
            yield tell
    else:
        yield _lines(position, total, noun)


@contextmanager
def _bar(position: Callable[[], int], total: int | None, noun: str) -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    shown = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} " + noun),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*shown, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("import", total=total, rows=0, rate=0)

        def tell(rows: int) -> None:
            rate = rows / max(time.monotonic() - started, 0.001)
            progress.update(task, completed=position(), rows=rows, rate=rate)

        yield tell


def _lines(position: Callable[[], int], total: int | None, noun: str) -> Tell:
    started = told = time.monotonic()

    def tell(rows: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _SECONDS_BETWEEN_LINES:
            told = now
            share = f"{position() / total:.0%}, " if total else ""
            message(f"{share}{rows:,} {noun}, {rows / (now - started):,.0f} a second")

    return tell
