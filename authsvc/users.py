"""Accounts: the first admin, logging in, who is administered by whom, and what users do with their own account."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from authsvc.credentials import LONGEST, SHORTEST_WITH_SECOND_FACTOR, PasswordHasher, SecondFactor, check_policy
from authsvc.limits import LoginLimits
from authsvc.sessions import Caller, Sessions
from prodcore.app.wiring import UserStores
from prodcore.errors import (
    AlreadySetUp,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    Problem,
    SecondFactorRequired,
    SessionNotFound,
    UserExists,
    UserNotFound,
)
from prodcore.identity.rights import Role
from prodcore.identity.tokens import Identity
from prodcore.identity.users import Session, User, clean_username, opens

WRONG = "the user name or the password is wrong"


class Accounts:
    """Everything one can do with accounts. ``setup_code_file``: the sealed one-time code."""

    def __init__(
        self,
        stores: UserStores,
        hasher: PasswordHasher,
        sessions: Sessions,
        limits: LoginLimits,
        second_factor: SecondFactor,
        clock: Callable[[], datetime],
        *,
        setup_code_file: Path | None,
        registration: str,
        shortest_password: int,
    ) -> None:
        self._users = stores.users
        self._hasher = hasher
        self._sessions = sessions
        self._limits = limits
        self._second_factor = second_factor
        self._invitations = stores.invitations
        self._clock = clock
        self._setup_code_file = setup_code_file
        self.registration = registration
        """Who may register: closed, invitation or open."""
        self._shortest = shortest_password

    def is_set_up(self) -> bool:
        """Whether there has been a first admin."""
        return self._users.is_set_up()

    def set_up(self, code: str, username: str, password: str, caller: Caller) -> dict[str, Any]:
        """Make the first admin and log them in. Raises AlreadySetUp, NotAuthenticated for another code."""
        if self.is_set_up():
            raise AlreadySetUp()
        with self._limits.attempt(caller.address):
            user = self._first_admin(code, username, password)
        return self._sessions.start(user, caller)

    def _first_admin(self, code: str, username: str, password: str) -> User:
        if not opens(self._sealed_setup_code(), code, self._clock()):
            raise NotAuthenticated(
                "this is not the setup code, or it has ended", hint="prodctl local up prints the one that is good now"
            )
        user = self._new(username, password, Role.ADMIN)
        self._users.add_first_admin(user)
        return user

    def _sealed_setup_code(self) -> str:
        """Read each time: a code that has ended is replaced without a restart."""
        try:
            return self._setup_code_file.read_text(encoding="utf-8") if self._setup_code_file else ""
        except (OSError, UnicodeDecodeError):
            return ""

    def log_in(self, username: str, password: str, code: str, caller: Caller) -> dict[str, Any]:
        """Start a session. Raises NotAuthenticated, the same for an unknown user, a wrong password, a disabled one;
        SecondFactorRequired when the password was right and the account wants a ``code`` too.
        """
        with self._limits.attempt(caller.address, username):
            user = self._proven(username, password, code)
        changes: dict[str, Any] = {"last_login_at": self._clock()}
        if self._hasher.is_outdated(user.password_hash):
            changes["password_hash"] = self._hasher.hash(password)
        self._users.change(user, changes, self._clock(), only_if={"password_hash": user.password_hash})
        return self._sessions.start(user, caller)

    def _proven(self, username: str, password: str, code: str) -> User:
        if len(password) > LONGEST:
            raise NotAuthenticated(WRONG)
        user = self._users.find(username)
        if not self._hasher.verify(password, user.password_hash if user else None) or user is None or user.disabled:
            raise NotAuthenticated(WRONG)
        if user.totp_confirmed:
            if not code:
                raise SecondFactorRequired()
            self._second_factor.check(user, code)
        return user

    def register(self, username: str, password: str, invitation: str, caller: Caller) -> dict[str, Any]:
        """Make an account for oneself and log in. Raises Forbidden where the setting does not allow it."""
        if self.registration == "closed" or not self.is_set_up():
            raise Forbidden("registration is closed", hint="An admin can add you")
        self._limits.begin(caller.address)  # not taken back: nobody makes accounts by the hundred
        user = self._new(username, password, Role.VIEWER)
        code_hash = hash_code(invitation)
        if self.registration == "invitation":
            role = self._invitations.claim(code_hash, user.id, self._clock())
            if role is None:
                raise Forbidden("the invitation is not valid (any more)", hint="Ask for another one")
            user = replace(user, role=role)
        try:
            self._users.add(user)
        except UserExists:
            self._invitations.give_back(code_hash, user.id)
            raise
        return self._sessions.start(user, caller)

    def invite(self, role: Role, days: int, created_by: str) -> dict[str, str]:
        """An invitation to register once, with a role; its code is in the answer and nowhere else."""
        code = secrets.token_urlsafe(18)
        expires_at = self._clock() + timedelta(days=days)
        self._invitations.add(hash_code(code), role, created_by, expires_at)
        return {"code": code, "role": str(role), "expires_at": expires_at.isoformat()}

    def log_out(self, refresh_token: str, *, everywhere: bool = False) -> str:
        """End the session of a refresh token, or all of its owner's; the owner's id, empty for nobody's token."""
        session = self._sessions.owner(refresh_token)
        if session is None:
            return ""
        if everywhere:
            self._sessions.end(user_id=session.user_id)
        else:
            self._sessions.end(session_id=session.id)
        return session.user_id

    def add(self, username: str, password: str, role: Role) -> User:
        """Add a user. Raises InvalidInput with what is wrong with the password, UserExists."""
        user = self._new(username, password, role)
        self._users.add(user)
        return user

    def all(self) -> list[User]:
        """Every user, by name."""
        return self._users.all()

    def get(self, username: str) -> User:
        """A user. Raises UserNotFound."""
        user = self._users.find(username)
        if user is None:
            raise UserNotFound(f"there is no user {username!r}")
        return user

    def change(self, username: str, changes: dict[str, Any]) -> User:
        """Change ``username``, ``role`` or ``disabled``; it reaches every worker. Raises LastAdmin, UserExists."""
        user = self.get(username)
        if "username" in changes:
            changes["username"] = clean_username(changes["username"])
        changes = {name: value for name, value in changes.items() if getattr(user, name) != value}
        if not changes:
            raise InvalidInput(problems=[Problem("", "no_change", "nothing would change")])
        loses_power = changes.get("disabled") or changes.get("role", Role.ADMIN) is not Role.ADMIN
        if user.role is Role.ADMIN and not user.disabled and loses_power:
            changed = self._users.change_unless_last_admin(user, changes, self._clock())
        else:
            changed = self._users.change(user, changes, self._clock(), reaches_tokens=True) or user
        if changed.disabled:
            self._sessions.end(user_id=user.id)
        return changed

    def remove(self, username: str) -> User:
        """Remove a user and end their sessions. Raises LastAdmin."""
        user = self.get(username)
        now = self._clock()
        changes = {"removed_at": now, "disabled": True}
        if user.role is Role.ADMIN and not user.disabled:
            self._users.change_unless_last_admin(user, changes, now)
        else:
            self._users.change(user, changes, now, reaches_tokens=True)
        self._sessions.end(user_id=user.id)
        return user

    def _new(self, username: str, password: str, role: Role) -> User:
        name = clean_username(username)
        check_policy(password, name, self._shortest)
        hashed = self._hasher.hash(password)
        return User(id=uuid.uuid4().hex, username=name, role=role, password_hash=hashed, created_at=self._clock())


def hash_code(code: str) -> str:
    """What is kept of a one-time code: SHA-256 in hex. Codes are long and random, so a plain hash is enough."""
    return hashlib.sha256(code.strip().encode("utf-8", "surrogatepass")).hexdigest()


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
