"""What an import would do, without doing it: how many rows would be new, updated, unchanged, and what would change."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from prodcore.catalog import Catalog
from prodcore.catalog.upsert import new_item, upsert
from prodcore.product.history import Author
from webapp.pages.upload import Judged

_BATCH = 1_000
MOST_ROWS = 5_000
"""Rows that are looked at: more would keep the visitor waiting."""
_SHOWN = 10


@dataclass(slots=True)
class Forecast:
    """What would become of the first rows."""

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    changes: list[tuple[dict[str, Any], tuple[dict[str, Any], ...]]] = field(default_factory=list)
    """The first rows that would change a product: their fields, and what they change."""
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    """The first rows that would be refused: line, code and reason."""


def forecast(catalog: Catalog, judged: Judged, by: Author) -> Forecast:
    """Ask what would become of the rows; nothing is stored."""
    seen = Forecast()
    rows = judged.good[:MOST_ROWS]
    for i in range(0, len(rows), _BATCH):
        batch = rows[i : i + _BATCH]
        items = [new_item(fields, by=judged.by) for _line, fields, _cells in batch]
        outcomes = upsert(catalog, items, by, found_by=judged.by, dry_run=True)
        for (line, fields, _cells), outcome in zip(batch, outcomes, strict=True):
            seen.rows += 1
            seen.counts[outcome.status] += 1
            if outcome.differences and len(seen.changes) < _SHOWN:
                seen.changes.append((fields, outcome.differences))
            if outcome.error is not None and len(seen.refused) < _SHOWN:
                seen.refused.append((line, outcome.error.code, outcome.error.message))
    return seen
