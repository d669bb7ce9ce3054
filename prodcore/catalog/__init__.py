"""Use cases on products over shards."""

from prodcore.catalog.catalog import Catalog, ShardCount
from prodcore.catalog.listing import Page

__all__ = ["Catalog", "Page", "ShardCount"]
