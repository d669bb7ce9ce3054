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


class WhoOut(BaseModel):
    """Who is calling."""

    user_id: str
    username: str
    role: str | None
    rights: list[str]
    session_id: str
    expires_at: str
