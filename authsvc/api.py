"""What authsvc answers: a function for each row of ``IDENTITY_ROUTES``, of its name; and the public keys.

A function gets the names in the path, and the body or query of its row as ``given``. What it returns is the answer in
JSON, None for a row without one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from flask import Blueprint, Response, request

from authsvc.callers import caller, identity, note
from authsvc.keys import SigningKey
from authsvc.service import current_service
from authsvc.sessions import jwks, utc_now
from prodcore.identity import schemas as s
from prodcore.identity.routes import API, IDENTITY_ROUTES
from prodcore.web import json_response

blueprint = Blueprint("auth", __name__)
_ROWS = {row.name: row for row in IDENTITY_ROUTES}

View = Callable[..., Any]


def answers(view: View) -> View:
    """Serve the row of the function's name."""
    row = _ROWS[view.__name__]

    @wraps(view)
    def served(**names: str) -> Response:
        given: dict[str, Any] = dict(names)
        if row.body:
            given["given"] = s.parse(row.body, request.get_json())
        elif row.query:
            given["given"] = s.parse(row.query, request.args.to_dict())
        if row.proof:
            current_service().own.require_proof(identity(), request.headers.get("X-Proof", ""))
        answer = view(**given)
        return Response(status=row.status) if answer is None else json_response(answer, row.status)

    blueprint.add_url_rule(f"{API}{row.rule}", view_func=served, methods=[row.method])
    return view


@blueprint.get("/.well-known/jwks.json")
def show_keys() -> Response:
    """The public keys, for everybody."""
    return json_response(jwks(current_service().ring), headers={"Cache-Control": "public, max-age=60"})


# logging in and out


@answers
def show_setup() -> Any:
    """Whether the system waits for its first admin."""
    return {"open": not current_service().accounts.is_set_up()}


@answers
def set_up(given: s.SetupRequest) -> Any:
    """Make the first admin."""
    with note("user.set_up", given.username) as entry:
        started = current_service().accounts.set_up(
            given.code.get_secret_value(), given.username, given.password.get_secret_value(), caller()
        )
        entry["by"] = started["user"]["username"]
    return _logged_in(started)


@answers
def log_in(given: s.LoginRequest) -> Any:
    """Start a session."""
    with note("session.login", given.username, second_factor="given" if given.code else "none") as entry:
        started = current_service().accounts.log_in(
            given.username, given.password.get_secret_value(), _code(given), caller()
        )
        entry["by"] = started["user"]["username"]
        return started


@answers
def refresh(given: s.RefreshRequest) -> Any:
    """New tokens for old."""
    return current_service().sessions.refresh(given.refresh_token.get_secret_value())


@answers
def log_out(given: s.LogoutRequest) -> None:
    """End a session, or all of its owner's."""
    with note("session.logout") as entry:
        entry["by"] = entry["subject"] = current_service().accounts.log_out(
            given.refresh_token.get_secret_value(), everywhere=given.everywhere
        )


@answers
def show_registration() -> Any:
    """Who may register."""
    return {"registration": current_service().accounts.registration}


@answers
def register(given: s.RegisterRequest) -> Any:
    """Create one's own account."""
    invitation = given.invitation.get_secret_value() if given.invitation else ""
    with note("user.register", given.username) as entry:
        started = current_service().accounts.register(
            given.username, given.password.get_secret_value(), invitation, caller()
        )
        entry["by"] = started["user"]["username"]
    return _logged_in(started)


@answers
def reset_password(given: s.ResetRequest) -> None:
    """Set a new password with a one-time code."""
    with note("user.reset_password", given.username) as entry:
        entry["by"] = current_service().own.reset_password(
            given.username, given.code.get_secret_value(), given.password.get_secret_value(), caller()
        )


# between the services


@answers
def trust(given: s.TrustRequest) -> Any:
    """What a verifier must know since its last question; it brings what it has seen along."""
    service = current_service()
    service.stores.audit.add([{"_id": e.id, "outcome": "done", **e.model_dump(exclude={"id"})} for e in given.events])
    for session_id in given.ended:
        service.sessions.end(session_id=session_id)
    service.stores.sessions.note_use(given.used)
    return service.sessions.news(given.since)


@answers
def exchange(given: s.ExchangeRequest) -> Any:
    """An access token for a service token."""
    return current_service().tokens.exchange(given.token.get_secret_value())


# one's own account


@answers
def prove(given: s.ProofRequest) -> Any:
    """Show once more that the session is its owner's."""
    with note("account.prove", identity().username):
        return current_service().own.prove(identity(), given.password.get_secret_value(), _code(given))


@answers
def change_password(given: s.PasswordRequest) -> None:
    """Change the own password."""
    with note("account.change_password", identity().username):
        current_service().own.change_password(
            identity(),
            given.old_password.get_secret_value(),
            given.new_password.get_secret_value(),
            _code(given),
            caller(),
        )


@answers
def list_sessions() -> Any:
    """The own sessions."""
    return _sessions(identity().user_id)


@answers
def end_sessions() -> Any:
    """End all own sessions but this one."""
    with note("session.end_all", identity().username):
        return {"ended": current_service().sessions.end(user_id=identity().user_id, keep=identity().sid)}


@answers
def end_session(session_id: str) -> None:
    """End one of the own sessions."""
    with note("session.end", identity().username):
        current_service().own.end_session(identity(), session_id)


