"""``/api/v1/cluster`` and ``/api/v1/shards``: the replica sets, member by member; which shard owns what."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from prodcore.replicaset.cluster import status_document
from prodcore.routing import show_key
from prodcore.web import json_response
from webapp.live import current_catalog, current_status

blueprint = APIBlueprint("cluster", __name__, tag="Cluster")


class ShardOut(BaseModel):
    """A shard; products is null while it does not answer, and approximate while many are written."""

    shard: str
    ranges: list[str]
    products: int | None
    approximate: bool


class ShardsOut(BaseModel):
    """The shards of the map."""

    items: list[ShardOut]
    map_version: int


class RouteOut(BaseModel):
    """Where a name goes, and why."""

    name: str
    key: str
    shard: str
    range: str
    reason: str


class WhereQuery(BaseModel):
    """A name to route."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=1000)


@blueprint.get("/cluster")
@blueprint.doc(summary="Show every member", security="bearer", responses={200: "Sets, members, services, problems"})
def show_cluster() -> Response:
    """Every set and member as they tell it themselves, less than a second old, and what is wrong."""
    return json_response(status_document(current_status()))


@blueprint.get("/shards")
@blueprint.output(ShardsOut)
@blueprint.doc(summary="List the shards", security="bearer")
def list_shards() -> Response:
    """Each shard with its ranges and how many products it holds."""
    catalog = current_catalog()
    items = [
        {"shard": c.shard, "ranges": list(c.ranges), "products": c.products, "approximate": c.approximate}
        for c in catalog.counts()
    ]
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
