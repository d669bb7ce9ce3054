"""One product with what was done to it; the deleted ones, and putting one back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import flash, g, render_template, request, url_for
from flask_babel import gettext
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from prodcore.catalog.listing import deleted_page
from prodcore.catalog.stores import Deleted
from prodcore.errors import ProductDeleted, ProductExists, ProductNotFound, SkuTaken, UnroutableName, VersionConflict
from prodcore.product.fields import NAMES
from prodcore.product.model import Change, Product
from prodcore.routing import show_key
from webapp.identity.caller import current_author
from webapp.live import current_catalog
from webapp.pages.forms import flash_change, posted_number

blueprint = APIBlueprint("product", __name__, enable_openapi=False)


_SHOWN_CHANGES = 10
_PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """A change, and what each field that it changed was and became."""

    change: Change
    fields: list[tuple[str, Any, Any]]


@blueprint.get("/products/<uuid:product_id>")
def show(product_id: UUID) -> str | tuple[str, int]:
    """One product with everything that is known of it; of a deleted one, how to get it back."""
    catalog = current_catalog()
    try:
        product = catalog.get(product_id)
    except ProductDeleted:
        return _show_deleted(product_id)
    route = catalog.where(product.name)
    steps = steps_of(product, catalog.history(product_id))
    shown = steps if "all" in request.args else steps[:_SHOWN_CHANGES]
    return render_template(
        "products/show.html",
        product=product,
        route=route,
        key=show_key(route.key),
        steps=shown,
        more=len(steps) - len(shown),
    )


@blueprint.get("/products/deleted")
def deleted() -> str:
    """The products that can still be restored, the last one first; ``name`` and ``cursor`` are in the address."""
    name, cursor = request.args.get("name", "").strip(), request.args.get("cursor", "")
    try:
        page = deleted_page(current_catalog(), name=name or None, cursor=cursor or None, limit=_PAGE_SIZE)
    except UnroutableName:  # no product can be called so
        page = None
    return render_template("products/deleted.html", page=page, name=name, cursor=cursor)


@blueprint.post("/products/<uuid:product_id>/restore")
def restore(product_id: UUID) -> Response:
    """Put it back, as the deletion that the visitor saw left it."""
    try:
        product = current_catalog().restore(product_id, current_author(), posted_number("version"))
    except (ProductExists, SkuTaken) as error:
        flash(_taken(error), "note")
    except (VersionConflict, ProductNotFound):
        flash(
            gettext("It has changed since you saw it: another user restored it, or the time to restore it has passed."),
            "note",
        )
    else:
        g.audit_action = "product.restore"
        flash_change(gettext("“%(name)s” was restored.", name=product.name), product.id, product.version)
    return redirect(url_for("pages.product.show", product_id=product_id), 303)


def steps_of(product: Product, history: list[Change]) -> list[HistoryStep]:
    """Each change, the last first, with the values that it replaced and the ones that it made."""
    now: dict[str, Any] = {name: getattr(product, name) for name in NAMES}
    steps = []
    for change in history:
        steps.append(
            HistoryStep(change, [(name, was, now.get(name)) for name, was in change.was.items() if name in NAMES])
        )
        now.update(change.was)
    return steps


def _show_deleted(product_id: UUID) -> tuple[str, int]:
    catalog = current_catalog()
    gone = catalog.get_many([product_id])[0].get(product_id)
    if not isinstance(gone, Deleted):  # restored, or removed for good, just now
        raise ProductNotFound
    steps = steps_of(gone.product, catalog.history(product_id))
    return render_template("products/gone.html", gone=gone, product=gone.product, steps=steps, more=0), 404


def _taken(error: ProductExists | SkuTaken) -> str:
    if isinstance(error, SkuTaken):
        return str(gettext("Another product has its SKU now: change that one first."))
    return str(gettext("Another product has its name and presentation now: rename that one first."))
