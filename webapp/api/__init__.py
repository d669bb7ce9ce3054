"""The REST API, under ``/api/v1``."""

from apiflask import APIFlask

from prodcore.catalog.bulk import MAX_BULK
from prodcore.catalog.listing import MAX_PAGE
from prodcore.catalog.upsert import MAX_ITEMS
from webapp.api import bulk, cluster, identity, imports, listing, products
from webapp.api.openapi import install_document

DESCRIPTION = (
    "Products over MongoDB replica sets. Errors are application/problem+json (RFC 9457). "
    f"Limits: {MAX_PAGE} products a page, {MAX_BULK} a bulk and {MAX_ITEMS} a batch request, 4 MiB a body, "
    "3 s a list on one shard."
)


def register(app: APIFlask) -> None:
    """Add every part of the API."""
    for part in (identity, listing, bulk, products, imports, cluster):
        app.register_blueprint(part.blueprint, url_prefix="/api/v1")
    app.config["ANSWERS"] = {listing.EXPORT: tuple(listing.TYPES.values())}
    install_document(app)
