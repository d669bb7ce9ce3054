"""``/api/v1/products/batch`` and ``/api/v1/imports``: store many products, take an import back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response

from prodcore.catalog.import_items import By, Item, Outcome, new_item
from prodcore.catalog.upsert import upsert
from prodcore.errors import InvalidInput, Problem, ProdError
from prodcore.web import json_response
from webapp.api.import_models import BatchIn, BatchOut, BatchQuery
from webapp.author import current_author
from webapp.catalog_provider import current_catalog

blueprint = APIBlueprint("imports", __name__, tag="Imports")


@blueprint.post("/products/batch")
@blueprint.input(BatchQuery, location="query")
@blueprint.input(BatchIn)
@blueprint.output(BatchOut)
@blueprint.doc(summary="Store many products, each on its own", security="bearer")
def store_products(query_data: BatchQuery, json_data: BatchIn) -> Response:
    """Create or change each product under its name and variant, or its SKU; one result an item, in order."""
    items: dict[int, Item] = {}
    results: dict[int, dict[str, Any]] = {}
    for i, data in enumerate(json_data.items):
        try:
            items[i] = _item(data, json_data.by)
        except InvalidInput as error:
            results[i] = _result(Outcome("refused", error=error))
    outcomes = upsert(
        current_catalog(),
        list(items.values()),
        current_author(),
        found_by=json_data.by,
        dry_run=query_data.dry_run,
    )
    results |= {i: _result(outcome) for i, outcome in zip(items, outcomes, strict=True)}
    return json_response({"results": [results[i] for i in range(len(json_data.items))]})


def _item(data: dict[str, Any], by: By) -> Item:
    fields = dict(data)
    given = fields.pop("id", None)
    return new_item(fields, _uuid(given) if given is not None else None, by)


def _result(outcome: Outcome) -> dict[str, Any]:
    result: dict[str, Any] = {"status": outcome.status, "id": outcome.product_id and str(outcome.product_id)}
    error: ProdError | None = outcome.error
    if error:
        problems = error.problems if isinstance(error, InvalidInput) else ()
        result |= {"code": error.code, "message": error.message, "errors": [p.as_dict() for p in problems]}
    if outcome.differences:
        result["differences"] = outcome.differences
    return result


def _uuid(text: Any) -> UUID:
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput(problems=[Problem("id", "uuid_parsing", "must be a UUID")]) from None
