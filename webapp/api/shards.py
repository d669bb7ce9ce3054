"""``/api/v1/shards``: which shard owns what."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response

from prodcore.routing import show_key
from prodcore.web import json_response
from webapp.api.models import RouteOut, ShardsOut, WhereQuery
from webapp.live.catalog_provider import current_catalog

blueprint = APIBlueprint("shards", __name__, tag="Shards")


@blueprint.get("/shards")
@blueprint.output(ShardsOut)
@blueprint.doc(summary="List the shards", security="bearer")
def list_shards() -> Response:
    """Each shard with its ranges and how many products it holds."""
    catalog = current_catalog()
    items = [{"shard": c.shard, "ranges": list(c.ranges), "products": c.products} for c in catalog.counts()]
    return json_response({"items": items, "map_version": catalog.shard_map.version})


@blueprint.get("/shards/where")
@blueprint.input(WhereQuery, location="query")
@blueprint.output(RouteOut)
@blueprint.doc(summary="Explain where a name goes", security="bearer", responses=[422])
def where(query_data: WhereQuery) -> Response:
    """Which shard a name belongs to, and why."""
    route = current_catalog().where(query_data.name)
    return json_response(
        {
            "name": route.name,
            "key": show_key(route.key),
            "shard": route.shard,
            "range": str(route.range),
            "reason": route.reason,
        }
    )
