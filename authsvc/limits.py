"""How often somebody may try to log in, each failure making the next wait longer.

Strangers are counted by address and by account. A device that has logged in to the account before and a session that
lives have allowances of their own, so that nothing that strangers do keeps an owner out; one-time codes, which nobody
can guess, are under no limit.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from prodcore.errors import OutcomeUnknown, ProdError, SecondFactorRequired, TooManyAttempts, Unavailable
from prodcore.identity.users import fold_username

if TYPE_CHECKING:
    from prodcore.mongo.identity.audit_store import MongoAttemptStore


_DEVICES_SHOWN = 8


class Limit(NamedTuple):
    """How many attempts are free, how long the wait may grow, and after how much quiet all is forgotten."""

    free: int
    longest: timedelta
    forgotten_after: timedelta


ACCOUNT = Limit(30, timedelta(seconds=60), timedelta(hours=1))
"""Of all strangers together, at one account: at most 100 an hour, and no stranger makes the owner wait for longer."""
ADDRESS = Limit(20, timedelta(seconds=60), timedelta(minutes=15))
"""Of one address, at any accounts."""
OWN = Limit(10, timedelta(minutes=15), timedelta(hours=24))
"""Of a device that has logged in to this account before, or of a session that lives: nobody else uses it up."""
FACTOR = Limit(5, timedelta(minutes=15), timedelta(hours=24))
"""Of strangers with the right password, at the codes of the second factor."""


class LoginLimits:
    """An attempt counts as failed from its beginning, so that many at once cannot slip through."""

    def __init__(self, store: MongoAttemptStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    @contextmanager
    def attempt(self, address: str, username: str | None = None, own: str = "") -> Iterator[None]:
        """Count what the block tries, existing accounts or not, all alike; what succeeds does not count in the end.

        ``own`` names the device or session that has an allowance of its own; strangers have none, and count at their
        address and at the account. What could not be tried for want of a database or a core does not count either.
        Raises TooManyAttempts with the seconds to wait.
        """
        if own:
            with self._counted({f"own:{own}": OWN}, alone=f"own:{own}"):
                yield
            return
        keys = {_address(address): ADDRESS} | ({_account(username): ACCOUNT} if username is not None else {})
        with self._counted(keys, alone=_account(username) if username is not None else ""):
            yield

    @contextmanager
    def factor(self, username: str, own: str = "") -> Iterator[None]:
        """Count the code of a second factor that the block tries. Raises TooManyAttempts."""
        key = f"factor:{own or fold_username(username)}"
        with self._counted({key: FACTOR}, alone=key):
            yield

    def begin(self, address: str) -> None:
        """Count something for good. Raises TooManyAttempts."""
        self._begin(_address(address), ADDRESS)

    @contextmanager
    def _counted(self, keys: Mapping[str, Limit], *, alone: str) -> Iterator[None]:
        """Count at these keys; ``alone`` is one account's or device's, and starts anew with what was right."""
        begun: list[str] = []
        try:
            for key, limit in keys.items():
                self._begin(key, limit)
                begun.append(key)
            yield
        except (Unavailable, OutcomeUnknown):
            with suppress(ProdError):
                for key in keys:
                    self._store.take_back(key)
            raise
        except (SecondFactorRequired, TooManyAttempts):  # the password was right, or it was not tried
            for key in begun:
                self._store.take_back(key)
            raise
        for key in keys:
            if key == alone:
                self._store.forget(key)
            else:
                self._store.take_back(key)

    def _begin(self, key: str, limit: Limit) -> None:
        wait = self._store.begin(key, self._clock(), *limit)
        if wait is not None:
            seconds = max(1, math.ceil(wait.total_seconds()))
            raise TooManyAttempts(
                f"too many attempts: try again in {seconds} s",
                retry_after_seconds=seconds,
                limited_by="address" if limit is ADDRESS else "account",
            )


class KnownDevices:
    """Devices that have logged in to an account before: each holds a text that only authsvc can make, per account.

    It opens nothing: it gives whoever shows it an allowance of attempts of its own.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, user_id: str) -> str:
        """The text for a device that has just logged in."""
        name = secrets.token_urlsafe(12)
        return f"{name}.{self._mac(user_id, name)}"

    def recognise(self, user_id: str, texts: str) -> str:
        """The allowance of the device that shows these texts, separated by ``~``; empty for a stranger."""
        for text in texts.split("~")[:_DEVICES_SHOWN]:
            name, _, mac = text.partition(".")
            if hmac.compare_digest(mac.encode("utf-8", "replace"), self._mac(user_id, name).encode()):
                return f"{user_id}:{name}"
        return ""

    def _mac(self, user_id: str, name: str) -> str:
        return hmac.digest(self._key, f"{user_id}|{name}".encode("utf-8", "replace"), "sha256").hex()[:32]


def _account(username: str) -> str:
    return f"account:{fold_username(username)}"


def _address(address: str) -> str:
    """One IPv4 address, or the /64 that one customer has of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "address:unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        return f"address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address:{parsed}"
