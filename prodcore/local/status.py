"""What runs of a local cluster, and how each program does; services are asked over HTTP on loopback."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus

from prodcore.deadline import remaining
from prodcore.errors import ClusterUnavailable, ServiceUnavailable
from prodcore.installation import Progress
from prodcore.local.log import last_words
from prodcore.local.plan import Daemon, LocalPlan, LocalService, Program, SetMember
from prodcore.processes.supervisord import ProgramState, Supervisor
from prodcore.replicaset.cluster import ServiceStatus, probe
from prodcore.support.http import get

_SERVICE_ROLES = {"ready": "READY", "degraded": "DEGRADED", "down": "NOT READY"}
_WORKING = frozenset({"PRIMARY", "SECONDARY", "READY", "STARTING", "RUNNING"})


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One program."""

    name: str
    what: str
    """The replica set's name, ``service`` or ``daemon``."""
    role: str
    """PRIMARY, SECONDARY, JOINING; READY, DEGRADED or NOT READY for a service; STARTING (its first 2 s) or RUNNING for
    a daemon; empty when it does not answer."""
    address: str
    """Empty for a daemon."""
    state: str
    """running, paused, starting, stopping, stopped, exited, fatal."""
    pid: int | None
    uptime_seconds: float | None
    memory_bytes: int | None
    """Proportional set size of the process and its children; None where it may not be read."""

    @property
    def is_healthy(self) -> bool:
        """Whether it runs and does its work."""
        return self.state in ("starting", "running") and self.role in _WORKING


def read_status(plan: LocalPlan, supervisor: Supervisor) -> list[ProgramStatus]:
    """Every program, set by set, then the services and daemons. Without a supervisord all of them are stopped.

    Raises ClusterUnavailable when there is one that gives no answer.
    """
    try:
        states = supervisor.programs()
    except ClusterUnavailable as error:
        if error.details.get("silent"):
            raise
        states = {}
    roles = _roles(plan) if any(state.is_running for state in states.values()) else {}
    return [_status(plan.program(name), states.get(name), roles) for name in plan.program_names]


def _status(program: Program, state: ProgramState | None, roles: Mapping[str, str]) -> ProgramStatus:
    running = state is not None and state.is_running
    what, address, role = _described(program, state, roles)
    memory, paused = _memory(state.pid) if state and running else (None, False)
    return ProgramStatus(
        name=program.name,
        what=what,
        role=role,
        address=address,
        state="paused" if paused else (state.state.lower() if state else "stopped"),
        pid=state.pid if state and running else None,
        uptime_seconds=state.uptime_seconds if state and running else None,
        memory_bytes=memory,
    )


def _described(program: Program, state: ProgramState | None, roles: Mapping[str, str]) -> tuple[str, str, str]:
    """What it is, where it is found, what it does."""
    match program:
        case SetMember():
            return program.replica_set, program.address, roles.get(program.name, "")
        case LocalService():
            return "service", program.url, roles.get(program.name, "")
        case Daemon():
            return "daemon", "", state.state if state and state.is_running else ""


def _roles(plan: LocalPlan) -> dict[str, str]:
    """What each program says of itself, all asked at the same time."""
    with ThreadPoolExecutor(len(plan.replica_sets)) as pool:
        answers = list(pool.map(lambda name: _set_roles(plan, name), plan.replica_sets))
    roles = {plan.program(address).name: role for answer in answers for address, role in answer.items()}
    return roles | {s.name: _SERVICE_ROLES[readiness(s).state] for s in plan.services}


def _set_roles(plan: LocalPlan, replica_set: str) -> dict[str, str]:
    from prodcore.mongo.admin.replica_set_admin import ReplicaSetAdmin

    admin = ReplicaSetAdmin(replica_set, [m.address for m in plan.members_of(replica_set)], plan.member_options)
    try:
        return admin.roles()
    finally:
        admin.close()


def _memory(pid: int) -> tuple[int | None, bool]:
    """Memory of a process and its children, and whether the process is paused."""
    import psutil

    try:
        process = psutil.Process(pid)
        paused = process.status() == psutil.STATUS_STOPPED
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return None, False
    total: int | None = None
    for member in family:
        with contextlib.suppress(psutil.Error):
            total = (total or 0) + int(member.memory_full_info().pss)
    return total, paused


_ANSWER_SECONDS = 3.0
_READY_SECONDS = 120.0
_DEGRADED_SECONDS = 5.0
"""A service that lacks a shard for so long is as good as it gets: the shard is down, and not only late."""
_POLL_SECONDS = 0.05
_IN_A_ROW = 10
"""Ready answers that tell of all workers; of two, one has none of ten by chance once in five hundred times."""


def readiness(service: LocalService) -> ServiceStatus:
    """How ready the service is; down where it does not answer."""
    return probe(service.name, service.url, seconds=_ANSWER_SECONDS, ca_file=service.ca_file)


def readiness_of_all_workers(service: LocalService) -> ServiceStatus:
    """The first answer that is not ready, or that all are.

    Each worker takes its share of new connections, and one that starts later may have its first question still to come.
    """
    for _ in range(_IN_A_ROW):
        seen = readiness(service)
        if seen.state != "ready":
            break
    return seen


def setup_is_open(service: LocalService) -> bool | None:
    """Whether webapp still waits for its first admin; None when it does not say."""
    try:
        answer = get(service.url, "/api/v1/setup", seconds=_ANSWER_SECONDS, ca_file=service.ca_file)
    except ServiceUnavailable:
        return None
    is_open = answer.fact("open") if answer.status == HTTPStatus.OK else None
    return None if is_open is None else bool(is_open)


def wait_ready(
    plan: LocalPlan, supervisor: Supervisor, services: Iterable[LocalService], progress: Progress
) -> dict[str, ServiceStatus]:
    """Wait until all of these are ready, or do part of their work for a while and nothing changes; how each does.

    Raises ServiceUnavailable when one ended or the time is up.
    """
    waiting = {service: time.monotonic() for service in services}
    found: dict[str, ServiceStatus] = {}
    ends = time.monotonic() + min(remaining(), _READY_SECONDS)
    while waiting:
        for service, down_at in list(waiting.items()):
            seen = readiness_of_all_workers(service)
            if seen.state == "down":
                waiting[service] = time.monotonic()
            if seen.state == "ready" or (seen.state == "degraded" and time.monotonic() - down_at > _DEGRADED_SECONDS):
                del waiting[service]
                found[service.name] = seen
                how = "is ready" if seen.state == "ready" else f"works partly ({seen.detail})"
                progress(service.name, f"{how} at {service.url}")
        for service in waiting:
            if supervisor.program(service.name).is_gone:
                raise _not_ready(plan, service, "does not stay up")
            if time.monotonic() > ends:
                raise _not_ready(plan, service, "is not ready in time")
        if waiting:
            time.sleep(_POLL_SECONDS)
    return found


def _not_ready(plan: LocalPlan, service: LocalService, what: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"{service.name} {what}{last_words(plan, service.name)}",
        hint=f"prodctl local logs {service.name}",
        service=service.name,
    )
