"""Deleted products through the REST API."""

from __future__ import annotations

from collections.abc import Iterator

from prodcore.errors import InvalidInput, ProductDeleted, ProductNotFound, ShardUnavailable, VersionConflict
from prodcore.routing import fold
from prodctl.client.api import ApiClient
from prodctl.client.products import MAX_PAGE, Page, Product, as_id, find, pages


def deleted_pages(client: ApiClient, limit: int | None) -> Iterator[Page]:
    """Pages of deleted products, the last one first: up to ``limit`` of them, or all with None."""
    return pages(client, {}, limit=limit, path="/products/deleted")


def find_deleted(client: ApiClient, name_or_id: str, variant: str | None) -> Product:
    """``id`` and ``version`` of the deleted product with this id, or that was called so.

    Raises ProductNotFound; InvalidInput naming the ids where several were; VersionConflict for one that is not
    deleted.
    """
    if product_id := as_id(name_or_id):
        try:
            live = client.call("GET", f"/products/{product_id}")
        except ProductDeleted as deleted:
            return {"id": str(product_id), "version": deleted.details["version"]}
        raise VersionConflict(f"{live['name']!r} is not deleted")
    answer = client.call("GET", "/products/deleted", query={"name": name_or_id, "limit": MAX_PAGE})
    named: list[Product] = [p for p in answer["items"] if variant is None or fold(p["variant"]) == fold(variant)]
    if len(named) == 1:
        return named[0]
    if named:
        ids = "; ".join(f"{p['id']} ({p['variant'] or 'no variant'}, {p['deleted_at'][:16]})" for p in named[:10])
        raise InvalidInput(f"{len(named)} deleted products were called {name_or_id!r}", hint=f"give the id: {ids}")
    if answer["unavailable"]:
        raise ShardUnavailable(f"{', '.join(answer['unavailable'])} unavailable: it may be deleted there")
    raise ProductNotFound(f"no deleted product was called {name_or_id!r}", hint="prodctl product deleted lists them")


def find_any(client: ApiClient, name_or_id: str, variant: str | None) -> Product:
    """``id`` of the product with this id or name, live or deleted. Raises what ``find`` raises."""
    if variant is None and (product_id := as_id(name_or_id)):
        return {"id": str(product_id)}
    try:
        return find(client, name_or_id, variant)
    except ProductNotFound as not_found:
        try:
            return find_deleted(client, name_or_id, variant)
        except ProductNotFound:
            raise not_found from None