@answers
def show_second_factor() -> Any:
    """Whether the own account has one."""
    return {"in_force": current_service().own.has_second_factor(identity())}


@answers
def begin_second_factor() -> Any:
    """A shared secret for the authenticator app."""
    with note("account.begin_second_factor", identity().username):
        return current_service().own.begin_second_factor(identity())


@answers
def confirm_second_factor(given: s.CodeRequest) -> Any:
    """Put the second factor in force with the app's first code."""
    with note("account.confirm_second_factor", identity().username):
        codes = current_service().own.confirm_second_factor(identity(), given.code.get_secret_value(), caller())
    return {"recovery_codes": codes}


@answers
def remove_second_factor(given: s.ProofRequest) -> None:
    """Do without the second factor."""
    with note("account.remove_second_factor", identity().username):
        current_service().own.remove_second_factor(
            identity(), given.password.get_secret_value(), _code(given), caller()
        )


# users


@answers
def list_users() -> Any:
    """Every user."""
    return {"items": [user.as_dict() for user in current_service().accounts.all()]}


@answers
def add_user(given: s.NewUserRequest) -> Any:
    """Add a user."""
    with note("user.add", given.username, role=given.role):
        return current_service().accounts.add(given.username, given.password.get_secret_value(), given.role).as_dict()


@answers
def show_user(username: str) -> Any:
    """One user."""
    return current_service().accounts.get(username).as_dict()


@answers
def change_user(username: str, given: s.UserChangeRequest) -> Any:
    """Change name, role or state."""
    changes = given.model_dump(exclude_none=True)
    with note("user.edit", username, **changes):
        return current_service().accounts.change(username, changes).as_dict()


@answers
def remove_user(username: str) -> None:
    """Remove a user."""
    with note("user.remove", username):
        current_service().accounts.remove(username)


@answers
def create_reset_code(username: str) -> Any:
    """A one-time code with which the user sets a new password."""
    service = current_service()
    with note("user.create_reset_code", username):
        user = service.accounts.get(username)
        service.own.notify(user, "reset_code_made", caller(), identity().sid)
        return service.own.create_reset_code(user)


@answers
def list_sessions_of(username: str) -> Any:
    """A user's sessions."""
    return _sessions(current_service().accounts.get(username).id)


@answers
def end_sessions_of(username: str) -> Any:
    """End all of a user's sessions."""
    service = current_service()
    with note("session.end_all", username):
        return {"ended": service.sessions.end(user_id=service.accounts.get(username).id)}


@answers
def remove_second_factor_of(username: str) -> None:
    """Remove a user's lost second factor."""
    service = current_service()
    with note("user.remove_second_factor", username):
        service.own.remove_lost_factor(service.accounts.get(username), caller())


# administration


@answers
def invite(given: s.InvitationRequest) -> Any:
    """An invitation to register."""
    with note("user.invite", role=given.role):
        return current_service().accounts.invite(given.role, given.days, identity().username)


@answers
def list_tokens() -> Any:
    """Every service token."""
    return {"items": [token.as_dict() for token in current_service().tokens.all()]}


@answers
def create_token(given: s.NewTokenRequest) -> Any:
    """A new service token; the answer is the only place that shows it."""
    with note("token.add", given.name, scopes=" ".join(sorted(given.scopes))):
        made = current_service().tokens.create(given.name, given.scopes, given.days, identity().username)
    service = current_service()
    service.own.notify(service.accounts.get(identity().username), "token_made", caller(), identity().sid)
    return made


@answers
def revoke_token(name: str) -> None:
    """End a service token."""
    with note("token.revoke", name):
        current_service().tokens.revoke(name)


@answers
def list_keys() -> Any:
    """The signing keys: which one signs, which ones are only published."""
    now = utc_now()
    ring = current_service().ring
    return {"items": [_key(key, key.kid == ring.signing(now).kid, now) for key in ring.published()]}


@answers
def rotate_keys() -> Any:
    """A new signing key, published now and used some seconds later."""
    with note("key.rotate") as entry:
        key = current_service().ring.rotate(utc_now())
        entry["subject"] = key.kid
    return _key(key, False, utc_now())


@answers
def list_audit(given: s.AuditQuery) -> Any:
    """The newest entries first."""
    equal = given.model_dump(exclude_none=True, include={"action", "by", "subject"})
    entries = current_service().stores.audit.list(given.since, given.limit, given.before, **equal)
    return {"items": [{**entry, "at": entry["at"].isoformat()} for entry in entries]}


def _logged_in(started: dict[str, Any]) -> dict[str, Any]:
    """Note the login that came with a new account; ``started`` as it is."""
    name = started["user"]["username"]
    with note("session.login", name) as entry:
        entry["by"] = name
    return started


def _code(given: s.LoginRequest | s.PasswordRequest | s.ProofRequest) -> str:
    return given.code.get_secret_value() if given.code else ""


def _sessions(user_id: str) -> dict[str, Any]:
    mine = identity().sid
    sessions = current_service().own.sessions(user_id)
    return {"items": [{**session.as_dict(), "current": session.id == mine} for session in sessions]}


def _key(key: SigningKey, signs: bool, now: datetime) -> dict[str, str]:
    state = "signs" if signs else "published" if key.active_from > now else "retired"
    return {"kid": key.kid, "state": state, "active_from": key.active_from.isoformat()}
