"""Shapes of the REST API that are not products themselves; for validation and for the OpenAPI document."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from prodcore.product.model import ProductDraft


class _Query(BaseModel):
    """A query string: texts become numbers, unknown names are refused."""

    model_config = ConfigDict(extra="forbid")


class NameQuery(_Query):
    """A name and variant, however they are spelled."""

    name: str = Field(min_length=1, max_length=200)
    variant: str = Field("", max_length=200)


class WhereQuery(_Query):
    """A name to route."""

    name: str = Field(max_length=1000)


class NewProduct(ProductDraft):
    """A product to make; with the same id a repeated request is the same creation."""

    id: str | None = Field(None, pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")


class ProductOut(ProductDraft):
    """A product."""

    id: UUID
    price: str  # type: ignore[assignment]  # a decimal string: JSON numbers are binary floats to many clients
    currency: str
    shard: str
    version: int
    created_at: str
    updated_at: str
    updated_by: str


class ListedProduct(ProductOut):
    """A product, or those of its fields that were asked for."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.pop("required"))


class PageOut(BaseModel):
    """A page; partial when a shard did not answer, stale where one has lost its majority and may be out of date."""

    items: list[ListedProduct]
    next_cursor: str | None
    partial: bool
    unavailable: list[str]
    stale: list[str]


class ShardOut(BaseModel):
    """A shard; products is null while it does not answer."""

    shard: str
    ranges: list[str]
    products: int | None


class ShardsOut(BaseModel):
    """The shards of the map."""

    items: list[ShardOut]
    map_version: int


class RouteOut(BaseModel):
    """Where a name goes, and why."""

    name: str
    key: str
    shard: str
    range: str
    reason: str
