"""How a file to import is to be read, as the command line says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


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


patience_option = click.option(
    "--patience",
    type=click.FloatRange(0, 3600),
    default=60,
    show_default=True,
    help="Seconds to wait while nothing moves.",
)


def reading_options(command: F) -> F:
    """Add them; the command hands ``by``, ``locale``, ``delimiter``, ``encoding`` and ``mapping`` on to ``Reading``."""
    options = (
        click.option(
            "--by",
            type=click.Choice(["name", "sku"]),
            default="name",
            show_default=True,
            help="How a row finds its product: by name and variant, or by SKU.",
        ),
        click.option(
            "--locale",
            type=click.Choice(["es", "en"]),
            help="How numbers look.  [default: either, where a number can mean only one thing]",
        ),
        click.option(
            "--delimiter", default="", callback=_delimiter, help="Between cells: a character, or tab.  [default: found]"
        ),
        click.option("--encoding", default="", callback=_encoding, help="Such as utf-8 or cp1252.  [default: found]"),
        click.option(
            "--map", "mapping", multiple=True, callback=_mapping, metavar="COLUMN=FIELD", help="What a column gives."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
