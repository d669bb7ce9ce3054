"""Passwords and codes on their way in: from a silent prompt, from stdin or from a file; never from argv."""

from __future__ import annotations

import sys

import click

from prodcore.errors import InvalidInput


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
