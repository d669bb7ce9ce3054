"""Looking at products: the list with search, filters, order and pages; one product; where a name would go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apiflask import APIBlueprint
from flask import make_response, render_template, request
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from prodcore.catalog import Catalog, Page
from prodcore.catalog.catalog import ShardCount
from prodcore.catalog.listing import Cursor, encode_cursor
from prodcore.catalog.stores import EVERYTHING
from prodcore.errors import InvalidCursor, InvalidInput, QueryTooBroad, UnroutableName
from prodcore.routing import LAST, fold
from webapp.live.catalog_provider import current_catalog
from webapp.pages.errors import is_partial
from webapp.pages.list_state import COLUMNS, DEFAULT_COLUMNS, SORTED_BY, ListState, read_state
from webapp.pages.messages import problems_by_field
from webapp.pages.preferences import COLUMNS_COOKIE, remember
from webapp.pages.product_export import FORMATS

blueprint = APIBlueprint("products", __name__, enable_openapi=False)

PAGE_SIZE = 50
_LETTERS = "abcdefghijklmnñopqrstuvwxyz"
_NOTHING: Page[dict[str, Any]] = Page((), None)


@dataclass(frozen=True, slots=True)
class Jump:
    """A letter to jump to: the shard that owns it, and the cursor just before it."""

    letter: str
    shard: str
    cursor: str


@blueprint.get("/products")
def listing() -> Response | tuple[str, int]:
    """A page of products. The whole state is in the address, which says no more than it must."""
    catalog = current_catalog()
    state = read_state(request.args, request.cookies.get(COLUMNS_COOKIE))
    if is_partial():
        answer = make_response(render_template("products/results.html", **_results(catalog, state)))
        answer.headers["HX-Replace-Url"] = state.url()
        return answer
    if _came_from_form():
        return _remembered(state, redirect(state.url(), 303))
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


def _results(catalog: Catalog, state: ListState) -> dict[str, Any]:
    """The page of the list, or why there is none."""
    problems, too_broad, page = dict(state.problems), False, _NOTHING
    if state.query:
        try:
            page = catalog.rows(state.query, cursor=state.cursor or None, limit=PAGE_SIZE, fields=state.fields)
        except InvalidCursor:
            raise
        except QueryTooBroad:
            too_broad = True
        except InvalidInput as error:
            problems = problems_by_field(error)
    return {
        "state": state,
        "page": page,
        "problems": problems,
        "too_broad": too_broad,
        "jumps": jumps(catalog) if state.query == EVERYTHING else [],
        "shards": catalog.shard_map.shards,
        "all_columns": COLUMNS,
        "sorted_by": SORTED_BY,
        "formats": FORMATS,
    }


def _came_from_form() -> bool:
    """Whether the address has what a form sends and a link does not: empty fields, a column a parameter."""
    given = dict(request.args.lists())
    return len(given.get("columns", [])) > 1 or any("" in values for values in given.values())


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
