"""The list of products: its address read and written back, the page with filters and order, and the file of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.util import find_spec
from itertools import chain
from typing import IO, Any, cast

from apiflask import APIBlueprint
from flask import Response, make_response, render_template, request, send_file, url_for
from flask_babel import gettext
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.utils import redirect

from prodcore.catalog import Catalog, Page, Query, ShardCount, Sort
from prodcore.catalog.finding import (
    Facets,
    Matches,
    count_matches,
    cursor_before,
    facets,
    other_spellings,
    whole_list,
    with_code,
)
from prodcore.catalog.listing import Cursor, encode_cursor
from prodcore.catalog.stores import EVERYTHING
from prodcore.catalog.views import EVERYBODY, MAX_VIEW_NAME, Views
from prodcore.deadline import budget
from prodcore.errors import InvalidCursor, InvalidInput, QueryTooBroad, ShardNotFound, Unavailable, UnroutableName
from prodcore.product.fields import LISTED
from prodcore.routing import LAST, fold
from prodcore.support.validation import validate
from prodcore.tabular.export import XlsxBook, as_csv, as_ndjson, csv_head
from webapp.api.listing import FilterQuery
from webapp.identity.caller import required_identity
from webapp.live import current_catalog
from webapp.pages.errors import error_text, problems_by_field
from webapp.pages.forms import is_partial, with_query
from webapp.pages.labels import ALL
from webapp.pages.language import COLUMNS_COOKIE, remember, remembered, show_day, show_number
from webapp.pages.product_form import example_price

blueprint = APIBlueprint("products", __name__, enable_openapi=False)

PATH = "/products"
COLUMNS = (*(row.name for row in LISTED), "shard", "version", "updated_at", "updated_by", "created_at")
DEFAULT_COLUMNS = ("category", "price", "stock", "shard")
SORTED_BY = {"name": "name", "price": "price", "stock": "stock", "updated_at": "updated", "created_at": "created"}
"""The columns that a list can be sorted by, and how the order is called."""

_ALWAYS = ("id", "name", "variant", "active", "version", "currency", "shard")
_NEWEST_FIRST = ("updated", "created")
_RANGES = {"price_min": "≥", "price_max": "≤", "stock_min": "≥", "stock_max": "≤"}

Given = dict[str, Any]
"""The filters and the order that are given, as texts; ``tag`` is a list of them."""

PAGE_SIZES = (25, 50, 100, 200)
PAGE_SIZE = 50
_LETTERS = "abcdefghijklmnñopqrstuvwxyz"
_NOTHING: Page[dict[str, Any]] = Page((), None)
MOST_ROWS = 50_000
"""Of a workbook, which is sent when it is whole."""
_PAGE_SECONDS = 15.0
_VIEWS_SECONDS = 0.5
FORMATS = ("csv", "ndjson", "xlsx") if find_spec("openpyxl") else ("csv", "ndjson")
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
Pages = Iterator[list[dict[str, Any]]]


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
    size: int = PAGE_SIZE
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
        size = self.size if self.size != PAGE_SIZE else None
        kept = {"columns": columns or ("name" if columns == "" else None), "size": size}
        return with_query(path, **{**self.given, **kept, **changes})

    @property
    def kept(self) -> str:
        """What a saved view keeps of this list: its filters, its order and how many there are on a page."""
        return self.url(columns=None).partition("?")[2]

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

    def narrowed(self, name: str, value: str) -> str:
        """The address of the list with a category, or with one tag more."""
        return self.url(**{name: [*self.given.get("tag", ()), value] if name == "tag" else value})

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
    size = next((size for size in PAGE_SIZES if args.get("size") == str(size)), PAGE_SIZE)
    try:
        return ListState(given, validate(FilterQuery, given).query(), columns, args.get("cursor", ""), size)
    except InvalidInput as error:
        problems = problems_by_field(error, price_example=example_price())
        return ListState(given, None, columns, size=size, problems=problems)


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


@dataclass(frozen=True, slots=True)
class Jump:
    """A letter to jump to: the shard that owns it, and the cursor just before it."""

    letter: str
    shard: str
    cursor: str


@blueprint.get("/products")
def listing() -> Response | tuple[str, int]:
    """A page of products. The whole state is in the address, which says no more than it must.

    ``before`` leads to the page that ends where it says; ``go``, as the search's button sends it, leads to the one
    product whose SKU or barcode was typed.
    """
    catalog = current_catalog()
    state = read_state(request.args, remembered(COLUMNS_COOKIE))
    if is_partial():
        answer = make_response(render_template("products/results.html", **_results(catalog, state)))
        answer.headers["HX-Replace-Url"] = state.url()
        return answer
    if before := request.args.get("before"):
        cursor = cursor_before(catalog, state.query, before, state.size) if state.query else None
        return make_response(redirect(state.url(cursor=cursor), 303))
    if _came_from_form():
        return _remembered(state, make_response(redirect(_led_to(catalog, state), 303)))
    context = _results(catalog, state)
    counts = catalog.counts()
    page = render_template("products/list.html", counts=counts, total=_total(counts), **context)
    return page, 422 if context["problems"] else 200


@blueprint.get("/products/where")
def where() -> str:
    """A line under the name field: which shard this name belongs to, and whether that means a move."""
    try:
        route = current_catalog().where(request.args.get("name", ""))
    except UnroutableName:
        route = None
    return render_template("products/where.html", route=route, lives_in=request.args.get("shard", ""))


@blueprint.get("/products/facets")
def narrow() -> str:
    """By which categories and tags a list can be narrowed: a part of the list, and a page without a script."""
    state = read_state(request.args, remembered(COLUMNS_COOKIE))
    found = facets(current_catalog(), state.query) if state.query else Facets()
    template = "products/facets.html" if is_partial() else "products/facets_page.html"
    return render_template(template, state=state, facets=found)


def _results(catalog: Catalog, state: ListState) -> dict[str, Any]:
    """The page of the list, or why there is none."""
    problems, too_broad, page = dict(state.problems), False, _NOTHING
    if state.query:
        try:
            page = catalog.rows(state.query, cursor=state.cursor or None, limit=state.size, fields=state.fields)
        except InvalidCursor:
            raise
        except QueryTooBroad:
            too_broad = True
        except InvalidInput as error:
            problems = problems_by_field(error)
        except ShardNotFound as error:
            problems = {"shard": error_text(error, error.http_status)[0]}
    matches = _matches(catalog, state, page)
    own, shared = _views(catalog)
    exact = [] if state.cursor else with_code(catalog, state.given.get("search", ""), state.fields)
    codes = {values["id"] for values in exact}
    nothing = state.given.get("search") and not (page.items or page.unavailable or too_broad or state.cursor or exact)
    return {
        "state": state,
        "page": replace(page, items=(*exact, *(values for values in page.items if values["id"] not in codes))),
        "exact": codes,
        "matches": matches,
        "own_views": own,
        "shared_views": shared,
        "most_letters": MAX_VIEW_NAME,
        "instead": other_spellings(catalog, state.query) if nothing and state.query else [],
        "page_sizes": PAGE_SIZES,
        "problems": problems,
        "too_broad": too_broad,
        "jumps": jumps(catalog) if state.query == EVERYTHING else [],
        "shards": catalog.shards,
        "all_columns": COLUMNS,
        "sorted_by": SORTED_BY,
        "formats": FORMATS,
    }


def _views(catalog: Catalog) -> tuple[Views | None, Views]:
    """The user's own saved views and those of everybody; None where they cannot be read just now."""
    with suppress(Unavailable), budget(_VIEWS_SECONDS):
        own, shared = catalog.views.of(required_identity().user_id, EVERYBODY)
        return own, shared
    return None, ()


