"""What a webapp process knows of authsvc, to judge tokens by itself: public keys, revocations, and whether it answers.

A thread asks authsvc every second. While authsvc is silent the last answer stays in force, also one that an earlier
worker has left in the ``TrustMemory``: who was refused stays refused, who was in stays in for an hour. Where there has
never been an answer nothing can be judged (``ServiceUnavailable``).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt.utils import base64url_decode

from prodcore.deadline import budget
from prodcore.errors import InvalidInput, NotAuthenticated, ProdError, ServiceUnavailable
from prodcore.identity.tokens import GRACE, LEEWAY, Identity, authenticate, kid_of
from prodcore.support.secure_files import locked, write_private

_HEARD_STEP = timedelta(seconds=5)
"""How old the time in the file may become before it is written again for its sake alone."""


@dataclass(frozen=True, slots=True)
class Known:
    """Judging tokens needs no more than this."""

    heard_at: datetime
    """When authsvc answered last, by its own clock."""
    clock_ahead: float
    """Seconds by which its clock is ahead of ours."""
    keys: Mapping[str, str]
    """Public keys, base64url, by ``kid``."""
    sessions: frozenset[str] = frozenset()
    """Sessions that have ended."""
    epochs: Mapping[str, int] = field(default_factory=dict)
    """By user id: tokens of an earlier epoch are refused."""
    ended: frozenset[str] = frozenset()
    """Those of the sessions that authsvc has not been told of yet."""

    def joined(self, other: Known) -> Known:
        """The later answer, and everything that either refuses."""
        later = max(self, other, key=lambda known: known.heard_at)
        epochs = {u: max(self.epochs.get(u, 0), other.epochs.get(u, 0)) for u in self.epochs.keys() | other.epochs}
        ended = self.ended | other.ended
        return replace(later, sessions=self.sessions | other.sessions | ended, epochs=epochs, ended=ended)


class TrustMemory:
    """What webapp's workers know of authsvc, in a file that outlives them; without a path nothing is remembered.

    A worker that starts while authsvc is silent goes on with it, and a logout that authsvc could not be told of yet is
    known to every worker. The file holds no secret: public keys, ids of ended sessions, epochs of users.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> Known | None:
        """What is remembered; None where there is nothing readable."""
        if self._path is None:
            return None
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return Known(
                datetime.fromisoformat(kept["heard_at"]),
                float(kept["clock_ahead"]),
                dict(kept["keys"]),
                frozenset(kept["sessions"]),
                {str(user): int(epoch) for user, epoch in kept["epochs"].items()},
                frozenset(kept["ended"]),
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def change(self, change: Callable[[Known | None], Known]) -> None:
        """Replace what is remembered; workers take turns. Raises OSError."""
        if self._path is None:
            return
        with locked(self._path.with_name(f"{self._path.name}.lock")):
            old = self.read()
            new = change(old)
            if (
                old is None
                or old != replace(new, heard_at=old.heard_at, clock_ahead=old.clock_ahead)
                or (new.heard_at - old.heard_at > _HEARD_STEP)
            ):
                write_private(self._path, _text(new))


def _text(known: Known) -> str:
    return json.dumps(
        {
            "heard_at": known.heard_at.isoformat(),
            "clock_ahead": known.clock_ahead,
            "keys": dict(known.keys),
            "sessions": sorted(known.sessions),
            "epochs": dict(known.epochs),
            "ended": sorted(known.ended),
        }
    )


log = structlog.get_logger("trust")

POLL_SECONDS = 1.0
_ANSWER_SECONDS = 3.0
_REMEMBERED_TOKENS = 20_000
_FORGET_SECONDS = 600.0
"""How often everything is asked for anew, so that what no longer matters does not pile up."""
_EVENTS_AT_ONCE = 1_000
_REFETCH_SECONDS = 1.0

Fetch = Callable[[dict[str, Any]], dict[str, Any]]
"""Asks authsvc: ``{"since", "events", "ended", "used"}`` → ``{"now", "cursor", "keys", "sessions", "users"}``."""


def utc_now() -> datetime:
    """The time by this machine's clock."""
    return datetime.now(UTC)


class Trust:
    """One for each process. The thread starts with the first question, so after any fork."""

    def __init__(self, fetch: Fetch, memory: TrustMemory, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._fetch = fetch
        self._memory = memory
        self._lock = threading.Lock()
        self._fetching = threading.Lock()
        self._pid = 0
        self._known: Known | None = None
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._verified: OrderedDict[bytes, Identity] = OrderedDict()
        self._cursor: str | None = None
        self._clock_ahead = timedelta(0)
        self._asked_at = -_REFETCH_SECONDS
        self._unreachable_since: datetime | None = None
        self._events: list[dict[str, Any]] = []
        self._used: dict[str, datetime] = {}
        self._ended_unheard: set[str] = set()
        """Sessions that ended here before authsvc had ever answered."""
        self._forget_at = 0.0

    def now(self) -> datetime:
        """The time by authsvc's clock: tokens are judged by the clock that made them."""
        return self._clock() + self._clock_ahead

    @property
    def unreachable_since(self) -> datetime | None:
        """Since when authsvc has not answered; None while it does."""
        return self._unreachable_since

    def identify(self, token: str, *, late: timedelta | None = None, in_use: bool = True) -> Identity:
        """Whom a token speaks of, if it is in force. Raises NotAuthenticated, ServiceUnavailable before any answer.

        While authsvc is silent a token that was alive when the silence began is good for GRACE longer. ``late`` asks
        for more or less than that. ``in_use`` is False for a token that its owner has not received yet.
        """
        self._ensure_known()
        identity = self._genuine(token, in_use)
        self._refuse_revoked(identity)
        now = self.now()
        allowed = LEEWAY if late is None else late
        since = self._unreachable_since
        if late is None and since is not None and not identity.had_ended(since):
            allowed = GRACE
        if not identity.is_live(now, allowed):
            raise NotAuthenticated("the token has expired")
        return identity

    def catch_up(self) -> None:
        """Ask authsvc for its news at once: it has refused what is in force by what is known here."""
        self._refresh()

    def end_session(self, sid: str) -> None:
        """Refuse a session here from now on, and have authsvc end it with the next question."""
        with self._lock:
            if self._known is None:
                self._ended_unheard.add(sid)
            else:
                self._adopt(
                    replace(self._known, sessions=self._known.sessions | {sid}, ended=self._known.ended | {sid})
                )
        self._remember()
        self._start()

    def report(self, event: dict[str, Any]) -> None:
        """Take an audit event along with the next question to authsvc."""
        with self._lock:
            if len(self._events) < _REMEMBERED_TOKENS:
                self._events.append(event)
        self._start()

    def _genuine(self, token: str, in_use: bool) -> Identity:
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        with self._lock:
            if found := self._verified.get(digest):
                self._verified.move_to_end(digest)
                return found
        if kid_of(token) not in self._keys and self._may_ask():
            self._refresh()
        identity = authenticate(token, self._keys)
        if not in_use:
            return identity
        with self._lock:
            if identity.role:  # a person's; service tokens are not rotated
                self._used[identity.sid] = max(identity.issued_at, self._used.get(identity.sid, identity.issued_at))
            self._verified[digest] = identity
            if len(self._verified) > _REMEMBERED_TOKENS:
                self._verified.popitem(last=False)
        return identity

    def _refuse_revoked(self, identity: Identity) -> None:
        known = self._known
        if known and (identity.sid in known.sessions or identity.epoch < known.epochs.get(identity.user_id, 0)):
            raise NotAuthenticated("the token is no longer valid")

    def _may_ask(self) -> bool:
        """Whether the last question is long enough ago for one beside the thread's."""
        return time.monotonic() - self._asked_at > _REFETCH_SECONDS

    def _ensure_known(self) -> None:
        self._start()
        if self._cursor is None and (self._known is None or self._may_ask()):
            self._refresh()
        if self._known is None:
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
            self._asked_at = time.monotonic()
            with self._lock:
                events, self._events = self._events[:_EVENTS_AT_ONCE], self._events[_EVENTS_AT_ONCE:]
                used = {sid: self._used.pop(sid) for sid in list(self._used)[:_EVENTS_AT_ONCE]}
                ended = frozenset(self._ended_unheard | (self._known.ended if self._known else set()))
            anew = time.monotonic() > self._forget_at
            question = {
                "since": None if anew else self._cursor,
                "events": events,
                "ended": sorted(ended),
                "used": {sid: issued_at.isoformat() for sid, issued_at in used.items()},
            }
            asked = self._clock()
            try:
                with budget(_ANSWER_SECONDS):
                    answer = self._fetch(question)
                self._learn(answer, asked, anew, told=ended)
            except (ProdError, KeyError, TypeError, ValueError) as error:
                if isinstance(error, InvalidInput):
                    log.warning("audit events refused", events=len(events), why=error.message)
                    return  # sent again they would be refused again
                with self._lock:
                    self._events = (events + self._events)[:_REMEMBERED_TOKENS]
                    self._used = used | self._used if len(self._used) < _REMEMBERED_TOKENS else self._used
                self._go_on_alone()

    def _go_on_alone(self) -> None:
        """Note the silence, and take over what other workers, or those before this one, knew."""
        remembered = self._memory.read()
        with self._lock:
            if remembered is not None:
                if self._known is None:
                    self._clock_ahead = timedelta(seconds=remembered.clock_ahead)
                    self._unreachable_since = remembered.heard_at
                self._adopt(self._known.joined(remembered) if self._known else remembered)
            if self._unreachable_since is None:
                self._unreachable_since = self.now()

    def _learn(self, answer: dict[str, Any], asked: datetime, anew: bool, *, told: frozenset[str]) -> None:
        """Take over what authsvc says; ``anew``: it is everything that still matters, the rest can be forgotten.

        Of the sessions that ended here it has been ``told`` now.
        """
        answered = self._clock()
        heard_at = datetime.fromisoformat(answer["now"])
        self._clock_ahead = heard_at - (asked + (answered - asked) / 2)
        keys = {str(k["kid"]): str(k["x"]) for k in answer["keys"]}
        said = Known(
            heard_at, self._clock_ahead.total_seconds(), keys, frozenset(answer["sessions"]), dict(answer["users"])
        )
        with self._lock:
            before = self._known or self._memory.read()
            if before is not None:
                ended = before.ended - told
                said = (
                    replace(said, sessions=said.sessions | told | ended, ended=ended)
                    if anew
                    else replace(before.joined(said), ended=ended)
                )
            self._adopt(said)
        if anew:
            self._forget_at = time.monotonic() + _FORGET_SECONDS
        self._ended_unheard -= told
        self._unreachable_since = None
        self._cursor = answer["cursor"]
        self._remember(anew=anew, told=told)

    def _adopt(self, known: Known) -> None:
        """Judge by this from now on."""
        if self._known is None or known.keys != self._known.keys:
            self._keys = {kid: Ed25519PublicKey.from_public_bytes(base64url_decode(x)) for kid, x in known.keys.items()}
            self._verified.clear()  # a key that is gone vouches for nothing any more
        self._known = known

    def _remember(self, *, anew: bool = False, told: frozenset[str] = frozenset()) -> None:
        """Leave what this worker knows to the others; a disk that is full takes nothing away from this one."""
        known = self._known
        if known is None:
            return

        def joined(kept: Known | None) -> Known:
            if kept is None:
                return known
            ended = (kept.ended | known.ended) - told
            if anew:
                return replace(known, sessions=known.sessions | ended, ended=ended)
            return replace(known.joined(kept), ended=ended)

        try:
            self._memory.change(joined)
        except OSError as error:
            log.warning("what is known of authsvc cannot be stored", why=str(error))
