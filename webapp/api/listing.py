"""``GET /api/v1/products`` and ``…/export``: the query string of a list; a page of it, or all of it as one file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from prodcore.catalog import Query, Sort, search_words
from prodcore.catalog.finding import whole_list
from prodcore.catalog.listing import MAX_PAGE
from prodcore.catalog.stores import MAX_SEARCH_LENGTH, SORTS
from prodcore.product.fields import FILTERED, MAX_STOCK
from prodcore.product.model import SHOWN, Price, show_fields
from prodcore.support.validation import Moment, WholeNumber
from prodcore.tabular.export import as_csv, as_ndjson, csv_head
from prodcore.web import json_response
from webapp.api.products import ProductOut
from webapp.live import current_catalog
from webapp.security import refuse_stale, stale_shards

blueprint = APIBlueprint("listing", __name__, tag="Products")

_Tag = Annotated[str, Field(min_length=1, max_length=50)]
_SAME = ("category", "price_min", "price_max", "stock_min", "stock_max", "active", "shard", "updated_since")
EXPORT = "listing.export_products"
TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
_PAGE_SECONDS = 15.0
_ANSWERS: dict[int | str, Any] = {
    200: {
        "description": "The file. If the connection ends before the file does, it is incomplete",
        "content": {kind: {"schema": {"type": "string"}} for kind in TYPES.values()},
    },
    404: "There is no such shard",
}


class ListedProduct(ProductOut):
    """A product, or those of its fields that were asked for."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.pop("required"))


class PageOut(BaseModel):
    """A page; partial when a shard did not answer, stale where one has lost its majority and may be out of date."""

    items: list[ListedProduct]
    next_cursor: str | None
    partial: bool
    unavailable: list[str]
    stale: list[str]


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _fields(value: str) -> str:
    unknown = [name for name in value.split(",") if name not in SHOWN]
    if unknown:
        raise PydanticCustomError(
            "unknown_field", "must be names of fields with commas between: {names}", {"names": ", ".join(SHOWN)}
        )
    return value


_CODES: dict[str, Any] = {
    row.name: (str | None, Field(None, max_length=row.max_length, description="Exactly this")) for row in FILTERED
}
_codes: Any = create_model("_Codes", **_CODES)


class FilterQuery(_codes):  # type: ignore[misc]  # and what the table of fields says
    """Which products. Texts become numbers, unknown names are refused; all filters must hold, bounds are inclusive."""

    model_config = ConfigDict(extra="forbid")

    search: str = Field(
        "",
        max_length=MAX_SEARCH_LENGTH,
        description="Folded beginnings of words; all must match. One or two letters alone: of the name, or a word",
    )
    category: str | None = Field(None, max_length=100, description="Whatever the case and accents; empty: without one")
    tag: Annotated[list[_Tag], BeforeValidator(_list)] = Field([], max_length=20, description="May be repeated: all")
    price_min: Price | None = None
    price_max: Price | None = None
    stock_min: WholeNumber | None = Field(None, ge=0, le=MAX_STOCK)
    stock_max: WholeNumber | None = Field(None, ge=0, le=MAX_STOCK)
    active: bool | None = Field(None, description="Whether it is for sale")
    shard: str | None = Field(None, max_length=100, description="Of this shard only")
    updated_since: Moment | None = None
    sort: Literal[SORTS] = Field("name", description="With - before it the other way round")  # type: ignore[valid-type]

    def query(self) -> Query:
        """What it asks for."""
        return Query(
            words=search_words(self.search),
            tags=tuple(self.tag),
            sort=Sort.parse(self.sort),
            codes=tuple((row.name, row.same(given)) for row in FILTERED if (given := getattr(self, row.name))),
            **{name: getattr(self, name) for name in _SAME},
        )


class PageQuery(FilterQuery):
    """Which page of which products, and which of their fields."""

    limit: WholeNumber = Field(50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=4_000, description="next_cursor of the page before")
    fields: Annotated[str, AfterValidator(_fields)] | None = Field(
        None, max_length=500, description="Only these fields, with commas between"
    )
    require_all: bool = Field(False, description="Refuse with 503 while a shard does not answer, not a partial page")


@blueprint.get("/products")
@blueprint.input(PageQuery, location="query")
@blueprint.output(PageOut)
@blueprint.doc(summary="List products", security="bearer", responses={404: "There is no such shard"})
def list_products(query_data: PageQuery) -> Response:
    """A page over all shards, in any order; a shard that does not answer is left out and named."""
    fields = tuple(query_data.fields.split(",")) if query_data.fields else SHOWN
    page = current_catalog().rows(query_data.query(), cursor=query_data.cursor, limit=query_data.limit, fields=fields)
    if query_data.require_all:
        page.require_all()
        refuse_stale()
    headers = {}
    if page.next_cursor:
        asked = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor"]
        headers["Link"] = f'<{request.path}?{urlencode([*asked, ("cursor", page.next_cursor)])}>; rel="next"'
    return json_response(
        {
            "items": [show_fields(values) for values in page.items],
            "next_cursor": page.next_cursor,
            "partial": bool(page.unavailable),
            "unavailable": list(page.unavailable),
            "stale": stale_shards(),
        },
        headers=headers,
    )


class ExportQuery(FilterQuery):
    """Which products, and how they are written."""

    format: Literal["csv", "ndjson"] | None = Field(None, description="Without it the Accept header chooses")


@blueprint.get("/products/export")
@blueprint.input(ExportQuery, location="query")
@blueprint.doc(
    summary="Export products",
    security="bearer",
    responses=_ANSWERS,
)
def export_products(query_data: ExportQuery) -> Response:
    """Every product of the filter, or 503: a file is never silently short. Importing it changes nothing."""
    chosen = query_data.format or _accepted()
    pages = whole_list(current_catalog(), query_data.query(), _PAGE_SECONDS)
    first = next(pages)  # what can be refused is refused before the answer begins
    body = _written(chosen, chain([first], pages))
    headers = {"Content-Disposition": f'attachment; filename="products.{chosen}"'}
    return Response(body, headers=headers, content_type=f"{TYPES[chosen]}; charset=utf-8")


def _accepted() -> str:
    best = request.accept_mimetypes.best_match(TYPES.values())
    return next((name for name, kind in TYPES.items() if kind == best), "csv")


def _written(chosen: str, pages: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    if chosen == "csv":
        yield csv_head()
    for page in pages:
        yield as_csv(page) if chosen == "csv" else as_ndjson(page)
