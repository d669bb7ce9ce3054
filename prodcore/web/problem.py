"""Errors as answers: problem+json (RFC 9457), one translator for everything that can go wrong in a service."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from apiflask.exceptions import HTTPError
from flask import Flask, Response, g, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from prodcore.errors import AuthError, InvalidInput, NotAuthenticated, OutcomeUnknown, ProdError, Unavailable
from prodcore.support.validation import problems_of
from prodcore.web.strict_json import dump

RETRY_AFTER_SECONDS = 2
_SAFE = ("GET", "HEAD", "OPTIONS")

_CODES = {413: "request_entity_too_large", 414: "request_uri_too_long"}
"""Python calls them by other names in other versions."""

BARE_POLICY = (
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
)
"""What browsers are told with a refusal that the app, which tells them more, has not seen."""

log = structlog.get_logger("web")


def as_prod_error(error: Exception) -> ProdError | HTTPException:
    """What an exception means, in our own terms; werkzeug's stay as they are."""
    if isinstance(error, ProdError | HTTPException):
        return error
    if isinstance(error, HTTPError):
        if isinstance(error.__cause__, ValidationError):
            return InvalidInput(problems=problems_of(error.__cause__))
        return HTTPException(error.message, Response(status=error.status_code))
    log.error("unexpected", exc_info=error)
    if request.method in _SAFE:
        return ProdError("Something went wrong here; the request id leads to it in the log")
    # It may have happened after the write was acknowledged, so nobody may be told that nothing was done.
    return OutcomeUnknown(
        "Something went wrong here, perhaps after the work was done; the request id leads to it in the log",
        hint="check whether it was done before you repeat it",
    )


def code_of(status: int) -> str:
    """The code of an HTTP error that is none of ours, such as ``method_not_allowed``."""
    return _CODES.get(status) or HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")


def problem_response(error: ProdError | HTTPException) -> Response:
    """The problem+json answer to an error."""
    if isinstance(error, HTTPException):
        original = error.get_response()
        status = original.status_code
        phrase = HTTPStatus(status).phrase
        plain = {"code": code_of(status), "title": phrase, "detail": error.description or phrase}
        headers = {k: v for k, v in original.headers.items() if k in ("Allow", "Retry-After")}
        return _response(status, plain, headers)
    body: dict[str, Any] = {"code": error.code, "title": error.title, "detail": error.message, **error.details}
    if error.hint:
        body["hint"] = error.hint
    if isinstance(error, InvalidInput) and error.problems:
        body["errors"] = [
            {**p.as_dict(), "pointer": "#/" + p.field.replace(".", "/") if p.field else "#"} for p in error.problems
        ]
    return _response(error.http_status, body, _headers(error))


def _headers(error: ProdError) -> dict[str, str]:
    headers = {}
    if isinstance(error, Unavailable) or "retry_after_seconds" in error.details:
        headers["Retry-After"] = str(error.details.get("retry_after_seconds", RETRY_AFTER_SECONDS))
    if isinstance(error, NotAuthenticated) or (type(error) is AuthError):
        headers["WWW-Authenticate"] = 'Bearer realm="prodctl"'
    return headers


def _response(status: int, body: dict[str, Any], headers: dict[str, str]) -> Response:
    full = {"type": f"urn:prodctl:error:{body['code']}", "status": status, **body, "request_id": g.get("request_id")}
    return Response(dump(full), status, headers, content_type="application/problem+json")


def install_problems(app: Flask, html_page: Any = None) -> None:
    """Translate every error; ``html_page(error)`` answers for the paths that people see in a browser."""

    def answer(error: Exception) -> Response:
        translated = as_prod_error(error)
        if html_page is not None and not request.path.startswith(("/api/", "/healthz", "/readyz", "/metrics")):
            page: Response = html_page(translated)
            return page
        return problem_response(translated)

    for kind in (Exception, HTTPException, HTTPError, ProdError):
        app.register_error_handler(kind, answer)
