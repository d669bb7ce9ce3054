"""The second factor: time-based codes (TOTP, RFC 6238) from an authenticator app, and recovery codes for a lost one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyotp
from cryptography.fernet import Fernet, InvalidToken

from prodcore.errors import Conflict, NotAuthenticated
from prodcore.identity.users import User

if TYPE_CHECKING:
    from prodcore.mongo.identity.user_store import MongoUserStore

RECOVERY_CODES = 10
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
        self._users.change(user, {"totp_secret": sealed, "totp_step": 0}, self._clock())
        return {"secret": secret, "uri": pyotp.TOTP(secret).provisioning_uri(name=user.username, issuer_name=_ISSUER)}

    def confirm(self, user: User, code: str) -> list[str]:
        """Put the secret in force, now that the app has shown a right code; the recovery codes, shown once."""
        if user.totp_confirmed or user.totp_secret is None:
            raise Conflict("there is no second factor to confirm", hint="Begin anew")
        step = self._step(user, code)
        if step is None:
            raise NotAuthenticated(_WRONG_CODE)
        codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
        changes = {"totp_confirmed": True, "totp_step": step, "recovery_hashes": [_hash(c) for c in codes]}
        self._users.change(user, changes, self._clock(), reaches_tokens=True)
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
            given = _hash(code.strip().upper())
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
    """80 random bits, as four groups of letters and digits."""
    text = base64.b32encode(secrets.token_bytes(10)).decode()
    return "-".join(text[i : i + 4] for i in range(0, 16, 4))


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
