"""``GET /api/v1/products/export``: all products of a filter, as one file that is sent while it is read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Literal

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import Field

from prodcore.catalog.catalog import whole_list
from prodcore.tabular.export import as_csv, as_ndjson, csv_head
from webapp.api.list_query import FilterQuery
from webapp.live.catalog_provider import current_catalog

blueprint = APIBlueprint("product_export", __name__, tag="Products")

ENDPOINT = "product_export.export_products"
TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
_PAGE_SECONDS = 15.0
_ANSWERS: dict[int | str, Any] = {
    200: {
        "description": "The file. When the connection is cut off before its end, not all of it was read",
        "content": {kind: {"schema": {"type": "string"}} for kind in TYPES.values()},
    },
}


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
