"""Passwords: which are accepted, how they are kept, and how much work at a time that may be.

A password is brought to one spelling (NFKC), hashed with SHA-384 so that bcrypt's limit of 72 bytes cuts nothing and
no NUL ends it early, and then given to bcrypt. What is stored says which scheme it is: ``v1$2b$12$…``.
"""

from __future__ import annotations

import base64
import contextvars
import hashlib
import os
import secrets
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, cast

import bcrypt
from zxcvbn import zxcvbn

from prodcore.deadline import remaining
from prodcore.errors import InvalidInput, Problem, Unavailable

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
