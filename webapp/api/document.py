"""The OpenAPI document: every error in it is the problem+json that callers really get."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from apiflask import APIFlask
from pydantic import BaseModel, ConfigDict, Field

from webapp.api.document_products import describe_products

_SCHEMA = "#/components/schemas/Problem"


class FieldProblem(BaseModel):
    """One thing wrong with one field."""

    field: str
    pointer: str = Field(description="A JSON pointer into the body")
    code: str
    message: str


class Problem(BaseModel):
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
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {}) | {"Problem": schema}
        for unused in ("HTTPError", "ValidationError"):
            schemas.pop(unused, None)
        document["paths"] = dict(sorted(document["paths"].items()))
        describe_products(document["paths"])
        for path in document["paths"].values():
            for operation in path.values():
                _describe_operation(operation)
        return document


def _describe_operation(operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation["responses"]
    possible = {406, 503}
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
