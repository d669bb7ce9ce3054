"""Logging in and out, and making the first administrator."""

from __future__ import annotations

import base64
import hmac
import json

from apiflask import APIBlueprint
from cryptography.fernet import Fernet, InvalidToken
from flask import current_app, flash, render_template, request, url_for
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
from webapp.pages.forms import Draft, safe_next

blueprint = APIBlueprint("login", __name__, enable_openapi=False)

_TICKET_SECONDS = 300

View = Response | str | tuple[str, int]


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
    """Start a session and go where the visitor wanted to go, with what they had typed before."""
    form = request.form
    username, password = form.get("username", ""), form.get("password", "")
    if ticket := form.get("ticket", ""):
        try:
            username, password = json.loads(_sealed().decrypt(ticket, ttl=_TICKET_SECONDS))
        except InvalidToken:
            return _login_form(gettext("That took too long. Log in again."), "wrong", 401)
    try:
        identity.log_in(username, password, form.get("code", "").replace(" ", ""))
    except TooManyAttempts as error:
        return _login_form(wait_text(error), "wrong", 429)
    except SecondFactorRequired:
        return _login_form(status=401, ticket=_sealed().encrypt(json.dumps([username, password]).encode()).decode())
    except (AuthError, InvalidInput):
        if ticket:
            return _login_form(gettext("This code is not correct."), "wrong", 401, ticket=ticket)
        return _login_form(gettext("The user name or password is not correct."), "wrong", 401)
    except (Unavailable, OutcomeUnknown):
        return _login_form(gettext("The login service is not responding right now."), "service", 503, ticket=ticket)
    if kept := form.get("kept"):
        return render_template("login/draft.html", draft=Draft.unpacked(kept), reason="login")
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
    return redirect(url_for("pages.home.home"), 303)


def _next() -> str:
    return safe_next(request.values.get("next"))


def _sealed() -> Fernet:
    """What seals the password while the code of the second factor is asked for: nobody types it twice."""
    secret = str(current_app.secret_key).encode()
    return Fernet(base64.urlsafe_b64encode(hmac.digest(secret, b"prodctl: between password and code", "sha256")))


def _login_form(error: str = "", kind: str = "", status: int = 200, *, ticket: str = "") -> tuple[str, int]:
    form = request.form
    page = render_template(
        "login/login.html",
        error=error,
        kind=kind,
        username=form.get("username", ""),
        next=_next(),
        kept=form.get("kept", ""),
        ticket=ticket,
    )
    return page, status


def _setup_form(error: str = "", errors: dict[str, str] | None = None, status: int = 200) -> tuple[str, int]:
    page = render_template("login/setup.html", error=error, errors=errors or {}, values=request.form)
    return page, status
