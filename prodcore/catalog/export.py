"""All products of a query, page by page: however many there are, no more than a page is held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prodcore.catalog.catalog import Catalog
from prodcore.catalog.listing import MAX_PAGE
from prodcore.catalog.query import Query
from prodcore.deadline import budget
from prodcore.product.model import SHOWN, show_fields
from prodcore.support.stale_reads import fresh_reads


def whole_list(catalog: Catalog, query: Query, page_seconds: float) -> Iterator[list[dict[str, Any]]]:
    """Pages of products as the REST API shows them; each may take ``page_seconds``.

    Raises ShardUnavailable as soon as a product may be missing, or out of date.
    """
    cursor: str | None = None
    while True:
        with budget(page_seconds), fresh_reads():
            page = catalog.rows(query, cursor=cursor, limit=MAX_PAGE, fields=SHOWN)
        page.require_all()
        yield [show_fields(values) for values in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return
