"""``/api/v1/products``: create, read, edit, delete, restore, history; the headers that make a write safe to repeat."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, request, url_for
from pydantic import BaseModel, ConfigDict, Field

from prodcore.catalog.catalog import create_once
from prodcore.catalog.listing import MAX_PAGE, deleted_page
from prodcore.catalog.stores import Deleted
from prodcore.errors import InvalidInput, PreconditionRequired, Problem, UnreadableInput
from prodcore.product.model import Action, Product, ProductDraft, ProductPatch, show_change, show_time
from prodcore.support.validation import WholeNumber
from prodcore.web import json_response
from webapp.identity.caller import current_author
from webapp.live import current_catalog
from webapp.security import stale_shards

blueprint = APIBlueprint("products", __name__, tag="Products")

_VERSION = re.compile(r'"([0-9]{1,15})"')
_KEY = re.compile(r"[!-~]{1,255}")


class NameQuery(BaseModel):
    """A name and variant, however they are spelled."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    variant: str = Field("", max_length=200)


class NewProduct(ProductDraft):
    """A product to make; with the same id a repeated request is the same creation."""

    id: str | None = Field(None, pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")


class ProductOut(ProductDraft):
    """A product."""

    id: UUID
    price: str  # a decimal string: JSON numbers are binary floats to many clients
    currency: str
    shard: str
    version: int
    created_at: str
    updated_at: str
    updated_by: str


@blueprint.post("/products")
@blueprint.input(NewProduct)
@blueprint.output(ProductOut, 201)
@blueprint.doc(summary="Create a product", security="bearer", responses=[409, 503, 504])
def create_product(json_data: NewProduct) -> Response:
    """Create a product. Give an id of your own or an Idempotency-Key to be able to repeat the request safely."""
    product_id = _uuid(json_data.id) if json_data.id else None
    draft = ProductDraft.model_construct(**{name: getattr(json_data, name) for name in ProductDraft.model_fields})
    key = idempotency_key()
    if key is None:
        product = current_catalog().create(draft, current_author(), product_id)
    elif product_id is None:
        product = create_once(current_catalog(), draft, current_author(), key)
    else:
        raise InvalidInput(problems=[Problem("id", "extra_forbidden", "follows from the Idempotency-Key")])
    location = url_for("products.get_product", product_id=product.id)
    return product_answer(product, 201, {"Location": location})


@blueprint.get("/products/by-name")
@blueprint.input(NameQuery, location="query")
@blueprint.output(ProductOut)
@blueprint.doc(summary="Find a product by name and variant", security="bearer", responses=[404])
def find_product(query_data: NameQuery) -> Response:
    """The product with this name and variant, whatever the case, accents and spacing."""
    return product_answer(current_catalog().find(query_data.name, query_data.variant))


@blueprint.get("/products/<uuid:product_id>")
@blueprint.output(ProductOut)
@blueprint.doc(summary="Read a product", security="bearer", responses=[404])
def get_product(product_id: UUID) -> Response:
    """One product; its ETag is its version."""
    return product_answer(current_catalog().get(product_id))


@blueprint.patch("/products/<uuid:product_id>")
@blueprint.input(ProductPatch)
@blueprint.output(ProductOut)
@blueprint.doc(summary="Change a product", security="bearer", responses=[404, 409, 412, 428])
def edit_product(product_id: UUID, json_data: ProductPatch) -> Response:
    """Change the given fields (a JSON merge patch) of the version named in If-Match."""
    product = current_catalog().edit(product_id, json_data, current_author(), seen_version())
    return product_answer(product)


@blueprint.delete("/products/<uuid:product_id>")
@blueprint.doc(summary="Delete a product", security="bearer", responses={204: "Deleted", 404: "", 412: "", 428: ""})
def delete_product(product_id: UUID) -> Response:
    """Delete the version named in If-Match. It can be restored for 30 days, which is a setting."""
    current_catalog().delete(product_id, current_author(), seen_version())
    return Response(status=204)


def _uuid(text: Any) -> UUID:
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput(problems=[Problem("id", "uuid_parsing", "must be a UUID")]) from None


def product_answer(product: Product, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The product, with its version as ETag; 304 for a version that the caller has."""
    response = json_response(product.as_dict(), status, {"ETag": f'"{product.version}"', **(headers or {})})
    if request.method == "GET" and "HTTP_IF_NONE_MATCH" in request.environ:
        response.make_conditional(request)
    return response


def idempotency_key() -> str | None:
    """The Idempotency-Key, where one is given. Raises UnreadableInput for one that cannot be a key."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise UnreadableInput("Idempotency-Key must be 1 to 255 printable ASCII characters, such as a UUID")
    return key


def seen_version() -> int:
    """The version in If-Match. Raises PreconditionRequired without one, UnreadableInput for one not of ours."""
    header = request.headers.get("If-Match")
    if header is None:
        raise PreconditionRequired(hint='Read the product and send its ETag back: If-Match: "3"')
    match = _VERSION.fullmatch(header.strip())
    if not match:
        raise UnreadableInput('If-Match must be a version, such as "3"')
    return int(match[1])


class ChangeOut(BaseModel):
    """How a version came to be."""

    version: int
    at: str
    by: str
    action: Action
    was: dict[str, Any] = Field(description="The former values of the fields that it changed")
    source: str | None = Field(None, alias="from", description="The shard that a move led from")
    target: str | None = Field(None, alias="to", description="The shard that a move led to")
    request_id: str | None = None
    import_id: str | None = Field(None, alias="import", description="The import that it was a part of")


class HistoryOut(BaseModel):
    """Changes, the last one first."""

    items: list[ChangeOut]


class DeletedQuery(BaseModel):
    """Which page of the deleted products; unknown names are refused."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=200, description="Only those of that name")
    limit: WholeNumber = Field(50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before")


class DeletedOut(ProductOut):
    """A deleted product; version is the one to name in If-Match to restore it."""

    deleted_at: str
    deleted_by: str
    restorable_until: str


class DeletedPageOut(BaseModel):
    """A page of deleted products; partial when a shard did not answer."""

    items: list[DeletedOut]
    next_cursor: str | None
    partial: bool
    unavailable: list[str]
    stale: list[str]


@blueprint.get("/products/<uuid:product_id>/history")
@blueprint.output(HistoryOut)
@blueprint.doc(summary="Read what was done to a product", security="bearer", responses=[404])
def get_history(product_id: UUID) -> Response:
    """Every change, the last one first; of a deleted product too. A product remembers its last 500 changes."""
    changes = current_catalog().history(product_id)
    return json_response({"items": [show_change(change) for change in changes]})


@blueprint.get("/products/deleted")
@blueprint.input(DeletedQuery, location="query")
@blueprint.output(DeletedPageOut)
@blueprint.doc(summary="List deleted products", security="bearer")
def list_deleted(query_data: DeletedQuery) -> Response:
    """Those that can still be restored, the last one first."""
    page = deleted_page(current_catalog(), **query_data.model_dump())
    return json_response(
        {
            "items": [_shown(deleted) for deleted in page.items],
            "next_cursor": page.next_cursor,
            "partial": bool(page.unavailable),
            "unavailable": list(page.unavailable),
            "stale": stale_shards(),
        }
    )


@blueprint.post("/products/<uuid:product_id>/restore")
@blueprint.output(ProductOut)
@blueprint.doc(summary="Restore a deleted product", security="bearer", responses=[404, 409, 412, 428])
def restore_product(product_id: UUID) -> Response:
    """Put it back as it was. If-Match names the version that the deletion made."""
    return product_answer(current_catalog().restore(product_id, current_author(), seen_version()))


def _shown(deleted: Deleted) -> dict[str, Any]:
    times = {"deleted_at": show_time(deleted.at), "restorable_until": show_time(deleted.until)}
    return {**deleted.product.as_dict(), "deleted_by": deleted.by, **times}
