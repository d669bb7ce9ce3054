"""Passwords: which are accepted, how they are kept, and how much work at a time that may be.

A password is brought to one spelling (NFKC), hashed with SHA-384 so that bcrypt's limit of 72 bytes cuts nothing and
no NUL ends it early, and then given to bcrypt. What is stored says which scheme it is: ``v1$2b$12$…``.
"""

from __future__ import annotations

import base64
import contextvars
import hashlib
import hmac
import os
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import bcrypt
import pyotp
from cryptography.fernet import Fernet, InvalidToken
from zxcvbn import zxcvbn

from prodcore.deadline import remaining
from prodcore.errors import Conflict, InvalidInput, NotAuthenticated, Problem, Unavailable
from prodcore.identity.users import User

if TYPE_CHECKING:
    from prodcore.mongo.identity.user_store import MongoUserStore


SHORTEST_WITH_SECOND_FACTOR = 8
LONGEST = 1024
_SCHEME = "v1"
_NICENESS = 5
_MAX_WAITING = 64
_GUESSABLE = 3  # zxcvbn scores 0 to 4; 3 is "safely unguessable" offline with a slow hash
_JUDGED = 72  # what zxcvbn looks at; its work grows with the square of the length
_OWN_WORDS = ("prodctl", "producto", "productos", "catalogo", "catálogo", "mongodb", "mercadona", "admin")


def check_policy(password: str, username: str, shortest: int) -> None:
    """Refuse a password that is too short, too long or easily guessed. Raises InvalidInput with the reason."""
    text = unicodedata.normalize("NFKC", password)
    if len(text) < shortest:
        raise _refused("password_too_short", f"is shorter than {shortest} characters")
    if len(text) > LONGEST or len(password) > LONGEST:
        raise _refused("password_too_long", f"is longer than {LONGEST} characters")
    if "\0" in text:
        raise _refused("password_has_nul", "holds a NUL character")
    judged = cast("dict[str, Any]", zxcvbn(text[:_JUDGED], user_inputs=[username, *_OWN_WORDS]))
    if judged["score"] < _GUESSABLE:
        warning = judged["feedback"]["warning"] or "It is too easy to guess"
        raise _refused("password_guessable", f"is refused: {warning.rstrip('.')}")


def _refused(code: str, message: str) -> InvalidInput:
    return InvalidInput(problems=[Problem("password", code, message)])


class PasswordHasher:
    """Runs bcrypt on all cores but one, at a lower priority than everything else, so that a flood takes nobody's core.

    ``cost`` is bcrypt's. Make it after the fork.
    """

    def __init__(self, cost: int, threads: int | None = None) -> None:
        self._cost = cost
        self._pool = ThreadPoolExecutor(threads or max(1, (os.cpu_count() or 1) - 1), "bcrypt", initializer=_be_nice)
        self._waiting = threading.BoundedSemaphore(_MAX_WAITING)
        self._nobody = self._hash(secrets.token_urlsafe(24))

    def hash(self, password: str) -> str:
        """What to store for a password. Raises Unavailable when too many wait already."""
        return cast("str", self._run(self._hash, password))

    def verify(self, password: str, stored: str | None) -> bool:
        """Whether ``stored`` was made of this password; for no user (None) the same work, and False."""
        return cast("bool", self._run(self._verify, password, stored))

    def is_outdated(self, stored: str) -> bool:
        """Whether ``stored`` was made with less work than the setting asks for now."""
        return not stored.startswith(f"{_SCHEME}$") or int(stored.split("$")[2]) < self._cost

    def _hash(self, password: str) -> str:
        return f"{_SCHEME}{bcrypt.hashpw(_prepared(password), bcrypt.gensalt(self._cost)).decode()}"

    def _verify(self, password: str, stored: str | None) -> bool:
        try:
            matches = bcrypt.checkpw(_prepared(password), (stored or self._nobody).removeprefix(_SCHEME).encode())
        except ValueError:  # a damaged hash in the database opens for nobody
            return False
        return matches and stored is not None

    def _run(self, work: Any, *args: Any) -> Any:
        if not self._waiting.acquire(blocking=False):
            raise Unavailable("too many logins at once: try again in a moment")
        try:
            return self._pool.submit(contextvars.copy_context().run, work, *args).result(remaining())
        except FutureTimeout:
            raise Unavailable("too many logins at once: try again in a moment") from None
        finally:
            self._waiting.release()


