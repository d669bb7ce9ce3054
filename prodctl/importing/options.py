"""Options that several commands share: which products, in which order; how a file to import is to be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from prodcore.product.fields import BY_NAME, FILTERED, SEARCHED, Field
from prodcore.tabular.columns import TARGETS
from prodctl.terminal.arguments import Duration, Moment, Whole, complete_shards

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
    type=Duration("0s", "1h"),
    default="60s",
    show_default=True,
    help="How long to wait while nothing moves.",
)


_READING = {
    "by": click.option(
        "--by",
        type=click.Choice(["name", "sku"]),
        default="name",
        show_default=True,
        help="How a row finds its product: by name and variant, or by SKU.",
    ),
    "locale": click.option(
        "--locale",
        type=click.Choice(["es", "en"]),
        help="How numbers look.  [default: either, where a number can mean only one thing]",
    ),
    "delimiter": click.option(
        "--delimiter", default="", callback=_delimiter, help="Between cells: a character, or tab.  [default: found]"
    ),
    "encoding": click.option(
        "--encoding", default="", callback=_encoding, help="Such as utf-8 or cp1252.  [default: found]"
    ),
    "keep": click.option(
        "--on-duplicate",
        "keep",
        type=click.Choice(["refuse", "first", "last"]),
        default="refuse",
        show_default=True,
        help="Of several rows for one product that differ: refuse all but the first, or take the first or last.",
    ),
    "mapping": click.option(
        "--map",
        "mapping",
        multiple=True,
        callback=_mapping,
        metavar="COLUMN=FIELD",
        help=f"What a column gives. FIELD is one of {', '.join(TARGETS)}.",
    ),
}


def reading_options(command: F) -> F:
    """Add them; the command hands them on to ``Reading``."""
    return _with_options(command, *_READING)


def saved_options(command: F) -> F:
    """Add those that a mapping keeps."""
    return _with_options(command, "by", "locale", "delimiter", "mapping")


def _with_options(command: F, *names: str) -> F:
    for name in reversed(names):
        command = _READING[name](command)
    return command


SORTS = ("name", "-name", "price", "-price", "stock", "-stock", "updated", "-updated", "created", "-created")
"""As ``prodcore.catalog.stores`` has them; a help text must not load that much."""


def _called(row: Field) -> str:
    return row.label if row.label.isupper() else row.label.lower()


_SEARCHED = ", ".join(_called(BY_NAME[name]) for name in SEARCHED)

FILTERS = {
    "search": click.option("--search", metavar="WORDS", help=f"Beginnings of words in {_SEARCHED}; all must match."),
    "category": click.option("--category", help="Of this category, whatever the case and accents; '' for none."),
    **{row.name: click.option(f"--{row.name}", help=f"With exactly this {_called(row)}.") for row in FILTERED},
    "tag": click.option("--tag", multiple=True, help="With this tag; given several times: with all of them."),
    "price_min": click.option("--price-min", metavar="AMOUNT", help="At this price or above."),
    "price_max": click.option("--price-max", metavar="AMOUNT", help="At this price or below."),
    "stock_min": click.option("--stock-min", type=Whole(), help="At least so many in stock."),
    "stock_max": click.option("--stock-max", type=Whole(), help="At most so many in stock; 0 for what is sold out."),
    "active": click.option("--active/--inactive", default=None, help="Only what is for sale, or is not."),
    "shard": click.option("--shard", shell_complete=complete_shards, help="Of this shard only."),
    "updated_since": click.option(
        "--updated-since", type=Moment(), help="Changed since: 2026-01-31, 2026-01-31T08:00:00Z, or an age such as 24h."
    ),
}
"""By the name of the REST API's parameter, which is the name of the command's argument too."""


def filter_options(command: F) -> F:
    """Add the filters."""
    for option in reversed(FILTERS.values()):
        command = option(command)
    return command


def sort_option(command: F) -> F:
    """Add the order."""
    return click.option(
        "--sort",
        type=click.Choice(SORTS),
        metavar="[-]FIELD",
        default="name",
        show_default=True,
        help="name, price, stock, updated or created; -price: dearest first.",
    )(command)


def query_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The REST API's parameters for the options that were given."""
    asked = {name: given[name] for name in (*FILTERS, "sort") if given.get(name) not in (None, ())}
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in asked.items()}
