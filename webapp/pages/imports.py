"""Imports that were, from the browser and the shell, and taking one back."""

from __future__ import annotations

from uuid import UUID

from apiflask import APIBlueprint
from flask import render_template, request

from prodcore.catalog.imports import begin_undo, recent_imports, undo_part
from prodcore.catalog.stores import ImportRecord
from prodcore.errors import ImportNotFound
from webapp.identity.author import current_author
from webapp.live.catalog_provider import current_catalog
from webapp.pages.steps import STEP, Run, resumed

blueprint = APIBlueprint("imports", __name__, enable_openapi=False)

_SHOWN = 100
_MOST = 500
_STATUSES = ("deleted", "restored", "refused", "already", "unavailable", "unknown")


@blueprint.get("/products/imports")
def listing() -> str:
    """The last ones, the newest first."""
    return render_template("import/list.html", imports=recent_imports(current_catalog(), _SHOWN))


@blueprint.get("/products/imports/<uuid:import_id>/undo")
def ask_to_undo(import_id: UUID) -> str:
    """What taking it back means."""
    return render_template("import/undo.html", record=_record(import_id))


@blueprint.post("/products/imports/<uuid:import_id>/undo")
def undo(import_id: UUID) -> str:
    """Take it back, some products at a time."""
    catalog, address = current_catalog(), f"/products/imports/{import_id}/undo"
    if "done" in request.form:
        work = resumed("undo", address, _STATUSES, ())
    else:
        counts = _record(import_id).counts
        work = Run("undo", address, _STATUSES, {}, counts.get("created", 0) + counts.get("changed", 0))
        begin_undo(catalog, import_id)
    work.always = 2
    part = undo_part(catalog, import_id, current_author(), work.place or None, STEP)
    for undone in part.products:
        work.counts[undone.status] += 1
        if undone.error:
            error = undone.error
            named = {"id": str(undone.product.id), "name": undone.product.name}
            work.refuse([{**named, "code": error.code, "reason": error.message}])
    work.done += len(part.products)
    work.place, work.ended = part.cursor or "", part.cursor is None
    work.total = work.done if work.ended else max(work.total, work.done + 1)  # what the list says is not exact
    return work.render(silent=part.unavailable)


def _record(import_id: UUID) -> ImportRecord:
    """What is known of an import. Raises ImportNotFound."""
    for record in recent_imports(current_catalog(), _MOST):
        if record.import_id == import_id:
            return record
    raise ImportNotFound(f"there is no import {import_id}")
