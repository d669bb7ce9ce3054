"""The options that say which products, in which order: the same for list, export and bulk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

SORTS = ("name", "-name", "price", "-price", "stock", "-stock", "updated", "-updated", "created", "-created")
"""As ``prodcore.catalog.stores`` has them; a help text must not load that much."""

FILTERS = {
    "search": click.option("--search", metavar="WORDS", help="Beginnings of words in name or variant; all must match."),
    "category": click.option("--category", help="Of this category, whatever the case and accents; '' for none."),
    "tag": click.option("--tag", multiple=True, help="With this tag; given several times: with all of them."),
    "price_min": click.option("--price-min", metavar="AMOUNT", help="At this price or above."),
    "price_max": click.option("--price-max", metavar="AMOUNT", help="At this price or below."),
    "stock_min": click.option("--stock-min", type=int, help="At least so many in stock."),
    "stock_max": click.option("--stock-max", type=int, help="At most so many in stock; 0 for what is sold out."),
    "active": click.option("--active/--inactive", default=None, help="Only what is for sale, or is not."),
    "shard": click.option("--shard", help="Of this shard only."),
    "updated_since": click.option(
        "--updated-since", metavar="TIME", help="Changed since: 2026-01-31, or 2026-01-31T08:00:00Z."
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
        "--sort", type=click.Choice(SORTS), default="name", show_default=True, help="The order; -price: dearest first."
    )(command)


def query_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The REST API's parameters for the options that were given."""
    asked = {name: given[name] for name in (*FILTERS, "sort") if given.get(name) not in (None, ())}
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in asked.items()}
