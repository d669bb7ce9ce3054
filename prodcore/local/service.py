"""Asking the services of a local cluster how they are, over plain HTTP on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prodcore.deadline import remaining
from prodcore.errors import ServiceUnavailable
from prodcore.installation import Progress
from prodcore.local.log import last_words
from prodcore.local.plan import LocalPlan, Service
from prodcore.local.ports import LOOPBACK
from prodcore.processes.supervisord import Supervisor
from prodcore.replicaset.services import probe
from prodcore.support.http import get

_ANSWER_SECONDS = 3.0
_READY_SECONDS = 120.0
_POLL_SECONDS = 0.05
_OK = 200


def is_ready(service: Service) -> bool:
    """Whether the service answers ``GET /readyz`` with 200."""
    return probe(service.name, f"http://{LOOPBACK}:{service.port}", seconds=_ANSWER_SECONDS).state == "ready"


def setup_is_open(service: Service) -> bool | None:
    """Whether webapp still waits for its first admin; None when it does not say."""
    try:
        answer = get(f"http://{LOOPBACK}:{service.port}", "/api/v1/setup", seconds=_ANSWER_SECONDS)
    except ServiceUnavailable:
        return None
    is_open = answer.fact("open") if answer.status == _OK else None
    return None if is_open is None else bool(is_open)


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
