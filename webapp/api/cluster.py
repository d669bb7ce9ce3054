"""``/api/v1/cluster``: the replica sets, member by member."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response

from prodcore.replicaset.document import status_document
from prodcore.web import json_response
from webapp.live.cluster_picture import current_status

blueprint = APIBlueprint("cluster_api", __name__, tag="Cluster")


@blueprint.get("/cluster")
@blueprint.doc(summary="Show every member", security="bearer", responses={200: "Sets, members, services, problems"})
def show_cluster() -> Response:
    """Every set and member as they tell it themselves, less than a second old, and what is wrong."""
    return json_response(status_document(current_status()))
