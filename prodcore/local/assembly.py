"""The part of ``up`` where everything happens at the same time: members start, sets form, services come up."""

from __future__ import annotations

import contextvars
import queue
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from prodcore.deadline import remaining
from prodcore.errors import ClusterUnavailable
from prodcore.installation import Progress
from prodcore.installation.set_up import HEARTBEAT_MS, SetBringUp, users_of
from prodcore.installation.sets import REPLICA_SETS
from prodcore.local.plan import LocalPlan
from prodcore.local.preparation import Prepared
from prodcore.local.service import wait_ready
from prodcore.local.starter import MemberStarter
from prodcore.local.state import LocalState, users_fingerprint
from prodcore.mongo.admin.replica_set_admin import SetTiming, keyfile_login
from prodcore.processes.supervisord import Supervisor


class Assembly:
    """Call ``start_sets``, ``wait_writable`` and ``finish``, in this order, inside one budget."""

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

    def start_sets(self, with_data: Collection[str]) -> None:
        """Start every member that does not run, and set each set up as its members come."""
        self._submit(self._starter.run, self._plan.members)
        login = keyfile_login(self._plan.keyfile.read_text(encoding="utf-8"))
        for name in REPLICA_SETS:
            users = users_of(name, self._secrets)
            job = SetBringUp(
                name,
                [m.address for m in self._plan.members_of(name)],
                login,
                users,
                SetTiming(self._plan.election_timeout_ms, HEARTBEAT_MS),
                is_new=name not in with_data,
                needs_users=self._state.ready_sets.get(name) != users_fingerprint(users),
                wait_listening=self._starter.wait_listening,
                progress=self._progress,
            )
            self._submit(self._bring_up_set, job)

    def wait_writable(self) -> float:
        """Wait until every set takes majority writes; the moment (monotonic)."""
        self._collect(self._writable)
        self._starter.let_all_start()
        return time.monotonic()

    def finish(self, when_writable: Callable[[], None] | None) -> None:
        """Start the services, and wait for them and for every member."""
        for service in self._plan.services:
            self._supervisor.start(service.name)
        if when_writable:
            when_writable()
        wait_ready(self._plan, self._supervisor, self._plan.services, self._progress)
        self._collect(self._complete)
        for daemon in self._plan.daemons:  # last: nobody waits for it, and it would only take a processor
            self._supervisor.start(daemon.name)
            self._progress(daemon.name, "is started")
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
