"""Users, their sessions and service tokens, as values; the rule for names; the code that makes the first admin.

>>> fold_username("  José.Pérez ")
'jose.perez'
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from prodcore.errors import InvalidInput, Problem
from prodcore.identity.rights import Right, Role

_USERNAME = re.compile(r"[\w][\w.@-]{0,63}")
_LETTERS = frozenset("ßæøœþðđłħŧŋ")
"""Those that are no ASCII letter with an accent, and no look-alike of one, as ı, ɑ and ɡ are."""


def clean_username(text: str) -> str:
    """A user name as it is shown. Raises InvalidInput.

    Letters of Europe's languages and plain digits only, so that no name can be written in look-alikes of another one's:
    of other scripts, such as the Devanagari zero, or of phonetics.
    """
    name = unicodedata.normalize("NFKC", text).strip()
    plain = all(unicodedata.normalize("NFKD", c)[0].isascii() or c.lower() in _LETTERS for c in name)
    if not _USERNAME.fullmatch(name) or not plain:
        raise InvalidInput(
            problems=[Problem("username", "username", "is 1 to 64 Latin letters, digits and . _ - @, a letter first")]
        )
    return name


def fold_username(text: str) -> str:
    """What makes user names the same: case and accents do not count."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).strip().casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


@dataclass(frozen=True, slots=True)
class User:
    """One account. ``epoch`` grows with every change that must reach tokens already given out."""

    id: str
    username: str
    role: Role
    password_hash: str
    created_at: datetime
    disabled: bool = False
    epoch: int = 0
    version: int = 1
    last_login_at: datetime | None = None
    totp_secret: str | None = None
    totp_confirmed: bool = False
    totp_step: int = 0
    recovery_hashes: tuple[str, ...] = ()
    reset_hash: str | None = None
    reset_expires_at: datetime | None = None
    has_short_password: bool | None = None
    """Whether the password is shorter than one without a second factor may be; None: set by an earlier version."""
    notices: Sequence[Mapping[str, Any]] = ()
    """The last things that were done to the account and that its owner should know of: at, what, device, address."""

    def as_dict(self) -> dict[str, Any]:
        """What may be shown of it: never a hash, never a secret."""
        return {
            "id": self.id,
            "username": self.username,
            "role": str(self.role),
            "disabled": self.disabled,
            "second_factor": self.totp_confirmed,
            "created_at": self.created_at.isoformat(),
            "last_login_at": self.last_login_at.isoformat() if self.last_login_at else None,
        }


@dataclass(frozen=True, slots=True)
class Session:
    """One login on one device. Of its refresh tokens only hashes are kept: the current one's and the last one's."""

    id: str
    user_id: str
    refresh_hash: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    device: str = ""
    address: str = ""
    previous_hash: str | None = None
    rotated_at: datetime | None = None
    used_at: datetime | None = None
    """When the newest of its access tokens that was used had been issued."""
    revoked_at: datetime | None = None

    @property
    def is_rotation_noticed(self) -> bool:
        """Whether an access token of the last rotation was used, so that its answer did arrive."""
        if self.rotated_at is None or self.used_at is None:
            return False
        return self.used_at >= self.rotated_at.replace(microsecond=0)  # tokens tell whole seconds

    def as_dict(self) -> dict[str, Any]:
        """What its owner and admins may see."""
        return {
            "id": self.id,
            "device": self.device,
            "address": self.address,
            "created_at": self.created_at.isoformat(),
            "last_used_at": self.last_used_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A named credential for a program: rights of its own, an end, and only the hash of its secret."""

    id: str
    name: str
    secret_hash: str
    scopes: frozenset[Right]
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """What admins may see."""
        return {
            "name": self.name,
            "scopes": sorted(self.scopes),
            "created_by": self.created_by,
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "last_used_at": self.last_used_at.isoformat() if self.last_used_at else None,
            "revoked": self.revoked_at is not None,
        }


LIFE = timedelta(hours=24)
_CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that look alike
_GROUPS = 4
_GROUP_LENGTH = 7


def new_setup_code() -> str:
    """Four groups of seven letters and digits: 137 random bits.

    >>> len(new_setup_code())
    31
    """
    return "-".join("".join(secrets.choice(_CODE_LETTERS) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))


def seal(code: str, made_at: datetime) -> str:
    """The content of the file: SHA-256 in hex (the code is random enough for a plain hash), and the end of its life."""
    return f"{_hash(code)} {(made_at + LIFE).isoformat(timespec='seconds')}\n"


def opens(sealed: str, code: str, now: datetime) -> bool:
    """Whether ``code`` is the one that was sealed, and still good.

    >>> moment = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    >>> opens(seal("ABC", moment), "ABC", moment + LIFE), opens(seal("ABC", moment), "ABC", moment + 2 * LIFE)
    (True, False)
    """
    expected, _, _ends = sealed.partition(" ")
    return hmac.compare_digest(_hash(code), expected) and not has_ended(sealed, now)


def has_ended(sealed: str, now: datetime) -> bool:
    """Whether the sealed code is past its life; what cannot be read has ended."""
    try:
        return now > datetime.fromisoformat(sealed.partition(" ")[2].strip())
    except (ValueError, TypeError):
        return True


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode(errors="replace")).hexdigest()
