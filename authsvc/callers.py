"""Who calls authsvc: only webapp, with the service secret; for whom, by a bearer token and the table of rights.

And what they did, for the audit: who did what to whom, when, from where, and whether it came to pass. No secrets.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import structlog
from flask import Flask, g, request

from authsvc.service import current_service
from authsvc.sessions import Caller, utc_now
from prodcore.deadline import budget
from prodcore.errors import Forbidden, NotAuthenticated, ProdError
from prodcore.identity.rights import Right
from prodcore.identity.routes import right_for
from prodcore.identity.tokens import Identity

_OPEN_TO_ALL = frozenset({"/healthz", "/readyz", "/metrics", "/.well-known/jwks.json"})


def install_guard(app: Flask, service_secret: str) -> None:
    """Let nobody in without the service secret, and nobody further than their rights."""
    expected = service_secret.encode()

    def check() -> None:
        if request.path in _OPEN_TO_ALL:
            return
        given = request.headers.get("X-Service-Secret", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, expected):
            raise NotAuthenticated("only webapp may call this service")
        _take_budget()
        if request.url_rule is None:
            return
        right = right_for(request.url_rule.rule, request.method)
        if right in (Right.PUBLIC, Right.SERVICE):
            return
        if right is None or not identity().may(right):
            raise Forbidden()

    app.before_request(check)


def _take_budget() -> None:
    """Be done before webapp stops waiting."""
    try:
        seconds = float(request.headers.get("X-Budget-Seconds", ""))
    except ValueError:
        return
    if 0 < seconds < 600:
        cast("ExitStack", g.budget).enter_context(budget(max(seconds - 0.2, 0.1)))


def identity() -> Identity:
    """The person for whom webapp calls. Raises NotAuthenticated."""
    if "identity" not in g:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated(hint="Log in first")
        g.identity = current_service().sessions.identify(token.strip())
    return cast("Identity", g.identity)


def caller() -> Caller:
    """Where the person's own request came from, as webapp says."""
    headers = request.headers
    return Caller(
        headers.get("X-Client-Address", ""),
        headers.get("X-Client-Device", ""),
        g.get("request_id", ""),
        headers.get("X-Known-Device", ""),
    )


log = structlog.get_logger("audit")


@contextmanager
def note(action: str, subject: str = "", **details: Any) -> Iterator[dict[str, Any]]:
    """Keep an entry about what the block does, and how it ended.

    The block may complete the entry. What could not be kept in the database is at least in the log.
    """
    identity = g.get("identity")
    origin = caller()
    entry: dict[str, Any] = {
        "_id": uuid.uuid4().hex,
        "at": utc_now(),
        "action": action,
        "subject": subject[:200],
        "by": identity.username if identity else "",
        "address": origin.address,
        "device": origin.device,
        "request_id": origin.request_id,
        "details": {name: str(value) for name, value in details.items()},
        "outcome": "done",
    }
    try:
        yield entry
    except ProdError as error:
        entry["outcome"] = error.code
        raise
    finally:
        try:
            current_service().stores.audit.add([entry])
        except ProdError as error:
            log.warning("audit", kept=False, why=error.code, **{k: str(v) for k, v in entry.items() if k != "_id"})
