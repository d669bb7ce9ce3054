"""Who calls authsvc: only webapp, with the service secret; and for whom, by a bearer token and the table of rights."""

from __future__ import annotations

import hmac
from contextlib import ExitStack
from typing import cast

from flask import Flask, g, request

from authsvc.service import current_service
from authsvc.sessions import Caller
from prodcore.deadline import budget
from prodcore.errors import Forbidden, NotAuthenticated
from prodcore.identity.rights import Right, right_for
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
    return Caller(headers.get("X-Client-Address", ""), headers.get("X-Client-Device", ""), g.get("request_id", ""))
