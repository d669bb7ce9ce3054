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
from authsvc.limits import KnownDevices, LoginLimits
from authsvc.sessions import Caller, Sessions
from prodcore.app.wiring import UserStores
from prodcore.errors import (
    AlreadySetUp,
    Conflict,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    Problem,
    ProofRequired,
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
        devices: KnownDevices,
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
        self._devices = devices
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
                "this is not the setup code, or it has expired", hint="prodctl local up prints the current one"
            )
        user = replace(self._new(username, password, Role.ADMIN), last_login_at=self._clock())
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
        user = self._users.find(username)
        own = self._devices.recognise(user.id, caller.known_device) if user else ""
        with self._limits.attempt(caller.address, username, own):
            proven = self._proven(user, password, code, own)
        changes: dict[str, Any] = {"last_login_at": self._clock(), "has_short_password": len(password) < self._shortest}
        if self._hasher.is_outdated(proven.password_hash):
            changes["password_hash"] = self._hasher.hash(password)
        noted = self._users.change(proven, changes, self._clock(), only_if={"password_hash": proven.password_hash})
        if noted is None:
            raise NotAuthenticated(WRONG)  # the password was changed meanwhile
        started = self._sessions.start(replace(noted, last_login_at=proven.last_login_at), caller)
        return {**started, "device": None if own else self._devices.make(proven.id)}

    def _proven(self, user: User | None, password: str, code: str, own: str) -> User:
        if len(password) > LONGEST:
            raise NotAuthenticated(WRONG)
        if not self._hasher.verify(password, user.password_hash if user else None) or user is None or user.disabled:
            raise NotAuthenticated(WRONG)
        if user.totp_confirmed:
            if not code:
                raise SecondFactorRequired()
            with self._limits.factor(user.username, own):
                self._second_factor.check(user, code)
        return user

    def register(self, username: str, password: str, invitation: str, caller: Caller) -> dict[str, Any]:
        """Make an account for oneself and log in. Raises Forbidden where the setting does not allow it."""
        if self.registration == "closed" or not self.is_set_up():
            raise Forbidden("registration is closed", hint="An admin can add you")
        self._limits.begin(caller.address)  # not taken back: nobody makes accounts by the hundred
        user = replace(self._new(username, password, Role.VIEWER), last_login_at=self._clock())
        code_hash = hash_code(invitation)
        if self.registration == "invitation":
            role = self._invitations.claim(code_hash, user.id, self._clock())
            if role is None:
                raise Forbidden("the invitation is not valid, or no longer valid", hint="Ask for another one")
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
        """End the session of a refresh token, or all of its owner's; the owner's name, empty for nobody's token."""
        session = self._sessions.owner(refresh_token)
        if session is None:
            return ""
        if everywhere:
            self._sessions.end(user_id=session.user_id)
        else:
            self._sessions.end(session_id=session.id)
        owner = self._users.get(session.user_id)
        return owner.username if owner else ""

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
        if loses_power:
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
        self._users.change_unless_last_admin(user, {"removed_at": now, "disabled": True}, now)
        self._sessions.end(user_id=user.id)
        return user

    def _new(self, username: str, password: str, role: Role) -> User:
        name = clean_username(username)
        check_policy(password, name, self._shortest)
        hashed = self._hasher.hash(password)
        return User(
            id=uuid.uuid4().hex,
            username=name,
            role=role,
            password_hash=hashed,
            created_at=self._clock(),
            has_short_password=False,
        )


def hash_code(code: str) -> str:
    """What is kept of a one-time code: SHA-256 in hex. Codes are long and random, so a plain hash is enough."""
    return hashlib.sha256(code.strip().encode("utf-8", "surrogatepass")).hexdigest()


