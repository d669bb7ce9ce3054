"""Every route of both services and the right that it needs; what has no row is refused.

The identity routes are served by authsvc, and by webapp, which passes them on: one row here, with the shapes in
``schemas``, and a function of the row's name in ``authsvc/api.py`` are all that one takes.

>>> right_for("/api/v1/products", "POST")
<Right.WRITE_PRODUCTS: 'products:write'>
>>> right_for("/api/v1/users", "GET")
<Right.MANAGE_USERS: 'users:manage'>
>>> right_for("/api/v1/nonsense", "GET") is None
True
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from prodcore.identity import schemas
from prodcore.identity.rights import OWN_ROUTES, Right, ServedRoute

API = "/api/v1"


@dataclass(frozen=True, slots=True)
class IdentityRoute:
    """A route of authsvc. webapp serves it too and passes it on, unless it is between the services."""

    name: str
    """The function that answers in ``authsvc/api.py``."""
    method: str
    rule: str
    """Below ``/api/v1``."""
    right: Right
    summary: str
    body: type[schemas.Request] | None = None
    query: type[schemas.Request] | None = None
    answer: type[BaseModel] | None = None
    status: int = 200
    """Of success; 204 has no body."""
    errors: tuple[int, ...] = ()
    """Statuses that the OpenAPI document names besides those that every route has."""
    tag: str = "Account"
    description: str = ""
    proof: bool = False
    """Whether a session is not enough: the password must have been given again (header ``X-Proof``)."""

    @property
    def is_relayed(self) -> bool:
        """Whether webapp serves it."""
        return self.right is not Right.SERVICE


_I = IdentityRoute
_S = schemas
IDENTITY_ROUTES = (
    # logging in and out
    _I(
        "show_setup",
        "GET",
        "/setup",
        Right.PUBLIC,
        "Ask whether the first admin is still to be created",
        answer=_S.SetupOut,
        tag="Session",
        description="Open until the first admin has been created.",
    ),
    _I(
        "set_up",
        "POST",
        "/setup",
        Right.PUBLIC,
        "Create the first admin with the one-time setup code",
        body=_S.SetupRequest,
        answer=_S.TokensOut,
        status=201,
        errors=(401, 409, 429, 503),
        tag="Session",
        description="Only while there is no user, and only with the code that the installation printed.",
    ),
    _I(
        "log_in",
        "POST",
        "/session/login",
        Right.PUBLIC,
        "Log in",
        body=_S.LoginRequest,
        answer=_S.TokensOut,
        errors=(401, 429, 503),
        tag="Session",
        description="An access token for some minutes, and a refresh token to get the next one with.",
    ),
    _I(
        "refresh",
        "POST",
        "/session/refresh",
        Right.PUBLIC,
        "Exchange a refresh token for new tokens",
        body=_S.RefreshRequest,
        answer=_S.TokensOut,
        errors=(401, 503),
        tag="Session",
        description="Each can be used once. Repeated within 10 s (after a lost answer), it gives the same successor.",
    ),
    _I(
        "log_out",
        "POST",
        "/session/logout",
        Right.PUBLIC,
        "Log out, here or everywhere",
        body=_S.LogoutRequest,
        status=204,
        errors=(503,),
        tag="Session",
        description="The refresh token's session ends; its access tokens are refused on every worker within seconds.",
    ),
    _I(
        "show_registration",
        "GET",
        "/register",
        Right.PUBLIC,
        "Ask who may register",
        answer=_S.RegistrationOut,
        description="A setting of the installation.",
    ),
    _I(
        "register",
        "POST",
        "/register",
        Right.PUBLIC,
        "Create your own account",
        body=_S.RegisterRequest,
        answer=_S.TokensOut,
        status=201,
        errors=(403, 409, 429, 503),
        description="With an invitation where the installation requires one; the invitation sets the role.",
    ),
    _I(
        "reset_password",
        "POST",
        "/reset",
        Right.PUBLIC,
        "Set a new password with a one-time code",
        body=_S.ResetRequest,
        status=204,
        errors=(401, 429, 503),
        description="The code comes from an admin; every session of the account ends.",
    ),
    # between the services
    _I(
        "trust",
        "POST",
        "/trust",
        Right.SERVICE,
        "What changed for a verifier since its last request",
        body=_S.TrustRequest,
    ),
    _I("exchange", "POST", "/exchange", Right.SERVICE, "An access token for a service token", body=_S.ExchangeRequest),
    # your own account
    _I(
        "prove",
        "POST",
        "/account/proof",
        Right.ACCOUNT,
        "Confirm your identity again",
        body=_S.ProofRequest,
        answer=_S.ProofOut,
        status=201,
        errors=(401, 429),
        description="The answer goes into the header X-Proof of what is refused as proof_required, for five minutes.",
    ),
    _I(
        "change_password",
        "POST",
        "/account/password",
        Right.ACCOUNT,
        "Change your password",
        body=_S.PasswordRequest,
        status=204,
        errors=(401, 429),
        description="Every other session of the account ends.",
    ),
    _I(
        "list_sessions",
        "GET",
        "/account/sessions",
        Right.ACCOUNT,
        "List your sessions",
        answer=_S.SessionsOut,
        description="With device and last use.",
    ),
    _I(
        "end_sessions",
        "DELETE",
        "/account/sessions",
        Right.ACCOUNT,
        "End all your sessions but this one",
        answer=_S.EndedOut,
        description="Refused on every worker within seconds.",
    ),
    _I(
        "end_session",
        "DELETE",
        "/account/sessions/<session_id>",
        Right.ACCOUNT,
        "End one of your sessions",
        status=204,
        errors=(404,),
        description="Another user's session is not found.",
    ),
    _I(
        "show_second_factor",
        "GET",
        "/account/second-factor",
        Right.ACCOUNT,
        "Whether your account has a second factor",
        answer=_S.HasSecondFactorOut,
        description="One that was started and never confirmed does not count.",
    ),
    _I(
        "begin_second_factor",
        "POST",
        "/account/second-factor",
        Right.ACCOUNT,
        "Start setting up a second factor",
        answer=_S.SecondFactorOut,
        status=201,
        errors=(409,),
        description="The secret for an authenticator app; it takes effect once confirmed with a code.",
        proof=True,
    ),
    _I(
        "confirm_second_factor",
        "PUT",
        "/account/second-factor",
        Right.ACCOUNT,
        "Confirm the second factor",
        body=_S.CodeRequest,
        answer=_S.RecoveryCodesOut,
        errors=(401, 409, 429),
        description="The answer holds the recovery codes, shown once.",
    ),
    _I(
        "remove_second_factor",
        "DELETE",
        "/account/second-factor",
        Right.ACCOUNT,
        "Remove the second factor",
        body=_S.ProofRequest,
        status=204,
        errors=(401, 429),
        description="Needs the password once more.",
    ),
    # users
    _I(
        "list_users",
        "GET",
        "/users",
        Right.MANAGE_USERS,
        "List users",
        answer=_S.UsersOut,
        tag="Users",
        description="Every user, by name.",
    ),
    _I(
        "add_user",
        "POST",
        "/users",
        Right.MANAGE_USERS,
        "Add a user",
        body=_S.NewUserRequest,
        answer=_S.UserOut,
        status=201,
        errors=(409, 503, 504),
        tag="Users",
        description="Names are unique whatever their case and accents.",
    ),
    _I(
        "show_user",
        "GET",
        "/users/<username>",
        Right.MANAGE_USERS,
        "Read a user",
        answer=_S.UserOut,
        errors=(404,),
        tag="Users",
        description="One user.",
    ),
    _I(
        "change_user",
        "PATCH",
        "/users/<username>",
        Right.MANAGE_USERS,
        "Rename, change the role, disable or enable",
        body=_S.UserChangeRequest,
        answer=_S.UserOut,
        errors=(404, 409),
        tag="Users",
        description="It reaches every worker within seconds; the last admin cannot lose the role.",
    ),
    _I(
        "remove_user",
        "DELETE",
        "/users/<username>",
        Right.MANAGE_USERS,
        "Remove a user",
        status=204,
        errors=(404, 409),
        tag="Users",
        description="Their sessions end; the last admin cannot be removed.",
    ),
    _I(
        "create_reset_code",
        "POST",
        "/users/<username>/reset",
        Right.MANAGE_USERS,
        "Create a one-time code for a new password",
        answer=_S.ResetCodeOut,
        status=201,
        errors=(404,),
        tag="Administration",
        description="Pass it to the user through another channel; it is valid for a day.",
        proof=True,
    ),
    _I(
        "list_sessions_of",
        "GET",
        "/users/<username>/sessions",
        Right.MANAGE_USERS,
        "List a user's sessions",
        answer=_S.SessionsOut,
        errors=(404,),
        tag="Administration",
        description="With device and last use.",
    ),
    _I(
        "end_sessions_of",
        "DELETE",
        "/users/<username>/sessions",
        Right.MANAGE_USERS,
        "End all of a user's sessions",
        answer=_S.EndedOut,
        errors=(404,),
        tag="Administration",
        description="Refused on every worker within seconds.",
    ),
    _I(
        "remove_second_factor_of",
        "DELETE",
        "/users/<username>/second-factor",
        Right.MANAGE_USERS,
        "Remove a user's lost second factor",
        status=204,
        errors=(404,),
        tag="Administration",
        description="For users who lost the app and the recovery codes.",
        proof=True,
    ),
    _I(
        "invite",
        "POST",
        "/invitations",
        Right.MANAGE_USERS,
        "Invite a user to register",
        body=_S.InvitationRequest,
        answer=_S.InvitationOut,
        status=201,
        tag="Administration",
        description="Valid once, where registration is by invitation.",
        proof=True,
    ),
    _I(
        "list_tokens",
        "GET",
        "/tokens",
        Right.MANAGE_USERS,
        "List service tokens",
        answer=_S.ServiceTokensOut,
        tag="Administration",
        description="With scopes, expiry and last use; never their secrets.",
    ),
    _I(
        "create_token",
        "POST",
        "/tokens",
        Right.MANAGE_USERS,
        "Create a service token",
        body=_S.NewTokenRequest,
        answer=_S.NewServiceTokenOut,
        status=201,
        errors=(409,),
        tag="Administration",
        description="Only this answer shows it.",
        proof=True,
    ),
    _I(
        "revoke_token",
        "DELETE",
        "/tokens/<name>",
        Right.MANAGE_USERS,
        "Revoke a service token",
        status=204,
        errors=(404,),
        tag="Administration",
        description="Refused on every worker within seconds.",
    ),
    _I(
        "list_keys",
        "GET",
        "/keys",
        Right.MANAGE_USERS,
        "List the signing keys",
        answer=_S.KeysOut,
        tag="Administration",
        description="Which one signs, which is published ahead, which are retired.",
    ),
    _I(
        "rotate_keys",
        "POST",
        "/keys",
        Right.MANAGE_USERS,
        "Rotate the signing keys",
        answer=_S.KeyOut,
        status=201,
        tag="Administration",
        description="A new key is published at once and signs some seconds later; nobody is logged out.",
    ),
    _I(
        "list_audit",
        "GET",
        "/audit",
        Right.READ_AUDIT,
        "Read the audit, the newest entries first",
        query=_S.AuditQuery,
        answer=_S.AuditOut,
        tag="Administration",
    ),
)
ROUTES = (*OWN_ROUTES, *(ServedRoute(f"{API}{row.rule}", (row.method,), row.right) for row in IDENTITY_ROUTES))
"""Every route of both services."""

_TABLE = {(row.rule, method): row.right for row in ROUTES for method in row.methods}


def right_for(rule: str, method: str) -> Right | None:
    """The right that a route needs, None when the table does not know the route. HEAD and OPTIONS count as GET."""
    if method == "HEAD" or (method == "OPTIONS" and (rule, "OPTIONS") not in _TABLE):
        return _TABLE.get((rule, "GET")) or next((r for (u, _), r in _TABLE.items() if u == rule), None)
    return _TABLE.get((rule, method))
