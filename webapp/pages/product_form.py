"""Creating, editing and deleting a product: what was typed, what that means, and what is wrong with it.

The rules are the core's. Here stands, too, what happens when another user was quicker or no answer came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from apiflask import APIBlueprint
from flask import current_app, flash, render_template, request, url_for
from flask_babel import gettext
from werkzeug.exceptions import BadRequest
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from prodcore.errors import (
    InvalidInput,
    OutcomeUnknown,
    ProdError,
    ProductDeleted,
    ProductExists,
    ProductNotFound,
    SkuTaken,
    Unavailable,
    UnroutableName,
    VersionConflict,
)
from prodcore.product.fields import FIELDS, NAMES, Field, Kind
from prodcore.product.model import Product, ProductDraft, ProductPatch
from prodcore.support.validation import validate
from webapp.identity.caller import current_author
from webapp.live import current_catalog
from webapp.pages.errors import error_text, problems_by_field
from webapp.pages.forms import flash_change, is_draft, is_partial, keeps_drafts, posted_number, posted_uuid
from webapp.pages.language import read_price, write_price

blueprint = APIBlueprint("product_form", __name__, enable_openapi=False)

_WHOLE = re.compile(r"[0-9]{1,12}", re.ASCII)

Values = dict[str, str]
"""The fields as texts, the way a form holds them; a box that is not ticked is empty."""

View = Response | str | tuple[str, int]


_WRITERS: dict[Kind, Callable[[Any], str]] = {
    "tags": ", ".join,
    "price": write_price,
    "count": str,
    "flag": lambda value: "on" if value else "",
}
"""How a value is typed, where it is no text."""


def blank_values(currency: str) -> Values:
    """A new product's form."""
    empty = {row.name: "" if row.required else _written(row, row.default) for row in FIELDS}
    return {**empty, "currency": currency}


def values_of(product: Product) -> Values:
    """A stored product's form."""
    return {row.name: _written(row, getattr(product, row.name)) for row in FIELDS}


def _written(row: Field, value: Any) -> str:
    return "" if value is None else _WRITERS.get(row.kind, str)(value)


def typed_values(form: Mapping[str, str]) -> Values:
    """What somebody typed; line ends as they are stored."""
    return {name: form.get(name, "").replace("\r\n", "\n").strip() for name in NAMES}


def as_input(values: Values) -> dict[str, Any]:
    """What the typed texts mean, for the core to judge; what is no number becomes what the core refuses."""
    return {row.name: read_typed(row, values[row.name]) for row in FIELDS}


def read_typed(row: Field, text: str) -> Any:
    """What a text that was typed into a field means; what is no number stays a text, which the core refuses."""
    if row.nullable and not text:
        return None
    return _READERS.get(row.kind, str)(text)


def read_tags(text: str) -> list[str]:
    """Tags with commas between them."""
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def read_whole(text: str) -> int | str:
    """A whole number; what is none stays a text, which the core refuses."""
    return int(text) if _WHOLE.fullmatch(text) else text


_READERS: dict[Kind, Callable[[str], Any]] = {
    "tags": read_tags,
    "price": read_price,
    "currency": str.upper,
    "count": read_whole,
    "flag": bool,
}


def example_price() -> str:
    """How a price is written in this language."""
    return write_price(Decimal("1.20"))


@dataclass(frozen=True, slots=True)
class Subject:
    """What a form is about: the id, and for an edit the stored version that the visitor saw."""

    id: UUID
    version: int = 0
    """0 for a product that is not there yet."""
    shard: str = ""
    seen: Values = field(default_factory=dict)


@blueprint.get("/products/new")
def new() -> str:
    """A form, empty or with what another product has but its codes. It carries the new product's id: sent twice, it is
    one creation."""
    if original := request.args.get("from"):
        return _form(Subject(uuid4()), _copied(original))
    values = blank_values(current_app.config["DEFAULT_CURRENCY"])
    return _form(Subject(uuid4()), {**values, "name": request.args.get("name", "")})


def _copied(original: str) -> Values:
    """The form of a product like another one. Raises BadRequest, ProductNotFound."""
    try:
        product = current_catalog().get(UUID(original))
    except ValueError:
        raise BadRequest from None
    copy = gettext("copy")
    variant = f"{product.variant} ({copy})".strip()
    return {**values_of(product), **{row.name: "" for row in FIELDS if row.kind == "code"}, "variant": variant}


@blueprint.post("/products/new")
@keeps_drafts
def create() -> View:
    """Create the product."""
    values = typed_values(request.form)
    subject = Subject(posted_uuid("id"))
    if is_draft():
        return _form(subject, values)
    try:
        draft = validate(ProductDraft, as_input(values))
        product = current_catalog().create(draft, current_author(), subject.id)
    except ProdError as error:
        return _refused(error, subject, values)
    flash(gettext("“%(name)s” was created in %(shard)s.", name=product.name, shard=product.shard), "done")
    return redirect(url_for("pages.product.show", product_id=product.id), 303)


@blueprint.get("/products/<uuid:product_id>/edit")
def edit(product_id: UUID) -> str:
    """The product's form, with the version that it shows."""
    product = current_catalog().get(product_id)
    return _form(_subject(product), values_of(product))


