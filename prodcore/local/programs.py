"""Bringing what supervisord runs in line with the plan."""

from __future__ import annotations

import signal

from prodcore.errors import ClusterUnavailable
from prodcore.local.plan import LocalPlan
from prodcore.local.preparation import Prepared
from prodcore.processes.supervisord import ProgramState, Supervisor

_STOP_SECONDS = 20.0
_PATIENCE = 3


def running_programs(supervisor: Supervisor) -> set[str] | None:
    """The names of the programs that run, None without a working supervisord. A member left frozen goes on."""
    programs = _programs(supervisor)
    if programs is None:
        return None
    for name in programs:
        supervisor.send(name, signal.SIGCONT)
    return {name for name, program in programs.items() if not program.is_gone}


def take_over(plan: LocalPlan, supervisor: Supervisor, prepared: Prepared, running: set[str]) -> set[str]:
    """Make a running supervisord know every program as planned; the names of those that run then."""
    left = set(running)
    for name in prepared.changed_settings & left:
        _stop(supervisor, name)
        left.remove(name)
    return _reread(plan, supervisor, left) if prepared.changed_programs else left


def _reread(plan: LocalPlan, supervisor: Supervisor, running: set[str]) -> set[str]:
    """Take over a changed configuration. Running members keep theirs until they are started again."""
    added, changed, removed = supervisor.reread()
    kept = {m.name for m in plan.members} & running
    for name in (changed | removed) - kept:
        if name in running:
            _stop(supervisor, name)
        supervisor.remove(name)
    for name in added | (changed - kept):
        supervisor.add(name)
    return running - ((changed | removed) - kept)


def _stop(supervisor: Supervisor, name: str) -> None:
    supervisor.ask_to_stop(name)
    supervisor.wait_gone([name], _STOP_SECONDS)


def _programs(supervisor: Supervisor) -> dict[str, ProgramState] | None:
    for _ in range(_PATIENCE):  # one that is only slow must not be taken for frozen, and be replaced
        try:
            return supervisor.programs()
        except ClusterUnavailable as error:
            if not error.details.get("silent"):
                break
    return None
