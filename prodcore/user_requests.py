"""What callers may send about users, sessions and tokens: strictly these fields, strictly these types."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from prodcore.errors import InvalidInput
from prodcore.product import problems_of
from prodcore.rights import Role

Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=8192)]
"""A password or code on its way in: never shown in a message; the password policy judges the length."""
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
