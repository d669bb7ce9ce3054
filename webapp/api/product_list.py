"""``GET /api/v1/products``: pages of products."""

from __future__ import annotations

from urllib.parse import urlencode

from apiflask import APIBlueprint
from flask import Response, request

from prodcore.product.model import SHOWN, show_fields
from prodcore.web import json_response
from webapp.api.list_query import PageQuery
from webapp.api.models import PageOut
from webapp.live.catalog_provider import current_catalog
from webapp.staleness import refuse_stale, stale_shards

blueprint = APIBlueprint("product_list", __name__, tag="Products")


@blueprint.get("/products")
@blueprint.input(PageQuery, location="query")
@blueprint.output(PageOut)
@blueprint.doc(summary="List products", security="bearer")
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
