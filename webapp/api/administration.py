"""``/api/v1/tokens``, ``keys``, ``invitations``, ``audit``, and what admins do for single users."""

from __future__ import annotations

from urllib.parse import quote

from apiflask import APIBlueprint
from flask import Response, request

from prodcore.identity.schemas import AuditQuery, InvitationRequest, NewTokenRequest
from prodcore.web import json_response
from webapp.api.identity_models import (
    AuditOut,
    EndedOut,
    InvitationOut,
    KeyOut,
    KeysOut,
    NewServiceTokenOut,
    ResetCodeOut,
    ServiceTokensOut,
    SessionsOut,
)
from webapp.api.users import ask, user_path
from webapp.identity.caller import auth_client, bearer_token

blueprint = APIBlueprint("administration", __name__, tag="Administration")


@blueprint.post("/users/<username>/reset")
@blueprint.output(ResetCodeOut, 201)
@blueprint.doc(summary="Make a one-time code for a new password", security="bearer", responses=[404])
def create_reset_code(username: str) -> Response:
    """Hand it to the user by another way; it is good for a day."""
    return json_response(ask("POST", f"{user_path(username)}/reset"), 201)


@blueprint.get("/users/<username>/sessions")
@blueprint.output(SessionsOut)
@blueprint.doc(summary="List somebody's sessions", security="bearer", responses=[404])
def list_sessions_of(username: str) -> Response:
    """With device and last use."""
    return json_response(ask("GET", f"{user_path(username)}/sessions"))


@blueprint.delete("/users/<username>/sessions")
@blueprint.output(EndedOut)
@blueprint.doc(summary="End all of somebody's sessions", security="bearer", responses=[404])
def end_sessions_of(username: str) -> Response:
    """Refused on every worker within seconds."""
    return json_response(ask("DELETE", f"{user_path(username)}/sessions"))


@blueprint.delete("/users/<username>/second-factor")
@blueprint.doc(summary="Take a lost second factor away", security="bearer", responses={204: "Removed", 404: ""})
def remove_second_factor_of(username: str) -> Response:
    """For somebody who lost the app and the recovery codes."""
    ask("DELETE", f"{user_path(username)}/second-factor")
    return Response(status=204)


@blueprint.post("/invitations")
@blueprint.input(InvitationRequest)
@blueprint.output(InvitationOut, 201)
@blueprint.doc(summary="Invite somebody to register", security="bearer")
def invite(json_data: InvitationRequest) -> Response:
    """Good once, where registration is by invitation."""
    return json_response(ask("POST", "/invitations", body=request.get_json()), 201)


@blueprint.get("/tokens")
@blueprint.output(ServiceTokensOut)
@blueprint.doc(summary="List service tokens", security="bearer")
def list_tokens() -> Response:
    """With scopes, end and last use; never their secrets."""
    return json_response(ask("GET", "/tokens"))


@blueprint.post("/tokens")
@blueprint.input(NewTokenRequest)
@blueprint.output(NewServiceTokenOut, 201)
@blueprint.doc(summary="Create a service token", security="bearer", responses=[409])
def create_token(json_data: NewTokenRequest) -> Response:
    """The answer is the only place that shows it."""
    return json_response(ask("POST", "/tokens", body=request.get_json()), 201)


@blueprint.delete("/tokens/<name>")
@blueprint.doc(summary="Revoke a service token", security="bearer", responses={204: "Revoked", 404: ""})
def revoke_token(name: str) -> Response:
    """Refused on every worker within seconds."""
    ask("DELETE", f"/tokens/{quote(name, safe='')}")
    return Response(status=204)


@blueprint.get("/keys")
@blueprint.output(KeysOut)
@blueprint.doc(summary="List the signing keys", security="bearer")
def list_keys() -> Response:
    """Which one signs, which is published ahead, which are retired."""
    return json_response(ask("GET", "/keys"))


@blueprint.post("/keys")
@blueprint.output(KeyOut, 201)
@blueprint.doc(summary="Rotate the signing keys", security="bearer")
def rotate_keys() -> Response:
    """A new key is published at once and signs some seconds later; nobody is logged out."""
    return json_response(ask("POST", "/keys"), 201)


@blueprint.get("/audit")
@blueprint.input(AuditQuery, location="query")
@blueprint.output(AuditOut)
@blueprint.doc(summary="Read the audit", security="bearer")
def list_audit(query_data: AuditQuery) -> Response:
    """The newest entries first."""
    query = request.args.to_dict()
    return json_response(auth_client().call("GET", "/audit", bearer=bearer_token(), query=query))
