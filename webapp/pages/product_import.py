"""Importing a CSV file: drop it, see what it means, store it step by step, keep what was refused."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from apiflask import APIBlueprint
from flask import Response, render_template, request
from flask_babel import gettext
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from prodcore.catalog.catalog import now
from prodcore.catalog.import_columns import TARGETS
from prodcore.catalog.import_items import new_item
from prodcore.catalog.import_log import remember
from prodcore.catalog.import_ports import ImportRecord
from prodcore.catalog.import_report import SINK_COLUMNS, harmless
from prodcore.catalog.import_report import refused as refused_row
from prodcore.catalog.upsert import upsert
from prodcore.errors import InvalidInput, OutcomeUnknown, Unavailable
from prodcore.product import ProductDraft, validate
from webapp.author import current_author
from webapp.catalog_provider import current_catalog
from webapp.pages.errors import is_partial
from webapp.pages.locale import language
from webapp.pages.upload import Upload, pack_pending, unpack_pending

blueprint = APIBlueprint("product_import", __name__, enable_openapi=False)

_SHOWN_ROWS = 10
_STEP = 500
"""Rows that are stored before the page says how far it is."""
_MAX_KEPT = 1_000
_SOURCE = "(browser)"
_STATUSES = ("created", "changed", "unchanged", "refused", "unavailable", "unknown")


@blueprint.get("/products/import")
def begin() -> str:
    """Choose a file."""
    return _start()


@blueprint.post("/products/import")
def preview() -> str | tuple[str, int]:
    """What the file means, before anything is stored; again after other columns were chosen."""
    dropped = request.files.get("upload")
    try:
        if dropped and dropped.filename:
            upload = Upload.received(dropped.read(), request.form.get("numbers", ""))
        elif request.form.get("file"):
            upload = Upload.unpacked(request.form)
        else:
            return _start(gettext("Choose a file first.")), 422
        reading = upload.read()
    except RequestEntityTooLarge:
        too_large = gettext("This file is too large for the browser. The shell takes any size: prodctl product import")
        return _start(too_large), 413
    except InvalidInput as error:
        return _start(error.message, error.hint), 422
    shown = [validate(ProductDraft, fields) for _line, fields in reading.good[:_SHOWN_ROWS]]
    return render_template("import/preview.html", upload=upload, reading=reading, targets=TARGETS, shown=shown)


@blueprint.post("/products/import/run")
def run() -> str:
    """Store the next rows; a script goes on by itself, a person presses the button."""
    form = request.form
    if "rows" in form:
        pending, kept = unpack_pending(form["rows"]), _kept(form.get("refusals", "[]"))
        counts = Counter({status: _number(form.get(status, "0")) for status in _STATUSES})
        import_id = _uuid(form.get("import", ""))
    else:
        reading = Upload.unpacked(form).read()
        pending, kept = reading.good, _as_dicts(reading.refused)
        counts = Counter({"refused": len(reading.refused)})
        import_id = uuid4()
    total = _number(form.get("total", "")) if "rows" in form else len(pending)
    batch, rest = pending[:_STEP], pending[_STEP:]
    items = [new_item(fields) for _line, fields in batch]
    author = replace(current_author(), import_id=str(import_id))
    outcomes = upsert(current_catalog(), items, author) if items else []
    for (line, _fields), outcome in zip(batch, outcomes, strict=True):
        counts[outcome.status] += 1
        if outcome.error is not None:
            kept += _as_dicts([refused_row(line, outcome.error.code, outcome.error.message)])
    _remember(import_id, author.username, None if rest else counts)
    return render_template(
        "import/step.html" if is_partial() else "import/run.html",
        rows=pack_pending(rest) if rest else "",
        import_id=import_id,
        total=total,
        done=total - len(rest),
        counts=counts,
        kept=kept[:_MAX_KEPT],
        statuses=_STATUSES,
    )


@blueprint.post("/products/import/refused")
def refused() -> Response:
    """The refused rows as a CSV file that says why; no cell is taken for a formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, SINK_COLUMNS, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows({name: harmless(value) for name, value in row.items()} for row in _kept(request.form["refusals"]))
    headers = {"Content-Disposition": 'attachment; filename="refused.csv"'}
    return Response("\ufeff" + text.getvalue(), headers=headers, content_type="text/csv; charset=utf-8")


def _remember(import_id: UUID, by: str, counts: Counter[str] | None) -> None:
    """Note the import, so that it can be taken back; ``counts`` once it has ended."""
    moment = now()
    record = ImportRecord(import_id, _SOURCE, by, moment, moment if counts is not None else None, counts or {})
    with suppress(Unavailable, OutcomeUnknown):  # the rows are in all the same
        remember(current_catalog(), record)


def _start(error: str = "", hint: str = "") -> str:
    numbers = request.form.get("numbers", language())
    return render_template("import/start.html", error=error, hint=hint, numbers=numbers)


def _as_dicts(rows: Any) -> list[dict[str, Any]]:
    return [entry for row in rows for entry in row.as_dicts()]


def _kept(text: str) -> list[dict[str, Any]]:
    """The refusals so far, as the form carries them."""
    try:
        kept = json.loads(text)
        return [{name: str(row[name])[:300] for name in SINK_COLUMNS} for row in kept][:_MAX_KEPT]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise BadRequest from None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadRequest from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise BadRequest
    return int(text)
