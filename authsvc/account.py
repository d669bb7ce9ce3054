"""What people do with their own account: password, sessions, second factor; and what an admin does for them."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from authsvc.limits import LoginLimits
from authsvc.passwords import SHORTEST_WITH_SECOND_FACTOR, PasswordHasher, check_policy
from authsvc.second_factor import SecondFactor
from authsvc.sessions import Caller, Sessions
from authsvc.users import hash_code
from prodcore.app.users import UserStores
from prodcore.errors import NotAuthenticated, SessionNotFound
from prodcore.identity.tokens import Identity
from prodcore.identity.users import Session, User

RESET_CODE_LIFE = timedelta(hours=24)


class OwnAccount:
    """Steps that change how somebody proves who they are ask for the password again: a stolen session is not enough."""

    def __init__(
        self,
        stores: UserStores,
        hasher: PasswordHasher,
        sessions: Sessions,
        limits: LoginLimits,
        second_factor: SecondFactor,
        clock: Callable[[], datetime],
        *,
        shortest_password: int,
    ) -> None:
        self._stores = stores
        self._hasher = hasher
        self._sessions = sessions
        self._limits = limits
        self._second_factor = second_factor
        self._clock = clock
        self._shortest = shortest_password

    def change_password(self, identity: Identity, old: str, new: str, caller: Caller) -> None:
        """Set a new password; every other session of the account ends. Raises NotAuthenticated, InvalidInput."""
        user = self._proven(identity, old, caller)
        self._set_password(user, new, keep=identity.sid, reaches_tokens=False)

    def create_reset_code(self, user: User) -> dict[str, str]:
        """A one-time code with which the user sets a new password; it replaces an earlier one."""
        code = secrets.token_urlsafe(18)
        expires_at = self._clock() + RESET_CODE_LIFE
        self._stores.users.change(user, {"reset_hash": hash_code(code), "reset_expires_at": expires_at}, self._clock())
        return {"username": user.username, "code": code, "expires_at": expires_at.isoformat()}

    def reset_password(self, username: str, code: str, new: str, caller: Caller) -> None:
        """Set a new password with a one-time code; all sessions end. The same refusal for everything that is wrong."""
        with self._limits.attempt(caller.address, username):
            user = self._stores.users.find(username)
            expected = (user.reset_hash if user else None) or hash_code(secrets.token_hex())
            right = hmac.compare_digest(hash_code(code), expected)
            if user is None or not right or user.disabled or (user.reset_expires_at or self._clock()) <= self._clock():
                raise NotAuthenticated("the user name or the code is wrong")
            self._set_password(user, new, keep="", reaches_tokens=True)

    def sessions(self, user_id: str) -> list[Session]:
        """The live sessions of a user, the last used first."""
        return self._stores.sessions.live_of(user_id, self._clock())

    def end_session(self, identity: Identity, session_id: str) -> None:
        """End one of the caller's own sessions; somebody else's is not found. Raises SessionNotFound."""
        if session_id not in {session.id for session in self.sessions(identity.user_id)}:
            raise SessionNotFound("this account has no such session")
        self._sessions.end(session_id=session_id)

    def has_second_factor(self, identity: Identity) -> bool:
        """Whether a code is asked for when the caller logs in."""
        return self._me(identity).totp_confirmed

    def begin_second_factor(self, identity: Identity) -> dict[str, str]:
        """See ``SecondFactor.begin``."""
        return self._second_factor.begin(self._me(identity))

    def confirm_second_factor(self, identity: Identity, code: str, caller: Caller) -> list[str]:
        """See ``SecondFactor.confirm``."""
        user = self._me(identity)
        with self._limits.attempt(caller.address, user.username):
            return self._second_factor.confirm(user, code)

    def remove_second_factor(self, identity: Identity, password: str, caller: Caller) -> None:
        """Do without a second factor."""
        self._second_factor.remove(self._proven(identity, password, caller))

    def _me(self, identity: Identity) -> User:
        user = self._stores.users.get(identity.user_id)
        if user is None:
            raise NotAuthenticated("the token is not valid any more")
        return user

    def _proven(self, identity: Identity, password: str, caller: Caller) -> User:
        user = self._me(identity)
        with self._limits.attempt(caller.address, user.username):
            if not self._hasher.verify(password, user.password_hash):
                raise NotAuthenticated("the password is wrong")
        return user

    def _set_password(self, user: User, new: str, *, keep: str, reaches_tokens: bool) -> None:
        shortest = min(self._shortest, SHORTEST_WITH_SECOND_FACTOR) if user.totp_confirmed else self._shortest
        check_policy(new, user.username, shortest)
        changes: dict[str, Any] = {
            "password_hash": self._hasher.hash(new),
            "reset_hash": None,
            "reset_expires_at": None,
        }
        self._stores.users.change(user, changes, self._clock(), reaches_tokens=reaches_tokens)
        self._sessions.end(user_id=user.id, keep=keep)
