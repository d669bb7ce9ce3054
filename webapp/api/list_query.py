"""The query string of a list of products: filters, order, page, fields."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from prodcore.catalog import Query, Sort, search_words
from prodcore.catalog.listing import MAX_PAGE
from prodcore.catalog.stores import MAX_SEARCH_LENGTH, SORTS
from prodcore.product.model import MAX_STOCK, SHOWN, Price

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]{5,15}([Zz]|[+-][0-9]{2}:?[0-9]{2})")
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _time(value: Any) -> Any:
    if isinstance(value, str) and _DATE.fullmatch(value):
        return f"{value}T00:00:00Z"
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise PydanticCustomError("datetime_parsing", "must be a date or a time such as 2026-01-31T08:00:00Z")
    return value


def _in_our_time(value: datetime) -> datetime:
    if not _FIRST <= value <= _LAST:
        raise PydanticCustomError("out_of_range", "must lie between the years 1970 and 9999")
    return value.astimezone(UTC)


def _fields(value: str) -> str:
    unknown = [name for name in value.split(",") if name not in SHOWN]
    if unknown:
        raise PydanticCustomError(
            "unknown_field", "must be names of fields with commas between: {names}", {"names": ", ".join(SHOWN)}
        )
    return value


_Tag = Annotated[str, Field(min_length=1, max_length=50)]


class FilterQuery(BaseModel):
    """Which products. Texts become numbers, unknown names are refused; all filters must hold, bounds are inclusive."""

    model_config = ConfigDict(extra="forbid")

    search: str = Field("", max_length=MAX_SEARCH_LENGTH, description="Folded word beginnings; all must match")
    category: str | None = Field(None, max_length=100, description="Whatever the case and accents; empty: without one")
    tag: Annotated[list[_Tag], BeforeValidator(_list)] = Field([], max_length=20, description="May be repeated: all")
    price_min: Price | None = None
    price_max: Price | None = None
    stock_min: int | None = Field(None, ge=0, le=MAX_STOCK)
    stock_max: int | None = Field(None, ge=0, le=MAX_STOCK)
    active: bool | None = Field(None, description="Whether it is for sale")
    shard: str | None = Field(None, max_length=100, description="Of this shard only")
    updated_since: Annotated[AwareDatetime, BeforeValidator(_time), AfterValidator(_in_our_time)] | None = None
    sort: Literal[SORTS] = Field("name", description="With - before it the other way round")  # type: ignore[valid-type]

    def query(self) -> Query:
        """What it asks for."""
        return Query(
            words=search_words(self.search),
            tags=tuple(self.tag),
            sort=Sort.parse(self.sort),
            **{name: getattr(self, name) for name in _SAME},
        )


_SAME = ("category", "price_min", "price_max", "stock_min", "stock_max", "active", "shard", "updated_since")


class PageQuery(FilterQuery):
    """Which page of which products, and which of their fields."""

    limit: int = Field(50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=4_000, description="next_cursor of the page before")
    fields: Annotated[str, AfterValidator(_fields)] | None = Field(
        None, max_length=500, description="Only these fields, with commas between"
    )
    require_all: bool = Field(False, description="Refuse with 503 while a shard does not answer, not a partial page")
