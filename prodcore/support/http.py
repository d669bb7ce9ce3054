"""HTTP between the parts of the system: paths, one request with a deadline, and the errors of an answer.

No redirect is followed and no proxy of the environment used.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from prodcore import errors
from prodcore.errors import ConfigError, InvalidInput, NotFound, Problem, ProdError, ServiceUnavailable

SECONDS = 5.0
_MOST_BYTES = 65_536
_RULE = re.compile(r"(/[a-z0-9.-]+|/<[a-z_]+>)+")
_CLASSES = {
    value.code: value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ProdError)
}
_KNOWN = {"type", "title", "status", "detail", "code", "hint", "errors", "request_id"}


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


def path_of(rule: str, **names: str) -> str:
    """The path that a rule gives with these names in it, each one escaped segment.

    Raises NotFound for a name that no segment can hold: clients and servers on the way resolve ``..`` and split at a
    slash however they are escaped, and another path would be reached.

    >>> path_of("/users/<username>/reset", username="José?")
    '/users/Jos%C3%A9%3F/reset'
    >>> path_of("/users/<username>/reset", username="..")
    Traceback (most recent call last):
    ...
    prodcore.errors.NotFound: there is no path '..'
    """
    if not _RULE.fullmatch(rule):
        raise ValueError(f"{rule!r} is no rule: give what varies as a name")
    path = rule
    for name, value in names.items():
        if value in ("", ".", "..") or any(c in "/\\" or not c.isprintable() for c in value):
            raise NotFound(f"there is no path {value[:100]!r}")
        path = path.replace(f"<{name}>", quote(value, safe=""))
    return path


def tls_context(ca_file: Path | None, named_by: str = "PRODCTL_CA_FILE") -> ssl.SSLContext:
    """How a certificate is verified: by the authorities of a file, else by this machine's.

    Raises ConfigError for a file without certificates, with the setting that names it.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else (error.strerror or str(error)).lower()
        raise ConfigError(f"{named_by}: {ca_file} cannot be used: {why}") from None


def connection_to(host: str, port: int | None, *, secure: bool, ca_file: Path | None) -> http.client.HTTPConnection:
    """An HTTP connection, over TLS where it is to be ``secure``. Nothing is sent yet. Raises ConfigError."""
    if secure:
        return http.client.HTTPSConnection(host, port, context=tls_context(ca_file))
    return http.client.HTTPConnection(host, port)


def certificate_end(url: str, ca_file: Path | None, *, seconds: float = SECONDS) -> datetime | None:
    """When the certificate ends that an https address shows (UTC); None where none is shown that is valid.

    Raises ConfigError for a file without certificates.
    """
    parts, context = split(url), tls_context(ca_file)
    host = parts.hostname or ""
    try:
        with (
            socket.create_connection((host, parts.port or 443), timeout=seconds) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown = secured.getpeercert() or {}
    except OSError:  # ssl.SSLError is one
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)


def get(
    url: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    seconds: float = SECONDS,
    ca_file: Path | None = None,
) -> Answer:
    """``GET`` a path below an address. What an https address shows is verified by the authorities of ``ca_file``.

    Raises ServiceUnavailable, whose detail ``reason`` is ``name``, ``refused``, ``silent``, ``certificate`` or
    ``protocol``; InvalidInput for what is no address.
    """
    parts = split(url)
    connection = connection_to(parts.hostname or "", parts.port, secure=parts.scheme == "https", ca_file=ca_file)
    connection.timeout = seconds
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
        return "silent", "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "refused", "nothing listens there"
    if isinstance(error, ssl.SSLError):
        return "protocol", "it does not speak TLS"
    if isinstance(error, http.client.HTTPException | ConnectionError):
        return "protocol", "it closed the connection, or does not speak HTTP"
    return "silent", (getattr(error, "strerror", None) or str(error)).lower()


def as_error(status: int, document: Mapping[str, Any], service: str) -> ProdError:
    """The error that ``service`` answered with; what it calls unknown is unknown here too."""
    cls = _CLASSES.get(str(document.get("code", "")))
    if cls is None:
        cls = ServiceUnavailable if status >= 500 else ProdError
    message = str(document.get("detail") or f"{service} answered {status}")
    hint = str(document.get("hint", ""))
    if cls is ProdError and not hint and document.get("request_id"):
        hint = f"request id {document['request_id']}"
    details = {key: value for key, value in document.items() if key not in _KNOWN}
    problems = [Problem(p["field"], p["code"], p["message"]) for p in document.get("errors", ())]
    if issubclass(cls, InvalidInput):
        return cls(message, problems=problems, hint=hint, **details)
    if issubclass(cls, ConfigError):
        return cls(message, hint=hint)
    return cls(message, hint=hint, **details)
