"""Ask before something is lost."""

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
