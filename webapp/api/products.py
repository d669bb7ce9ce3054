"""``/api/v1/products``: create, read, edit, delete."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, request, url_for

from prodcore.errors import InvalidInput, PreconditionRequired, Problem, UnreadableInput
from prodcore.product import Product, ProductDraft, ProductPatch
from prodcore.web import json_response
from webapp.api.models import NameQuery, NewProduct, ProductOut
from webapp.catalog_provider import current_catalog
from webapp.identity import required_identity

blueprint = APIBlueprint("products", __name__, tag="Products")

_VERSION = re.compile(r'"([0-9]{1,15})"')


@blueprint.post("/products")
@blueprint.input(NewProduct)
@blueprint.output(ProductOut, 201)
@blueprint.doc(summary="Create a product", security="bearer", responses=[409, 503, 504])
def create_product(json_data: NewProduct) -> Response:
    """Create a product. Give an id of your own to be able to repeat the request safely."""
    product_id = _uuid(json_data.id) if json_data.id else None
    draft = ProductDraft.model_construct(**{name: getattr(json_data, name) for name in ProductDraft.model_fields})
    product = current_catalog().create(draft, required_identity().username, product_id)
    location = url_for("products.get_product", product_id=product.id)
    return _answer(product, 201, {"Location": location})


@blueprint.get("/products/by-name")
@blueprint.input(NameQuery, location="query")
@blueprint.output(ProductOut)
@blueprint.doc(summary="Find a product by name and variant", security="bearer", responses=[404])
def find_product(query_data: NameQuery) -> Response:
    """The product with this name and variant, whatever the case, accents and spacing."""
    return _answer(current_catalog().find(query_data.name, query_data.variant))


@blueprint.get("/products/<uuid:product_id>")
@blueprint.output(ProductOut)
@blueprint.doc(summary="Read a product", security="bearer", responses=[404])
def get_product(product_id: UUID) -> Response:
    """One product; its ETag is its version."""
    return _answer(current_catalog().get(product_id))


@blueprint.patch("/products/<uuid:product_id>")
@blueprint.input(ProductPatch)
@blueprint.output(ProductOut)
@blueprint.doc(summary="Change a product", security="bearer", responses=[404, 409, 412, 428])
def edit_product(product_id: UUID, json_data: ProductPatch) -> Response:
    """Change the given fields (a JSON merge patch) of the version named in If-Match."""
    product = current_catalog().edit(product_id, json_data, required_identity().username, _seen_version())
    return _answer(product)


@blueprint.delete("/products/<uuid:product_id>")
@blueprint.doc(summary="Delete a product", security="bearer", responses={204: "Deleted", 404: "", 412: "", 428: ""})
def delete_product(product_id: UUID) -> Response:
    """Delete the version named in If-Match."""
    current_catalog().delete(product_id, _seen_version())
    return Response(status=204)


def _answer(product: Product, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    response = json_response(product.as_dict(), status, {"ETag": f'"{product.version}"', **(headers or {})})
    if request.method == "GET":
        response.make_conditional(request)  # 304 for a version that the caller has
    return response


def _uuid(text: Any) -> UUID:
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput(problems=[Problem("id", "uuid_parsing", "must be a UUID")]) from None


def _seen_version() -> int:
    """The version in If-Match. Raises PreconditionRequired without one, UnreadableInput for one not of ours."""
    header = request.headers.get("If-Match")
    if header is None:
        raise PreconditionRequired(hint='Read the product and send its ETag back: If-Match: "3"')
    match = _VERSION.fullmatch(header.strip())
    if not match:
        raise UnreadableInput('If-Match is not a version of ours, such as "3"')
    return int(match[1])