def _prepared(password: str) -> bytes:
    """64 characters of base64 that stand for the whole password."""
    text = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return base64.b64encode(hashlib.sha384(text).digest())


def _be_nice() -> None:
    """A flood of logins must not take the cores from those who are logged in; Linux knows this for each thread."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


RECOVERY_CODES = 10
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ISSUER = "prodctl"
_STEP_SECONDS = 30
_WRONG_CODE = "the code is wrong"


class SecondFactor:
    """``key`` (32 bytes) encrypts the shared secrets, so that a copy of the database alone makes no codes."""

    def __init__(self, users: MongoUserStore, key: bytes, clock: Callable[[], datetime]) -> None:
        self._users = users
        self._box = Fernet(base64.urlsafe_b64encode(key))
        self._clock = clock

    def begin(self, user: User) -> dict[str, str]:
        """A new shared secret, not yet in force. Raises Conflict when one is in force."""
        if user.totp_confirmed:
            raise Conflict("this account has a second factor already", hint="Remove it first")
        secret = pyotp.random_base32()
        sealed = self._box.encrypt(secret.encode()).decode()
        begun = {"totp_secret": sealed, "totp_step": 0}
        if self._users.change(user, begun, self._clock(), only_if={"totp_confirmed": False}) is None:
            raise Conflict("this account has a second factor already", hint="Remove it first")
        return {"secret": secret, "uri": pyotp.TOTP(secret).provisioning_uri(name=user.username, issuer_name=_ISSUER)}

    def confirm(self, user: User, code: str) -> list[str]:
        """Put the secret in force, now that the app has shown a right code; the recovery codes, shown once."""
        if user.totp_confirmed or user.totp_secret is None:
            raise Conflict("there is no second factor to confirm", hint="Start again")
        step = self._step(user, code)
        if step is None:
            raise NotAuthenticated(_WRONG_CODE)
        codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
        changes = {"totp_confirmed": True, "totp_step": step, "recovery_hashes": [_hash_of_code(c) for c in codes]}
        seen = {"totp_confirmed": False, "totp_secret": user.totp_secret}
        if self._users.change(user, changes, self._clock(), reaches_tokens=True, only_if=seen) is None:
            raise Conflict("there is no second factor to confirm", hint="Begin anew")
        return codes

    def remove(self, user: User) -> None:
        """Do without it from now on."""
        self._users.change(user, NONE, self._clock(), reaches_tokens=True)

    def check(self, user: User, code: str) -> None:
        """Accept a code of the app, or a recovery code, each once. Raises NotAuthenticated."""
        step = self._step(user, code)
        if step is not None:
            changes: dict[str, Any] = {"totp_step": step}
            seen: dict[str, Any] = {"totp_step": user.totp_step}
        else:
            given = _hash_of_code(code.strip().upper())
            left = [h for h in user.recovery_hashes if not hmac.compare_digest(h, given)]
            if len(left) == len(user.recovery_hashes):
                raise NotAuthenticated(_WRONG_CODE)
            changes, seen = {"recovery_hashes": left}, {"recovery_hashes": list(user.recovery_hashes)}
        if self._users.change(user, changes, self._clock(), only_if=seen) is None:
            raise NotAuthenticated(_WRONG_CODE)  # somebody was faster with the same code

    def _step(self, user: User, code: str) -> int | None:
        """The time step that the code belongs to: this one or a neighbour, and later than the last one used."""
        try:
            secret = self._box.decrypt((user.totp_secret or "").encode()).decode()
        except InvalidToken:
            return None
        totp = pyotp.TOTP(secret)
        now = self._clock()
        digits = "".join(code.split())
        for offset in (0, -1, 1):
            moment = now + timedelta(seconds=offset * _STEP_SECONDS)
            step = int(moment.timestamp()) // _STEP_SECONDS
            if (
                hmac.compare_digest(totp.at(moment).encode(), digits.encode("utf-8", "replace"))
                and step > user.totp_step
            ):
                return step
        return None


NONE: dict[str, Any] = {"totp_secret": None, "totp_confirmed": False, "totp_step": 0, "recovery_hashes": []}
"""The fields of an account without a second factor."""


def _recovery_code() -> str:
    """140 random bits, so that a plain hash is enough to keep of it: four groups of seven letters and digits."""
    return "-".join("".join(secrets.choice(_BASE32) for _ in range(7)) for _ in range(4))


def _hash_of_code(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