def _matches(catalog: Catalog, state: ListState, page: Page[dict[str, Any]]) -> Matches | None:
    """How many products a search or a filter finds; None for the whole catalogue, and where that is not known."""
    if state.query is None or not (state.given.get("search") or state.filters) or not page.items or page.unavailable:
        return None
    if not (state.cursor or page.next_cursor):
        return Matches(len(page.items))
    return count_matches(catalog, state.query)


def _led_to(catalog: Catalog, state: ListState) -> str:
    """Where the form of the list leads: to the list, or to the only product that has the code which was typed."""
    if "go" in request.args and not state.filters:
        found = with_code(catalog, state.given.get("search", ""), ("id",))
        if len(found) == 1:
            return url_for("pages.product.show", product_id=found[0]["id"])
    return state.url()


def _came_from_form() -> bool:
    """Whether the address has what a form sends and a link does not: its button, empty fields, a column a parameter."""
    given = dict(request.args.lists())
    return "go" in given or len(given.get("columns", [])) > 1 or any("" in values for values in given.values())


def _remembered(state: ListState, answer: Response) -> Response:
    """Keep the choice of columns for addresses that name none."""
    if request.args.getlist("columns"):
        columns = ",".join(state.columns) or "name"
        remember(answer, COLUMNS_COOKIE, "" if state.columns == DEFAULT_COLUMNS else columns)
    return answer


