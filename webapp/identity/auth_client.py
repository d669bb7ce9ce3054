"""How webapp calls authsvc: as a service, with a deadline, and only as many logins at once as it can wait for.

``LoginGate`` stands in front of the app and turns a flood of logins away before it costs anything, for a few
microseconds each. An address that authsvc has told to wait waits there, and more logins at a time than this worker can
wait for are told to come back; so they never take a thread for long from those who are logged in.

``ServiceAccess`` exchanges service tokens there for short access tokens, once for many requests.
"""

from __future__ import annotations

import hashlib
import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import requests
from flask import g, has_request_context, request
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from prodcore.deadline import remaining
from prodcore.errors import (
    ConfigError,
    NotAuthenticated,
    OutcomeUnknown,
    Problem,
    ProdError,
    ServiceUnavailable,
    TooManyAttempts,
    Unavailable,
)
from prodcore.settings import Settings
from prodcore.support.http import as_error, path_of
from prodcore.web.problem import BARE_POLICY
from prodcore.web.strict_json import dump
from webapp.identity.trust import Trust

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


HASHING = frozenset({"/session/login", "/setup", "/register", "/reset", "/account/password", "/account/proof"})
"""Paths of the API that cost authsvc a password hash, and so may queue there."""

COUNTED = frozenset({"/session/login", "/setup", "/register"})
"""Those of strangers, which are counted by address."""

_PREFIX = "/api/v1"
_REMEMBERED_ADDRESSES = 10_000


class LoginGate:
    """``places`` logins at a time may be on their way to authsvc from this process."""

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._closed: dict[str, float] = {}

    def guard(self, app: WSGIApplication) -> WSGIApplication:
        """``app`` behind the gate. Put it behind whatever corrects the client's address."""

        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path = environ["PATH_INFO"]
            if path.startswith(_PREFIX) and path[len(_PREFIX) :] in HASHING and environ["REQUEST_METHOD"] == "POST":
                is_apart = "HTTP_X_KNOWN_DEVICE" in environ or path[len(_PREFIX) :] not in COUNTED
                try:
                    self.check("" if is_apart else environ.get("REMOTE_ADDR", ""))
                except (TooManyAttempts, ServiceUnavailable) as error:
                    return _answer(error, start_response)
            return app(environ, start_response)

        return guarded

    def check(self, address: str) -> None:
        """Return when somebody from this address may try. Raises TooManyAttempts, ServiceUnavailable."""
        if self._closed and (until := self._closed.get(address)):
            seconds = math.ceil(until - time.monotonic())
            if seconds > 0:
                raise TooManyAttempts(
                    f"too many attempts: try again in {seconds} s", retry_after_seconds=seconds, limited_by="address"
                )
        if self._free <= 0:
            raise _full()

    @contextmanager
    def place(self, address: str) -> Iterator[None]:
        """Hold one of the places while a login is on its way, and learn from its answer. Raises as ``check`` does."""
        self.check(address)
        with self._lock:
            if self._free <= 0:
                raise _full()
            self._free -= 1
        try:
            yield
        except TooManyAttempts as error:
            if error.details.get("limited_by") == "address":
                self._close(address, error.details["retry_after_seconds"])
            raise
        finally:
            with self._lock:
                self._free += 1

    def _close(self, address: str, seconds: float) -> None:
        with self._lock:
            if len(self._closed) >= _REMEMBERED_ADDRESSES:
                self._closed.clear()
            self._closed[address] = time.monotonic() + seconds


def _full() -> ServiceUnavailable:
    return ServiceUnavailable(
        "too many logins at once: try again in a moment", service="authsvc", retry_after_seconds=1
    )


def _answer(error: ProdError, start_response: StartResponse) -> Iterable[bytes]:
    """The same problem+json as the app would give, without the app."""
    status = error.http_status
    body = dump(
        {
            "type": f"urn:prodctl:error:{error.code}",
            "status": status,
            "code": error.code,
            "title": error.title,
            "detail": error.message,
            **error.details,
        }
    )
    reason = "Too Many Requests" if status == 429 else "Service Unavailable"
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Retry-After", str(error.details["retry_after_seconds"])),
        ("Cache-Control", "no-store"),
        *BARE_POLICY,
    ]
    start_response(f"{status} {reason}", headers)
    return [body]


_CONNECT_SECONDS = 1.0
_MARGIN_SECONDS = 0.5
_HARMLESS_TWICE = frozenset({"/session/login", "/session/refresh", "/trust", "/exchange"})


