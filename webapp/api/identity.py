"""The identity routes of the REST API: authsvc decides, and is asked in the caller's name; and who is calling."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from prodcore.errors import InvalidInput, Problem
from prodcore.identity.rights import Right
from prodcore.identity.routes import IDENTITY_ROUTES, IdentityRoute
from prodcore.identity.schemas import WhoOut
from prodcore.web import json_response
from webapp.identity.caller import auth_client, bearer_token, required_identity

blueprint = APIBlueprint("identity", __name__)


@blueprint.get("/session")
@blueprint.output(WhoOut)
@blueprint.doc(summary="Who am I", security="bearer", tags=["Session"])
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
            "access_token_expires_at": who.expires_at.isoformat(),
        }
    )


def _named_fields(body: Any) -> dict[str, Any]:
    """The body as authsvc takes it. ``null``, which passes where no field is needed, would be no body at all there."""
    if not isinstance(body, dict):
        raise InvalidInput(problems=[Problem("", "object_type", "must be an object with named fields")])
    return body


def _relay(row: IdentityRoute) -> None:
    """Serve a row by passing it on to authsvc."""
    is_public = row.right is Right.PUBLIC

    def relay(**names: Any) -> Response:
        given = {name: names.pop(name) for name in ("json_data", "query_data") if name in names}
        answer = auth_client().call(
            row.method,
            row.rule,
            _named_fields(request.get_json()) if "json_data" in given else None,
            names=names,
            bearer="" if is_public else bearer_token(),
            query=request.args.to_dict() if "query_data" in given else None,
        )
        return json_response(answer, row.status) if row.answer else Response(status=row.status)

    relay.__name__ = row.name
    relay.__doc__ = row.description
    view: Any = relay
    if row.body:
        view = blueprint.input(row.body)(view)
    if row.query:
        view = blueprint.input(row.query, location="query")(view)
    if row.answer:
        view = blueprint.output(row.answer, row.status)(view)
    statuses = dict.fromkeys(row.errors, "") | ({} if row.answer else {row.status: row.summary})
    security = None if is_public else "bearer"
    view = blueprint.doc(summary=row.summary, tags=[row.tag], security=security, responses=statuses)(view)
    blueprint.add_url_rule(row.rule, view_func=view, methods=[row.method])


for _row in IDENTITY_ROUTES:
    if _row.is_relayed:
        _relay(_row)
