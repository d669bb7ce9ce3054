"""The OpenAPI document: errors as callers really get them, examples, and the headers that go in and out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from apiflask import APIFlask
from pydantic import BaseModel, ConfigDict, Field

from prodcore.product.fields import FIELDS

_SCHEMA = "#/components/schemas/Problem"

Document = dict[str, Any]
ID = "7f0e0a3c-5d2f-4b52-9d7e-3f6f4b1f3a10"
DRAFT: Document = {row.name: row.example for row in FIELDS}
PRODUCT: Document = {
    "id": ID,
    **DRAFT,
    "shard": "rsA",
    "version": 1,
    "created_at": "2026-01-31T08:00:00.000Z",
    "updated_at": "2026-01-31T08:00:00.000Z",
    "updated_by": "ana",
}
SEEN = {"id": ID, "version": 1}
PAGE = {"items": [PRODUCT], "next_cursor": None, "partial": False, "unavailable": [], "stale": []}
_P = "/api/v1/products"
_ONE = f"{_P}/{{product_id}}"
REQUESTS: dict[tuple[str, str], Document] = {
    (_P, "post"): {"name": "Aceite de oliva", "variant": "Botella 1 L", "price": "8.95", "stock": 40},
    (f"{_P}/batch", "post"): {"items": [DRAFT]},
    (f"{_P}/bulk/edit", "post"): {"items": [SEEN], "set": {"price": "7.95"}, "add_tags": ["oferta"]},
    (f"{_P}/bulk/delete", "post"): {"items": [SEEN]},
    (_ONE, "patch"): {"price": "7.95", "stock": 12},
}
ANSWERS: dict[tuple[str, str], Document] = {
    (_P, "get"): PAGE,
    (_P, "post"): PRODUCT,
    (f"{_P}/by-name", "get"): PRODUCT,
    (f"{_P}/batch", "post"): {"results": [{"status": "created", "id": ID}]},
    (f"{_P}/bulk/edit", "post"): {"results": [{"id": ID, "status": "changed"}]},
    (f"{_P}/bulk/delete", "post"): {"results": [{"id": ID, "status": "deleted"}]},
    (_ONE, "get"): PRODUCT,
    (_ONE, "patch"): {**PRODUCT, "price": "7.95", "stock": 12, "version": 2},
    (f"{_ONE}/restore", "post"): {**PRODUCT, "version": 3},
}
_TEXT = {"type": "string"}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": "The ETag of the version that was seen",
    "schema": {"type": "string", "pattern": '^"[0-9]{1,15}"$'},
    "example": '"1"',
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of the version that the caller has: 304 while it is the current one",
    "schema": _TEXT,
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same request again under the same key is the same creation and has the same answer, for as "
    "long as the product is there or can be restored; the same key with another body is refused with 422",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
HEADERS = {
    (_P, "post"): [_KEY],
    (_ONE, "get"): [_IF_NONE_MATCH],
    (f"{_P}/by-name", "get"): [_IF_NONE_MATCH],
    (_ONE, "patch"): [_IF_MATCH],
    (_ONE, "delete"): [_IF_MATCH],
    (f"{_ONE}/restore", "post"): [_IF_MATCH],
}
_ETAG = {"ETag": {"description": "The version; goes into If-Match", "schema": _TEXT}}
_STALE = {"Stale-Shards": {"description": "Shards without a majority: this may be out of date", "schema": _TEXT}}
_SENT = {
    (_P, "get"): {
        "Link": {"description": 'The next page, as rel="next"; not on the last one', "schema": _TEXT},
        **_STALE,
    },
    (_P, "post"): {**_ETAG, "Location": {"description": "Where the product is", "schema": _TEXT}},
    (f"{_P}/by-name", "get"): _ETAG | _STALE,
    (_ONE, "get"): _ETAG | _STALE,
    (_ONE, "patch"): _ETAG,
    (f"{_ONE}/restore", "post"): _ETAG,
}


class FieldProblem(BaseModel):
    """One thing wrong with one field."""

    field: str
    pointer: str = Field(description="A JSON pointer into the body")
    code: str
    message: str


class ProblemOut(BaseModel):
    """An error (RFC 9457); docs/reference/errors.md has the codes. Further members are facts about the case."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None
    errors: list[FieldProblem] | None = None
    request_id: str


def install_document(app: APIFlask) -> None:
    """Describe the errors as they are, and those that every endpoint can answer with."""

    @app.spec_processor
    def describe_errors(document: dict[str, Any] | str) -> dict[str, Any] | str:
        assert isinstance(document, dict)  # noqa: S101  a text is for documents in YAML, which we do not serve
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schema = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {}) | {"Problem": schema}
        for unused in ("HTTPError", "ValidationError"):
            schemas.pop(unused, None)
        document["paths"] = dict(sorted(document["paths"].items()))
        describe_products(document["paths"])
        for path in document["paths"].values():
            for method, operation in path.items():
                _describe_operation(method, operation)
        return document


def _describe_operation(method: str, operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation["responses"]
    possible = {406, 503} | ({504} if method != "get" else set())
    if operation.get("requestBody"):
        operation["requestBody"]["required"] = True
        possible |= {400, 413, 415, 422}
    places = {parameter["in"] for parameter in operation.get("parameters", [])}
    if "query" in places:
        possible |= {400, 422}
    if "path" in places:
        possible.add(404)
    if operation.get("security"):
        possible |= {401, 403}
    for status in sorted({*map(int, responses), *possible}):
        if status >= 400:
            responses[str(status)] = {
                "description": HTTPStatus(status).phrase,
                "content": {"application/problem+json": {"schema": {"$ref": _SCHEMA}}},
            }


def describe_products(paths: Document) -> None:
    """Add all of it."""
    for (path, method), operation in _operations(paths).items():
        where = path, method
        for header in HEADERS.get(where, ()):
            operation.setdefault("parameters", []).append(header)
        if _IF_NONE_MATCH in operation.get("parameters", ()):
            operation["responses"]["304"] = {"description": "The caller has this version"}
        if any(header["required"] for header in HEADERS.get(where, ())):
            operation["responses"].setdefault("400", {})
        answer = next(
            operation["responses"][status] for status in ("200", "201", "204") if status in operation["responses"]
        )
        if where in REQUESTS:
            operation["requestBody"]["content"]["application/json"]["example"] = REQUESTS[where]
        if where in ANSWERS:
            answer["content"]["application/json"]["example"] = ANSWERS[where]
        if where in _SENT:
            answer["headers"] = _SENT[where]


def _operations(paths: Document) -> dict[tuple[str, str], Document]:
    return {
        (path, method): operation
        for path, operations in paths.items()
        if path.startswith(_P)
        for method, operation in operations.items()
    }
