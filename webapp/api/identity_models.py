"""Shapes of the answers about users and sessions, for the OpenAPI document."""

from __future__ import annotations

from pydantic import BaseModel


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
    expires_at: str
