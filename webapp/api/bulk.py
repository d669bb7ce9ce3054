"""``/api/v1/products/bulk``: edit or delete many products, each by its version."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from prodcore.catalog.bulk import MAX_BULK, BulkOutcome, Changes, Seen, bulk_delete, bulk_edit
from prodcore.errors import InvalidInput, Problem
from prodcore.product.model import BulkPatch, Tags
from prodcore.web import json_response
from webapp.identity.caller import current_author
from webapp.live import current_catalog

blueprint = APIBlueprint("product_bulk", __name__, tag="Products")


class SeenIn(BaseModel):
    """A product and the version that was seen."""

    model_config = ConfigDict(extra="forbid")

    id: UUID
    version: int = Field(strict=True, ge=1, le=2**53)


class BulkFields(BulkPatch):
    """Fields that get the same value in every product; those not given stay as they are."""


class BulkDeleteIn(BaseModel):
    """Which products to delete."""

    model_config = ConfigDict(extra="forbid")

    items: list[SeenIn] = Field(min_length=1, max_length=MAX_BULK)


class BulkEditIn(BulkDeleteIn):
    """Which products to change, and how."""

    set: BulkFields = BulkFields()
    add_tags: Tags = []
    remove_tags: Tags = []


class BulkResult(BaseModel):
    """What became of one product."""

    id: UUID
    status: Literal["changed", "deleted", "unchanged", "refused", "unavailable", "unknown"]
    code: str | None = None
    message: str | None = None


class BulkOut(BaseModel):
    """One result a product, in the order of the items."""

    results: list[BulkResult]


@blueprint.post("/products/bulk/edit")
@blueprint.input(BulkEditIn)
@blueprint.output(BulkOut)
@blueprint.doc(summary="Change many products", security="bearer")
def edit_products(json_data: BulkEditIn) -> Response:
    """Each product on its own, by its version; the same request again changes nothing more."""
    given: dict[str, Any] = {name: getattr(json_data.set, name) for name in json_data.set.model_fields_set}
    if not (given or json_data.add_tags or json_data.remove_tags):
        raise InvalidInput(problems=[Problem("set", "missing", "nothing to change is given")])
    changes = Changes(given, tuple(json_data.add_tags), tuple(json_data.remove_tags))
    return _answer(bulk_edit(current_catalog(), _seen(json_data), changes, current_author()))


@blueprint.post("/products/bulk/delete")
@blueprint.input(BulkDeleteIn)
@blueprint.output(BulkOut)
@blueprint.doc(summary="Delete many products", security="bearer")
def delete_products(json_data: BulkDeleteIn) -> Response:
    """Each product on its own, by its version; the same request again says the same."""
    return _answer(bulk_delete(current_catalog(), _seen(json_data), current_author()))


def _seen(data: BulkDeleteIn) -> list[Seen]:
    ids = [item.id for item in data.items]
    if twice := next((i for i, product_id in enumerate(ids) if product_id in ids[:i]), None):
        raise InvalidInput(problems=[Problem(f"items.{twice}.id", "repeated", "is given more than once")])
    return [Seen(item.id, item.version) for item in data.items]


def _answer(outcomes: list[BulkOutcome]) -> Response:
    return json_response({"results": [_result(outcome) for outcome in outcomes]})


def _result(outcome: BulkOutcome) -> dict[str, Any]:
    result: dict[str, Any] = {"id": str(outcome.seen.product_id), "status": outcome.status}
    if outcome.error:
        result |= {"code": outcome.error.code, "message": outcome.error.message}
    return result
