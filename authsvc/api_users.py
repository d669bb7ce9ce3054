"""Managing users, one's own account, service tokens, keys and the audit, under ``/api/v1``."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, Response, request

from authsvc.api import body
from authsvc.audit import note
from authsvc.callers import caller, identity
from authsvc.keys import SigningKey
from authsvc.service import current_service
from authsvc.sessions import utc_now
from prodcore.identity.schemas import (
    AuditQuery,
    CodeRequest,
    InvitationRequest,
    NewTokenRequest,
    NewUserRequest,
    PasswordOnlyRequest,
    PasswordRequest,
    UserChangeRequest,
    parse,
)
from prodcore.web import json_response

blueprint = Blueprint("users", __name__, url_prefix="/api/v1")


@blueprint.get("/users")
def list_users() -> Response:
    """Every user."""
    return json_response({"items": [user.as_dict() for user in current_service().accounts.all()]})


@blueprint.post("/users")
def add_user() -> Response:
    """Add a user."""
    given = body(NewUserRequest)
    with note("user.add", given.username, role=given.role):
        user = current_service().accounts.add(given.username, given.password.get_secret_value(), given.role)
    return json_response(user.as_dict(), 201)


@blueprint.get("/users/<username>")
def show_user(username: str) -> Response:
    """One user."""
    return json_response(current_service().accounts.get(username).as_dict())


@blueprint.patch("/users/<username>")
def change_user(username: str) -> Response:
    """Change name, role or state."""
    changes = body(UserChangeRequest).model_dump(exclude_none=True)
    with note("user.change", username, **changes):
        user = current_service().accounts.change(username, changes)
    return json_response(user.as_dict())


@blueprint.delete("/users/<username>")
def remove_user(username: str) -> Response:
    """Remove a user."""
    with note("user.remove", username):
        current_service().accounts.remove(username)
    return Response(status=204)


@blueprint.post("/users/<username>/reset")
def create_reset_code(username: str) -> Response:
    """A one-time code with which the user sets a new password."""
    service = current_service()
    with note("user.reset_code", username):
        code = service.own.create_reset_code(service.accounts.get(username))
    return json_response(code, 201)


@blueprint.get("/users/<username>/sessions")
def list_sessions_of(username: str) -> Response:
    """Somebody's sessions."""
    service = current_service()
    return _sessions(service.accounts.get(username).id)


@blueprint.delete("/users/<username>/sessions")
def end_sessions_of(username: str) -> Response:
    """End all of somebody's sessions."""
    service = current_service()
    with note("session.end_all", username):
        ended = service.sessions.end(user_id=service.accounts.get(username).id)
    return json_response({"ended": ended})


@blueprint.delete("/users/<username>/second-factor")
def remove_second_factor_of(username: str) -> Response:
    """Take somebody's lost second factor away."""
    service = current_service()
    with note("user.second_factor_removed", username):
        service.second_factor.remove(service.accounts.get(username))
    return Response(status=204)


@blueprint.post("/invitations")
def invite() -> Response:
    """An invitation to register."""
    given = body(InvitationRequest)
    with note("user.invite", role=given.role):
        invitation = current_service().accounts.invite(given.role, given.days, identity().username)
    return json_response(invitation, 201)


@blueprint.post("/account/password")
def change_password() -> Response:
    """Change the own password."""
    given = body(PasswordRequest)
    with note("account.password", identity().username):
        current_service().own.change_password(
            identity(), given.old_password.get_secret_value(), given.new_password.get_secret_value(), caller()
        )
    return Response(status=204)


@blueprint.get("/account/sessions")
def list_sessions() -> Response:
    """The own sessions."""
    return _sessions(identity().user_id)


@blueprint.delete("/account/sessions")
def end_sessions() -> Response:
    """End all own sessions but this one."""
    with note("session.end_all", identity().username):
        ended = current_service().sessions.end(user_id=identity().user_id, keep=identity().sid)
    return json_response({"ended": ended})


@blueprint.delete("/account/sessions/<session_id>")
def end_session(session_id: str) -> Response:
    """End one of the own sessions."""
    with note("session.end", identity().username):
        current_service().own.end_session(identity(), session_id)
    return Response(status=204)


@blueprint.get("/account/second-factor")
def show_second_factor() -> Response:
    """Whether the own account has one."""
    return json_response({"in_force": current_service().own.has_second_factor(identity())})


@blueprint.post("/account/second-factor")
def begin_second_factor() -> Response:
    """A shared secret for the authenticator app."""
    with note("account.second_factor_begun", identity().username):
        begun = current_service().own.begin_second_factor(identity())
    return json_response(begun, 201)


@blueprint.put("/account/second-factor")
def confirm_second_factor() -> Response:
    """Put the second factor in force with the app's first code."""
    given = body(CodeRequest)
    with note("account.second_factor_confirmed", identity().username):
        codes = current_service().own.confirm_second_factor(identity(), given.code.get_secret_value(), caller())
    return json_response({"recovery_codes": codes})


@blueprint.delete("/account/second-factor")
def remove_second_factor() -> Response:
    """Do without the second factor."""
    given = body(PasswordOnlyRequest)
    with note("account.second_factor_removed", identity().username):
        current_service().own.remove_second_factor(identity(), given.password.get_secret_value(), caller())
    return Response(status=204)


@blueprint.get("/tokens")
def list_tokens() -> Response:
    """Every service token."""
    return json_response({"items": [token.as_dict() for token in current_service().tokens.all()]})


@blueprint.post("/tokens")
def create_token() -> Response:
    """A new service token; the answer is the only place that shows it."""
    given = body(NewTokenRequest)
    with note("token.create", given.name, scopes=" ".join(sorted(given.scopes))):
        made = current_service().tokens.create(given.name, given.scopes, given.days, identity().username)
    return json_response(made, 201)


@blueprint.delete("/tokens/<name>")
def revoke_token(name: str) -> Response:
    """End a service token."""
    with note("token.revoke", name):
        current_service().tokens.revoke(name)
    return Response(status=204)


@blueprint.get("/keys")
def list_keys() -> Response:
    """The signing keys: which one signs, which ones are only published."""
    now = utc_now()
    ring = current_service().ring
    return json_response({"items": [_key(key, key.kid == ring.signing(now).kid, now) for key in ring.published()]})


@blueprint.post("/keys")
def rotate_keys() -> Response:
    """A new signing key, published now and used some seconds later."""
    with note("keys.rotate") as entry:
        key = current_service().ring.rotate(utc_now())
        entry["subject"] = key.kid
    return json_response(_key(key, False, utc_now()), 201)


@blueprint.get("/audit")
def list_audit() -> Response:
    """The newest entries first."""
    query = parse(AuditQuery, request.args.to_dict())
    equal = query.model_dump(exclude_none=True, include={"action", "by", "subject"})
    entries = current_service().stores.audit.list(query.since, query.limit, query.before, **equal)
    return json_response({"items": [{**entry, "at": entry["at"].isoformat()} for entry in entries]})


def _sessions(user_id: str) -> Response:
    mine = identity().sid
    sessions = current_service().own.sessions(user_id)
    return json_response({"items": [{**s.as_dict(), "current": s.id == mine} for s in sessions]})


def _key(key: SigningKey, signs: bool, now: datetime) -> dict[str, str]:
    state = "signs" if signs else "published" if key.active_from > now else "retired"
    return {"kid": key.kid, "state": state, "active_from": key.active_from.isoformat()}
