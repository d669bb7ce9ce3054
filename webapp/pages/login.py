"""Logging in and out, and making the first administrator."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import flash, render_template, request, url_for
from flask_babel import gettext
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from prodcore.errors import (
    AlreadySetUp,
    AuthError,
    InvalidInput,
    OutcomeUnknown,
    ProdError,
    SecondFactorRequired,
    TooManyAttempts,
    Unavailable,
)
from webapp.identity import caller as identity
from webapp.pages.errors import problems_by_field, wait_text
from webapp.pages.forms import safe_next

blueprint = APIBlueprint("login", __name__, enable_openapi=False)


View = Response | str | tuple[str, int]


@blueprint.get("/")
def home() -> Response:
    """The products are what people come for."""
    return redirect(url_for("pages.products.listing"), 302)


@blueprint.get("/login")
def login() -> View:
    """The login form; a system without anybody begins with the set-up instead."""
    try:
        if identity.current_identity():
            return redirect(_next(), 303)
        if identity.setup_is_open():
            return redirect(url_for("pages.login.setup"), 303)
    except (Unavailable, OutcomeUnknown):
        return _login_form(gettext("The login service is not responding right now."), "service", 200)
    return _login_form()


@blueprint.post("/login")
def log_in() -> View:
    """Start a session and go where the visitor wanted to go."""
    form = request.form
    try:
        identity.log_in(form.get("username", ""), form.get("password", ""), form.get("code", "").replace(" ", ""))
    except TooManyAttempts as error:
        return _login_form(wait_text(error), "wrong", 429)
    except SecondFactorRequired:
        return _login_form(status=401, asks_code=True)
    except (AuthError, InvalidInput):
        return _login_form(gettext("The user name or password is not correct."), "wrong", 401, asks_code="code" in form)
    except (Unavailable, OutcomeUnknown):
        return _login_form(gettext("The login service is not responding right now."), "service", 503)
    return redirect(_next(), 303)


@blueprint.post("/logout")
def log_out() -> Response:
    """End the session; the cookie goes even while authsvc is silent."""
    try:
        identity.log_out()
    except ProdError:
        flash(gettext("You are logged out on this device. The login service will be notified later."), "note")
    else:
        flash(gettext("You are logged out."), "done")
    return redirect(url_for("pages.login.login"), 303)


@blueprint.get("/setup")
def setup() -> View:
    """The form for the first administrator, as long as there is none."""
    try:
        if not identity.setup_is_open():
            return redirect(url_for("pages.login.login"), 303)
    except (Unavailable, OutcomeUnknown):
        return _setup_form(gettext("The login service is not responding right now."), {}, 200)
    return _setup_form()


@blueprint.post("/setup")
def complete_setup() -> View:
    """Make the first administrator and log them in."""
    form = request.form
    try:
        identity.complete_setup(form.get("code", "").strip(), form.get("username", ""), form.get("password", ""))
    except AlreadySetUp:
        flash(gettext("The first administrator already exists. Log in."), "note")
        return redirect(url_for("pages.login.login"), 303)
    except InvalidInput as error:
        return _setup_form("", problems_by_field(error), 422)
    except TooManyAttempts as error:
        return _setup_form(wait_text(error), {}, 429)
    except AuthError:
        wrong = gettext("This is not the setup code, or it has expired. prodctl local up prints a new one.")
        return _setup_form("", {"code": wrong}, 401)
    except (Unavailable, OutcomeUnknown):
        return _setup_form(gettext("The login service is not responding right now."), {}, 503)
    flash(gettext("Welcome. You are the administrator of this system."), "done")
    return redirect(url_for("pages.products.listing"), 303)


def _next() -> str:
    return safe_next(request.values.get("next"))


def _login_form(error: str = "", kind: str = "", status: int = 200, *, asks_code: bool = False) -> tuple[str, int]:
    username = request.form.get("username", "")
    page = render_template(
        "login/login.html", error=error, kind=kind, username=username, next=_next(), asks_code=asks_code
    )
    return page, status


def _setup_form(error: str = "", errors: dict[str, str] | None = None, status: int = 200) -> tuple[str, int]:
    page = render_template("login/setup.html", error=error, errors=errors or {}, values=request.form)
    return page, status
