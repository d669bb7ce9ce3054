"""One HTTP request with a deadline, no redirect followed and no proxy of the environment used."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from prodcore.errors import InvalidInput, ServiceUnavailable

SECONDS = 5.0
_MOST_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names as they were sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The first header of this name; empty where there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def cookies(self) -> tuple[str, ...]:
        """Every ``Set-Cookie``."""
        return tuple(value for key, value in self.headers if key.lower() == "set-cookie")

    def fact(self, name: str) -> Any:
        """A field of a JSON object; None where there is no such field, or no such object."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return None
        return document.get(name) if isinstance(document, dict) else None


def get(url: str, path: str, headers: Mapping[str, str] | None = None, *, seconds: float = SECONDS) -> Answer:
    """``GET`` a path below an address.

    Raises ServiceUnavailable, whose detail ``reason`` is ``name``, ``refused``, ``silent``, ``certificate`` or
    ``protocol``; InvalidInput for what is no address.
    """
    parts = split(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=seconds)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}{path}", headers={"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, tuple(response.getheaders()), response.read(_MOST_BYTES))
    except (OSError, http.client.HTTPException) as error:
        reason, said = _why(error)
        raise ServiceUnavailable(f"{url} gives no answer: {said}", reason=reason) from None
    finally:
        connection.close()


def split(url: str) -> Any:
    """The parts of an http address. Raises InvalidInput for anything else."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = None
    if not usable:
        raise InvalidInput(f"{url!r} is not an address such as https://example.ngrok-free.app")
    return parts


def is_open(host: str, port: int, *, seconds: float = 2.0) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError:
        return False
    return True


def _why(error: Exception) -> tuple[str, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate", f"its certificate is not valid ({error.verify_message})"
    if isinstance(error, socket.gaierror):
        return "name", "no such name"
    if isinstance(error, TimeoutError):
        return "silent", "nothing came in time"
    if isinstance(error, ConnectionRefusedError):
        return "refused", "nothing listens there"
    if isinstance(error, ssl.SSLError):
        return "protocol", "it does not speak TLS"
    if isinstance(error, http.client.HTTPException | ConnectionError):
        return "protocol", "it hung up, or does not speak HTTP"
    return "silent", (getattr(error, "strerror", None) or str(error)).lower()
