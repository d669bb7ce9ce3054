"""How often somebody may try to log in: per account and per address, each failure making the next wait longer."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from prodcore.errors import OutcomeUnknown, ProdError, TooManyAttempts, Unavailable
from prodcore.identity.users import fold_username

if TYPE_CHECKING:
    from prodcore.mongo.identity.attempt_store import MongoAttemptStore


class Limit(NamedTuple):
    """How many attempts are free, how long the wait may grow, and after how much quiet all is forgotten."""

    free: int
    longest: timedelta
    forgotten_after: timedelta


ACCOUNT = Limit(5, timedelta(minutes=15), timedelta(hours=24))
ADDRESS = Limit(20, timedelta(seconds=60), timedelta(minutes=15))


class LoginLimits:
    """An attempt counts as failed from its beginning, so that many at once cannot slip through."""

    def __init__(self, store: MongoAttemptStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    @contextmanager
    def attempt(self, address: str, username: str | None = None) -> Iterator[None]:
        """Count what the block tries, existing accounts or not, all alike; what succeeds does not count in the end.

        Neither does what could not be tried for want of a database or a core. Raises TooManyAttempts with the seconds
        to wait.
        """
        try:
            self.begin(address, username)
            yield
        except (Unavailable, OutcomeUnknown):
            with suppress(ProdError):
                self._store.take_back(_address(address))
                if username is not None:
                    self._store.take_back(_account(username))
            raise
        self._store.take_back(_address(address))
        if username is not None:
            self._store.forget(_account(username))

    def begin(self, address: str, username: str | None = None) -> None:
        """Count something for good. Raises TooManyAttempts."""
        self._begin("address", _address(address), ADDRESS)
        if username is not None:
            self._begin("account", _account(username), ACCOUNT)

    def _begin(self, limited_by: str, key: str, limit: Limit) -> None:
        wait = self._store.begin(key, self._clock(), *limit)
        if wait is not None:
            seconds = max(1, math.ceil(wait.total_seconds()))
            raise TooManyAttempts(
                f"too many attempts: try again in {seconds} s", retry_after_seconds=seconds, limited_by=limited_by
            )


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
