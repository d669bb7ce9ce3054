"""Price and stock changed where they stand in the list, and any change undone by its notice.

With a script a cell becomes a form and its row comes back; without one the same form is a page that leads back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from apiflask import APIBlueprint
from flask import g, render_template, request, url_for
from flask_babel import gettext
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from prodcore.catalog.bulk import Seen, undo_change
from prodcore.errors import (
    InvalidInput,
    OutcomeUnknown,
    ProductExists,
    ProductNotFound,
    SkuTaken,
    Unavailable,
    VersionConflict,
)
from prodcore.product.fields import BY_NAME
from prodcore.product.model import Product, ProductPatch
from prodcore.support.validation import validate
from webapp.identity.caller import current_author
from webapp.live import current_catalog
from webapp.pages.errors import error_text, problems_by_field
from webapp.pages.forms import came_from, flash_change, is_draft, is_partial, keeps_drafts, posted_number
from webapp.pages.language import COLUMNS_COOKIE, remembered
from webapp.pages.product_form import example_price, read_typed, values_of
from webapp.pages.products import ListState, read_state

blueprint = APIBlueprint("in_place", __name__, enable_openapi=False)

FIELDS = ("price", "stock")
"""What can be changed in the list."""
View = Response | str | tuple[str, int]


@dataclass(frozen=True, slots=True)
class Cell:
    """A field of a product as somebody saw it."""

    product_id: UUID
    field: str
    version: int = 0


@blueprint.get("/products/quick")
def ask() -> str:
    """The form for one field of one product; with ``keep`` its row as it is now."""
    cell = _cell(request.args)
    product, state = current_catalog().get(cell.product_id), _state(_query_of_referrer())
    if is_partial() and "keep" in request.args:
        return _row(product, state)
    return _form(cell, product, values_of(product)[cell.field], state)


@blueprint.post("/products/quick")
@keeps_drafts
def change() -> View:
    """Store a value over the version that was seen; both values are shown where another user has changed it since."""
    form = _posted()
    cell, state, typed = _cell(form), _state(form.get("list", "")), form.get("value", "").strip()
    catalog = current_catalog()
    if is_draft():
        return _form(cell, catalog.get(cell.product_id), typed, state)
    try:
        patch = validate(ProductPatch, {cell.field: read_typed(BY_NAME[cell.field], typed)})
        product = catalog.edit(cell.product_id, patch, current_author(), cell.version)
    except VersionConflict:
        product = catalog.get(cell.product_id)
        if getattr(product, cell.field) != getattr(patch, cell.field):
            return _form(cell, product, typed, state, is_stale=True), 409
    except InvalidInput as error:
        problem = problems_by_field(error, price_example=example_price()).get(cell.field, "")
        return _form(cell, catalog.get(cell.product_id), typed, state, problem=problem), error.http_status
    except (Unavailable, OutcomeUnknown) as error:
        return _form(cell, None, typed, state, problem=error_text(error, error.http_status)[0]), error.http_status
    g.audit_action, g.audit_subject = "product.edit", str(product.id)
    return _done(_changed_text(product, cell.field), product, state, is_changed=product.version > cell.version)


@blueprint.post("/products/<uuid:product_id>/undo")
def undo(product_id: UUID) -> View:
    """Undo the change that made a version, unless something was done since."""
    seen, state = Seen(product_id, posted_number("version")), _state(request.form.get("list", ""))
    try:
        product = undo_change(current_catalog(), seen, current_author())
    except (ProductExists, SkuTaken):
        return _refused(gettext("Another product has its name or its SKU now, so this was not undone."), seen)
    except (VersionConflict, ProductNotFound):
        return _refused(gettext("It has been changed since, so this was not undone: see its history."), seen)
    g.audit_action = "product.edit"
    return _done(gettext("“%(name)s”: the change was undone.", name=product.name), product, state, undone=seen)


def _changed_text(product: Product, field: str) -> str:
    row, value = BY_NAME[field], values_of(product)[field]
    text = gettext("“%(name)s”: %(field)s %(value)s.", name=product.name, field=gettext(row.label), value=value)
    return str(text)


def _done(
    text: str, product: Product, state: ListState, *, is_changed: bool = True, undone: Seen | None = None
) -> View:
    """The row and a notice; without a script the list again."""
    version = product.version if is_changed else 0
    if is_partial():
        kind = f"done:{product.id}:{version}" if version else "done"
        return _row(product, state, kind=kind, text=text, undone=undone)
    flash_change(text, product.id, version)
    return redirect(_led_back(state), 303)


def _refused(text: str, seen: Seen) -> View:
    """Why a change stays, and no button for it any more."""
    if is_partial():
        return render_template("products/in_place.html", kind="note", text=text, undone=seen)
    flash_change(text, seen.product_id, 0, "note")
    return redirect(url_for("pages.product.show", product_id=seen.product_id), 303)


def _led_back(state: ListState) -> str:
    """Where a change without a script leads back: the page it was made on, or the list of its form."""
    page = came_from()
    return state.url() if not page or urlsplit(page).path == "/products/quick" else page


def _row(product: Product, state: ListState, **notice: Any) -> str:
    shown = {name: getattr(product, name) for name in state.fields}
    return render_template("products/in_place.html", product=shown, state=state, **notice)


def _form(
    cell: Cell, product: Product | None, typed: str, state: ListState, *, problem: str = "", is_stale: bool = False
) -> str:
    """The form of a cell with what was typed. ``product`` is what is stored now, None where that is not known."""
    stored = values_of(product)[cell.field] if product else ""
    context = {"cell": cell, "product": product, "typed": typed, "stored": stored, "state": state}
    template = "products/quick_part.html" if is_partial() else "products/quick.html"
    return render_template(template, problem=problem, is_stale=is_stale, **context)


def _posted() -> Mapping[str, str]:
    """The form, or what a button that counts up or down stands for: id, version and stock."""
    form = request.form.to_dict()
    if "step" in form:
        names = ("id", "version", "value")
        form |= {"field": "stock", **dict(zip(names, form["step"].split(":", 2), strict=False))}
    return form


def _cell(given: Mapping[str, str]) -> Cell:
    """Which cell is meant. Raises BadRequest."""
    field, version = given.get("field", ""), given.get("version", "")
    try:
        product_id = UUID(given.get("id", ""))
    except ValueError:
        raise BadRequest from None
    if field not in FIELDS or not ((version.isascii() and version.isdecimal()) or not version) or len(version) > 15:
        raise BadRequest
    return Cell(product_id, field, int(version or 0))


def _state(query: str) -> ListState:
    return read_state(MultiDict(parse_qsl(query[:4_000])), remembered(COLUMNS_COOKIE))


def _query_of_referrer() -> str:
    page = urlsplit(request.referrer or "")
    return page.query if page.netloc == request.host and page.path == "/products" else ""
