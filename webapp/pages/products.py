"""Looking at products: the list with search and paging, one product, where a name would go."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from apiflask import APIBlueprint
from flask import render_template, request

from prodcore.catalog import Catalog, Query, search_words
from prodcore.catalog.catalog import ShardCount
from prodcore.catalog.cursor import Cursor, encode_cursor
from prodcore.catalog.query import EVERYTHING
from prodcore.errors import UnroutableName
from prodcore.routing import LAST, fold, show_key
from webapp.catalog_provider import current_catalog
from webapp.pages.errors import is_partial

blueprint = APIBlueprint("products", __name__, enable_openapi=False)

PAGE_SIZE = 50
_LETTERS = "abcdefghijklmnñopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Jump:
    """A letter to jump to: the shard that owns it, and the cursor just before it."""

    letter: str
    shard: str
    cursor: str


@blueprint.get("/products")
def listing() -> str:
    """Products in name order; the whole state is in the address: ``search`` and ``cursor``."""
    catalog = current_catalog()
    search = request.args.get("search", "").strip()
    cursor = request.args.get("cursor", "")
    page = catalog.page(Query(search_words(search)), cursor=cursor or None, limit=PAGE_SIZE)
    context = {"page": page, "search": search, "cursor": cursor, "jumps": [] if search else jumps(catalog)}
    if is_partial():
        return render_template("products/results.html", **context)
    counts = catalog.counts()
    return render_template("products/list.html", counts=counts, total=_total(counts), **context)


@blueprint.get("/products/<uuid:product_id>")
def show(product_id: UUID) -> str:
    """One product with everything that is known of it."""
    catalog = current_catalog()
    product = catalog.get(product_id)
    route = catalog.where(product.name)
    return render_template("products/show.html", product=product, route=route, key=show_key(route.key))


@blueprint.get("/products/where")
def where() -> str:
    """A line under the name field: which shard this name belongs to, and whether that means a move."""
    try:
        route = current_catalog().where(request.args.get("name", ""))
    except UnroutableName:
        route = None
    return render_template("products/where.html", route=route, lives_in=request.args.get("shard", ""))


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
