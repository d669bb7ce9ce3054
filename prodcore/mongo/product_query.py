"""How a list asks one shard: the indexes, the filter, the order."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel

from prodcore.catalog.ports import Slice
from prodcore.routing import prefix_range

ORDER = [("name_key", ASCENDING), ("variant_key", ASCENDING)]

INDEXES = (
    IndexModel(ORDER, name="name_key_variant_key", unique=True),
    IndexModel([("words", ASCENDING), *ORDER], name="words"),
    IndexModel([("sku", ASCENDING)], name="sku", sparse=True),
)


def filter_of(part: Slice) -> dict[str, Any]:
    """What the documents of a part of a list have."""
    bounds: dict[str, Any] = {"$gte": part.lower}
    if part.upper is not None:
        bounds["$lt"] = part.upper
    conditions: list[dict[str, Any]] = [{"name_key": bounds}]
    if part.after:
        name, variant = part.after
        conditions.append({"$or": [{"name_key": {"$gt": name}}, {"name_key": name, "variant_key": {"$gt": variant}}]})
        bounds["$gte"] = max(part.lower, name)
    for word in part.words:
        lower, upper = prefix_range(word)
        conditions.append({"words": {"$elemMatch": {"$gte": lower, "$lt": upper}}})
    return {"$and": conditions}
