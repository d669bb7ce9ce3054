"""The pages that people see in a browser: rendered here, usable without JavaScript, in Spanish and English."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Flask, flash, g, redirect, request
from flask_babel import gettext
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf
from werkzeug.wrappers import Response

from prodcore.errors import ProdError
from prodcore.identity.rights import Right
from prodcore.identity.tokens import Identity
from prodcore.product.fields import BY_NAME
from prodcore.settings import Settings
from webapp.identity import caller as identity
from webapp.live import DrillDesk
from webapp.pages import (
    account,
    actions,
    assets,
    audit,
    bulk,
    cluster,
    curves,
    drills,
    home,
    imports,
    in_place,
    labels,
    language,
    login,
    product,
    product_form,
    products,
    users,
    views,
)
from webapp.pages.assets import compress
from webapp.pages.cluster import problem_text, reason_text
from webapp.pages.errors import error_page, notice_text, password_help, refusal_text
from webapp.pages.forms import came_from, can_be_draft, install_live, is_draft, is_partial, with_query

__all__ = ["error_page", "register"]

_PARTS = (
    assets,
    language,
    login,
    account,
    home,
    products,
    views,
    product,
    product_form,
    bulk,
    in_place,
    imports,
    cluster,
    curves,
    drills,
    actions,
    users,
    audit,
)

_csrf = CSRFProtect()


def register(app: Flask, settings: Settings) -> None:
    """Add every page to the app, with its translations and form tokens."""
    app.config.update(WTF_CSRF_CHECK_DEFAULT=False, WTF_CSRF_TIME_LIMIT=None, DEFAULT_CURRENCY=settings.currency)
    # Only a request that changes the session may send its cookie: the answer to a search or to the live picture, under
    # way while a form is sent, would otherwise bring back the session from before, without its message or its logout.
    app.config["SESSION_REFRESH_EACH_REQUEST"] = False
    app.config["MAX_FORM_MEMORY_SIZE"] = 3_500_000  # an import's file travels with its forms
    app.config["PASSWORD_MIN_LENGTH"] = settings.password_min_length
    _csrf.init_app(app)  # adds the tokens; ``protect`` below checks them, on pages only
    language.install_language(app)
    install_live(app, settings)
    app.extensions["drill_desk"] = DrillDesk(settings)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        asset_url=assets.asset_url, with_query=with_query, Right=Right, languages=language.LANGUAGES
    )
    app.jinja_env.globals.update(product_fields=BY_NAME)
    app.jinja_env.globals.update(take_notices=identity.take_notices, notice_text=notice_text)
    app.jinja_env.filters.update(problem=problem_text, reason=reason_text, core=cluster.drill_text)
    app.jinja_env.filters.update(action=actions.action_text, action_range=actions.action_range)
    app.jinja_env.globals.update(labels.ALL, password_help=password_help, refusal=refusal_text)
    pages = APIBlueprint("pages", __name__, enable_openapi=False)
    pages.before_request(_check_form)
    pages.before_request(account.take_proof)
    for part in _PARTS:
        pages.register_blueprint(part.blueprint)
    app.register_blueprint(pages)
    app.context_processor(_surroundings)
    app.after_request(compress)


def _check_form() -> Response | None:
    """Refuse forms that are not ours. One from before another login in this browser is shown again and not sent."""
    try:
        _csrf.protect()
    except CSRFError:
        back = came_from()
        if can_be_draft():
            g.draft = True
        elif back and not is_partial():
            flash(
                gettext("You have logged in again since this page was opened, so nothing was done. Try again."), "note"
            )
            return redirect(back, 303)
        else:
            raise
    if is_draft() and request.form.get("draft") != "display":
        flash(gettext("Nothing has been saved yet: check what you typed and send it again."), "note")
    return None


def _surroundings() -> dict[str, object]:
    """What the frame around every page needs."""
    visitor = _visitor()
    return {
        "visitor": visitor,
        "may": visitor.may if visitor else lambda _right: False,
        "language": language.current_language(),
        "theme": language.theme(),
        "form_token": generate_csrf,
        "here": request.full_path.rstrip("?") if request.method == "GET" else "/",
    }


def _visitor() -> Identity | None:
    """Who looks at the page; nobody where that cannot be known just now: error pages are for them too."""
    try:
        return identity.current_identity()
    except ProdError:
        return None
