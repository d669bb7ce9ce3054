"""One product with what was done to it, its earlier versions and its neighbours; the deleted ones; restoring."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import flash, g, render_template, request, url_for
from flask_babel import gettext
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from prodcore.catalog import Catalog
from prodcore.catalog.listing import Cursor, deleted_page, encode_cursor
from prodcore.catalog.stores import EVERYTHING, Deleted
from prodcore.errors import ProductDeleted, ProductExists, ProductNotFound, SkuTaken, UnroutableName, VersionConflict
from prodcore.product.fields import NAMES
from prodcore.product.model import Change, Product, at_version
from prodcore.routing import show_key
from webapp.identity.caller import current_author
from webapp.live import current_catalog
from webapp.pages.forms import flash_change, posted_number
from webapp.pages.language import show_number

blueprint = APIBlueprint("product", __name__, enable_openapi=False)


_SHOWN_CHANGES = 10
_DRAWN = ("price", "stock")
"""What is drawn over time."""
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
    route, history = catalog.where(product.name), catalog.history(product_id)
    steps, neighbours = steps_of(product, history), _neighbours(catalog, product)
    shown = steps if "all" in request.args else steps[:_SHOWN_CHANGES]
    return render_template(
        "products/show.html",
        product=product,
        route=route,
        key=show_key(route.key),
        steps=shown,
        more=len(steps) - len(shown),
        curves=[curve for name in _DRAWN if (curve := curve_of(product, history, name))],
        previous=neighbours[0],
        following=neighbours[1],
    )


@blueprint.get("/products/<uuid:product_id>/versions/<int:version>")
def compare(product_id: UUID, version: int) -> str:
    """An earlier version beside the one of now, and what restoring it would mean."""
    catalog = current_catalog()
    product = catalog.get(product_id)
    then, made = _version(product, catalog.history(product_id), version)
    differing = [(name, getattr(then, name), getattr(product, name)) for name in NAMES]
    target = catalog.where(then.name).shard
    return render_template(
        "products/version.html",
        product=product,
        then=then,
        shown_version=show_number(version),
        made=made,
        differing=[row for row in differing if row[1] != row[2]],
        moves_to=target if target != product.shard else "",
    )


@blueprint.post("/products/<uuid:product_id>/versions/<int:version>")
def bring_back(product_id: UUID, version: int) -> Response:
    """Give the version that the visitor saw the fields of an earlier one: a change like any other."""
    catalog, seen = current_catalog(), posted_number("version")
    product = catalog.get(product_id)
    then = _version(product, catalog.history(product_id), version)[0]
    wanted = {name: getattr(then, name) for name in NAMES}
    back = url_for("pages.product.show", product_id=product_id)
    try:
        stored = catalog.rewrite(product_id, seen, lambda old: catalog.store_changed(old, wanted, current_author()))
    except (ProductExists, SkuTaken) as error:
        flash(_taken(error), "note")
    except VersionConflict:
        flash(gettext("Another user has changed it in the meantime: compare again."), "note")
        back = url_for("pages.product.compare", product_id=product_id, version=version)
    else:
        g.audit_action = "product.edit"
        text = gettext("“%(name)s” has the values of version %(n)s again.", name=stored.name, n=show_number(version))
        flash_change(text, product_id, stored.version if stored.version > seen else 0)
    return redirect(back, 303)


def _version(product: Product, history: list[Change], version: int) -> tuple[Product, Change | None]:
    """An earlier version, and the change that made it where that is remembered. Raises ProductNotFound."""
    first = history[-1] if history else None
    if first is None or not first.version - (first.action != "created") <= version < product.version:
        raise ProductNotFound
    made = next((change for change in history if change.version == version), None)
    return at_version(product, history, version), made


def _neighbours(catalog: Catalog, product: Product) -> list[dict[str, Any] | None]:
    """The products before and after this one in name order; None at an end, and where a shard does not answer."""
    place = Cursor(product.key, {}, (product.id,))
    found = []
    for query in (EVERYTHING.backwards, EVERYTHING):
        page = catalog.rows(query, cursor=encode_cursor(place, query), limit=1, fields=("id", "name"))
        found.append(next(iter(page.items), None) if not page.unavailable else None)
    return found


@dataclass(frozen=True, slots=True)
class Curve:
    """A number of a product over time, as steps in a picture of 600 by 100."""

    name: str
    points: list[tuple[datetime, Any, str]]
    """When it became what, and by whom; the first one first."""
    line: str
    spots: list[tuple[float, float, tuple[datetime, Any, str]]]
    """For how long it had each value: where that begins, how wide it is, and the point."""
    least: Any
    most: Any


def curve_of(product: Product, history: list[Change], name: str) -> Curve | None:
    """How a field changed; None for one that never did."""
    points: list[tuple[datetime, Any, str]] = []
    value = getattr(product, name)
    for change in history:
        if name in change.was or change is history[-1]:
            points.insert(0, (change.at, value, change.by.username))
            value = change.was.get(name, value)
    if len(points) < 2:
        return None
    values = [float(point[1]) for point in points]
    start, end = points[0][0], max(points[-1][0], datetime.now(UTC))
    low, high = min(values), max(values)
    dots = [
        (
            round(600 * ((at - start) / (end - start)), 1),
            round(96 - 92 * (float(each) - low) / (high - low), 1) if high > low else 50.0,
        )
        for at, each, _by in points
    ]
    steps = "".join(f"H{x}V{y}" for x, y in dots[1:])
    line = f"M{dots[0][0]} {dots[0][1]}{steps}H600"
    ends = [x for x, _y in dots[1:]] + [600.0]
    spots = [(x, round(end - x, 1), point) for (x, _y), end, point in zip(dots, ends, points, strict=True)]
    return Curve(name, points, line, spots, min(p[1] for p in points), max(p[1] for p in points))


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
            gettext(
                "It has changed since this page was loaded: "
                "another user restored it, or the time to restore it has passed."
            ),
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
