"""Service tokens in webapp: exchanged at authsvc for a short access token, once for many requests."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from datetime import timedelta

from prodcore.errors import NotAuthenticated, OutcomeUnknown, ServiceUnavailable, Unavailable
from webapp.identity.auth_client import AuthClient
from webapp.identity.trust import Trust

_RENEW_BEFORE = timedelta(seconds=60)
_REMEMBERED = 1_000


class ServiceAccess:
    """The access tokens of the service tokens that this process has seen, by hash."""

    def __init__(self, client: AuthClient, trust: Trust) -> None:
        self._client = client
        self._trust = trust
        self._lock = threading.Lock()
        self._access: OrderedDict[bytes, str] = OrderedDict()

    def access_token(self, token: str) -> str:
        """An access token for a service token.

        While authsvc is silent the last one serves on. Raises NotAuthenticated; ServiceUnavailable for a token that
        was not seen before the silence.
        """
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        with self._lock:
            access = self._access.get(digest, "")
        if access and self._is_fresh(access):
            return access
        if self._trust.silent_since is None:
            try:
                access = str(self._client.call("POST", "/exchange", {"token": token})["access_token"])
            except (Unavailable, OutcomeUnknown):
                pass  # as silent as if the poll had said so
            else:
                self._remember(digest, access)
        if not access:
            raise ServiceUnavailable("the login service does not answer: try again in a moment", service="authsvc")
        return access

    def _is_fresh(self, access: str) -> bool:
        try:
            self._trust.identify(access, late=-_RENEW_BEFORE)
        except NotAuthenticated:
            return False
        return True

    def _remember(self, digest: bytes, access: str) -> None:
        with self._lock:
            self._access[digest] = access
            self._access.move_to_end(digest)
            if len(self._access) > _REMEMBERED:
                self._access.popitem(last=False)
