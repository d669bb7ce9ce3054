"""``/api/v1/setup`` and ``/api/v1/session``: the first admin, log in, refresh, log out, who am I."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, request

from prodcore.identity.schemas import LoginRequest, LogoutRequest, RefreshRequest, SetupRequest
from prodcore.web import json_response
from webapp.api.identity_models import SetupOut, TokensOut, WhoOut
from webapp.identity.caller import auth_client, required_identity

blueprint = APIBlueprint("session", __name__, tag="Session")


@blueprint.get("/setup")
@blueprint.output(SetupOut)
@blueprint.doc(summary="Ask whether the first admin is still to be made")
def show_setup() -> Response:
    """Open until the first admin has been made."""
    return json_response(auth_client().call("GET", "/setup"))


@blueprint.post("/setup")
@blueprint.input(SetupRequest)
@blueprint.output(TokensOut, 201)
@blueprint.doc(summary="Make the first admin with the one-time setup code", responses=[401, 409, 429, 503])
def set_up(json_data: SetupRequest) -> Response:
    """Only while there is no user, and only with the code that the installation printed."""
    return json_response(auth_client().call("POST", "/setup", request.get_json()), 201)


@blueprint.post("/session/login")
@blueprint.input(LoginRequest)
@blueprint.output(TokensOut)
@blueprint.doc(summary="Log in", responses=[401, 429, 503])
def log_in(json_data: LoginRequest) -> Response:
    """An access token for some minutes, and a refresh token to get the next one with."""
    return json_response(auth_client().call("POST", "/session/login", request.get_json()))


@blueprint.post("/session/refresh")
@blueprint.input(RefreshRequest)
@blueprint.output(TokensOut)
@blueprint.doc(summary="Get new tokens for old", responses=[401, 503])
def refresh(json_data: RefreshRequest) -> Response:
    """Each refresh token serves once; asked again within 10 s (a lost answer) it gives the same successor."""
    return json_response(auth_client().call("POST", "/session/refresh", request.get_json()))


@blueprint.post("/session/logout")
@blueprint.input(LogoutRequest)
@blueprint.doc(summary="Log out, here or everywhere", responses={204: "Logged out", 503: ""})
def log_out(json_data: LogoutRequest) -> Response:
    """The refresh token's session ends; its access tokens are refused on every worker within seconds."""
    auth_client().call("POST", "/session/logout", request.get_json())
    return Response(status=204)


@blueprint.get("/session")
@blueprint.output(WhoOut)
@blueprint.doc(summary="Who am I", security="bearer")
def who_am_i() -> Response:
    """Whom the bearer token speaks of, and what they may do."""
    who = required_identity()
    return json_response(
        {
            "user_id": who.user_id,
            "username": who.username,
            "role": str(who.role) if who.role else None,
            "rights": sorted(right for right in who.rights if ":" in right),
            "session_id": who.sid,
            "expires_at": who.expires_at.isoformat(),
        }
    )
