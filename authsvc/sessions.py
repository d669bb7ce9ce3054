"""Sessions and service tokens: access and refresh tokens, rotation, and what the verifiers must know.

A refresh token is 256 random bits; its successor is a keyed hash of it. So a caller whose answer got lost gets the
very same successor again for ten seconds, although only hashes are stored. Whoever shows a spent token later than that
has stolen it, or was stolen from: the whole session ends.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from jwt.utils import base64url_encode

from authsvc.keys import KeyRing
from prodcore.app.wiring import UserStores
from prodcore.errors import NotAuthenticated, TokenNotFound
from prodcore.identity.rights import Right, Role
from prodcore.identity.tokens import GRACE, LEEWAY, SERVICE_TOKEN_PREFIX, Identity, authenticate, issue
from prodcore.identity.users import ServiceToken, Session, User

if TYPE_CHECKING:
    from prodcore.mongo.identity.token_store import MongoServiceTokenStore


LOST_ANSWER = timedelta(seconds=10)
"""How long a spent refresh token gets its successor again in any case: requests that set out together arrive together.

While no access token of the rotation was seen in use there is no such end: its answer was lost (authsvc died after the
commit, for ten minutes perhaps), and whoever comes with the spent token is who it was meant for.
"""
_TOLD_FOR = GRACE + timedelta(minutes=30)
"""How long a verifier hears of a revocation: until the last access token of the session has ended, grace included."""
_OVERLAP = timedelta(seconds=60)
"""A question about news goes back a little further than the last one: a slow write may carry an older time."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request comes from, as webapp tells."""

    address: str = ""
    device: str = ""
    request_id: str = ""
    known_device: str = ""
    """What the device shows of earlier logins, see ``KnownDevices``."""


class Sessions:
    """Starts, renews and ends sessions. ``clock`` tells the time, in UTC."""

    def __init__(
        self,
        stores: UserStores,
        ring: KeyRing,
        clock: Callable[[], datetime],
        *,
        access_seconds: int,
        session_days: int,
        idle_hours: int,
        admin_second_factor: bool = False,
    ) -> None:
        self._stores = stores
        self._ring = ring
        self._clock = clock
        self._access = timedelta(seconds=access_seconds)
        self._session = timedelta(days=session_days)
        self._idle = timedelta(hours=idle_hours)
        self._admin_second_factor = admin_second_factor
        self._chain_key = ring.derive("refresh")

    def start(self, user: User, caller: Caller) -> dict[str, Any]:
        """A new session for somebody who has just proved who they are, as ``user`` tells. Raises NotAuthenticated."""
        now = self._clock()
        token = secrets.token_urlsafe(32)
        session = Session(
            id=uuid.uuid4().hex,
            user_id=user.id,
            refresh_hash=_hash(token),
            created_at=now,
            last_used_at=now,
            expires_at=now + self._session,
            device=caller.device,
            address=caller.address,
        )
        self._stores.sessions.add(session)
        # Once more, now that the session can be found and ended: a change in the meantime must not be missed.
        current = self._stores.users.get(user.id)
        if current and _proof_of(current) != _proof_of(user):
            current = None
        return self._answer(current, session, token, since=user.last_login_at or now)

    def refresh(self, token: str) -> dict[str, Any]:
        """New tokens for old. Raises NotAuthenticated; a spent token ends its session."""
        token_hash = _hash(token)
        session = self._stores.sessions.find_by_refresh(token_hash)
        since = session.last_used_at if session else None
        now = self._clock()
        if session is None or session.revoked_at or self._has_ended(session, now):
            raise NotAuthenticated("the login has ended")
        successor = self._successor(token)
        if session.refresh_hash == token_hash:
            session = self._stores.sessions.rotate(session, _hash(successor), now)
        in_time = now - (session.rotated_at or now) <= LOST_ANSWER or not session.is_rotation_noticed
        if session.revoked_at or session.refresh_hash != _hash(successor) or not in_time:
            self.end(session_id=session.id)
            raise NotAuthenticated("the login has ended")
        return self._answer(self._stores.users.get(session.user_id), session, successor, since=since or now)

    def _has_ended(self, session: Session, now: datetime) -> bool:
        """Whether its time is over, or nobody has used it for long: tokens are renewed by who uses them."""
        return session.expires_at <= now or now - session.last_used_at > self._idle

    def live_of(self, user_id: str) -> list[Session]:
        """The live sessions of a user, the last used first."""
        now = self._clock()
        return [s for s in self._stores.sessions.live_of(user_id, now) if not self._has_ended(s, now)]

    def owner(self, token: str) -> Session | None:
        """The session that a refresh token belongs to."""
        return self._stores.sessions.find_by_refresh(_hash(token))

    def end(self, *, session_id: str = "", user_id: str = "", keep: str = "") -> int:
        """End one session, or all of a user's but one; how many ended."""
        now = self._clock()
        which = {"id": session_id} if session_id else {"user_id": user_id, "keep": keep}
        return self._stores.sessions.revoke(now, now + _TOLD_FOR + _OVERLAP, **which)

    def identify(self, token: str) -> Identity:
        """Who is calling authsvc itself, by the latest state of the database. Raises NotAuthenticated."""
        identity = authenticate(token, {k.kid: k.private.public_key() for k in self._ring.published()})
        now = self._clock()
        in_force = self._is_current(identity) if identity.role else self._stores.tokens.is_live(identity.sid, now)
        if not in_force or not identity.is_live(now, LEEWAY):
            raise NotAuthenticated("the token is no longer valid")
        return identity

    def _is_current(self, identity: Identity) -> bool:
        session = self._stores.sessions.get(identity.sid)
        user = self._stores.users.get(identity.user_id)
        if session is None or session.revoked_at or user is None:
            return False
        return not user.disabled and identity.epoch >= user.epoch

    def news(self, since: datetime | None) -> dict[str, Any]:
        """What a verifier must know: the public keys, and what was revoked since its last question."""
        now = self._clock()
        oldest = now - _TOLD_FOR
        start = max(since - _OVERLAP, oldest) if since else oldest
        return {
            "now": self._clock().isoformat(),
            "cursor": now.isoformat(),
            "keys": [key.as_jwk() for key in self._ring.published()],
            "sessions": self._stores.sessions.revoked_since(start) + self._stores.tokens.revoked_since(start),
            "users": self._stores.users.epochs_since(start),
        }

    def _answer(self, user: User | None, session: Session, refresh_token: str, since: datetime) -> dict[str, Any]:
        """Tokens, and what was done to the account ``since`` then by others than this session."""
        if user is None or user.disabled:
            self.end(session_id=session.id)
            raise NotAuthenticated("the login has ended")
        now = self._clock()
        expires_at = min(now + self._access, session.expires_at)
        identity = Identity(user.id, user.username, self._role_of(user), session.id, expires_at, epoch=user.epoch)
        key = self._ring.signing(now)
        return {
            "access_token": issue(identity, key.kid, key.private, now),
            "token_type": "Bearer",
            "expires_in": int((expires_at - now).total_seconds()),
            "refresh_token": refresh_token,
            "session_id": session.id,
            "user": user.as_dict(),
            "notices": [_notice(n) for n in user.notices if n["at"] > since and n["session_id"] != session.id],
        }

    def _role_of(self, user: User) -> Role:
        """The role that tokens bear: an admin who owes a second factor works as an operator until it is there."""
        if self._admin_second_factor and user.role is Role.ADMIN and not user.totp_confirmed:
            return Role.OPERATOR
        return user.role

    def _successor(self, token: str) -> str:
        return base64url_encode(hmac.digest(self._chain_key, token.encode(), "sha256")).decode()


