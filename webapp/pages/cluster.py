"""The cluster as it is at this moment: what is wrong, the shards, their ranges and members."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from prodcore.errors import ShardNotFound
from webapp.live.cluster_picture import current_picture
from webapp.pages.live import live_page

blueprint = APIBlueprint("cluster", __name__, enable_openapi=False)


@blueprint.get("/cluster")
def overview() -> Response | str:
    """Everything at once."""
    picture = current_picture()

    def context() -> dict[str, Any]:
        return {
            "status": picture.status.get(),
            "holdings": picture.holdings.get(),
            "spread": picture.spread.get(),
        }

    return live_page("cluster/page.html", "cluster/state.html", context, picture.status.wait)


@blueprint.get("/cluster/<name>")
def one_set(name: str) -> Response | str:
    """One replica set with everything its members tell."""
    picture = current_picture()

    def context() -> dict[str, Any]:
        status = picture.status.get()
        found = status.set(name)
        if found is None:
            raise ShardNotFound(f"there is no replica set {name!r}", shard=name)
        return {"status": status, "set": found, "holdings": picture.holdings.get(), "spread": picture.spread.get()}

    return live_page("cluster/set.html", "cluster/set_state.html", context, picture.status.wait)
