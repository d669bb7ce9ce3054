"""The history of a product: what each of its versions changed, who did it and when.

It stands in the product's own document and is written by the very write that makes the version, so it holds exactly
what happened, whoever is killed when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Action = Literal["created", "edited", "renamed", "moved", "deleted", "restored"]
"""``renamed`` within its shard, ``moved`` by a new name into another one."""

MAX_CHANGES = 500
"""How many changes a product remembers: the last ones."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a change, in answer to which request, and as a part of which import."""

    username: str
    request_id: str = ""
    import_id: str = ""
    item_id: str = ""
    """Of the item of a batch that changed a product: what was given with it, so that it is recognised when repeated."""


@dataclass(frozen=True, slots=True)
class Change:
    """How a version came to be; the time in UTC."""

    version: int
    at: datetime
    by: Author
    action: Action
    was: Mapping[str, Any] = field(default_factory=dict)
    """The former values of the fields that it changed."""
    source: str = ""
    target: str = ""
    """The shards that a move led from and to."""
