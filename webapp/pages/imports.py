"""Importing a file: what it would do, storing it step by step, what was refused; past imports, and undoing one."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4, uuid5

from apiflask import APIBlueprint
from flask import Response, flash, g, render_template, request
from flask_babel import gettext
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as Redirect

from prodcore.catalog.catalog import now
from prodcore.catalog.imports import begin_undo, recent_imports, remember, undo_part
from prodcore.catalog.stores import ImportRecord
from prodcore.catalog.upsert import By, new_item, upsert
from prodcore.catalog.views import MAPPINGS, MAX_VIEW_NAME, View, Views
from prodcore.deadline import budget
from prodcore.errors import ConfigError, ImportNotFound, InvalidInput, OutcomeUnknown, Unavailable
from prodcore.tabular.columns import TARGETS, Column
from prodcore.tabular.report import CellProblem, RefusedFile, RefusedRow
from prodcore.tabular.rows import Sample
from prodcore.tabular.source import SavedReading
from webapp.identity.caller import current_author
from webapp.live import current_catalog
from webapp.pages.errors import core_text, field_message, refusal_text
from webapp.pages.forms import is_draft, keeps_drafts, posted_uuid
from webapp.pages.preview import Preview, forecast, problems_of
from webapp.pages.steps import STEP, Refusal, Run, kept_refusals, portions, resumed
from webapp.pages.upload import MAX_PACKED_BYTES, Judged, Upload

blueprint = APIBlueprint("imports", __name__, enable_openapi=False)

Answer = str | tuple[str, int] | Redirect
_STATUSES = ("created", "changed", "unchanged", "refused", "unavailable", "unknown")
_ALWAYS = 4
"""Of these, as many are always shown."""
_ADDRESS = "/products/import/run"
_SENT = ("import", "source", "by", "table")
_SHOWN_IMPORTS = 100
_MAPPINGS_SECONDS = 1.0
"""The preview is worth more than the choice of a mapping: it does not wait for the users' set."""
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
def preview() -> Answer:
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
        if (dropped or "apply" in request.form) and (kept := _chosen_mapping()):
            upload = upload.read_as(SavedReading.from_text(kept.query))
        return _previewed(_read(upload, is_back="file" in request.form))
    except RequestEntityTooLarge:
        return _too_large()
    except (InvalidInput, ConfigError) as error:
        return _start(core_text(error.message), core_text(error.hint or "")), 422


def _previewed(read: Preview, note: str = "", **saving: Any) -> Answer:
    """The page of a file that was read, with what it would do."""
    shown = read
    if read.judged:
        shown = replace(read, forecast=forecast(current_catalog(), read.judged, current_author()))
    context = {"preview": shown, "targets": TARGETS, "import_id": uuid4(), "note": note, **_mappings(read), **saving}
    page = render_template("imports/preview.html", **context)
    return page if shown.judged and not saving.get("error") else (page, 422)


def _mappings(read: Preview | None = None) -> dict[str, Any]:
    """The saved mappings to choose from, and those that have the columns of the file; none where nobody can say."""
    kept: Views = ()
    with suppress(Unavailable), budget(_MAPPINGS_SECONDS):
        [kept] = current_catalog().mappings.of(MAPPINGS)
    titles = [column.title for column in read.columns] if read else []
    fitting = [view.id for view in kept if titles and SavedReading.from_text(view.query).fits(titles)]
    form = request.form if read else {}
    chosen = {"mapping": form.get("mapping", ""), "mapping_name": form.get("mapping_name", form.get("mapping", ""))}
    return {"mappings": kept, "fitting": fitting, "most_letters": MAX_VIEW_NAME, **chosen}


def _chosen_mapping() -> View | None:
    """The mapping that the form names; None for none."""
    name = request.form.get("mapping", "")
    return current_catalog().mappings.named(MAPPINGS, name) if name else None


@blueprint.get("/products/import/mappings")
def list_mappings() -> str:
    """The saved mappings, to be renamed and removed."""
    return _mappings_page()


@blueprint.post("/products/import/mappings")
@keeps_drafts
def save_mapping() -> Answer:
    """Keep how the file of the preview is read; nothing is stored of it."""
    read, name = _read(Upload.unpacked(request.form)), request.form.get("mapping_name", "")
    if is_draft() or not read.columns:
        return _previewed(read)
    text = read.upload.to_save(read.columns).as_text()
    try:
        over = request.form.get("over") == "yes"
        kept = current_catalog().mappings.save(MAPPINGS, name, text, current_author().username, over=over)
    except InvalidInput as error:
        is_taken = any(problem.code == "name_taken" for problem in error.problems)
        return _previewed(read, error=mapping_problem(error), is_taken=is_taken)
    g.audit_action, g.audit_subject = "import.save_mapping", kept.name
    return _previewed(read, gettext("The mapping “%(name)s” was saved.", name=kept.name))


@blueprint.post("/products/import/mappings/<uuid:mapping_id>")
@keeps_drafts
def change_mapping(mapping_id: UUID) -> Answer:
    """Rename or remove one."""
    action, name, mappings = (
        request.form.get("action"),
        request.form.get("mapping_name", ""),
        current_catalog().mappings,
    )
    if is_draft():
        return _mappings_page(mapping_id, name)
    if action not in ("rename", "remove"):
        raise BadRequest
    try:
        user = current_author().username
        kept = (
            mappings.rename(MAPPINGS, mapping_id, name, user)
            if action == "rename"
            else mappings.remove(MAPPINGS, mapping_id)
        )
    except InvalidInput as error:
        return _mappings_page(mapping_id, name, mapping_problem(error)), 422
    if kept is None:
        flash(gettext("This mapping no longer exists."), "note")
    elif action == "rename":
        g.audit_action, g.audit_subject = "import.rename_mapping", kept.name
        flash(gettext("The mapping is called “%(name)s” now.", name=kept.name), "done")
    else:
        g.audit_action, g.audit_subject = "import.remove_mapping", kept.name
        flash(gettext("The mapping “%(name)s” was removed.", name=kept.name), "done")
    return redirect("/products/import/mappings", 303)


def _mappings_page(sent_id: UUID | None = None, name: str = "", problem: str = "") -> str:
    [kept] = current_catalog().mappings.of(MAPPINGS)
    shown = [(view, SavedReading.from_text(view.query)) for view in kept]
    sent = {"id": sent_id, "name": name, "problem": problem}
    return render_template("imports/mappings.html", mappings=shown, sent=sent, most_letters=MAX_VIEW_NAME)


def mapping_problem(error: InvalidInput) -> str:
    """What is wrong with the name of a mapping, or with keeping one more."""
    texts = {
        "name_taken": gettext("Another mapping has this name."),
        "too_many_views": gettext("There are 100 mappings already: remove one that nobody needs."),
        "string_too_long": gettext("It is too long to be saved."),
    }
    return texts.get(error.problems[0].code) or field_message(error.problems[0])


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
def run() -> Answer:
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
    return render_template("imports/start.html", error=error, hint=hint, numbers=numbers, by=by, **_mappings())


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
