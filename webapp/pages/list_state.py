"""What the list of products shows: filters, order, columns and place, read from the address and written back to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_babel import gettext
from werkzeug.datastructures import MultiDict

from prodcore.catalog import Query, Sort
from prodcore.errors import InvalidInput
from prodcore.product.model import validate
from webapp.api.list_query import FilterQuery
from webapp.pages.address import with_query
from webapp.pages.labels import ALL
from webapp.pages.locale import show_day, show_number
from webapp.pages.messages import problems_by_field
from webapp.pages.product_form import example_price

PATH = "/products"
COLUMNS = (
    "category",
    "tags",
    "sku",
    "price",
    "stock",
    "active",
    "shard",
    "version",
    "updated_at",
    "updated_by",
    "created_at",
)
DEFAULT_COLUMNS = ("category", "price", "stock", "shard")
SORTED_BY = {"name": "name", "price": "price", "stock": "stock", "updated_at": "updated", "created_at": "created"}
"""The columns that a list can be sorted by, and how the order is called."""

_ALWAYS = ("id", "name", "variant", "active", "version", "currency", "shard")
_NEWEST_FIRST = ("updated", "created")
_RANGES = {"price_min": "≥", "price_max": "≤", "stock_min": "≥", "stock_max": "≤"}

Given = dict[str, Any]
"""The filters and the order that are given, as texts; ``tag`` is a list of them."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is active, in words, and the address of the list without it."""

    label: str
    value: str
    without: str


@dataclass(frozen=True, slots=True)
class ListState:
    """A list as its address describes it."""

    given: Given
    query: Query | None
    """None where a filter means nothing: ``problems`` says why."""
    columns: tuple[str, ...]
    cursor: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a product that the list shows."""
        return tuple(dict.fromkeys((*_ALWAYS, *self.columns)))

    @property
    def sort(self) -> Sort:
        """The order."""
        return self.query.sort if self.query else Sort()

    @property
    def filters(self) -> Given:
        """What is given but the search and the order."""
        return {name: value for name, value in self.given.items() if name not in ("search", "sort")}

    def url(self, path: str = PATH, /, **changes: Any) -> str:
        """The address of this list with other values; None takes one away. A place in the list is not kept."""
        columns = ",".join(self.columns) if self.columns != DEFAULT_COLUMNS else None
        return with_query(path, **{**self.given, "columns": columns or ("name" if columns == "" else None), **changes})

    def cleared(self) -> str:
        """The address of this list without filters, and without what means nothing."""
        without: Given = dict.fromkeys([*self.filters, *self.problems])
        return self.url(**without)

    def direction(self, column: str) -> str:
        """How the list is sorted by a column, in ARIA's words; empty where it is not."""
        if self.sort.by != SORTED_BY.get(column):
            return ""
        return "descending" if self.sort.descending else "ascending"

    def sorted_by(self, column: str) -> str:
        """The address of the list sorted by a column, the other way round where it is already."""
        by = SORTED_BY[column]
        down = not self.sort.descending if self.sort.by == by else by in _NEWEST_FIRST
        sort = f"-{by}" if down else by
        return self.url(sort=None if sort == "name" else sort)

    def chips(self) -> list[Chip]:
        """The active filters."""
        return [
            Chip(_label(name), self._said(name, value), self._without(name, value))
            for name, values in self.filters.items()
            for value in (values if isinstance(values, list) else [values])
        ]

    def _without(self, name: str, value: str) -> str:
        kept = self.given[name]
        without: Given = {name: [tag for tag in kept if tag != value] if isinstance(kept, list) else None}
        return self.url(**without)

    def _said(self, name: str, value: str) -> str:
        if name in self.problems or self.query is None:
            return value
        if name in _RANGES:
            return f"{_RANGES[name]} {show_number(getattr(self.query, name))}"
        if name == "active":
            return str(gettext("active") if self.query.active else gettext("not active"))
        since: datetime | None = self.query.updated_since
        return show_day(since) if name == "updated_since" and since else value


def read_state(args: MultiDict[str, str], preferred: str | None = None) -> ListState:
    """The list that an address asks for; ``preferred`` columns where it names none."""
    given = _given(args)
    columns = _columns(args.getlist("columns") or [preferred or ""])
    try:
        return ListState(given, validate(FilterQuery, given).query(), columns, args.get("cursor", ""))
    except InvalidInput as error:
        return ListState(given, None, columns, problems=problems_by_field(error, price_example=example_price()))


def _given(args: MultiDict[str, str]) -> Given:
    given: Given = {}
    for name in FilterQuery.model_fields:
        values = [value.strip() for value in args.getlist(name) if value.strip()]
        if values:
            given[name] = list(dict.fromkeys(values)) if name == "tag" else values[0]
    if given.get("sort") == "name":
        del given["sort"]
    return given


def _columns(values: list[str]) -> tuple[str, ...]:
    wanted = {name for value in values for name in value.split(",")}
    return tuple(name for name in COLUMNS if name in wanted) if wanted != {""} else DEFAULT_COLUMNS


def _label(name: str) -> str:
    field_name = {"tag": "tags"}.get(name, name.removesuffix("_min").removesuffix("_max"))
    return str(ALL["column_names"].get(field_name, field_name))
