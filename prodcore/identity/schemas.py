"""What callers may send about users, sessions and tokens: strictly these fields, strictly these types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from prodcore.errors import InvalidInput
from prodcore.identity.rights import SCOPES, Right, Role
from prodcore.product.model import problems_of

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
    """The own password, old and new."""

    old_password: Secret
    new_password: Secret


class PasswordOnlyRequest(Request):
    """The own password again, before something that a stolen session must not do."""

    password: Secret


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

    since: datetime | None = Field(None, strict=False)
    before: datetime | None = Field(None, strict=False)
    limit: int = Field(100, ge=1, le=1000, strict=False)
    action: Text | None = None
    by: Text | None = None
    subject: Text | None = None
