"""Users, sessions and tokens over HTTP: what callers may send, strictly typed, and what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from prodcore.errors import InvalidInput
from prodcore.identity.rights import SCOPES, Right, Role
from prodcore.support.validation import Moment, WholeNumber, problems_of

Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=8192)]
"""A password or code on its way in: never shown in a message; the password policy judges the length."""


def _a_scope(right: Right) -> Right:
    if right not in SCOPES:
        raise ValueError(f"is none of {', '.join(sorted(SCOPES))}")
    return right


Scope = Annotated[Right, Field(strict=False), AfterValidator(_a_scope)]
RoleField = Annotated[Role, Field(strict=False)]


class Request(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


R = TypeVar("R", bound=Request)


def parse(model: type[R], body: Any) -> R:
    """The body as ``model``. Raises InvalidInput with every problem."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidInput(problems=problems_of(error)) from None


class AuditEvent(Request):
    """Something that webapp did for somebody."""

    id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
    at: datetime = Field(strict=False)
    action: Text
    by: Text
    subject: Annotated[str, StringConstraints(max_length=200)] = ""
    address: Annotated[str, StringConstraints(max_length=64)] = ""
    device: Annotated[str, StringConstraints(max_length=200)] = ""
    request_id: Annotated[str, StringConstraints(max_length=64)] = ""
    details: dict[str, str] = {}


class LoginRequest(Request):
    """A user name and password, and the second factor of those who have one."""

    username: Text
    password: Secret
    code: Secret | None = None


class SetupRequest(Request):
    """The one-time setup code, and who the first admin shall be."""

    code: Secret
    username: Text
    password: Secret


class RefreshRequest(Request):
    """A refresh token."""

    refresh_token: Secret


class LogoutRequest(Request):
    """The session to end, by its refresh token; or all of that person's."""

    refresh_token: Secret
    everywhere: bool = False


class NewUserRequest(Request):
    """A new user."""

    username: Text
    password: Secret
    role: RoleField = Role.VIEWER


class UserChangeRequest(Request):
    """What to change of a user; what is not given stays."""

    username: Text | None = None
    role: RoleField | None = None
    disabled: bool | None = None


class RegisterRequest(Request):
    """Somebody who makes an account of their own; the invitation where registration asks for one."""

    username: Text
    password: Secret
    invitation: Secret | None = None


class ResetRequest(Request):
    """A new password, with the one-time code that an admin handed out."""

    username: Text
    code: Secret
    password: Secret


class PasswordRequest(Request):
    """The own password, old and new, and the second factor of those who have one."""

    old_password: Secret
    new_password: Secret
    code: Secret | None = None


class ProofRequest(Request):
    """The own password again, and the second factor, before something that a stolen session must not do."""

    password: Secret
    code: Secret | None = None


class CodeRequest(Request):
    """A code of the second factor."""

    code: Secret


class InvitationRequest(Request):
    """An invitation to register with a role."""

    role: RoleField = Role.VIEWER
    days: int = Field(7, ge=1, le=90)


class NewTokenRequest(Request):
    """A service token: its name, its scopes, its life in days."""

    name: Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
    scopes: list[Scope] = Field(min_length=1, max_length=16)
    days: int = Field(90, ge=1, le=366)


class ExchangeRequest(Request):
    """A service token that a program showed to webapp."""

    token: Secret


SessionId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]


class TrustRequest(Request):
    """What a verifier asks and brings along: the cursor of its last question, audit entries, sessions to end, and by
    session when an access token that was used here for the first time had been issued.
    """

    since: datetime | None = Field(None, strict=False)
    events: list[AuditEvent] = Field([], max_length=20_000)
    ended: list[SessionId] = Field([], max_length=20_000)
    used: dict[SessionId, Annotated[datetime, Field(strict=False)]] = Field({}, max_length=20_000)


class AuditQuery(Request):
    """Which audit entries."""

    since: Moment | None = None
    before: Moment | None = None
    limit: WholeNumber = Field(100, ge=1, le=1000, strict=False)
    action: Text | None = None
    by: Text | None = None
    subject: Text | None = None


# what authsvc answers, for the OpenAPI document


class SetupOut(BaseModel):
    """Whether the first admin is still to be made."""

    open: bool


class UserOut(BaseModel):
    """A user."""

    id: str
    username: str
    role: str
    disabled: bool
    second_factor: bool
    created_at: str
    last_login_at: str | None


class UsersOut(BaseModel):
    """All users."""

    items: list[UserOut]


class TokensOut(BaseModel):
    """What a login gives."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    session_id: str
    user: UserOut
    notices: list[NoticeOut] = []
    device: str | None = None


class NoticeOut(BaseModel):
    """Something that was done to the account and that its owner should know of."""

    at: str
    what: str
    device: str
    address: str


class ProofOut(BaseModel):
    """What the header X-Proof is to hold, and until when it is good."""

    proof: str
    expires_at: str


class RegistrationOut(BaseModel):
    """Who may register: nobody (closed), the invited (invitation), everybody (open)."""

    registration: str


class SessionOut(BaseModel):
    """A session: a login on one device."""

    id: str
    device: str
    address: str
    created_at: str
    last_used_at: str
    expires_at: str
    current: bool


class SessionsOut(BaseModel):
    """Sessions, the last used first."""

    items: list[SessionOut]


class EndedOut(BaseModel):
    """How many sessions ended."""

    ended: int


class ResetCodeOut(BaseModel):
    """A one-time code, shown once."""

    username: str
    code: str
    expires_at: str


class InvitationOut(BaseModel):
    """An invitation, shown once."""

    code: str
    role: str
    expires_at: str


class SecondFactorOut(BaseModel):
    """What the authenticator app needs; not in force until confirmed."""

    secret: str
    uri: str


class HasSecondFactorOut(BaseModel):
    """Whether a code is asked for at every login."""

    in_force: bool


class RecoveryCodesOut(BaseModel):
    """Codes for the day when the app is lost, each good once; shown once."""

    recovery_codes: list[str]


class ServiceTokenOut(BaseModel):
    """A service token."""

    name: str
    scopes: list[str]
    created_by: str
    created_at: str
    expires_at: str
    last_used_at: str | None
    revoked: bool


class NewServiceTokenOut(ServiceTokenOut):
    """A new service token with its secret, shown once."""

    token: str


class ServiceTokensOut(BaseModel):
    """All service tokens."""

    items: list[ServiceTokenOut]


class KeyOut(BaseModel):
    """A signing key's public facts; state is published, signs or retired."""

    kid: str
    state: str
    active_from: str


class KeysOut(BaseModel):
    """All signing keys, the youngest first."""

    items: list[KeyOut]


class AuditEntryOut(BaseModel):
    """Who did what to whom or what, when, from where."""

    id: str
    at: str
    action: str
    subject: str
    by: str
    outcome: str
    address: str
    device: str
    request_id: str
    details: dict[str, str]


class AuditOut(BaseModel):
    """Audit entries, the newest first."""

    items: list[AuditEntryOut]


class WhoOut(BaseModel):
    """Who is calling."""

    user_id: str
    username: str
    role: str | None
    rights: list[str]
    session_id: str
    access_token_expires_at: str