RESET_CODE_LIFE = timedelta(hours=24)
PROOF_LIFE = timedelta(minutes=5)


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
        proof_key: bytes,
    ) -> None:
        self._proof_key = proof_key
        self._stores = stores
        self._hasher = hasher
        self._sessions = sessions
        self._limits = limits
        self._second_factor = second_factor
        self._clock = clock
        self._shortest = shortest_password

    def prove(self, identity: Identity, password: str, code: str) -> dict[str, str]:
        """What shows for five minutes that the session's user gave the password, and the second factor.

        Raises NotAuthenticated, SecondFactorRequired, TooManyAttempts.
        """
        user = self._proven(identity, password, code)
        expires_at = (self._clock() + PROOF_LIFE).replace(microsecond=0)
        proof = self._proof(identity, user, int(expires_at.timestamp()))
        return {"proof": proof, "expires_at": expires_at.isoformat()}

    def require_proof(self, identity: Identity, proof: str) -> None:
        """Raise ProofRequired unless the session's user has given the password within five minutes."""
        if identity.role is None:
            raise Forbidden("a service token cannot give access that outlives it", hint="Log in as an admin")
        user = self._me(identity)
        second = proof.partition(".")[0]
        now = self._clock()
        in_time = second.isascii() and second.isdigit() and len(second) < 12 and int(second) > now.timestamp()
        expected = self._proof(identity, user, int(second) if in_time else 0)
        if not (hmac.compare_digest(proof.encode("utf-8", "replace"), expected.encode()) and in_time):
            raise ProofRequired(
                "this needs your password again",
                hint="POST it to /api/v1/account/proof, and repeat this with the answer's proof in the header X-Proof",
                second_factor=user.totp_confirmed,
            )

    def _proof(self, identity: Identity, user: User, second: int) -> str:
        """Good for one session, until the password or the second factor changes."""
        factor = user.totp_secret if user.totp_confirmed else ""  # one that is only begun changes nothing
        about = f"{second}|{identity.sid}|{user.id}|{user.password_hash}|{factor}"
        return f"{second}.{hmac.digest(self._proof_key, about.encode(), 'sha256').hex()}"

    def change_password(self, identity: Identity, old: str, new: str, code: str, caller: Caller) -> None:
        """Set a new password; every other session of the account ends.

        Raises NotAuthenticated, SecondFactorRequired, InvalidInput.
        """
        user = self._proven(identity, old, code)
        self._set_password(user, new, keep=identity.sid, reaches_tokens=False)
        self.notify(user, "password_changed", caller, identity.sid)

    def create_reset_code(self, user: User) -> dict[str, str]:
        """A one-time code with which the user sets a new password; it replaces an earlier one."""
        code = secrets.token_urlsafe(18)
        expires_at = self._clock() + RESET_CODE_LIFE
        self._stores.users.change(user, {"reset_hash": hash_code(code), "reset_expires_at": expires_at}, self._clock())
        return {"username": user.username, "code": code, "expires_at": expires_at.isoformat()}

    def reset_password(self, username: str, code: str, new: str, caller: Caller) -> str:
        """Set a new password with a one-time code; all sessions end. Whose it was.

        Raises NotAuthenticated, the same for everything that is wrong.
        """
        user = self._stores.users.find(
            username
        )  # no limit: nobody guesses 144 random bits, and strangers would use it up
        expected = (user.reset_hash if user else None) or hash_code(secrets.token_hex())
        right = hmac.compare_digest(hash_code(code), expected)
        if user is None or not right or user.disabled or (user.reset_expires_at or self._clock()) <= self._clock():
            raise NotAuthenticated("the user name or the code is wrong")
        self._set_password(user, new, keep="", reaches_tokens=True)
        self.notify(user, "password_reset", caller)
        return user.username

    def sessions(self, user_id: str) -> list[Session]:
        """The live sessions of a user, the last used first."""
        return self._sessions.live_of(user_id)

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
        """See ``SecondFactor.confirm``; every other session of the account ends."""
        user = self._me(identity)
        with self._limits.attempt(caller.address, own=f"session:{identity.sid}"):
            codes = self._second_factor.confirm(user, code)
        self._sessions.end(user_id=user.id, keep=identity.sid)
        self.notify(user, "second_factor_added", caller, identity.sid)
        return codes

    def remove_second_factor(self, identity: Identity, password: str, code: str, caller: Caller) -> None:
        """Do without a second factor; every other session of the account ends.

        Raises InvalidInput while the password is only long enough beside one.
        """
        user = self._proven(identity, password, code)
        if len(password) < self._shortest:
            refusal = f"is shorter than {self._shortest} characters, which is too short without a second factor"
            raise InvalidInput(
                problems=[Problem("password", "password_too_short", refusal)], hint="Change the password first"
            )
        self._second_factor.remove(user)
        self._sessions.end(user_id=user.id, keep=identity.sid)
        self.notify(user, "second_factor_removed", caller, identity.sid)

    def remove_lost_factor(self, user: User, caller: Caller) -> None:
        """Help a user who has lost it. Raises Conflict while the password may be too short without it."""
        if user.totp_confirmed and user.has_short_password is not False:
            raise Conflict(
                f"the password of {user.username} may be too short without a second factor",
                hint=f"create a one-time code first (prodctl user reset {user.username}), for a longer password",
            )
        self._second_factor.remove(user)
        self._sessions.end(user_id=user.id)
        self.notify(user, "second_factor_removed", caller)

    def notify(self, user: User, what: str, caller: Caller, session_id: str = "") -> None:
        """Have the owner's other sessions, and the next login, say what was done."""
        notice = {
            "at": self._clock(),
            "what": what,
            "device": caller.device,
            "address": caller.address,
            "session_id": session_id,
        }
        self._stores.users.add_notice(user, notice)

    def _me(self, identity: Identity) -> User:
        user = self._stores.users.get(identity.user_id)
        if user is None:
            raise NotAuthenticated("the token is no longer valid")
        return user

    def _proven(self, identity: Identity, password: str, code: str) -> User:
        """The session's user, who has given the password, and the second factor where there is one."""
        user = self._me(identity)
        own = f"session:{identity.sid}"
        with self._limits.attempt("", own=own):
            if len(password) > LONGEST or not self._hasher.verify(password, user.password_hash):
                raise NotAuthenticated("the password is wrong")
            if user.totp_confirmed:
                if not code:
                    raise SecondFactorRequired()
                with self._limits.factor(user.username, own):
                    self._second_factor.check(user, code)
        return user

    def _set_password(self, user: User, new: str, *, keep: str, reaches_tokens: bool) -> None:
        shortest = min(self._shortest, SHORTEST_WITH_SECOND_FACTOR) if user.totp_confirmed else self._shortest
        check_policy(new, user.username, shortest)
        changes: dict[str, Any] = {
            "password_hash": self._hasher.hash(new),
            "has_short_password": len(new) < self._shortest,
            "reset_hash": None,
            "reset_expires_at": None,
        }
        seen = {"password_hash": user.password_hash, "reset_hash": user.reset_hash}  # a proof serves one change
        if not self._stores.users.change(user, changes, self._clock(), reaches_tokens=reaches_tokens, only_if=seen):
            raise NotAuthenticated("the account was changed at the same time", hint="Begin again")
        self._sessions.end(user_id=user.id, keep=keep)
