"""How webapp and authsvc are: what ``GET /readyz`` answers."""

from __future__ import annotations

from http import HTTPStatus

from prodcore.errors import ServiceUnavailable
from prodcore.replicaset.ports import ServiceStatus
from prodcore.support.http import Answer, get

_SECONDS = 2.0


class HttpServiceProbe:
    """A ``ServiceProbe`` of the service at an address."""

    def __init__(self, name: str, url: str, *, timeout_seconds: float = _SECONDS) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._seconds = timeout_seconds

    def probe(self) -> ServiceStatus:
        """Ready, degraded or down, with the reason."""
        return probe(self._name, self._url, seconds=self._seconds)


def probe(name: str, url: str, *, seconds: float = _SECONDS) -> ServiceStatus:
    """Ask a service whether it is ready, degraded (part of it) or down, with the reason."""
    try:
        answer = get(url, "/readyz", {"Accept": "application/json"}, seconds=seconds)
    except ServiceUnavailable as error:
        return ServiceStatus(name, url, "down", error.message.removeprefix(f"{url} gives no answer: "))
    is_ready = answer.status == HTTPStatus.OK and answer.fact("status") in (None, "ok", "ready")
    state = "ready" if is_ready else "degraded" if answer.status == HTTPStatus.OK else "down"
    return ServiceStatus(name, url, state, "" if is_ready else _detail(answer))


def _detail(answer: Answer) -> str:
    checks = answer.fact("checks")
    missing = [name for name, state in checks.items() if state not in ("ok", "ready")] if type(checks) is dict else []
    return f"not ready: {', '.join(missing)}" if missing else f"it answers {answer.status}"
