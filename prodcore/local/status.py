"""What runs of a local cluster, and how each program does."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prodcore.errors import ClusterUnavailable
from prodcore.installation.sets import REPLICA_SETS
from prodcore.local.plan import Daemon, LocalPlan, Program, Service, SetMember
from prodcore.local.service import is_ready
from prodcore.processes.supervisord import ProgramState, Supervisor

_WELL = frozenset({"PRIMARY", "SECONDARY", "READY", "STARTING", "RUNNING"})


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One program."""

    name: str
    what: str
    """The replica set's name, ``service`` or ``daemon``."""
    role: str
    """PRIMARY, SECONDARY, JOINING; READY or NOT READY for a service; STARTING (its first 2 s) or RUNNING for a daemon;
    empty when it does not answer."""
    address: str
    """Empty for a daemon."""
    state: str
    """running, paused, starting, stopping, stopped, exited, fatal."""
    pid: int | None
    uptime_seconds: float | None
    memory_bytes: int | None
    """Proportional set size of the process and its children; None where it may not be read."""

    @property
    def is_well(self) -> bool:
        """Whether it runs and does its work."""
        return self.state in ("starting", "running") and self.role in _WELL


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
        case Service():
            return "service", program.url, roles.get(program.name, "")
        case Daemon():
            return "daemon", "", state.state if state and state.is_running else ""


def _roles(plan: LocalPlan) -> dict[str, str]:
    """What each program says of itself, all asked at the same time."""
    with ThreadPoolExecutor(len(REPLICA_SETS)) as pool:
        answers = list(pool.map(lambda name: _set_roles(plan, name), REPLICA_SETS))
    roles = {plan.program(address).name: role for answer in answers for address, role in answer.items()}
    return roles | {s.name: "READY" if is_ready(s) else "NOT READY" for s in plan.services}


def _set_roles(plan: LocalPlan, replica_set: str) -> dict[str, str]:
    from prodcore.mongo.admin.replica_set_admin import ReplicaSetAdmin

    admin = ReplicaSetAdmin(replica_set, [m.address for m in plan.members_of(replica_set)], {})
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
