"""Service tokens, for admins: what programs log in with. The secret of a new one is shown once."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import flash, render_template, request, url_for
from flask_babel import gettext
from werkzeug.datastructures import MultiDict
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from prodcore.errors import InvalidInput, NotFound, TokenExists
from prodcore.identity.rights import SCOPES
from webapp.identity.caller import account
from webapp.pages.forms import is_draft, keeps_drafts

blueprint = APIBlueprint("tokens", __name__, enable_openapi=False)


View = Response | str | tuple[str, int]

_LIVES = (7, 30, 90, 365)
"""Days to choose from."""


@blueprint.get("/tokens")
def listing() -> str:
    """All of them, with scopes, end and last use."""
    return _page()


@blueprint.post("/tokens")
@keeps_drafts
def create() -> View:
    """Make one and show its secret."""
    form = request.form
    if is_draft():
        return _page(typed=form)
    body = {"name": form.get("name", "").strip(), "scopes": form.getlist("scopes"), "days": _days()}
    try:
        made = account("POST", "/tokens", body)
    except TokenExists:
        return _page({"name": gettext("Another token has this name.")}, form), 409
    except InvalidInput as error:
        return _page(_sentences(error), form), 422
    return _page(made=made)


@blueprint.post("/tokens/<name>/revoke")
def revoke(name: str) -> Response:
    """End it; whoever uses it is refused within seconds."""
    try:
        account("DELETE", "/tokens/<name>", name=name)
    except NotFound:
        flash(gettext("This token no longer exists."), "note")
    else:
        flash(gettext("“%(name)s” is revoked.", name=name), "done")
    return redirect(url_for("pages.tokens.listing"), 303)


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


def _page(
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
