"""``/api/v1/products/batch`` and ``/api/v1/imports``: store many products, undo an import."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from prodcore.catalog.catalog import now
from prodcore.catalog.imports import Undone, begin_undo, recent_imports, remember, undo_part
from prodcore.catalog.stores import ImportRecord
from prodcore.catalog.upsert import MAX_ITEMS, By, Item, ItemOutcome, new_item, upsert
from prodcore.catalog.views import MAPPINGS, MAX_VIEW_NAME, View
from prodcore.errors import InvalidInput, MappingNotFound, Problem, ProdError
from prodcore.product.model import show_time
from prodcore.support.validation import WholeNumber
from prodcore.tabular.columns import TARGETS
from prodcore.tabular.source import SavedReading
from prodcore.web import json_response
from webapp.identity.caller import current_author, required_identity
from webapp.live import current_catalog

blueprint = APIBlueprint("imports", __name__, tag="Imports")

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


_Heading = Annotated[str, Field(min_length=1, max_length=200)]
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

    limit: WholeNumber = Field(50, ge=1, le=500)


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


class MappingIn(BaseModel):
    """How files of a supplier are read."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"locale": "es", "columns": {"PVP": "price", "Notas": "ignore"}}}
    )

    by: Literal["name", "sku"] = Field("name", description="How a row finds its product: name and variant, or SKU")
    locale: Literal["es", "en"] | None = Field(None, description="How numbers look: 1.234,50 (es) or 1,234.50 (en)")
    delimiter: Literal["", ";", ",", "\t", "|"] = Field("", description="Between the cells of a CSV file; empty: found")
    columns: dict[_Heading, Literal[TARGETS]] = Field(  # type: ignore[valid-type]  # the table's own words
        max_length=256, description="What columns give, by heading, or by place such as #3"
    )


