"""Service tokens for cron and CI: a secret that webapp exchanges for a short access token with the token's scopes."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from authsvc.keys import KeyRing
from prodcore.errors import NotAuthenticated, TokenNotFound
from prodcore.identity.rights import Right
from prodcore.identity.tokens import SERVICE_TOKEN_PREFIX, Identity, issue
from prodcore.identity.users import ServiceToken

if TYPE_CHECKING:
    from prodcore.mongo.identity.token_store import MongoServiceTokenStore


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


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
