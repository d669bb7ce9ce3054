"""Shapes of the REST API about what was done to products."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from prodcore.catalog.listing import MAX_PAGE
from prodcore.product.history import Action
from webapp.api.models import ProductOut


class ChangeOut(BaseModel):
    """How a version came to be."""

    version: int
    at: str
    by: str
    action: Action
    was: dict[str, Any] = Field(description="The former values of the fields that it changed")
    source: str | None = Field(None, alias="from", description="The shard that a move led from")
    target: str | None = Field(None, alias="to", description="The shard that a move led to")
    request_id: str | None = None
    import_id: str | None = Field(None, alias="import", description="The import that it was a part of")


class HistoryOut(BaseModel):
    """Changes, the last one first."""

    items: list[ChangeOut]


class DeletedQuery(BaseModel):
    """Which page of the deleted products; unknown names are refused."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=200, description="Only those that were called so")
    limit: int = Field(50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before")


class DeletedOut(ProductOut):
    """A deleted product; version is the one to name in If-Match to restore it."""

    deleted_at: str
    deleted_by: str
    restorable_until: str


class DeletedPageOut(BaseModel):
    """A page of deleted products; partial when a shard did not answer."""

    items: list[DeletedOut]
    next_cursor: str | None
    partial: bool
    unavailable: list[str]
    stale: list[str]
