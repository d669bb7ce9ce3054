"""Who is calling: a bearer token under ``/api``, a browser session everywhere else.

``install_identity`` guards every route of an app by the table in ``prodcore.identity.rights``: a view runs only for
callers that have the right of its row, and can ask ``current_identity()`` who it is. Pages log people in and out with
``log_in``, ``log_out`` and ``complete_setup``; they raise the project's errors (``NotAuthenticated`` for a wrong
password, ``ServiceUnavailable`` when nobody can say).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, cast

from flask import Flask, Request, Response, after_this_request, current_app, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix

from prodcore.errors import ConfigError, Forbidden, NotAuthenticated, OutcomeUnknown, Problem, Unavailable
from prodcore.identity.rights import Right
from prodcore.identity.routes import right_for
from prodcore.identity.tokens import GRACE, SERVICE_TOKEN_PREFIX, Identity, session_of
from prodcore.product.model import Author
from prodcore.settings import Settings
from prodcore.web.install import current
from webapp.identity.auth_client import AuthClient, ServiceAccess, cookie_name
from webapp.identity.trust import Trust, TrustMemory, utc_now

_EXTENSION = "prodctl_identity"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REPORTED = frozenset({Right.WRITE_PRODUCTS, Right.RUN_DRILLS, Right.CHANGE_SHARDS})
ACTIONS = {
    "products.create_product": "product.add",
    "products.edit_product": "product.edit",
    "products.delete_product": "product.remove",
    "products.restore_product": "product.restore",
    "product_bulk.edit_products": "product.bulk_edit",
    "product_bulk.delete_products": "product.bulk_remove",
    "imports.store_products": "import.store",
    "imports.note_import": "import.record",
    "imports.undo_import": "import.undo",
    "imports.save_mapping": "import.save_mapping",
    "imports.rename_mapping": "import.rename_mapping",
    "imports.remove_mapping": "import.remove_mapping",
    "pages.product_form.create": "product.add",
    "pages.product_form.save": "product.edit",
    "pages.product_form.delete": "product.remove",
    "pages.drills.start": "drill.start",
    "pages.drills.stop": "drill.stop",
}
"""What the audit calls what an endpoint does: a noun of the command line and a verb. A page may say it itself."""
_RENEW_BEFORE = timedelta(seconds=60)
_DEVICE_SECONDS = 365 * 24 * 3600
_DEVICES_KEPT = 4
_KEPT = ("csrf_token", "_flashes", "proof", "notices")
"""What outlives a renewal: forms that are open stay good, and messages for the next page are not lost."""


def install_identity(app: Flask, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
    """Guard every route of ``app``. Raises ConfigError without ``session_secret`` and ``service_secret``."""
    if settings.session_secret is None:
        raise ConfigError(problems=[Problem("PRODCTL_SESSION_SECRET", "missing", "is not set")])
    client = AuthClient(settings)
    memory = TrustMemory(settings.trust_file)
    trust = Trust(lambda question: cast("dict[str, Any]", client.call("POST", "/trust", question)), memory, clock)
    app.extensions[_EXTENSION] = (client, trust, ServiceAccess(client, trust))
    if isinstance(app.wsgi_app, ProxyFix):  # the gate needs the address that it finds
        app.wsgi_app.app = client.gate.guard(app.wsgi_app.app)
    else:
        app.wsgi_app = client.gate.guard(app.wsgi_app)  # type: ignore[assignment,method-assign]
    app.secret_key = settings.session_secret.get_secret_value()
    app.session_interface = _SessionCookie()
    app.permanent_session_lifetime = timedelta(days=settings.session_days)
    app.config.update(SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_PATH="/")
    app.before_request(_check_rights)
    app.after_request(_report_change)


def current_identity() -> Identity | None:
    """Who is calling, None for nobody.

    Raises NotAuthenticated for a bearer token that is not in force, ServiceUnavailable while that cannot be known.
    """
    asked, notes = current()
    if "identity" not in notes:
        notes.identity = _from_bearer() if asked.path.startswith("/api/") else _from_session()
    return cast("Identity | None", notes.identity)


def required_identity() -> Identity:
    """Who is calling. Raises NotAuthenticated for nobody."""
    identity = current_identity()
    if identity is None:
        raise NotAuthenticated(hint="Log in first")
    return identity


def is_still_logged_in() -> bool:
    """For an answer that goes on for long: whether the session of its caller has not been ended meanwhile."""
    try:
        trust().identify(bearer_token())
    except NotAuthenticated:
        return False
    return True


def take_notices() -> list[dict[str, str]]:
    """What was done to the visitor's account elsewhere and no page has said yet; it is asked once."""
    found: list[dict[str, str]] = session.pop("notices", None) or []
    return found


