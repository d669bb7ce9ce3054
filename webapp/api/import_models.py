"""Shapes of imports in the REST API; for validation and for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from prodcore.catalog.upsert import MAX_ITEMS

_EXAMPLE_ID = "6f1c0c2e-7a1b-4c59-9d55-0f3f4b6f2d10"


class BatchQuery(BaseModel):
    """Whether anything is stored."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(False, description="Store nothing: the results say what would become of the items")


class BatchIn(BaseModel):
    """Products to store, each on its own."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"items": [{"name": "Arroz", "variant": "1 kg", "price": "1.20", "stock": 40}]}},
    )

    items: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_ITEMS,
        description="Fields of a product; those not given stay as they are. With the same id, the same creation",
    )
    by: Literal["name", "sku"] = Field("name", description="How an item finds its product: name and variant, or SKU")
    import_id: UUID | None = Field(
        None, alias="import", strict=False, description="The import that this is part of", examples=[_EXAMPLE_ID]
    )


class BatchResult(BaseModel):
    """What became of one item."""

    status: Literal["created", "changed", "unchanged", "refused", "unavailable", "unknown"]
    id: UUID | None = None
    code: str | None = None
    message: str | None = None
    errors: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = Field(
        [], description="Of a dry run: what would change", examples=[[{"field": "price", "old": "1.20", "new": "1.25"}]]
    )


class BatchOut(BaseModel):
    """One result an item, in the order of the items."""

    results: list[BatchResult]


_CountName = Annotated[str, Field(pattern="^[a-z_]{1,20}$")]
_Count = Annotated[int, Field(strict=True, ge=0, le=2**53)]


class ImportIn(BaseModel):
    """What to remember of an import."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"source": "productos.csv"}})

    source: str = Field(max_length=200, description="Where it came from, such as the name of a file")
    counts: dict[_CountName, _Count] | None = Field(
        None, max_length=10, description="What became of its rows; given once the import has ended"
    )


class ImportOut(BaseModel):
    """An import; undone_at is when it was last taken back, perhaps in part."""

    id: UUID
    source: str
    by: str
    started_at: str
    finished_at: str | None
    counts: dict[str, int]
    undone_at: str | None


class ImportsOut(BaseModel):
    """Imports, the newest first."""

    items: list[ImportOut]


class ImportsQuery(BaseModel):
    """How many."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=500)


class UndoIn(BaseModel):
    """Where to go on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"cursor": None}})

    cursor: str | None = Field(None, max_length=200, description="next_cursor of the part before")


class UndoneOut(BaseModel):
    """A product that could not be taken back, and why."""

    id: UUID
    name: str
    variant: str
    status: Literal["refused", "unavailable", "unknown"]
    code: str
    message: str


class UndoOut(BaseModel):
    """What became of some products; with next_cursor the next ones are asked for."""

    deleted: int
    restored: int
    already: int
    refused: int
    items: list[UndoneOut] = Field(description="The products that are as the import left them, or as others did since")
    next_cursor: str | None
    partial: bool
    unavailable: list[str]
