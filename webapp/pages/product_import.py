"""Importing a file: drop it, see what it would do, store it step by step, keep what was refused."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from uuid import UUID, uuid4, uuid5

from apiflask import APIBlueprint
from flask import Response, render_template, request
from flask_babel import gettext
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from prodcore.catalog.catalog import now
from prodcore.catalog.imports import remember
from prodcore.catalog.stores import ImportRecord
from prodcore.catalog.upsert import By, Outcome, new_item, upsert
from prodcore.errors import ConfigError, InvalidInput, OutcomeUnknown, Unavailable
from prodcore.tabular.columns import TARGETS, Column
from prodcore.tabular.report import CellProblem, RefusedFile, RefusedRow
from webapp.identity.author import current_author
from webapp.live.catalog_provider import current_catalog
from webapp.pages.import_forecast import forecast
from webapp.pages.locale import language
from webapp.pages.posted import posted_uuid
from webapp.pages.steps import STEP, Refusal, Run, kept_refusals, portions, resumed
from webapp.pages.upload import MAX_PACKED_BYTES, Judged, Upload

blueprint = APIBlueprint("product_import", __name__, enable_openapi=False)

View = str | tuple[str, int]

_STATUSES = ("created", "changed", "unchanged", "refused", "unavailable", "unknown")
_ALWAYS = 4
"""Of these, as many are always shown."""
_ADDRESS = "/products/import/run"
_SENT = ("import", "source", "by", "table")


@blueprint.get("/products/import")
def begin() -> str:
    """Choose a file."""
    return _start()


@blueprint.post("/products/import")
def preview() -> View:
    """What the file would do, before anything is stored; again after other columns were chosen."""
    dropped = request.files.get("upload")
    try:
        if dropped and dropped.filename:
            upload = Upload.received(dropped.read(), dropped.filename, request.form)
        elif request.form.get("file"):
            upload = Upload.unpacked(request.form)
        else:
            return _start(gettext("Choose a file first.")), 422
        columns = upload.columns()
    except RequestEntityTooLarge:
        return _too_large()
    except (InvalidInput, ConfigError) as error:
        return _start(error.message, error.hint), 422
    context = {"upload": upload, "columns": columns, "targets": TARGETS, "meaning": _meaning(columns)}
    try:
        judged = upload.read()
    except InvalidInput as error:
        return render_template("import/preview.html", **context, judged=None, error=error.message), 422
    seen = forecast(current_catalog(), judged, current_author())
    return render_template("import/preview.html", **context, judged=judged, forecast=seen, import_id=uuid4())


@blueprint.post("/products/import/run")
def run() -> View:
    """Store the next rows."""
    if "file" in request.form:
        upload = Upload.unpacked(request.form)
        if request.form.get("looked_at") != _meaning(upload.columns()):
            return preview()  # other columns were chosen: what they would do was not seen yet
        judged = upload.read()
        work = Run("import", _ADDRESS, _STATUSES, _sent(upload, judged), len(judged.good))
        work.portions = portions(judged.good)
        if sum(map(len, work.portions)) > 2 * MAX_PACKED_BYTES:
            return _too_large()
        work.counts["refused"] = len(judged.refused)
        work.refuse([as_refusal(row) for row in judged.refused])
    else:
        work = resumed("import", _ADDRESS, _STATUSES, _SENT)
    work.always = _ALWAYS
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
            problems = tuple(CellProblem(*map(str, problem)) for problem in entry["problems"])
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


def problems_of(outcome: Outcome) -> tuple[CellProblem, ...]:
    """Why a row was not stored."""
    error = outcome.error
    if isinstance(error, InvalidInput) and error.problems:
        return tuple(CellProblem(p.field, "", p.code, p.message) for p in error.problems)
    return (CellProblem("", "", error.code, error.message),) if error else ()


def _meaning(columns: Sequence[Column]) -> str:
    return ",".join(column.target for column in columns)


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


def _start(error: str = "", hint: str = "") -> str:
    numbers = request.form.get("numbers", language())
    return render_template(
        "import/start.html", error=error, hint=hint, numbers=numbers, by=request.form.get("by", "name")
    )


def _too_large() -> View:
    too_large = gettext("This file is too large for the browser. The shell takes any size: prodctl product import")
    return _start(too_large), 413
