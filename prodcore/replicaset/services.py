"""webapp, authsvc and the guards as an inspection sees them, and asking a service whether it is ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from prodcore.errors import ServiceUnavailable
from prodcore.replicaset.status import SetStatus
from prodcore.support.http import Answer, get

_SECONDS = 2.0


class SetInspector(Protocol):
    """Asks every member of one replica set, at once and directly."""

    @property
    def name(self) -> str:
        """The set's name."""

    def inspect(self) -> SetStatus:
        """What the members say; a member that does not answer is part of the answer. Bounded in time."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service as it answers ``/readyz``."""

    name: str
    url: str
    state: str
    """``ready``, ``degraded`` or ``down``."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GuardSign:
    """A guard that has had a heartbeat lately."""

    name: str
    active: bool
    successors: Mapping[str, str]
    """By set; empty where nobody is followed yet."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By set: how often it saw and did what, since it began."""


class ServiceProbe(Protocol):
    """Asks one service whether it is ready."""

    def probe(self) -> ServiceStatus:
        """Its state; a service that does not answer is part of the answer. Bounded in time."""


class HttpServiceProbe:
    """A ``ServiceProbe`` of the service at an address."""

    def __init__(self, name: str, url: str, *, timeout_seconds: float = _SECONDS, ca_file: Path | None = None) -> None:
        self._name = name
        self._ca_file = ca_file
        self._url = url.rstrip("/")
        self._seconds = timeout_seconds

    def probe(self) -> ServiceStatus:
        """Ready, degraded or down, with the reason."""
        return probe(self._name, self._url, seconds=self._seconds, ca_file=self._ca_file)


def probe(name: str, url: str, *, seconds: float = _SECONDS, ca_file: Path | None = None) -> ServiceStatus:
    """Ask a service whether it is ready, degraded (part of it) or down, with the reason.

    ``ca_file`` as in ``prodcore.support.http.get``.
    """
    try:
        answer = get(url, "/readyz", {"Accept": "application/json"}, seconds=seconds, ca_file=ca_file)
    except ServiceUnavailable as error:
        return ServiceStatus(name, url, "down", error.message.removeprefix(f"{url} gives no answer: "))
    is_ready = answer.status == HTTPStatus.OK and answer.fact("status") in (None, "ok", "ready")
    in_part = answer.status == HTTPStatus.OK or answer.fact("status") == "degraded"
    state = "ready" if is_ready else "degraded" if in_part else "down"
    return ServiceStatus(name, url, state, "" if is_ready else _detail(answer))


def _detail(answer: Answer) -> str:
    checks = answer.fact("checks")
    missing = [name for name, state in checks.items() if state not in ("ok", "ready")] if type(checks) is dict else []
    return f"not ready: {', '.join(missing)}" if missing else f"it answers {answer.status}"