def may(right: Right) -> bool:
    """Whether the caller has a right; for showing or hiding a button."""
    identity = current_identity()
    return identity is not None and identity.may(right)


def log_in(username: str, password: str, code: str = "") -> Identity:
    """Start a browser session. ``code`` is the second factor.

    Raises NotAuthenticated, SecondFactorRequired, TooManyAttempts or Unavailable.
    """
    body = {"username": username, "password": password, **({"code": code} if code else {})}
    answer = auth_client().call("POST", "/session/login", body)
    identity = _start_session(answer)
    if answer.get("device"):
        _remember_device(answer["device"])
    return identity


def _remember_device(made: str) -> None:
    """Have the browser show at later logins that it has logged in to this account before."""
    cookie = cookie_name("prodctl_device")
    before = [text for text in request.cookies.get(cookie, "").split("~") if text]
    value = "~".join([made, *before][:_DEVICES_KEPT])

    @after_this_request
    def keep(response: Response) -> Response:
        response.set_cookie(cookie, value, _DEVICE_SECONDS, secure=request.is_secure, httponly=True, samesite="Lax")
        return response


def prove(password: str, code: str = "") -> None:
    """Show once more that it is the session's owner, for the next five minutes. Raises as ``log_in`` does."""
    body = {"password": password, **({"code": code} if code else {})}
    g.proof = session["proof"] = account("POST", "/account/proof", body)["proof"]


def complete_setup(code: str, username: str, password: str) -> Identity:
    """Create the first admin with the one-time setup code, and start a browser session as that admin."""
    body = {"code": code, "username": username, "password": password}
    return _start_session(auth_client().call("POST", "/setup", body))


def setup_is_open() -> bool:
    """Whether the system still waits for its first admin."""
    return bool(auth_client().call("GET", "/setup")["open"])


def log_out() -> None:
    """End the browser session, here at once and everywhere within seconds.

    Raises Unavailable or OutcomeUnknown when authsvc could not be told; the cookie goes in any case, and authsvc hears
    of it with the next question that it answers.
    """
    access, refresh_token = session.get("access", ""), session.get("refresh")
    session.clear()
    g.identity = None
    if access:
        with suppress(NotAuthenticated):
            trust().end_session(session_of(access))
    if refresh_token:
        auth_client().call("POST", "/session/logout", {"refresh_token": refresh_token})


def account(method: str, rule: str, body: Any = None, *, query: Any = None, **names: str) -> Any:
    """Call authsvc for the user who is logged in to these pages: ``account("GET", "/users/<username>", username=…)``.

    authsvc knows of a changed role or an ended session up to a second before this process. A token that it refuses for
    that is renewed; were the visitor led to the login instead, the login would lead them back, and so on.
    """
    required_identity()
    g.setdefault("proof", session.get("proof", ""))
    token = bearer_token()
    try:
        return auth_client().call(method, rule, body, names=names, bearer=token, query=query)
    except NotAuthenticated:  # a wrong password is refused alike
        trust().catch_up()
        g.pop("identity")
        if current_identity() is None or bearer_token() == token:
            raise
    return auth_client().call(method, rule, body, names=names, bearer=bearer_token(), query=query)


def bearer_token() -> str:
    """The access token of this request, from the header or the browser session."""
    if request.path.startswith("/api/"):
        token = _bearer()
        return _service_access().access_token(token) if token.startswith(SERVICE_TOKEN_PREFIX) else token
    return str(session.get("access", ""))


def auth_client() -> AuthClient:
    """The client for authsvc."""
    return cast("AuthClient", current_app.extensions[_EXTENSION][0])


def trust() -> Trust:
    """What this process knows of tokens."""
    return cast("Trust", current_app.extensions[_EXTENSION][1])


def _service_access() -> ServiceAccess:
    return cast("ServiceAccess", current_app.extensions[_EXTENSION][2])


def _check_rights() -> None:
    """Let only callers with the right of the route in; a route without a row is nobody's."""
    asked, _notes = current()
    if asked.url_rule is None:
        return  # not found, or not with this method: Flask answers
    right = right_for(asked.url_rule.rule, asked.method)
    if right is Right.PUBLIC:
        return
    if right is None or not required_identity().may(right):
        needed = f"this needs the right {right}" if right else ""
        raise Forbidden(needed, hint="An admin can give you another role" if right else "")


