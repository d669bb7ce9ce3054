"""``/api/v1/products/batch`` and ``/api/v1/imports``: store many products, take an import back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response

from prodcore.catalog.catalog import now
from prodcore.catalog.imports import Undone, begin_undo, recent_imports, remember, undo_part
from prodcore.catalog.stores import ImportRecord
from prodcore.catalog.upsert import By, Item, Outcome, new_item, upsert
from prodcore.errors import InvalidInput, Problem, ProdError
from prodcore.product.model import show_time
from prodcore.web import json_response
from webapp.api.import_models import BatchIn, BatchOut, BatchQuery, ImportIn, ImportsOut, ImportsQuery, UndoIn, UndoOut
from webapp.identity.author import current_author
from webapp.identity.caller import required_identity
from webapp.live.catalog_provider import current_catalog

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
    author = replace(current_author(), import_id=str(json_data.import_id or ""))
    outcomes = upsert(
        current_catalog(), list(items.values()), author, found_by=json_data.by, dry_run=query_data.dry_run
    )
    results |= {i: _result(outcome) for i, outcome in zip(items, outcomes, strict=True)}
    return json_response({"results": [results[i] for i in range(len(json_data.items))]})


@blueprint.get("/imports")
@blueprint.input(ImportsQuery, location="query")
@blueprint.output(ImportsOut)
@blueprint.doc(summary="List imports", security="bearer")
def list_imports(query_data: ImportsQuery) -> Response:
    """The last imports, the newest first."""
    records = recent_imports(current_catalog(), query_data.limit)
    return json_response({"items": [_record(record) for record in records]})


@blueprint.put("/imports/<uuid:import_id>")
@blueprint.input(ImportIn)
@blueprint.doc(summary="Remember an import", security="bearer", responses={204: "Remembered"})
def note_import(import_id: UUID, json_data: ImportIn) -> Response:
    """Once when it begins and once, with its counts, when it has ended; repeating it does no harm."""
    moment, counts = now(), json_data.counts
    remember(
        current_catalog(),
        ImportRecord(
            import_id,
            json_data.source,
            required_identity().username,
            started_at=moment,
            finished_at=None if counts is None else moment,
            counts=counts or {},
        ),
    )
    return Response(status=204)


@blueprint.post("/imports/<uuid:import_id>/undo")
@blueprint.input(UndoIn)
@blueprint.output(UndoOut)
@blueprint.doc(summary="Take an import back, some products at a time", security="bearer", responses=[404])
def undo_import(import_id: UUID, json_data: UndoIn) -> Response:
    """Delete what it created, give what it changed its former values; what was changed since stays and is named."""
    catalog = current_catalog()
    if json_data.cursor is None:
        begin_undo(catalog, import_id)
    part = undo_part(catalog, import_id, current_author(), json_data.cursor)
    counts = Counter(undone.status for undone in part.products)
    return json_response(
        {
            **{status: counts[status] for status in ("deleted", "restored", "already", "refused")},
            "items": [_undone(undone) for undone in part.products if undone.error],
            "next_cursor": part.cursor,
            "partial": bool(part.unavailable),
            "unavailable": part.unavailable,
        }
    )


def _record(record: ImportRecord) -> dict[str, Any]:
    return {
        "id": str(record.import_id),
        "source": record.source,
        "by": record.by,
        "started_at": show_time(record.started_at),
        "finished_at": record.finished_at and show_time(record.finished_at),
        "counts": record.counts,
        "undone_at": record.undone_at and show_time(record.undone_at),
    }


def _undone(undone: Undone) -> dict[str, Any]:
    product, error = undone.product, undone.error
    said = {"code": error.code, "message": error.message} if error else {}
    named = {"id": str(product.id), "name": product.name, "variant": product.variant}
    return {**named, "status": undone.status, **said}


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
