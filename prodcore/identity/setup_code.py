"""The one-time code that makes the first admin, and what is kept of it: a file with its hash and when it ends."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

LIFE = timedelta(hours=24)
_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that look alike
_GROUPS = 4
_GROUP_LENGTH = 5


def new_setup_code() -> str:
    """Four groups of five letters and digits: 98 random bits.

    >>> len(new_setup_code())
    23
    """
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))


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
