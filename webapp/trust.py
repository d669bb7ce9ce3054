"""What a webapp process knows of authsvc, to judge tokens by itself: public keys, revocations, and whether it answers.

A thread asks authsvc every second. Until the first answer nothing can be judged (``ServiceUnavailable``); later, while
authsvc is silent, the last answer stays in force: who was refused stays refused, who was in stays in for an hour.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt.utils import base64url_decode

from prodcore.deadline import budget
from prodcore.errors import InvalidInput, NotAuthenticated, ProdError, ServiceUnavailable
from prodcore.tokens import GRACE, LEEWAY, Identity, authenticate, kid_of

log = structlog.get_logger("trust")

POLL_SECONDS = 1.0
_ANSWER_SECONDS = 3.0
_REMEMBERED_TOKENS = 20_000
_FORGET_SECONDS = 600.0
"""How often everything is asked for anew, so that what no longer matters does not pile up."""
_EVENTS_AT_ONCE = 1_000
_REFETCH_SECONDS = 1.0

Fetch = Callable[[dict[str, Any]], dict[str, Any]]
"""Asks authsvc: ``{"since": …, "events": […], "ended": […]}`` → ``{"now", "cursor", "keys", "sessions", "users"}``."""


class Trust:
    """One for each process. The thread starts with the first question, so after any fork."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._fetching = threading.Lock()
        self._pid = 0
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._verified: OrderedDict[bytes, Identity] = OrderedDict()
        self._revoked_sessions: set[str] = set()
        self._epochs: dict[str, int] = {}
        self._cursor: str | None = None
        self._clock_ahead = timedelta(0)
        self._fetched_at = 0.0
        self._silent_since: datetime | None = None
        self._events: list[dict[str, Any]] = []
        self._ended: set[str] = set()
        self._forget_at = 0.0

    def now(self) -> datetime:
        """The time by authsvc's clock: tokens are judged by the clock that made them."""
        return datetime.now(UTC) + self._clock_ahead

    @property
    def silent_since(self) -> datetime | None:
        """Since when authsvc has not answered; None while it does."""
        return self._silent_since

    def identify(self, token: str, *, late: timedelta | None = None) -> Identity:
        """Whom a token speaks of, if it is in force. Raises NotAuthenticated, ServiceUnavailable before any answer.

        While authsvc is silent a token that was alive when the silence began is good for GRACE longer. ``late`` asks
        for more or less than that.
        """
        self._ensure_known()
        identity = self._genuine(token)
        self._refuse_revoked(identity)
        now = self.now()
        allowed = LEEWAY if late is None else late
        since = self._silent_since
        if late is None and since is not None and identity.is_live(since):
            allowed = GRACE
        if not identity.is_live(now, allowed):
            raise NotAuthenticated("the token has expired")
        return identity

    def end_session(self, sid: str) -> None:
        """Refuse a session here from now on, and have authsvc end it with the next question."""
        with self._lock:
            self._revoked_sessions = self._revoked_sessions | {sid}
            self._ended.add(sid)

    def report(self, event: dict[str, Any]) -> None:
        """Take an audit event along with the next question to authsvc."""
        with self._lock:
            if len(self._events) < _REMEMBERED_TOKENS:
                self._events.append(event)
        self._start()

    def _genuine(self, token: str) -> Identity:
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        with self._lock:
            if found := self._verified.get(digest):
                self._verified.move_to_end(digest)
                return found
        if kid_of(token) not in self._keys and time.monotonic() - self._fetched_at > _REFETCH_SECONDS:
            self._refresh()
        identity = authenticate(token, self._keys)
        with self._lock:
            self._verified[digest] = identity
            if len(self._verified) > _REMEMBERED_TOKENS:
                self._verified.popitem(last=False)
        return identity

    def _refuse_revoked(self, identity: Identity) -> None:
        if identity.sid in self._revoked_sessions or identity.epoch < self._epochs.get(identity.user_id, 0):
            raise NotAuthenticated("the token is not valid any more")

    def _ensure_known(self) -> None:
        self._start()
        if self._cursor is None:
            self._refresh()
        if self._cursor is None:
            raise ServiceUnavailable("the login service has not answered yet", service="authsvc")

    def _start(self) -> None:
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=self._poll, name="trust", daemon=True).start()

    def _poll(self) -> None:
        pause = threading.Event()
        while not pause.wait(POLL_SECONDS):
            self._refresh()

    def _refresh(self) -> None:
        """Ask authsvc; never raises: silence is an answer too."""
        with self._fetching:
            with self._lock:
                events, self._events = self._events[:_EVENTS_AT_ONCE], self._events[_EVENTS_AT_ONCE:]
                ended = sorted(self._ended)
            anew = time.monotonic() > self._forget_at
            question = {"since": None if anew else self._cursor, "events": events, "ended": ended}
            asked = datetime.now(UTC)
            try:
                with budget(_ANSWER_SECONDS):
                    answer = self._fetch(question)
                self._learn(answer, asked, anew)
            except (ProdError, KeyError, TypeError, ValueError) as error:
                if isinstance(error, InvalidInput):
                    log.warning("audit events refused", events=len(events), why=error.message)
                    return  # sent again they would be refused again
                with self._lock:
                    self._events = (events + self._events)[:_REMEMBERED_TOKENS]
                if self._silent_since is None:
                    self._silent_since = self.now()

            with self._lock:
                self._ended.difference_update(ended)

    def _learn(self, answer: dict[str, Any], asked: datetime, anew: bool) -> None:
        """Take over what authsvc says; ``anew``: it is everything that still matters, the rest can be forgotten."""
        answered = datetime.now(UTC)
        self._clock_ahead = datetime.fromisoformat(answer["now"]) - (asked + (answered - asked) / 2)
        keys = {k["kid"]: Ed25519PublicKey.from_public_bytes(base64url_decode(k["x"])) for k in answer["keys"]}
        if keys.keys() != self._keys.keys():
            self._keys = keys
            with self._lock:
                self._verified.clear()  # a key that is gone vouches for nothing any more
        epochs = {} if anew else dict(self._epochs)
        for user_id, epoch in answer["users"].items():
            epochs[user_id] = max(epoch, epochs.get(user_id, 0))
        with self._lock:
            known = self._ended if anew else self._revoked_sessions
            self._revoked_sessions = known | set(answer["sessions"])
            self._epochs = epochs
        if anew:
            self._forget_at = time.monotonic() + _FORGET_SECONDS
        self._silent_since = None
        self._fetched_at = time.monotonic()
        self._cursor = answer["cursor"]