def _proof_of(user: User) -> tuple[str, bool]:
    """What somebody proves who logs in."""
    return user.password_hash, user.totp_confirmed


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _notice(notice: Mapping[str, Any]) -> dict[str, str]:
    said = {name: str(notice[name]) for name in ("what", "device", "address")}
    return {"at": notice["at"].isoformat(), **said}


def utc_now() -> datetime:
    """The clock of the real service."""
    return datetime.now(UTC)


def jwks(ring: KeyRing) -> Mapping[str, Any]:
    """The public keys as a JSON Web Key Set."""
    return {"keys": [key.as_jwk() for key in ring.published()]}


class ServiceTokens:
    """Makes, exchanges, lists and revokes them."""

    def __init__(
        self, store: MongoServiceTokenStore, ring: KeyRing, clock: Callable[[], datetime], access_seconds: int
    ) -> None:
        self._store = store
        self._ring = ring
        self._clock = clock
        self._access = timedelta(seconds=access_seconds)

    def create(self, name: str, scopes: Iterable[Right], days: int, created_by: str) -> dict[str, Any]:
        """A new token; its secret is in the answer and nowhere else. Raises TokenExists."""
        now = self._clock()
        secret = SERVICE_TOKEN_PREFIX + secrets.token_urlsafe(32)
        token = ServiceToken(
            uuid.uuid4().hex, name, _hash(secret), frozenset(scopes), created_by, now, now + timedelta(days=days)
        )
        self._store.add(token)
        return {**token.as_dict(), "token": secret}

    def exchange(self, secret: str) -> dict[str, Any]:
        """An access token for the secret. Raises NotAuthenticated."""
        now = self._clock()
        token = self._store.use(_hash(secret), now)
        if token is None:
            raise NotAuthenticated("the token is not valid")
        expires_at = min(now + self._access, token.expires_at)
        key = self._ring.signing(now)
        identity = Identity(token.id, token.name, None, token.id, expires_at, scopes=token.scopes)
        return {"access_token": issue(identity, key.kid, key.private, now)}

    def all(self) -> list[ServiceToken]:
        """Every token, the ended ones for some time too."""
        return self._store.all()

    def revoke(self, name: str) -> None:
        """End a token; it is refused on every worker within seconds. Raises TokenNotFound."""
        if not self._store.revoke(name, self._clock()):
            raise TokenNotFound(f"there is no token {name!r}")
