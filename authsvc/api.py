"""What webapp may ask of authsvc, under ``/api/v1``; the public keys are for everybody."""

from __future__ import annotations

from typing import TypeVar

from flask import Blueprint, Response, request

from authsvc.audit import note
from authsvc.callers import caller
from authsvc.service import current_service
from authsvc.sessions import jwks
from prodcore.identity.schemas import (
    ExchangeRequest,
    LoginRequest,
    LogoutRequest,
    RefreshRequest,
    RegisterRequest,
    Request,
    ResetRequest,
    SetupRequest,
    TrustRequest,
    parse,
)
from prodcore.web import json_response

blueprint = Blueprint("auth", __name__)
R = TypeVar("R", bound=Request)


def body(model: type[R]) -> R:
    """The request's body. Raises InvalidInput, UnreadableInput."""
    return parse(model, request.get_json())


@blueprint.get("/.well-known/jwks.json")
def show_keys() -> Response:
    """The public keys."""
    return json_response(jwks(current_service().ring), headers={"Cache-Control": "public, max-age=60"})


@blueprint.get("/api/v1/setup")
def show_setup() -> Response:
    """Whether the system waits for its first admin."""
    return json_response({"open": not current_service().accounts.is_set_up()})


@blueprint.post("/api/v1/setup")
def set_up() -> Response:
    """Make the first admin."""
    given = body(SetupRequest)
    with note("user.setup", given.username):
        answer = current_service().accounts.set_up(
            given.code.get_secret_value(), given.username, given.password.get_secret_value(), caller()
        )
    return json_response(answer, 201)


@blueprint.post("/api/v1/session/login")
def log_in() -> Response:
    """Start a session."""
    given = body(LoginRequest)
    with note("session.login", given.username):
        code = given.code.get_secret_value() if given.code else ""
        answer = current_service().accounts.log_in(given.username, given.password.get_secret_value(), code, caller())
    return json_response(answer)


@blueprint.post("/api/v1/session/refresh")
def refresh() -> Response:
    """New tokens for old."""
    return json_response(current_service().sessions.refresh(body(RefreshRequest).refresh_token.get_secret_value()))


@blueprint.post("/api/v1/session/logout")
def log_out() -> Response:
    """End a session, or all of its owner's."""
    given = body(LogoutRequest)
    with note("session.logout") as entry:
        entry["subject"] = current_service().accounts.log_out(
            given.refresh_token.get_secret_value(), everywhere=given.everywhere
        )
    return Response(status=204)


@blueprint.post("/api/v1/trust")
def trust() -> Response:
    """What a verifier must know since its last question; it brings what it has seen along."""
    question = body(TrustRequest)
    service = current_service()
    service.stores.audit.add(
        [{"_id": e.id, "outcome": "done", **e.model_dump(exclude={"id"})} for e in question.events]
    )
    for session_id in question.ended:
        service.sessions.end(session_id=session_id)
    service.stores.sessions.note_use(question.used)
    return json_response(service.sessions.news(question.since))


@blueprint.post("/api/v1/exchange")
def exchange() -> Response:
    """An access token for a service token."""
    return json_response(current_service().tokens.exchange(body(ExchangeRequest).token.get_secret_value()))


@blueprint.get("/api/v1/register")
def show_registration() -> Response:
    """Who may register."""
    return json_response({"registration": current_service().accounts.registration})


@blueprint.post("/api/v1/register")
def register() -> Response:
    """Make an account for oneself."""
    given = body(RegisterRequest)
    invitation = given.invitation.get_secret_value() if given.invitation else ""
    with note("user.register", given.username):
        answer = current_service().accounts.register(
            given.username, given.password.get_secret_value(), invitation, caller()
        )
    return json_response(answer, 201)


@blueprint.post("/api/v1/reset")
def reset_password() -> Response:
    """Set a new password with a one-time code."""
    given = body(ResetRequest)
    with note("user.password_reset", given.username):
        current_service().own.reset_password(
            given.username, given.code.get_secret_value(), given.password.get_secret_value(), caller()
        )
    return Response(status=204)
