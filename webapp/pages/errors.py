"""Errors as pages that help: what happened, what it means for the visitor's work, where to go from here."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, g, make_response, render_template, request, url_for
from flask_babel import gettext
from werkzeug.exceptions import HTTPException
from werkzeug.utils import redirect

from prodcore.errors import NotAuthenticated, ProdError, Unavailable
from webapp.pages.address import with_query
from webapp.pages.messages import error_text

_RETRY_AFTER_SECONDS = 2


def is_partial() -> bool:
    """Whether a script asks for a part of a page (htmx)."""
    return request.headers.get("HX-Request") == "true"


def error_page(error: ProdError | HTTPException) -> Response:
    """The page for an error; a visitor who is not logged in is led to the login instead."""
    if isinstance(error, NotAuthenticated):
        return _to_login()
    if isinstance(error, HTTPException) and error.response is not None and error.code is None:
        return make_response(error.response)
    status = _status(error)
    title, text = error_text(error, status)
    template = "errors/part.html" if is_partial() else "errors/page.html"
    body = render_template(template, status=status, title=title, text=text, request_id=g.get("request_id"))
    response = make_response(body, status)
    wait = getattr(error, "details", {}).get("retry_after_seconds")
    if wait or isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(wait or _RETRY_AFTER_SECONDS)
    if status == HTTPStatus.METHOD_NOT_ALLOWED and isinstance(error, HTTPException):
        response.headers["Allow"] = error.get_response().headers.get("Allow", "GET")
    return response


def _status(error: ProdError | HTTPException) -> int:
    if isinstance(error, ProdError):
        return error.http_status
    return error.code or error.get_response().status_code


def _to_login() -> Response:
    """Send the visitor to log in, and afterwards back to where they were."""
    came_from = request.full_path.rstrip("?") if request.method == "GET" and not is_partial() else ""
    target = with_query(url_for("pages.account.login"), next="" if came_from == "/" else came_from)
    if is_partial():
        return Response(gettext("Log in again to go on."), 200, {"HX-Redirect": target})
    return make_response(redirect(target, 303))