def jumps(catalog: Catalog) -> list[Jump]:
    """The letters, each in the colour of the shard that owns it."""
    return [
        Jump(letter, catalog.shard_map.shard_for(fold(letter)), _cursor_before(fold(letter))) for letter in _LETTERS
    ]


def _cursor_before(key: str) -> str:
    return encode_cursor(Cursor((_just_before(key), "")), EVERYTHING)


def _just_before(key: str) -> str:
    """A key that sorts before every name that begins with ``key``, and after all that come earlier.

    It ends in noncharacters, which no name's key holds in that place.
    """
    if key.endswith(LAST):  # ñ
        return key[:-1] + chr(ord(LAST) - 1)
    return chr(ord(key) - 1) + LAST * 2


def _total(counts: list[ShardCount]) -> int | None:
    """All products, None while a shard does not say."""
    known = [c.products for c in counts if c.products is not None]
    return sum(known) if len(known) == len(counts) else None


@blueprint.get("/products/export")
def export() -> Response:
    """The whole list, or an error: a file is never silently short."""
    chosen = request.args.get("format", "")
    query = read_state(request.args).query
    if chosen not in FORMATS or query is None:
        raise BadRequest
    pages = whole_list(current_catalog(), query, _PAGE_SECONDS)
    name = f"products.{chosen}"
    if chosen == "xlsx":
        # In a context of its own: the time for a page of this site is not enough for a workbook.
        file = Context().run(_workbook, pages, gettext("An Excel export holds at most 50,000 products: use CSV."))
        return send_file(file, _TYPES[chosen], as_attachment=True, download_name=name)
    first = next(pages)  # what can be refused is refused before the answer begins
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(_written(chosen, chain([first], pages)), headers=headers, content_type=_TYPES[chosen])


def _written(chosen: str, pages: Pages) -> Iterator[bytes]:
    if chosen == "csv":
        yield b"\xef\xbb\xbf" + csv_head()  # so that spreadsheets read it as UTF-8
    for page in pages:
        yield as_csv(page) if chosen == "csv" else as_ndjson(page)


def _workbook(pages: Pages, too_many: str) -> IO[bytes]:
    book, rows = XlsxBook(), 0
    for page in pages:
        rows += len(page)
        if rows > MOST_ROWS:
            raise InvalidInput(too_many)
        book.add(page)
    file = cast("IO[bytes]", tempfile.TemporaryFile())  # noqa: SIM115  sent and closed by the answer
    book.save(file)
    file.seek(0)
    return file
