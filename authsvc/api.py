"""What webapp may ask of authsvc, under ``/api/v1``; the public keys are for everybody."""

from __future__ import annotations

from typing import Any, TypeVar

from flask import Blueprint, Response, request

from authsvc.audit import note
from authsvc.callers import caller
from authsvc.service import current_service
from authsvc.sessions import jwks
from prodcore.user_requests import (
    LoginRequest,
    LogoutRequest,
    NewUserRequest,
    RefreshRequest,
    Request,
    SetupRequest,
    UserChangeRequest,
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
        answer = current_service().accounts.log_in(given.username, given.password.get_secret_value(), caller())
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
    question: Any = request.get_json()
    service = current_service()
    return json_response(service.sessions.news(question["since"]))


@blueprint.get("/api/v1/users")
def list_users() -> Response:
    """Every user."""
    return json_response({"items": [user.as_dict() for user in current_service().accounts.all()]})


@blueprint.post("/api/v1/users")
def add_user() -> Response:
    """Add a user."""
    given = body(NewUserRequest)
    with note("user.add", given.username, role=given.role):
        user = current_service().accounts.add(given.username, given.password.get_secret_value(), given.role)
    return json_response(user.as_dict(), 201)


@blueprint.get("/api/v1/users/<username>")
def show_user(username: str) -> Response:
    """One user."""
    return json_response(current_service().accounts.get(username).as_dict())


@blueprint.patch("/api/v1/users/<username>")
def change_user(username: str) -> Response:
    """Change name, role or state."""
    changes = body(UserChangeRequest).model_dump(exclude_none=True)
    with note("user.change", username, **changes):
        user = current_service().accounts.change(username, changes)
    return json_response(user.as_dict())


@blueprint.delete("/api/v1/users/<username>")
def remove_user(username: str) -> Response:
    """Remove a user."""
    with note("user.remove", username):
        current_service().accounts.remove(username)
    return Response(status=204)
