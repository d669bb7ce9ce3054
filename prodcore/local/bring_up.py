"""``prodctl local up``: from whatever is there to a system that takes requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from prodcore.deadline import budget
from prodcore.installation import Progress
from prodcore.installation.sets import REPLICA_SETS
from prodcore.local.daemon import clear_remains, launch_supervisor, wait_supervisor
from prodcore.local.mongod import Mongod
from prodcore.local.plan import LocalPlan
from prodcore.local.preparation import has_data, prepare
from prodcore.local.programs import running_programs, take_over
from prodcore.local.state import LocalState, load_state, save_state
from prodcore.processes.supervisord import Supervisor

UP_SECONDS = 240.0
"""The deadline of a whole ``up``; it takes a few seconds on a machine that is not overloaded."""


@dataclass(frozen=True, slots=True)
class UpReport:
    """What ``up`` did."""

    mongod: Mongod
    started: tuple[str, ...]
    """The programs that did not run before."""
    writable_seconds: float
    """Until all three sets took a majority write."""
    seconds: float


def bring_up(
    plan: LocalPlan, mongod_setting: Path | None, progress: Progress, when_writable: Callable[[], None] | None
) -> UpReport:
    """Do it all, under the cluster's lock. ``when_writable`` is called when anything had to be started."""
    began = time.monotonic()
    with budget(UP_SECONDS):
        supervisor = Supervisor(plan.supervisor_socket)
        state = load_state(plan.directory)
        running = running_programs(supervisor)
        if running is None and state is not None and (ended := clear_remains(plan)):
            progress("repair", f"ended {ended} processes that an earlier run had left")
        state = state or LocalState(plan.ports.as_dict())
        prepared = prepare(plan, state, mongod_setting, running or set())
        mongod = prepared.mongod
        progress("mongod", f"MongoDB {mongod.version} from {mongod.origin}: {mongod.path}")
        with_data = {name for name in REPLICA_SETS if has_data(plan, name)}
        launched = launch_supervisor(plan) if running is None else None
        from prodcore.local.assembly import Assembly  # here, because the driver loads while supervisord does

        if launched:
            wait_supervisor(plan, launched)
        left = take_over(plan, supervisor, prepared, running) if running is not None else set()
        started = tuple(name for name in plan.program_names if name not in left)
        assembly = Assembly(plan, supervisor, prepared, state, _only_about(plan, started, progress))
        assembly.start_sets(with_data)
        writable = assembly.wait_writable()
        assembly.finish(when_writable if started else None)
        save_state(plan.directory, state)
    return UpReport(mongod, started, writable - began, time.monotonic() - began)


def _only_about(plan: LocalPlan, started: Collection[str], progress: Progress) -> Progress:
    """Progress without the programs and sets that were there all the time."""
    subjects = {*started, *(m.replica_set for m in plan.members if m.name in started)}

    def tell(subject: str, what: str) -> None:
        if subject in subjects:
            progress(subject, what)

    return tell
