"""Asking the services of a local cluster how they are, over plain HTTP on loopback."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable

from prodcore.deadline import remaining
from prodcore.errors import ServiceUnavailable
from prodcore.installation.progress import Progress
from prodcore.local.log import last_words
from prodcore.local.plan import LocalPlan, Service
from prodcore.local.ports import LOOPBACK
from prodcore.processes.supervisord import Supervisor

_ANSWER_SECONDS = 3.0
_READY_SECONDS = 120.0
_POLL_SECONDS = 0.05
_OK = 200


def is_ready(service: Service) -> bool:
    """Whether the service answers ``GET /readyz`` with 200."""
    return _get(service.port, "/readyz")[0] == _OK


def setup_is_open(service: Service) -> bool | None:
    """Whether webapp still waits for its first admin; None when it does not say."""
    status, body = _get(service.port, "/api/v1/setup")
    if status != _OK:
        return None
    try:
        return bool(json.loads(body)["open"])
    except (ValueError, KeyError, TypeError):
        return None


def wait_ready(plan: LocalPlan, supervisor: Supervisor, services: Iterable[Service], progress: Progress) -> None:
    """Wait until all of these are ready. Raises ServiceUnavailable when one ended or the time is up."""
    waiting = list(services)
    ends = time.monotonic() + min(remaining(), _READY_SECONDS)
    while waiting:
        for service in [s for s in waiting if is_ready(s)]:
            waiting.remove(service)
            progress(service.name, f"is ready at {service.url}")
        for service in waiting:
            if supervisor.program(service.name).state not in ("STARTING", "RUNNING"):
                raise _not_ready(plan, service, "does not stay up")
            if time.monotonic() > ends:
                raise _not_ready(plan, service, "is not ready in time")
        if waiting:
            time.sleep(_POLL_SECONDS)


def _not_ready(plan: LocalPlan, service: Service, what: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"{service.name} {what}{last_words(plan, service.name)}",
        hint=f"prodctl local logs {service.name}",
        service=service.name,
    )


def _get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body; status 0 when there is no answer."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
