"""A problem+json answer of one of our services, read back as the error that the service raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prodcore import errors
from prodcore.errors import ConfigError, InvalidInput, Problem, ProdError, ServiceUnavailable

_CLASSES = {
    value.code: value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ProdError)
}
_KNOWN = {"type", "title", "status", "detail", "code", "hint", "errors", "request_id"}


def as_error(status: int, document: Mapping[str, Any], service: str) -> ProdError:
    """The error that ``service`` answered with; what it calls unknown is unknown here too."""
    cls = _CLASSES.get(str(document.get("code", "")))
    if cls is None:
        cls = ServiceUnavailable if status >= 500 else ProdError
    message = str(document.get("detail") or f"{service} answered {status}")
    hint = str(document.get("hint", ""))
    if cls is ProdError and not hint and document.get("request_id"):
        hint = f"request id {document['request_id']}"
    details = {key: value for key, value in document.items() if key not in _KNOWN}
    problems = [Problem(p["field"], p["code"], p["message"]) for p in document.get("errors", ())]
    if issubclass(cls, InvalidInput):
        return cls(message, problems=problems, hint=hint, **details)
    if issubclass(cls, ConfigError):
        return cls(message, hint=hint)
    return cls(message, hint=hint, **details)
