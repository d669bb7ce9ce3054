"""Users and service tokens, for admins.

Who there is, what they may do, and helping those who have locked themselves out; what programs log in with, of which
the secret is shown once.
"""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import flash, render_template, request, url_for
from flask_babel import gettext
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from prodcore.errors import Conflict, InvalidInput, LastAdmin, NotFound, TokenExists, UserExists
from prodcore.identity.rights import SCOPES, Role
from webapp.identity.caller import account
from webapp.pages.errors import problems_by_field
from webapp.pages.forms import is_draft, keeps_drafts

blueprint = APIBlueprint("users", __name__, enable_openapi=False)


View = Response | str | tuple[str, int]

_USER = "/users/<username>"
_LIVES = (7, 30, 90, 365)
"""Days that a service token may live."""


@blueprint.get("/users")
def listing() -> str:
    """Everybody, by name."""
    return render_template("users/list.html", users=account("GET", "/users")["items"])


@blueprint.get("/users/new")
def new() -> str:
    """The form for somebody new."""
    return _form()


@blueprint.post("/users/new")
@keeps_drafts
def create() -> View:
    """Make an account with a first password."""
    form = request.form
    if is_draft():
        return _form()
    body = {name: form.get(name, "") for name in ("username", "password", "role")}
    try:
        user = account("POST", "/users", body)
    except InvalidInput as error:
        return _form(problems_by_field(error)), 422
    except UserExists:
        return _form({"username": gettext("This user name is taken.")}), 409
    flash(gettext("“%(name)s” can log in now.", name=user["username"]), "done")
    return redirect(url_for("pages.users.show", username=user["username"]), 303)


@blueprint.get("/users/<username>")
def show(username: str) -> str:
    """One person, their sessions, and what can be done."""
    return _page(username)


@blueprint.post("/users/<username>")
def change(username: str) -> View:
    """Do what the pressed button says: change the role, disable, enable, end sessions, help."""
    action = request.form.get("action", "")
    if action == "reset":
        return _page(username, reset=account("POST", f"{_USER}/reset", username=username))
    try:
        flash(_carry_out(username, action), "done")
    except LastAdmin:
        flash(gettext("This is the last administrator: make another user an administrator first."), "note")
    except InvalidInput:
        flash(gettext("Nothing was changed."), "note")
    return redirect(url_for("pages.users.show", username=username), 303)


@blueprint.post("/users/<username>/delete")
def delete(username: str) -> Response:
    """Remove the account; the products that the person made stay."""
    try:
        account("DELETE", _USER, username=username)
    except LastAdmin:
        flash(gettext("This is the last administrator: make another user an administrator first."), "note")
        return redirect(url_for("pages.users.show", username=username), 303)
    flash(gettext("“%(name)s” was deleted.", name=username), "done")
    return redirect(url_for("pages.users.listing"), 303)


@blueprint.get("/users/<username>/delete")
def ask_to_delete(username: str) -> str:
    """Ask once more."""
    return render_template("users/delete.html", user=account("GET", _USER, username=username))


def _carry_out(username: str, action: str) -> str:
    """Do it, and say what was done."""
    if action == "role":
        account("PATCH", _USER, {"role": request.form.get("role", "")}, username=username)
        return str(gettext("The role was changed. It takes effect within seconds."))
    if action in ("disable", "enable"):
        account("PATCH", _USER, {"disabled": action == "disable"}, username=username)
        return str(gettext("The account is disabled.") if action == "disable" else gettext("The account is enabled."))
    if action == "sessions":
        account("DELETE", f"{_USER}/sessions", username=username)
        return str(gettext("All sessions have ended."))
    if action == "second-factor":
        try:
            account("DELETE", f"{_USER}/second-factor", username=username)
        except Conflict:
            return str(gettext("Without it, their password may be too short: create a one-time code first."))
        return str(gettext("The second factor was removed."))
    raise BadRequest


def _page(username: str, **more: Any) -> str:
    user = account("GET", _USER, username=username)
    sessions = account("GET", f"{_USER}/sessions", username=username)["items"]
    return render_template("users/show.html", user=user, sessions=sessions, roles=list(Role), **more)


def _form(errors: dict[str, str] | None = None) -> str:
    return render_template("users/form.html", values=request.form, errors=errors or {}, roles=list(Role))


@blueprint.get("/tokens")
def tokens() -> str:
    """All service tokens, with scopes, end and last use."""
    return _tokens()


@blueprint.post("/tokens")
@keeps_drafts
def create_token() -> View:
    """Make a service token and show its secret."""
    form = request.form
    if is_draft():
        return _tokens(typed=form)
    body = {"name": form.get("name", "").strip(), "scopes": form.getlist("scopes"), "days": _days()}
    try:
        made = account("POST", "/tokens", body)
    except TokenExists:
        return _tokens({"name": gettext("Another token has this name.")}, form), 409
    except InvalidInput as error:
        return _tokens(_sentences(error), form), 422
    return _tokens(made=made)


@blueprint.post("/tokens/<name>/revoke")
def revoke_token(name: str) -> Response:
    """End a service token; whoever uses it is refused within seconds."""
    try:
        account("DELETE", "/tokens/<name>", name=name)
    except NotFound:
        flash(gettext("This token no longer exists."), "note")
    else:
        flash(gettext("“%(name)s” is revoked.", name=name), "done")
    return redirect(url_for("pages.users.tokens"), 303)


def _days() -> int:
    given = request.form.get("days", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 5 else 0


def _sentences(error: InvalidInput) -> dict[str, str]:
    known = {
        "name": gettext("Use lowercase Latin letters, digits and . _ -, beginning with a letter or digit."),
        "scopes": gettext("Choose at least one."),
        "days": gettext("Choose a duration."),
    }
    fields = {problem.field.split(".")[0] for problem in error.problems}
    return {field: known.get(field, error.message) for field in fields}


def _tokens(
    errors: dict[str, str] | None = None, typed: MultiDict[str, str] | None = None, made: dict[str, Any] | None = None
) -> str:
    return render_template(
        "tokens/list.html",
        tokens=account("GET", "/tokens")["items"],
        scopes=sorted(SCOPES),
        lives=_LIVES,
        values=typed or {},
        chosen=typed.getlist("scopes") if typed else [],
        errors=errors or {},
        made=made,
    )
