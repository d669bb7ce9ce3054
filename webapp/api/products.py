"""``/api/v1/products``: create, read, edit, delete."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, url_for

from prodcore.catalog.idempotency import create_once
from prodcore.errors import InvalidInput, Problem
from prodcore.product.model import ProductDraft, ProductPatch
from webapp.api.models import NameQuery, NewProduct, ProductOut
from webapp.api.product_answer import idempotency_key, product_answer, seen_version
from webapp.identity.author import current_author
from webapp.live.catalog_provider import current_catalog

blueprint = APIBlueprint("products", __name__, tag="Products")


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
