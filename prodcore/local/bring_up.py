"""``prodctl local up``: from whatever is there to a system that takes requests."""

from __future__ import annotations

import contextvars
import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from prodcore.deadline import budget, remaining
from prodcore.errors import ClusterUnavailable
from prodcore.local.daemon import clear_remains
from prodcore.local.mongod import Mongod
from prodcore.local.plan import REPLICA_SETS, LocalPlan
from prodcore.local.preparation import Prepared, has_data, prepare
from prodcore.local.programs import running_programs, take_over
from prodcore.local.render import users_of
from prodcore.local.replica_sets import SetBringUp
from prodcore.local.service import wait_ready
from prodcore.local.starter import MemberStarter, Progress
from prodcore.local.state import LocalState, load_state, save_state, users_fingerprint
from prodcore.mongo.replica_set_admin import keyfile_login
from prodcore.nodes.supervisor import Supervisor

UP_SECONDS = 120.0
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
        progress("mongod", f"MongoDB {prepared.mongod.version} from {prepared.mongod.origin}: {prepared.mongod.path}")
        is_new = {name: not has_data(plan, name) for name in REPLICA_SETS}
        running = take_over(plan, supervisor, prepared, running)
        started = tuple(name for name in plan.program_names if name not in running)
        run = _Run(plan, supervisor, prepared, state, progress)
        run.start_sets(is_new)
        writable = run.wait_writable()
        run.finish(when_writable if started else None)
        save_state(plan.directory, state)
    return UpReport(prepared.mongod, started, writable - began, time.monotonic() - began)


class _Run:
    """The part that happens at the same time: members start, sets form, services come up."""

    def __init__(
        self, plan: LocalPlan, supervisor: Supervisor, prepared: Prepared, state: LocalState, progress: Progress
    ) -> None:
        self._plan = plan
        self._supervisor = supervisor
        self._secrets = prepared.secrets
        self._state = state
        self._progress = progress
        self._starter = MemberStarter(plan, supervisor, progress)
        self._pool = ThreadPoolExecutor(len(REPLICA_SETS) + 1, thread_name_prefix="local-up")
        self._writable: queue.Queue[Exception | None] = queue.Queue()
        self._complete: queue.Queue[Exception | None] = queue.Queue()

    def start_sets(self, is_new: dict[str, bool]) -> None:
        """Start every member that does not run, and set each set up as its members come."""
        self._submit(self._starter.run, self._plan.members)
        login = keyfile_login(self._plan.keyfile.read_text(encoding="utf-8"))
        for name in REPLICA_SETS:
            users = users_of(name, self._secrets)
            needs_users = self._state.ready_sets.get(name) != users_fingerprint(users)
            self._submit(
                self._bring_up_set,
                SetBringUp(self._plan, name, login, users, is_new[name], needs_users, self._starter, self._progress),
            )

    def wait_writable(self) -> float:
        """Wait until every set takes majority writes; the moment (monotonic)."""
        self._collect(self._writable)
        return time.monotonic()

    def finish(self, when_writable: Callable[[], None] | None) -> None:
        """Start the services, and wait for them and for every member."""
        for service in self._plan.services:
            self._supervisor.start(service.name)
        if when_writable:
            when_writable()
        wait_ready(self._plan, self._supervisor, self._plan.services, self._progress)
        self._collect(self._complete)
        self._state.ready_sets = {name: users_fingerprint(users_of(name, self._secrets)) for name in REPLICA_SETS}
        self._pool.shutdown()

    def _submit(self, function: Callable[..., None], *arguments: object) -> None:
        self._pool.submit(contextvars.copy_context().run, function, *arguments)

    def _bring_up_set(self, job: SetBringUp) -> None:
        admin = job.open()
        try:
            for step, done in ((job.until_writable, self._writable), (job.until_complete, self._complete)):
                step(admin)
                done.put(None)
        except Exception as error:  # noqa: BLE001  carried to the thread that waits, and raised there
            self._starter.fail(error)
            self._writable.put(error)
            self._complete.put(error)
        finally:
            admin.close()

    @staticmethod
    def _collect(done: queue.Queue[Exception | None]) -> None:
        for _ in REPLICA_SETS:
            try:
                error = done.get(timeout=remaining())
            except queue.Empty:
                raise ClusterUnavailable("the replica sets do not come up in time") from None
            if error:
                raise error
