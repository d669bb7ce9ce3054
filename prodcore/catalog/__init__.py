"""Use cases on products over shards."""

from prodcore.catalog.catalog import Catalog
from prodcore.catalog.distribution import ShardCount
from prodcore.catalog.listing import Page
from prodcore.catalog.stores import Query, Sort, search_words

__all__ = ["Catalog", "Page", "Query", "ShardCount", "Sort", "search_words"]
