"""What a visitor may choose without an account, the language and the colours; and the columns of the list."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import request
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from webapp.pages.address import safe_next
from webapp.pages.locale import LANGUAGE_COOKIE, LANGUAGES

blueprint = APIBlueprint("preferences", __name__, enable_openapi=False)

THEME_COOKIE = "theme"
COLUMNS_COOKIE = "columns"
THEMES = ("auto", "light", "dark")
_YEAR_SECONDS = 365 * 24 * 3600


def theme() -> str:
    """The colours picked; ``auto`` follows the system."""
    picked = request.cookies.get(THEME_COOKIE, "")
    return picked if picked in THEMES else "auto"


@blueprint.post("/preferences")
def choose() -> Response:
    """Remember a choice and go back."""
    response = redirect(safe_next(request.form.get("next")), 303)
    for cookie, allowed in ((LANGUAGE_COOKIE, LANGUAGES), (THEME_COOKIE, THEMES)):
        value = request.form.get(cookie, "")
        if value in allowed:
            remember(response, cookie, value)
    return response


def remember(response: Response, cookie: str, value: str) -> None:
    """Keep a choice for a year; an empty one is forgotten."""
    age = _YEAR_SECONDS if value else 0
    response.set_cookie(cookie, value, max_age=age, secure=request.is_secure, httponly=True, samesite="Lax")
