"""What is asked: a confirmation, a name, a password. Secrets also come from stdin or a file, never from argv."""

from __future__ import annotations

import sys
from collections.abc import Callable
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
    if no_input or not sys.stdin.isatty():
        raise InvalidInput("this needs a confirmation, and there is nobody to ask", hint="give --yes to do it unasked")
    if not click.confirm(visible(question), err=True):
        message("Nothing was done.")
        raise click.exceptions.Exit(EXIT_INTERRUPTED)


def from_stdin(what: str) -> str:
    """The next line of stdin. Raises InvalidInput at its end."""
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise InvalidInput(f"stdin holds no {what}")
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
        raise InvalidInput(f"the {what} is missing, and there is nobody to ask", hint=hint)
    answer: str = click.prompt(what.capitalize(), hide_input=True, confirmation_prompt=twice, err=True)
    return answer


def ask(what: str, *, default: str | None = None, hint: str = "") -> str:
    """Ask on the terminal. Raises InvalidInput where there is no terminal to ask on."""
    if not sys.stdin.isatty():
        raise InvalidInput(f"the {what} is missing, and there is nobody to ask", hint=hint)
    answer: str = click.prompt(what.capitalize(), default=default, err=True)
    return answer
