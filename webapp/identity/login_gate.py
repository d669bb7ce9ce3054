"""Turn a flood of logins away before it costs anything: in front of the app, and for a few microseconds each.

An address that authsvc has told to wait waits here, and more logins at a time than this worker can wait for are told to
come back. What is turned away at the door never takes a thread from those who are logged in for longer than that.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prodcore.errors import ProdError, ServiceUnavailable, TooManyAttempts
from prodcore.web.problem import BARE_POLICY
from prodcore.web.strict_json import dump

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HASHING = frozenset({"/session/login", "/setup", "/register", "/reset", "/account/password", "/account/proof"})
"""Paths of the API that cost authsvc a password hash, and so may queue there."""

COUNTED = frozenset({"/session/login", "/setup", "/register"})
"""Those of strangers, which are counted by address."""

_PREFIX = "/api/v1"
_REMEMBERED = 10_000


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
            if len(self._closed) >= _REMEMBERED:
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