def _from_bearer() -> Identity | None:
    token = bearer_token()
    return trust().identify(token) if token else None


def _bearer() -> str:
    scheme, _, token = str(request.environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _from_session() -> Identity | None:
    access, refresh_token = session.get("access"), session.get("refresh")
    if not access or not refresh_token:
        return None
    known = trust()
    try:
        identity = known.identify(access, late=-_RENEW_BEFORE)
    except NotAuthenticated:
        return _renew(access, refresh_token)
    return identity


def _renew(access: str, refresh_token: str) -> Identity | None:
    """A new access token for the session; the old one for an hour more while nobody can give a new one."""
    if trust().unreachable_since is None:
        kept = {name: session[name] for name in _KEPT if name in session}
        try:
            identity = _start_session(auth_client().call("POST", "/session/refresh", {"refresh_token": refresh_token}))
        except NotAuthenticated:
            session.clear()
            g.session_ended = True
            return None
        except (Unavailable, OutcomeUnknown):
            pass  # as silent as if the poll had said so
        else:
            session.update(kept | {"notices": [*kept.get("notices", ()), *session.get("notices", ())]})
            return identity
    try:
        return trust().identify(access, late=GRACE)
    except NotAuthenticated:
        g.session_ended = True
        return None


def _start_session(answer: dict[str, Any]) -> Identity:
    """Put the tokens of a login into a session that holds nothing of the one before, which ends."""
    identity = trust().identify(answer["access_token"], in_use=False)
    _end_replaced(identity.sid)
    session.clear()
    session.permanent = True
    session["access"], session["refresh"] = answer["access_token"], answer["refresh_token"]
    if answer.get("notices"):
        session["notices"] = answer["notices"]
    g.identity = identity
    return identity


def _end_replaced(sid: str) -> None:
    """End the session that this browser had, unless it is the same one: a copy of its cookie opens nothing any more."""
    with suppress(NotAuthenticated):
        if (access := session.get("access")) and (replaced := session_of(access)) != sid:
            trust().end_session(replaced)


def _report_change(response: Response) -> Response:
    """Tell the audit about every change that this service made itself; authsvc notes its own.

    A view may say what it did in ``g.audit_action``, and to what in ``g.audit_subject``; else that is the id in the
    path or in Location.
    """
    asked, _notes = current()
    rule = asked.url_rule
    if rule is None or asked.method in _SAFE_METHODS or right_for(rule.rule, asked.method) not in REPORTED:
        return response
    action, identity = _done(response.status_code), g.get("identity")
    if action and identity is not None:
        values = list((request.view_args or {}).values())
        location = response.headers.get("Location", "").rstrip("/").rpartition("/")[2]
        subject = g.get("audit_subject") or (str(values[0]) if values else location)
        trust().report(
            {
                "id": uuid.uuid4().hex,
                "at": trust().now().isoformat(),
                "action": action,
                "by": identity.username,
                "subject": str(subject)[:200],
                "address": request.remote_addr or "",
                "device": request.user_agent.string[:200],
                "request_id": g.get("request_id", ""),
            }
        )
    return response


def _done(status: int) -> str:
    """What the request has changed, in the audit's words; empty for nothing."""
    endpoint = request.endpoint or ""
    if request.path.startswith("/api/"):
        # What was written is never answered with an error for want of its name.
        return ACTIONS.get(endpoint, endpoint) if status < HTTPStatus.MULTIPLE_CHOICES else ""
    led_on = status in (HTTPStatus.FOUND, HTTPStatus.SEE_OTHER)  # a page that refuses shows itself again
    return str(g.get("audit_action", "")) or (ACTIONS.get(endpoint, "") if led_on else "")


class _SessionCookie(SecureCookieSessionInterface):
    """The session cookie: ``__Host-`` and ``Secure`` where the outer scheme is https, plain on http."""

    digest_method = staticmethod(hashlib.sha256)  # Flask's own choice is SHA-1

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if request.path.startswith("/api/") or "HTTP_COOKIE" not in request.environ:  # the API knows bearer tokens only
            return self.session_class()
        return super().open_session(app, request)

    def get_cookie_name(self, app: Flask) -> str:
        return cookie_name("prodctl")

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


def current_author() -> Author:
    """The author of what this request changes. Raises NotAuthenticated."""
    return Author(required_identity().username, g.request_id)