class MappingNameIn(BaseModel):
    """Another name."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "Mayorista Sur"}})

    name: str = Field(max_length=MAX_VIEW_NAME)


class MappingOut(BaseModel):
    """A saved mapping, and who saved it last."""

    name: str
    by: Literal["name", "sku"]
    locale: Literal["es", "en"] | None
    delimiter: str
    columns: dict[str, str]
    saved_by: str
    saved_at: str


class MappingsOut(BaseModel):
    """The saved mappings."""

    items: list[MappingOut]


@blueprint.post("/products/batch")
@blueprint.input(BatchQuery, location="query")
@blueprint.input(BatchIn)
@blueprint.output(BatchOut)
@blueprint.doc(summary="Store many products, each on its own", security="bearer")
def store_products(query_data: BatchQuery, json_data: BatchIn) -> Response:
    """Create or change each product under its name and variant, or its SKU; one result an item, in order."""
    items: dict[int, Item] = {}
    results: dict[int, dict[str, Any]] = {}
    for i, data in enumerate(json_data.items):
        try:
            items[i] = _item(data, json_data.by)
        except InvalidInput as error:
            results[i] = _result(ItemOutcome("refused", error=error))
    author = replace(current_author(), import_id=str(json_data.import_id or ""))
    outcomes = upsert(
        current_catalog(), list(items.values()), author, found_by=json_data.by, dry_run=query_data.dry_run
    )
    results |= {i: _result(outcome) for i, outcome in zip(items, outcomes, strict=True)}
    return json_response({"results": [results[i] for i in range(len(json_data.items))]})


@blueprint.get("/imports")
@blueprint.input(ImportsQuery, location="query")
@blueprint.output(ImportsOut)
@blueprint.doc(summary="List imports", security="bearer")
def list_imports(query_data: ImportsQuery) -> Response:
    """The last imports, the newest first."""
    records = recent_imports(current_catalog(), query_data.limit)
    return json_response({"items": [_record(record) for record in records]})


@blueprint.put("/imports/<uuid:import_id>")
@blueprint.input(ImportIn)
@blueprint.doc(summary="Register an import", security="bearer", responses={204: "Remembered"})
def note_import(import_id: UUID, json_data: ImportIn) -> Response:
    """Once when it begins and once, with its counts, when it has ended; repeating it does no harm."""
    moment, counts = now(), json_data.counts
    remember(
        current_catalog(),
        ImportRecord(
            import_id,
            json_data.source,
            required_identity().username,
            started_at=moment,
            finished_at=None if counts is None else moment,
            counts=counts or {},
        ),
    )
    return Response(status=204)


@blueprint.post("/imports/<uuid:import_id>/undo")
@blueprint.input(UndoIn)
@blueprint.output(UndoOut)
@blueprint.doc(summary="Undo an import, some products at a time", security="bearer", responses=[404])
def undo_import(import_id: UUID, json_data: UndoIn) -> Response:
    """Delete what it created, give what it changed its former values; what was changed since stays and is named."""
    catalog = current_catalog()
    if json_data.cursor is None:
        begin_undo(catalog, import_id)
    part = undo_part(catalog, import_id, current_author(), json_data.cursor)
    counts = Counter(undone.status for undone in part.products)
    return json_response(
        {
            **{status: counts[status] for status in ("deleted", "restored", "already", "refused")},
            "items": [_undone(undone) for undone in part.products if undone.error],
            "next_cursor": part.cursor,
            "partial": bool(part.unavailable),
            "unavailable": part.unavailable,
        }
    )


@blueprint.get("/imports/mappings")
@blueprint.output(MappingsOut)
@blueprint.doc(summary="List the saved mappings", security="bearer")
def list_mappings() -> Response:
    """How files of suppliers are read, by name."""
    [kept] = current_catalog().mappings.of(MAPPINGS)
    return json_response({"items": [_mapping(view) for view in kept]})


@blueprint.get("/imports/mappings/<path:name>")
@blueprint.output(MappingOut)
@blueprint.doc(summary="Read a saved mapping", security="bearer", responses=[404])
def show_mapping(name: str) -> Response:
    """One mapping, whatever the case and accents of its name."""
    return json_response(_mapping(_kept(name)))


@blueprint.put("/imports/mappings/<path:name>")
@blueprint.input(MappingIn)
@blueprint.output(MappingOut)
@blueprint.doc(summary="Save a mapping", security="bearer")
def save_mapping(name: str, json_data: MappingIn) -> Response:
    """Create it, or replace the one of this name."""
    reading = SavedReading(json_data.by, json_data.locale, json_data.delimiter, json_data.columns)
    user = required_identity().username
    with _named_so():
        kept = current_catalog().mappings.save(MAPPINGS, name, reading.as_text(), user, over=True)
    return json_response(_mapping(kept))


@blueprint.patch("/imports/mappings/<path:name>")
@blueprint.input(MappingNameIn)
@blueprint.output(MappingOut)
@blueprint.doc(summary="Rename a mapping", security="bearer", responses=[404])
def rename_mapping(name: str, json_data: MappingNameIn) -> Response:
    """Give it another name, which no other mapping may have."""
    mapping_id = _kept(name).id
    with _named_so():
        kept = current_catalog().mappings.rename(MAPPINGS, mapping_id, json_data.name, required_identity().username)
    return json_response(_mapping(kept or _kept(name)))


@blueprint.delete("/imports/mappings/<path:name>")
@blueprint.doc(summary="Remove a mapping", security="bearer", responses={204: "Removed", 404: "Not found"})
def remove_mapping(name: str) -> Response:
    """Imports that were read with it stay as they are."""
    current_catalog().mappings.remove(MAPPINGS, _kept(name).id)
    return Response(status=204)


def _kept(name: str) -> View:
    """Raises MappingNotFound."""
    if kept := current_catalog().mappings.named(MAPPINGS, name):
        return kept
    raise MappingNotFound(f"there is no mapping {name!r}", hint="prodctl product import mapping list")


@contextmanager
def _named_so() -> Iterator[None]:
    """Problems with what is saved are told of the fields of a mapping."""
    try:
        yield
    except InvalidInput as error:
        fields = {"view": "name", "list": "columns"}
        told = [replace(p, field=fields.get(p.field, p.field)) for p in error.problems]
        raise InvalidInput(problems=told) from None


def _mapping(kept: View) -> dict[str, Any]:
    reading = SavedReading.from_text(kept.query)
    read = {"by": reading.by, "locale": reading.locale, "delimiter": reading.delimiter, "columns": reading.columns}
    return {"name": kept.name, **read, "saved_by": kept.by, "saved_at": show_time(kept.at)}


def _record(record: ImportRecord) -> dict[str, Any]:
    return {
        "id": str(record.import_id),
        "source": record.source,
        "by": record.by,
        "started_at": show_time(record.started_at),
        "finished_at": record.finished_at and show_time(record.finished_at),
        "counts": record.counts,
        "undone_at": record.undone_at and show_time(record.undone_at),
    }


def _undone(undone: Undone) -> dict[str, Any]:
    product, error = undone.product, undone.error
    said = {"code": error.code, "message": error.message} if error else {}
    named = {"id": str(product.id), "name": product.name, "variant": product.variant}
    return {**named, "status": undone.status, **said}


def _item(data: dict[str, Any], by: By) -> Item:
    fields = dict(data)
    given = fields.pop("id", None)
    return new_item(fields, _uuid(given) if given is not None else None, by)


def _result(outcome: ItemOutcome) -> dict[str, Any]:
    result: dict[str, Any] = {"status": outcome.status, "id": outcome.product_id and str(outcome.product_id)}
    error: ProdError | None = outcome.error
    if error:
        problems = error.problems if isinstance(error, InvalidInput) else ()
        result |= {"code": error.code, "message": error.message, "errors": [p.as_dict() for p in problems]}
    if outcome.differences:
        result["differences"] = outcome.differences
    return result


def _uuid(text: Any) -> UUID:
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput(problems=[Problem("id", "uuid_parsing", "must be a UUID")]) from None
