"""What the catalogue remembers of imports, in each shard: that they were, and what they did to its products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from prodcore.product.history import Change
from prodcore.product.model import Product


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """An import as lists show it; what is not known is None."""

    import_id: UUID
    source: str
    by: str
    started_at: datetime
    finished_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    undone_at: datetime | None = None
    """When it was last taken back, perhaps in part."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A product that an import made or changed, live or deleted, with its whole history, the oldest change first."""

    product: Product
    deleted: bool
    history: Sequence[Change]


class ImportStore(Protocol):
    """Of one shard. Reads raise Unavailable; writes too, or OutcomeUnknown."""

    def note(self, record: ImportRecord) -> None:
        """Remember an import; what is known of it already stays, but for what ``record`` says."""

    def undone(self, import_id: UUID, at: datetime) -> bool:
        """Note that it was taken back; False for one that was never noted."""

    def recent(self, limit: int) -> list[ImportRecord]:
        """The last ones, the newest first."""

    def touched(self, import_id: UUID, after: UUID | None, limit: int) -> list[Touched]:
        """Products that it made or changed, by id, after one."""
