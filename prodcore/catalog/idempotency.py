"""Create a product under a key of the caller's, so that a repeated request is the same creation with the same answer.

The product's id follows from the key and the person, so nothing is kept beside the product: whichever process or
primary sees the request again finds what the first one made. The answer is rebuilt from the product's history.
"""

from __future__ import annotations

from uuid import UUID, uuid5

from prodcore.catalog.catalog import Catalog
from prodcore.errors import IdempotencyKeyReused, ProductExists
from prodcore.product.history import Author
from prodcore.product.model import Product, ProductDraft

_NAMESPACE = UUID("0b5c6f0e-6f52-4d0f-8a64-3d1b8f2c9a77")


def create_once(catalog: Catalog, draft: ProductDraft, by: Author, key: str) -> Product:
    """Add a product; under the same key again the product as it was first made, whatever became of it since.

    Raises IdempotencyKeyReused when the key made another product, and whatever ``Catalog.create`` raises.
    """
    product_id = uuid5(_NAMESPACE, f"{by.username}\n{key}")
    if (made := catalog.first_made(product_id)) is None:
        taken: ProductExists | None = None
        try:
            catalog.create(draft, by, product_id)
        except ProductExists as exists:
            taken = exists
        made = catalog.first_made(product_id)  # perhaps that of another request under the same key
        if made is None and taken:
            raise taken
    if made is None or made.content() != catalog.draft(draft, by, product_id).content():
        raise IdempotencyKeyReused("this Idempotency-Key has made another product", product_id=str(product_id))
    return made
