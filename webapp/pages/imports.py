"""Importing a file: what it would do, storing it step by step, what was refused; past imports, and undoing one."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from uuid import UUID, uuid4, uuid5

from apiflask import APIBlueprint
from flask import Response, render_template, request
from flask_babel import gettext
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from prodcore.catalog.catalog import now
from prodcore.catalog.imports import begin_undo, recent_imports, remember, undo_part
from prodcore.catalog.stores import ImportRecord
from prodcore.catalog.upsert import By, new_item, upsert
from prodcore.errors import ConfigError, ImportNotFound, InvalidInput, OutcomeUnknown, Unavailable
from prodcore.tabular.columns import TARGETS, Column
from prodcore.tabular.report import CellProblem, RefusedFile, RefusedRow
from prodcore.tabular.rows import Sample
from webapp.identity.caller import current_author
from webapp.live import current_catalog
from webapp.pages.errors import core_text, refusal_text
from webapp.pages.forms import is_draft, keeps_drafts, posted_uuid
from webapp.pages.preview import Preview, forecast, problems_of
from webapp.pages.steps import STEP, Refusal, Run, kept_refusals, portions, resumed
from webapp.pages.upload import MAX_PACKED_BYTES, Judged, Upload

blueprint = APIBlueprint("imports", __name__, enable_openapi=False)

View = str | tuple[str, int]
_STATUSES = ("created", "changed", "unchanged", "refused", "unavailable", "unknown")
_ALWAYS = 4
"""Of these, as many are always shown."""
_ADDRESS = "/products/import/run"
_SENT = ("import", "source", "by", "table")
_SHOWN_IMPORTS = 100
_LOOKED_AT = 500
_UNDO_STATUSES = ("deleted", "restored", "refused", "already", "unavailable", "unknown")


@blueprint.errorhandler(RequestEntityTooLarge)
def refuse_large(_error: RequestEntityTooLarge) -> tuple[str, int]:
    """A file of any size gets the same answer; the form that brought it was not read."""
    return _too_large(read=False)


@blueprint.get("/products/import")
def begin() -> str:
    """Choose a file."""
    return _start()


@blueprint.post("/products/import")
@keeps_drafts
def preview() -> View:
    """What the file would do, before anything is stored; again after other columns were chosen."""
    dropped = request.files.get("upload")
    try:
        if dropped and dropped.filename:
            upload = Upload.received(dropped.read(), dropped.filename, request.form)
        elif request.form.get("file"):
            upload = Upload.unpacked(request.form)
        elif is_draft():
            return _start()
        else:
            return _start(gettext("Choose a file first.")), 422
        return _previewed(_read(upload, is_back="file" in request.form))
    except RequestEntityTooLarge:
        return _too_large()
    except (InvalidInput, ConfigError) as error:
        return _start(core_text(error.message), core_text(error.hint or "")), 422


def _previewed(read: Preview, note: str = "") -> View:
    """The page of a file that was read, with what it would do."""
    shown = read
    if read.judged:
        shown = replace(read, forecast=forecast(current_catalog(), read.judged, current_author()))
    page = render_template("imports/preview.html", preview=shown, targets=TARGETS, import_id=uuid4(), note=note)
    return page if shown.judged else (page, 422)


def _read(upload: Upload, *, is_back: bool = True) -> Preview:
    """The file as it is read now. One that came back is shown, whatever is wrong: nobody has to choose it again.

    Raises InvalidInput for a file that has just arrived and cannot be read at all.
    """
    columns: list[Column] = []
    samples: list[list[Sample]] = []
    try:
        columns = upload.columns()
        samples = upload.samples(columns)
        judged = upload.read()
    except InvalidInput as error:
        if not columns and not is_back:
            raise
        return Preview(upload, columns, samples, error=core_text(error.message))
    return Preview(upload, columns, samples, judged)


@blueprint.post("/products/import/run")
@keeps_drafts
def run() -> View:
    """Store the next rows."""
    if "file" in request.form:
        upload = Upload.unpacked(request.form)
        read = _read(upload)
        if is_draft() or read.judged is None or request.form.get("looked_at") != read.meaning:
            return _previewed(read, gettext("The file was read again with your changes. Nothing is stored yet."))
        judged = read.judged
        judged.spread()
        work = Run("import", _ADDRESS, _STATUSES, _sent(upload, judged), len(judged.good))
        work.portions = portions(judged.good)
        if sum(map(len, work.portions)) > 2 * MAX_PACKED_BYTES:
            return _too_large()
        work.counts["refused"] = len(judged.refused)
        work.refuse([as_refusal(row) for row in judged.refused])
    else:
        work = resumed("import", _ADDRESS, _STATUSES, _SENT)
    work.always = _ALWAYS
    if is_draft():
        return work.render()
    if work.done < work.total:
        _store(work)
    work.ended = work.done >= work.total
    _remember(work)
    return work.render()


@blueprint.post("/products/import/refused")
def refused() -> Response:
    """The refused rows as a CSV file that says why, to be corrected and imported; no cell is taken for a formula."""
    text = io.StringIO()
    try:
        table = json.loads(request.form.get("table", ""))
        file = RefusedFile(text, [str(title) for title in table["titles"]], str(table["delimiter"]), table["numbers"])
        for entry in kept_refusals():
            problems = tuple(
                CellProblem(str(column), str(value), str(code), refusal_text(str(code), str(reason)))
                for column, value, code, reason in entry["problems"]
            )
            file(RefusedRow(int(entry["line"]), problems, [str(cell) for cell in entry["cells"]]))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise BadRequest from None
    headers = {"Content-Disposition": 'attachment; filename="refused.csv"'}
    return Response("\ufeff" + text.getvalue(), headers=headers, content_type="text/csv; charset=utf-8")


def as_refusal(row: RefusedRow) -> Refusal:
    """A refused row as the page keeps it."""
    problems = [[p.column, p.value, p.code, p.reason] for p in row.problems]
    return {"line": row.line, "problems": problems, "cells": list(row.cells)}


def _store(work: Run) -> None:
    """Store a portion. A row has the same id each time, so it is created once."""
    by: By = "sku" if work.sent["by"] == "sku" else "name"
    import_id = posted_uuid("import")
    try:
        rows = [(int(line), dict(fields), list(cells)) for line, fields, cells in work.take()][:STEP]
        items = [new_item(fields, uuid5(import_id, str(line)), by) for line, fields, _cells in rows]
    except (ValueError, TypeError, InvalidInput):
        raise BadRequest from None
    author = replace(current_author(), import_id=str(import_id))
    outcomes = upsert(current_catalog(), items, author, found_by=by)
    for (line, _fields, cells), outcome in zip(rows, outcomes, strict=True):
        work.counts[outcome.status] += 1
        if outcome.error is not None:
            work.refuse([as_refusal(RefusedRow(line, problems_of(outcome), cells))])
    work.done += len(rows)


def _sent(upload: Upload, judged: Judged) -> dict[str, str]:
    table = {"titles": list(judged.header), "delimiter": judged.delimiter, "numbers": upload.numbers}
    import_id = str(posted_uuid("import"))
    return {"import": import_id, "source": upload.name, "by": upload.by, "table": json.dumps(table)}


def _remember(work: Run) -> None:
    """Note the import, so that it can be taken back; with its counts once it has ended."""
    moment = now()
    counts = {status: work.counts[status] for status in _STATUSES if work.counts[status]} if work.ended else {}
    record = ImportRecord(
        UUID(work.sent["import"]),
        work.sent["source"],
        current_author().username,
        moment,
        moment if work.ended else None,
        Counter(counts),
    )
    with suppress(Unavailable, OutcomeUnknown):  # the rows are in all the same
        remember(current_catalog(), record)


def _start(error: str = "", hint: str = "", *, read: bool = True) -> str:
    form: Mapping[str, str] = request.form if read else {}
    numbers, by = form.get("numbers", "auto"), form.get("by", "name")
    return render_template("imports/start.html", error=error, hint=hint, numbers=numbers, by=by)


def _too_large(*, read: bool = True) -> tuple[str, int]:
    too_large = gettext(
        "This file is too large for the browser. The command line has no size limit: prodctl product import"
    )
    return _start(too_large, read=read), 413


@blueprint.get("/products/imports")
def listing() -> str:
    """The last ones, the newest first."""
    return render_template("imports/list.html", imports=recent_imports(current_catalog(), _SHOWN_IMPORTS))


@blueprint.get("/products/imports/<uuid:import_id>/undo")
def ask_to_undo(import_id: UUID) -> str:
    """What taking it back means."""
    return render_template("imports/undo.html", record=_record(import_id))


@blueprint.post("/products/imports/<uuid:import_id>/undo")
@keeps_drafts
def undo(import_id: UUID) -> str:
    """Undo, some products at a time."""
    catalog, address = current_catalog(), f"/products/imports/{import_id}/undo"
    if "done" in request.form:
        work = resumed("undo", address, _UNDO_STATUSES, ())
        work.always = 2
        if is_draft():
            return work.render()
    elif is_draft():
        return ask_to_undo(import_id)
    else:
        counts = _record(import_id).counts
        work = Run("undo", address, _UNDO_STATUSES, {}, counts.get("created", 0) + counts.get("changed", 0))
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
    for record in recent_imports(current_catalog(), _LOOKED_AT):
        if record.import_id == import_id:
            return record
    raise ImportNotFound(f"there is no import {import_id}")
