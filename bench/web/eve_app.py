"""Eve, as its documentation sets it up: one database (all products in rsA), validation, pages by number."""

import os

from eve import Eve

text = {"type": "string"}
app = Eve(
    settings={
        "MONGO_URI": os.environ["BENCH_EVE"],
        "RESOURCE_METHODS": ["GET", "POST"],
        "ITEM_METHODS": ["GET"],
        "PAGINATION_DEFAULT": 50,
        "MONGO_WRITE_CONCERN": {"w": "majority"},  # journaled: writeConcernMajorityJournalDefault
        "MONGO_QUERY_BLACKLIST": ["$where"],
        "DOMAIN": {
            "eve_products": {
                "url": "products",
                "additional_lookup": {"url": 'regex("[^/]+")', "field": "name"},
                "schema": {
                    "name": {**text, "required": True},
                    "variant": text,
                    "category": text,
                    "description": text,
                    "price": {**text, "required": True},
                    "currency": text,
                    "stock": {"type": "integer"},
                    "tags": {"type": "list", "schema": text},
                    "active": {"type": "boolean"},
                },
            }
        },
    }
)
