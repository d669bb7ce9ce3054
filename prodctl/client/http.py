"""HTTP as commands need it, on the standard library: deadlines, a kept connection, and repeats that are safe.

A library for it would take more time to load than most commands take to run.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from prodcore.support.http import Answer, connection_to
from prodcore.support.request_notes import note_retries

SAFE = frozenset({"GET", "HEAD"})
_AGAIN = 2
_PAUSE_SECONDS = 0.2


class NotSent(Exception):
    """Nothing has reached the other side. The message is one word or two of why."""


class NoAnswer(Exception):
    """It was sent, at least in part, and not answered."""


class Connections:
    """Connections to one address, one for each thread that asks; closed with the last use of this."""

    def __init__(self, url: str, connect_seconds: float, answer_seconds: float, ca_file: Path | None = None) -> None:
        self._url = urlsplit(url)
        self._ca_file = ca_file
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._proxy = _proxy_for(self._url)
        self._kept = threading.local()
        self._idle: set[http.client.HTTPConnection] = set()  # the kept ones of all threads
        weakref.finalize(self, _close_all, self._idle)

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """One request under the address; a safe one is repeated where no answer came. Raises NotSent and NoAnswer."""
        for repeat in range(_AGAIN + 1):
            try:
                return self._ask_once(method, path, body, headers)
            except (NotSent, NoAnswer):
                if method not in SAFE or repeat == _AGAIN:
                    raise
            note_retries()
            time.sleep(_PAUSE_SECONDS * 2**repeat)
        raise AssertionError  # the last repeat has returned or raised

    def close(self) -> None:
        """Close what this thread has kept."""
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if kept:
            kept.close()
            self._kept.connection = None

    def _ask_once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        connection = self._connection()
        target = f"{self._url.path}{path}"
        if self._proxy and self._url.scheme == "http":
            target = f"http://{self._url.netloc}{target}"
        self._kept.connection = None  # until it has answered in full
        self._idle.discard(connection)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            answer = Answer(response.status, tuple(response.getheaders()), response.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NoAnswer(_why(error)) from None
        except BaseException:
            connection.close()
            raise
        if not response.will_close:
            self._kept.connection = connection
            self._idle.add(connection)
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        """The kept connection if the other side has not closed it, else a new one."""
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if kept and kept.sock and not select.select([kept.sock], [], [], 0)[0]:
            return kept
        if kept:
            self._idle.discard(kept)
            kept.close()
        place = self._proxy or self._url
        secure = self._url.scheme == "https"
        port = place.port or (443 if place.scheme == "https" else 80)
        connection = connection_to(place.hostname or "", port, secure=secure, ca_file=self._ca_file)
        if self._proxy and secure:
            connection.set_tunnel(self._url.hostname or "", self._url.port or 443)
        connection.timeout = self._connect_seconds
        try:
            connection.connect()
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # UnicodeError: of a host that is no name
            connection.close()
            raise NotSent(_why(error)) from None
        connection.sock.settimeout(self._answer_seconds)
        return connection


def _close_all(connections: set[http.client.HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


def _why(error: Exception) -> str:
    """Why there was no answer, in words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS"
    if isinstance(error, ConnectionError | http.client.HTTPException):
        return "the connection was closed"
    return getattr(error, "strerror", None) or type(error).__name__


def _proxy_for(url: SplitResult) -> SplitResult | None:
    """The proxy that the environment names for it; none for this machine's own services."""
    if (url.hostname or "") in ("127.0.0.1", "localhost", "::1"):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxy = getproxies().get(url.scheme)
    return None if not proxy or proxy_bypass(url.hostname or "") else urlsplit(proxy if "//" in proxy else f"//{proxy}")
