"""One's own account: password, second factor, sessions. authsvc decides; this asks it and shows the answer."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import segno
from apiflask import APIBlueprint
from flask import flash, render_template, request, url_for
from flask_babel import gettext
from markupsafe import Markup
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from prodcore.errors import (
    AuthError,
    Conflict,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    SecondFactorRequired,
    TooManyAttempts,
)
from webapp.identity.caller import account, current_identity, prove
from webapp.pages.errors import problems_by_field, proof_form, wait_text
from webapp.pages.forms import is_draft

blueprint = APIBlueprint("account", __name__, enable_openapi=False)


View = Response | str | tuple[str, int]


@blueprint.get("/account")
def show() -> str:
    """Everything about the account on one page."""
    return _page()


@blueprint.post("/account/password")
def change_password() -> View:
    """A new password; every other session of the account ends."""
    form = request.form
    body = {"old_password": form.get("old_password", ""), "new_password": form.get("new_password", "")}
    body |= _code("password_code")
    try:
        account("POST", "/account/password", body)
    except InvalidInput as error:
        problems = problems_by_field(error)
        wrong = problems.get("old_password", "")
        return _page({"old_password": wrong} if wrong else {"new_password": next(iter(problems.values()))}), 422
    except SecondFactorRequired:
        return _page({"password_code": gettext("Fill this in.")}), 422
    except AuthError as error:
        return _page({"old_password": _refusal(error)}), error.http_status
    flash(gettext("The password was changed. Your other sessions have ended."), "done")
    return _back()


@blueprint.post("/account/sessions")
def end_sessions() -> Response:
    """End one session, or all but this one."""
    session_id = request.form.get("session", "")
    with suppress(NotFound):  # it may have ended by itself
        if session_id:
            account("DELETE", "/account/sessions/<session_id>", session_id=session_id)
        else:
            account("DELETE", "/account/sessions")
    flash(gettext("The session has ended.") if session_id else gettext("All your other sessions have ended."), "done")
    return _back()


@blueprint.post("/account/second-factor")
def begin_second_factor() -> View:
    """Show the secret for an authenticator; it counts once a code has confirmed it."""
    try:
        return _enrolment(account("POST", "/account/second-factor"))
    except Conflict:
        flash(gettext("Your account has a second factor already. Remove it first to set up another one."), "note")
        return _back()


@blueprint.post("/account/second-factor/confirm")
def confirm_second_factor() -> View:
    """Put the second factor in force, and show the recovery codes this one time."""
    form = request.form
    try:
        answer = account("PUT", "/account/second-factor", {"code": form.get("code", "").replace(" ", "")})
    except (AuthError, InvalidInput) as error:
        if isinstance(error, NotAuthenticated) and current_identity() is None:
            raise
        begun = {"secret": form.get("secret", ""), "uri": form.get("uri", "")}
        if isinstance(error, TooManyAttempts):
            return _enrolment(begun, wait_text(error)), error.http_status
        return _enrolment(begun, gettext("This code is not correct. Codes change every 30 seconds.")), 422
    return render_template("account/recovery_codes.html", codes=answer["recovery_codes"])


@blueprint.post("/account/second-factor/remove")
def remove_second_factor() -> View:
    """Needs the password once more: a stolen session must not do this."""
    try:
        body = {"password": request.form.get("password", ""), **_code("removal_code")}
        account("DELETE", "/account/second-factor", body)
    except SecondFactorRequired:
        return _page({"removal_code": gettext("Fill this in.")}), 422
    except InvalidInput as error:
        return _page({"password": next(iter(problems_by_field(error).values()))}), 422
    except AuthError as error:
        return _page({"password": _refusal(error)}), 422
    except (Conflict, NotFound):
        flash(gettext("Your account has no second factor."), "note")
        return _back()
    flash(gettext("The second factor was removed."), "done")
    return _back()


def take_proof() -> Response | None:
    """Take the password that the form of ``proof_form`` asked for; what was sent with it goes on then."""
    form = request.form if request.method == "POST" else {}
    if "proof_password" not in form or is_draft():
        return None
    code = form.get("proof_code", "").replace(" ", "")
    try:
        prove(form["proof_password"], code)
    except SecondFactorRequired:
        return proof_form(asks_code=True)
    except (AuthError, InvalidInput) as error:
        if isinstance(error, NotAuthenticated) and current_identity() is None:
            raise
        wrong = gettext("The password or the code is not correct.") if code else _refusal(error)
        return proof_form(wait_text(error) if isinstance(error, TooManyAttempts) else wrong, asks_code=bool(code))
    return None


def _code(field: str) -> dict[str, str]:
    """The code of the second factor, where one was filled in."""
    code = request.form.get(field, "").replace(" ", "")
    return {"code": code} if code else {}


def _page(errors: dict[str, str] | None = None) -> str:
    sessions = account("GET", "/account/sessions")["items"]
    second_factor = account("GET", "/account/second-factor")["in_force"]
    return render_template("account/mine.html", sessions=sessions, second_factor=second_factor, errors=errors or {})


def _enrolment(begun: dict[str, Any], error: str = "") -> str:
    picture = ""
    if begun["uri"].startswith("otpauth://"):
        picture = Markup(segno.make(begun["uri"]).svg_inline(scale=5, border=3, light="#ffffff"))  # noqa: S704  segno's
    return render_template("account/second_factor.html", begun=begun, picture=picture, error=error)


def _refusal(error: Exception) -> str:
    return wait_text(error) if isinstance(error, TooManyAttempts) else gettext("This is not your password.")


def _back() -> Response:
    return redirect(url_for("pages.account.show"), 303)
