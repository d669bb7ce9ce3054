"""The products of a list as a file, in the list's order, with all their fields: importing it changes nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextvars import Context
from importlib.util import find_spec
from itertools import chain
from typing import IO, Any, cast

from apiflask import APIBlueprint
from flask import Response, request, send_file
from flask_babel import gettext
from werkzeug.exceptions import BadRequest

from prodcore.catalog.catalog import whole_list
from prodcore.errors import InvalidInput
from prodcore.tabular.export import XlsxBook, as_csv, as_ndjson, csv_head
from webapp.live.catalog_provider import current_catalog
from webapp.pages.list_state import read_state

blueprint = APIBlueprint("product_export", __name__, enable_openapi=False)

MOST_ROWS = 50_000
"""Of a workbook, which is sent when it is whole."""
_PAGE_SECONDS = 15.0
FORMATS = ("csv", "ndjson", "xlsx") if find_spec("openpyxl") else ("csv", "ndjson")
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

Pages = Iterator[list[dict[str, Any]]]


@blueprint.get("/products/export")
def export() -> Response:
    """The whole list, or an error: a file is never silently short."""
    chosen = request.args.get("format", "")
    query = read_state(request.args).query
    if chosen not in FORMATS or query is None:
        raise BadRequest
    pages = whole_list(current_catalog(), query, _PAGE_SECONDS)
    name = f"products.{chosen}"
    if chosen == "xlsx":
        # In a context of its own: the time for a page of this site is not enough for a workbook.
        file = Context().run(_workbook, pages, gettext("A workbook from here holds at most 50,000 products: take CSV."))
        return send_file(file, _TYPES[chosen], as_attachment=True, download_name=name)
    first = next(pages)  # what can be refused is refused before the answer begins
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(_written(chosen, chain([first], pages)), headers=headers, content_type=_TYPES[chosen])


def _written(chosen: str, pages: Pages) -> Iterator[bytes]:
    if chosen == "csv":
        yield b"\xef\xbb\xbf" + csv_head()  # so that spreadsheets read it as UTF-8
    for page in pages:
        yield as_csv(page) if chosen == "csv" else as_ndjson(page)


def _workbook(pages: Pages, too_many: str) -> IO[bytes]:
    book, rows = XlsxBook(), 0
    for page in pages:
        rows += len(page)
        if rows > MOST_ROWS:
            raise InvalidInput(too_many)
        book.add(page)
    file = cast("IO[bytes]", tempfile.TemporaryFile())  # noqa: SIM115  sent and closed by the answer
    book.save(file)
    file.seek(0)
    return file