@blueprint.post("/products/<uuid:product_id>/edit")
@keeps_drafts
def save(product_id: UUID) -> View:
    """Store the changes over the version that the visitor saw; a field for which "stored" was chosen stays."""
    catalog, form, values = current_catalog(), request.form, typed_values(request.form)
    subject = Subject(product_id, posted_number("version"), form.get("shard", ""), _posted_seen())
    if is_draft():
        return _form(subject, values)
    wanted = {name: value for name, value in as_input(values).items() if form.get(f"choose_{name}") != "stored"}
    try:
        patch = validate(ProductPatch, wanted)
        if target := _moves_unseen(patch, subject):
            return _form(subject, values, moves_to=target), 409
        product = catalog.edit(product_id, patch, current_author(), subject.version)
    except VersionConflict:
        product = catalog.get(product_id)
        if values_of(product) != values:  # else it is what was wanted: an earlier try without an answer did it
            return _conflict(product, values, subject.seen)
    except ProductDeleted:
        return _form(subject, values, deleted=True), 409
    except ProductNotFound:
        raise
    except ProdError as error:
        return _refused(error, subject, values)
    made = product.version if product.version > subject.version else 0
    flash_change(gettext("“%(name)s” was saved.", name=product.name), product.id, made)
    return redirect(url_for("pages.product.show", product_id=product_id), 303)


@blueprint.get("/products/<uuid:product_id>/delete")
def ask_to_delete(product_id: UUID) -> str:
    """Ask once more; a script shows the same question in a dialog."""
    return _question(current_catalog().get(product_id))


@blueprint.post("/products/<uuid:product_id>/delete")
@keeps_drafts
def delete(product_id: UUID) -> View:
    """Delete the version that the visitor saw."""
    catalog = current_catalog()
    if is_draft():
        return _question(catalog.get(product_id))
    try:
        product = catalog.delete(product_id, current_author(), posted_number("version"))
    except VersionConflict:
        flash(gettext("It was changed in the meantime: check it again before you delete it."), "note")
        return _question(catalog.get(product_id)), 409
    flash_change(gettext("“%(name)s” was deleted.", name=product.name), product.id, product.version + 1)
    return redirect(url_for("pages.products.listing"), 303)


def _moves_unseen(patch: ProductPatch, subject: Subject) -> str:
    """The shard that the new name leads to, where the visitor was not told yet; empty for none."""
    if "name" not in patch.model_fields_set:
        return ""
    target = current_catalog().where(patch.name).shard
    return "" if target in (subject.shard, request.form.get("moves_to")) else target


def _form(subject: Subject, values: Values, **more: Any) -> str:
    context = {"errors": {}, "banner_text": None, "example_price": example_price(), **more}
    return render_template(
        "products/form.html", subject=subject, values=values, seen=json.dumps(subject.seen), **context
    )


def _refused(error: ProdError, subject: Subject, values: Values) -> tuple[str, int]:
    """The form again, with everything that was typed and what is wrong with it."""
    errors: dict[str, str] = {}
    banner = None
    if isinstance(error, ProductExists):
        errors["name"] = gettext("Another product has this name and presentation.")
    elif isinstance(error, SkuTaken):
        errors["sku"] = gettext("Another product has this SKU.")
    elif isinstance(error, UnroutableName):
        errors["name"] = gettext("Use at least one letter, digit or symbol.")
    elif isinstance(error, InvalidInput):
        errors = problems_by_field(error, price_example=example_price())
    elif isinstance(error, Unavailable | OutcomeUnknown):
        banner = error_text(error, error.http_status)
    else:
        raise error
    unknown = isinstance(error, OutcomeUnknown)
    found = _existing(error, values)
    return _form(subject, values, errors=errors, banner_text=banner, unknown=unknown, existing=found), error.http_status


def _existing(error: ProdError, values: Values) -> Product | None:
    """The product that has the name or the SKU; None where it is gone or not to be had just now."""
    catalog = current_catalog()
    with suppress(ProdError):
        if isinstance(error, ProductExists):
            return catalog.find(values["name"], values["variant"])
        if isinstance(error, SkuTaken):
            return next(iter(catalog.find_skus([values["sku"]])[0].get(values["sku"], [])), None)
    return None


def _conflict(stored: Product, typed: Values, seen: Values) -> tuple[str, int]:
    """Both versions side by side; where only the other person changed a field, theirs is proposed."""
    now = values_of(stored)
    differing = [name for name in now if now[name] != typed[name]]
    untouched = {name for name in differing if seen.get(name) == typed[name]}
    page = render_template(
        "products/conflict.html",
        subject=_subject(stored),
        stored=stored,
        now=now,
        typed=typed,
        seen=json.dumps(now),
        differing=differing,
        untouched=untouched,
    )
    return page, 409


def _question(product: Product) -> str:
    return render_template(f"products/delete{'_dialog' if is_partial() else ''}.html", product=product)


def _subject(product: Product) -> Subject:
    return Subject(product.id, product.version, product.shard, values_of(product))


def _posted_seen() -> Values:
    """The values that the visitor's form began with; only ever used to propose a choice."""
    try:
        seen = json.loads(request.form.get("seen", "{}"))
    except (ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in seen.items()} if isinstance(seen, dict) else {}