class AuthClient:
    """Calls authsvc's ``/api/v1``. Every failure is a ``ProdError``; use one for each process, after the fork."""

    def __init__(self, settings: Settings) -> None:
        if settings.service_secret is None:
            raise ConfigError(problems=[Problem("PRODCTL_SERVICE_SECRET", "missing", "is not set")])
        self._url = settings.auth_server_url.rstrip("/")
        self._secret = settings.service_secret.get_secret_value()
        self.gate = LoginGate(max(2, settings.threads // 2))
        self._session = requests.Session()
        self._session.trust_env = False  # authsvc is on the private network: no proxy leads there
        if settings.ca_file:
            self._session.verify = str(settings.ca_file)
        # respect_retry_after_header: else a refusal that says how long to wait would count as no answer
        retry = Retry(
            total=2, connect=2, read=0, status=0, other=0, backoff_factor=0.05, respect_retry_after_header=False
        )
        self._session.mount(self._url, HTTPAdapter(pool_maxsize=settings.threads + 2, max_retries=retry))

    def call(
        self,
        method: str,
        rule: str,
        body: Any = None,
        *,
        names: Mapping[str, str] | None = None,
        bearer: str = "",
        query: Any = None,
    ) -> Any:
        """Call ``/api/v1`` + ``rule`` filled with ``names`` and return the JSON of the answer.

        Raises what authsvc raised; NotFound for names that no path can hold.
        """
        path = path_of(rule, **(names or {}))
        if method != "POST" or path not in HASHING:
            return self._send(method, path, body, bearer, query)
        # authsvc judges devices that have logged in before apart from their address, and needs no count for codes
        is_apart = bool(known_device()) or path not in COUNTED
        with self.gate.place("" if is_apart else request.remote_addr or ""):
            return self._send(method, path, body, bearer, query)

    def _send(self, method: str, path: str, body: Any, bearer: str, query: Any) -> Any:
        wait = max(0.1, remaining() - _MARGIN_SECONDS)
        headers = {"X-Service-Secret": self._secret, "X-Budget-Seconds": f"{wait:.2f}", **_about_the_caller()}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        try:
            response = self._session.request(
                method,
                f"{self._url}/api/v1{path}",
                json=body,
                params=query,
                headers=headers,
                timeout=(min(_CONNECT_SECONDS, wait), wait),
                allow_redirects=False,
            )
            document = response.json() if response.content else None
        except requests.exceptions.RequestException as error:
            if method == "GET" or path in _HARMLESS_TWICE or isinstance(error, requests.exceptions.ConnectTimeout):
                raise _silent() from None
            if "CERTIFICATE_VERIFY_FAILED" in repr(error):
                raise ServiceUnavailable(
                    "the login service's certificate is not valid",
                    hint="PRODCTL_CA_FILE of webapp names the authority that it is verified by",
                    service="authsvc",
                ) from None
            if "NewConnectionError" in repr(error):
                raise _silent() from None
            raise OutcomeUnknown(
                "authsvc took the request and gave no answer: it may have happened",
                hint="Check whether it happened before you repeat it",
            ) from None
        if response.ok:
            return document
        refused = as_error(response.status_code, document if isinstance(document, dict) else {}, "authsvc")
        raise _silent() if isinstance(refused, OutcomeUnknown) and path in _HARMLESS_TWICE else refused


def _silent() -> ServiceUnavailable:
    return ServiceUnavailable("the login service does not answer: try again in a moment", service="authsvc")


def known_device() -> str:
    """What the caller's device shows of earlier logins: programs in a header, browsers in a cookie."""
    if request.path.startswith("/api/"):
        return _plain(request.headers.get("X-Known-Device", ""))
    return _plain(request.cookies.get(cookie_name("prodctl_device"), ""))


def cookie_name(name: str) -> str:
    """``__Host-`` where the outer scheme is https: no other host of the domain can set it then."""
    return f"__Host-{name}" if request.is_secure else name


def _plain(text: str) -> str:
    """A header that goes on to authsvc."""
    return text if re.fullmatch(r"[A-Za-z0-9._~-]{1,600}", text) else ""


def _about_the_caller() -> dict[str, str]:
    """What authsvc's limits and audit want to know of whoever stands behind this request."""
    if not has_request_context():
        return {}
    agent = request.user_agent.string[:200].encode("ascii", "replace").decode()
    return {
        "X-Client-Address": request.remote_addr or "",
        "X-Client-Device": "".join(c if c.isprintable() else "?" for c in agent),
        "X-Request-ID": g.get("request_id", ""),
        "X-Known-Device": known_device(),
        "X-Proof": g.get("proof", "") if "proof" in g else _plain(request.headers.get("X-Proof", "")),
    }


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
        if self._trust.unreachable_since is None:
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
