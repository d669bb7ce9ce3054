"""``/api/v1/users``: who may use the catalogue. authsvc decides; this asks it in the caller's name."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from apiflask import APIBlueprint
from flask import Response, request

from prodcore.identity.schemas import NewUserRequest, UserChangeRequest
from prodcore.web import json_response
from webapp.api.identity_models import UserOut, UsersOut
from webapp.identity.caller import auth_client, bearer_token

blueprint = APIBlueprint("users", __name__, tag="Users")


def ask(method: str, path: str, *, body: Any = None) -> Any:
    """Ask authsvc in the caller's name."""
    return auth_client().call(method, path, body, bearer=bearer_token())


@blueprint.get("/users")
@blueprint.output(UsersOut)
@blueprint.doc(summary="List users", security="bearer")
def list_users() -> Response:
    """Every user, by name."""
    return json_response(ask("GET", "/users"))


@blueprint.post("/users")
@blueprint.input(NewUserRequest)
@blueprint.output(UserOut, 201)
@blueprint.doc(summary="Add a user", security="bearer", responses=[409, 503, 504])
def add_user(json_data: NewUserRequest) -> Response:
    """Names are unique whatever their case and accents."""
    return json_response(ask("POST", "/users", body=request.get_json()), 201)


@blueprint.get("/users/<username>")
@blueprint.output(UserOut)
@blueprint.doc(summary="Read a user", security="bearer", responses=[404])
def show_user(username: str) -> Response:
    """One user."""
    return json_response(ask("GET", user_path(username)))


@blueprint.patch("/users/<username>")
@blueprint.input(UserChangeRequest)
@blueprint.output(UserOut)
@blueprint.doc(summary="Rename, change the role, disable or enable", security="bearer", responses=[404, 409])
def change_user(username: str, json_data: UserChangeRequest) -> Response:
    """It reaches every worker within seconds; the last admin stays one."""
    return json_response(ask("PATCH", user_path(username), body=request.get_json()))


@blueprint.delete("/users/<username>")
@blueprint.doc(summary="Remove a user", security="bearer", responses={204: "Removed", 404: "", 409: ""})
def remove_user(username: str) -> Response:
    """Their sessions end; the last admin stays."""
    ask("DELETE", user_path(username))
    return Response(status=204)


def user_path(username: str) -> str:
    """Where authsvc has this user."""
    return f"/users/{quote(username, safe='')}"
