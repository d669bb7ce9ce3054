"""What was done to products: their history, the deleted ones, and restoring one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from prodcore.catalog.listing import MAX_PAGE, deleted_page
from prodcore.catalog.stores import Deleted
from prodcore.product.model import Action, show_change, show_time
from prodcore.support.validation import WholeNumber
from prodcore.web import json_response
from webapp.api.products import ProductOut, product_answer, seen_version
from webapp.identity.caller import current_author
from webapp.live import current_catalog
from webapp.security import stale_shards

blueprint = APIBlueprint("product_history", __name__, tag="Products")


class ChangeOut(BaseModel):
    """How a version came to be."""

    version: int
    at: str
    by: str
    action: Action
    was: dict[str, Any] = Field(description="The former values of the fields that it changed")
    source: str | None = Field(None, alias="from", description="The shard that a move led from")
    target: str | None = Field(None, alias="to", description="The shard that a move led to")
    request_id: str | None = None
    import_id: str | None = Field(None, alias="import", description="The import that it was a part of")


class HistoryOut(BaseModel):
    """Changes, the last one first."""

    items: list[ChangeOut]


class DeletedQuery(BaseModel):
    """Which page of the deleted products; unknown names are refused."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=200, description="Only those of that name")
    limit: WholeNumber = Field(50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before")


class DeletedOut(ProductOut):
    """A deleted product; version is the one to name in If-Match to restore it."""

    deleted_at: str
    deleted_by: str
    restorable_until: str


class DeletedPageOut(BaseModel):
    """A page of deleted products; partial when a shard did not answer."""

    items: list[DeletedOut]
    next_cursor: str | None
    partial: bool
    unavailable: list[str]
    stale: list[str]


@blueprint.get("/products/<uuid:product_id>/history")
@blueprint.output(HistoryOut)
@blueprint.doc(summary="Read what was done to a product", security="bearer", responses=[404])
def get_history(product_id: UUID) -> Response:
    """Every change, the last one first; of a deleted product too. A product remembers its last 500 changes."""
    changes = current_catalog().history(product_id)
    return json_response({"items": [show_change(change) for change in changes]})


@blueprint.get("/products/deleted")
@blueprint.input(DeletedQuery, location="query")
@blueprint.output(DeletedPageOut)
@blueprint.doc(summary="List deleted products", security="bearer")
def list_deleted(query_data: DeletedQuery) -> Response:
    """Those that can still be restored, the last one first."""
    page = deleted_page(current_catalog(), **query_data.model_dump())
    return json_response(
        {
            "items": [_shown(deleted) for deleted in page.items],
            "next_cursor": page.next_cursor,
            "partial": bool(page.unavailable),
            "unavailable": list(page.unavailable),
            "stale": stale_shards(),
        }
    )


@blueprint.post("/products/<uuid:product_id>/restore")
@blueprint.output(ProductOut)
@blueprint.doc(summary="Restore a deleted product", security="bearer", responses=[404, 409, 412, 428])
def restore_product(product_id: UUID) -> Response:
    """Put it back as it was. If-Match names the version that the deletion made."""
    return product_answer(current_catalog().restore(product_id, current_author(), seen_version()))


def _shown(deleted: Deleted) -> dict[str, Any]:
    times = {"deleted_at": show_time(deleted.at), "restorable_until": show_time(deleted.until)}
    return {**deleted.product.as_dict(), "deleted_by": deleted.by, **times}
