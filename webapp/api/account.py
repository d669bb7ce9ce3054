"""``/api/v1/account``, ``register`` and ``reset``: what people do with their own account."""

from __future__ import annotations

from urllib.parse import quote

from apiflask import APIBlueprint
from flask import Response, request

from prodcore.identity.schemas import CodeRequest, PasswordOnlyRequest, PasswordRequest, RegisterRequest, ResetRequest
from prodcore.web import json_response
from webapp.api.identity_models import (
    EndedOut,
    HasSecondFactorOut,
    RecoveryCodesOut,
    RegistrationOut,
    SecondFactorOut,
    SessionsOut,
    TokensOut,
)
from webapp.api.users import ask
from webapp.identity.caller import auth_client

blueprint = APIBlueprint("account", __name__, tag="Account")


@blueprint.get("/register")
@blueprint.output(RegistrationOut)
@blueprint.doc(summary="Ask who may register")
def show_registration() -> Response:
    """A setting of the installation."""
    return json_response(auth_client().call("GET", "/register"))


@blueprint.post("/register")
@blueprint.input(RegisterRequest)
@blueprint.output(TokensOut, 201)
@blueprint.doc(summary="Make an account for oneself", responses=[403, 409, 429, 503])
def register(json_data: RegisterRequest) -> Response:
    """With an invitation where the installation asks for one; the invitation says the role."""
    return json_response(auth_client().call("POST", "/register", request.get_json()), 201)


@blueprint.post("/reset")
@blueprint.input(ResetRequest)
@blueprint.doc(summary="Set a new password with a one-time code", responses={204: "Done", 401: "", 429: "", 503: ""})
def reset_password(json_data: ResetRequest) -> Response:
    """The code comes from an admin; every session of the account ends."""
    auth_client().call("POST", "/reset", request.get_json())
    return Response(status=204)


@blueprint.post("/account/password")
@blueprint.input(PasswordRequest)
@blueprint.doc(summary="Change the own password", security="bearer", responses={204: "Changed", 401: "", 429: ""})
def change_password(json_data: PasswordRequest) -> Response:
    """Every other session of the account ends."""
    ask("POST", "/account/password", body=request.get_json())
    return Response(status=204)


@blueprint.get("/account/sessions")
@blueprint.output(SessionsOut)
@blueprint.doc(summary="List the own sessions", security="bearer")
def list_sessions() -> Response:
    """With device and last use."""
    return json_response(ask("GET", "/account/sessions"))


@blueprint.delete("/account/sessions")
@blueprint.output(EndedOut)
@blueprint.doc(summary="End all own sessions but this one", security="bearer")
def end_sessions() -> Response:
    """Refused on every worker within seconds."""
    return json_response(ask("DELETE", "/account/sessions"))


@blueprint.delete("/account/sessions/<session_id>")
@blueprint.doc(summary="End one of the own sessions", security="bearer", responses={204: "Ended", 404: ""})
def end_session(session_id: str) -> Response:
    """Somebody else's session is not found."""
    ask("DELETE", f"/account/sessions/{quote(session_id, safe='')}")
    return Response(status=204)


@blueprint.get("/account/second-factor")
@blueprint.output(HasSecondFactorOut)
@blueprint.doc(summary="Whether the own account has a second factor", security="bearer")
def show_second_factor() -> Response:
    """One that was begun and never confirmed is none."""
    return json_response(ask("GET", "/account/second-factor"))


@blueprint.post("/account/second-factor")
@blueprint.output(SecondFactorOut, 201)
@blueprint.doc(summary="Begin a second factor", security="bearer", responses=[409])
def begin_second_factor() -> Response:
    """The secret for an authenticator app; it is in force once confirmed with a code."""
    return json_response(ask("POST", "/account/second-factor"), 201)


@blueprint.put("/account/second-factor")
@blueprint.input(CodeRequest)
@blueprint.output(RecoveryCodesOut)
@blueprint.doc(summary="Confirm the second factor", security="bearer", responses=[401, 409, 429])
def confirm_second_factor(json_data: CodeRequest) -> Response:
    """The answer holds the recovery codes, shown once."""
    return json_response(ask("PUT", "/account/second-factor", body=request.get_json()))


@blueprint.delete("/account/second-factor")
@blueprint.input(PasswordOnlyRequest)
@blueprint.doc(summary="Remove the second factor", security="bearer", responses={204: "Removed", 401: "", 429: ""})
def remove_second_factor(json_data: PasswordOnlyRequest) -> Response:
    """Needs the password once more."""
    ask("DELETE", "/account/second-factor", body=request.get_json())
    return Response(status=204)
