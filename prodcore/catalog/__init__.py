"""Use cases on products over shards."""

from prodcore.catalog.catalog import Catalog, Page, ShardCount

__all__ = ["Catalog", "Page", "ShardCount"]
