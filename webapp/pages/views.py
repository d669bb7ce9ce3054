"""Saved views of the list of products: saved from the list that is shown, renamed and removed on a page of their own.

Everybody has views of their own. Those that all users see are changed by whoever may change products, and the audit
notes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from apiflask import APIBlueprint
from flask import flash, g, render_template, request, url_for
from flask_babel import gettext
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from prodcore.catalog.views import EVERYBODY, MAX_VIEW_NAME, View
from prodcore.errors import InvalidInput
from webapp.identity.caller import required_identity
from webapp.live import current_catalog
from webapp.pages.errors import problems_by_field
from webapp.pages.forms import is_draft, keeps_drafts
from webapp.pages.products import SORTED_BY, ListState, read_state

blueprint = APIBlueprint("views", __name__, enable_openapi=False)

Answer = Response | str | tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Typed:
    """The form that was sent: for a new view, or for the new name of one."""

    path: str
    name: str
    problems: dict[str, str]
    is_taken: bool = False
    """Whether another view has the name, and could be written over."""
    state: ListState | None = None
    """The list that is to be saved."""


@blueprint.get("/products/views")
def manage() -> str:
    """All views that the user sees, each with what it shows."""
    return _page()


@blueprint.post("/products/views")
@keeps_drafts
def save() -> Answer:
    """Save the list of the form for the user alone."""
    return _save(required_identity().user_id, url_for("pages.views.save"))


@blueprint.post("/products/views/shared")
@keeps_drafts
def share() -> Answer:
    """Save the list of the form for everybody."""
    return _save(EVERYBODY, url_for("pages.views.share"))


@blueprint.post("/products/views/<uuid:view_id>")
@keeps_drafts
def change(view_id: UUID) -> Answer:
    """Rename or remove one of the user's own."""
    return _change(required_identity().user_id, view_id)


@blueprint.post("/products/views/shared/<uuid:view_id>")
@keeps_drafts
def change_shared(view_id: UUID) -> Answer:
    """Rename or remove one that everybody sees."""
    return _change(EVERYBODY, view_id)


def _save(owner: str, path: str) -> Answer:
    name, state = request.form.get("view", ""), list_of(request.form.get("list", ""))
    if state.query is None:  # no page offers to save what means nothing
        raise BadRequest
    if is_draft():
        return _page(_Typed(path, name, {}, state=state))
    by, over = required_identity().username, request.form.get("over") == "yes"
    try:
        view = current_catalog().views.save(owner, name, state.kept, by, over=over)
    except InvalidInput as error:
        is_taken = any(problem.code == "name_taken" for problem in error.problems)
        return _page(_Typed(path, name, problems_by_field(error), is_taken, state)), error.http_status
    g.audit_action = "view.save"  # the audit hears of shared views alone
    g.audit_subject = view.name
    flash(gettext("The view “%(name)s” was saved.", name=view.name), "done")
    return redirect(state.url(), 303)


def _change(owner: str, view_id: UUID) -> Answer:
    action, name, views = request.form.get("action"), request.form.get("view", ""), current_catalog().views
    if is_draft():
        return _page(_Typed(request.path, name, {}))
    if action not in ("rename", "remove"):
        raise BadRequest
    try:
        by = required_identity().username
        view = views.rename(owner, view_id, name, by) if action == "rename" else views.remove(owner, view_id)
    except InvalidInput as error:
        return _page(_Typed(request.path, name, problems_by_field(error))), error.http_status
    if view is None:
        flash(gettext("This view no longer exists."), "note")
    elif action == "rename":
        g.audit_action = "view.rename"
        g.audit_subject = view.name
        flash(gettext("The view is called “%(name)s” now.", name=view.name), "done")
    else:
        g.audit_action = "view.remove"
        g.audit_subject = view.name
        flash(gettext("The view “%(name)s” was removed.", name=view.name), "done")
    return redirect(url_for("pages.views.manage"), 303)


def _page(typed: _Typed | None = None) -> str:
    own, shared = current_catalog().views.of(required_identity().user_id, EVERYBODY)
    groups: list[tuple[str, Any]] = [("", [_shown(view) for view in own]), ("/shared", [_shown(v) for v in shared])]
    context = {"most": MAX_VIEW_NAME, "sorted_by": {by: column for column, by in SORTED_BY.items()}}
    return render_template("products/views.html", groups=groups, typed=typed, **context)


def _shown(view: View) -> tuple[View, ListState]:
    return view, list_of(view.query)


def list_of(query: str) -> ListState:
    """The list that a saved query, or the one that a form brings, stands for."""
    return read_state(MultiDict(parse_qsl(query[:4_000])))
