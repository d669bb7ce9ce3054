"""``prodctl local up``: from whatever is there to a system that takes requests.

First what can go wrong is checked and every file is written; then members start, sets form and services come up, all
at the same time.
"""

from __future__ import annotations

import contextvars
import queue
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prodcore.deadline import budget, remaining
from prodcore.errors import ClusterUnavailable, ConfigError, Conflict, ProdError
from prodcore.installation import Progress
from prodcore.installation.mongod import Mongod, find_mongod
from prodcore.installation.secret import Secrets, ensure_secrets
from prodcore.installation.sets import USERS_SET
from prodcore.local.plan import Daemon, LocalPlan, LocalService, SetMember
from prodcore.local.ports import LOOPBACK, LocalPorts, check_ports_free
from prodcore.local.render import render_env_files, render_member, render_supervisor
from prodcore.local.state import LocalState, load_state, save_state, users_fingerprint
from prodcore.local.status import wait_ready
from prodcore.local.supervise import (
    Changed,
    MemberStarter,
    end_orphans,
    launch_supervisor,
    open_files_limit,
    reload_service,
    renew,
    running_programs,
    take_over,
    wait_supervisor,
)
from prodcore.processes.supervisord import Supervisor
from prodcore.support.secure_files import is_written, make_private_directory, write_private

if TYPE_CHECKING:
    from prodcore.installation.set_up import SetBringUp

UP_SECONDS = 240.0
"""The deadline of a whole ``up``; it takes a few seconds on a machine that is not overloaded."""

_NEW_MEMBER_BYTES = 64 * 1024 * 1024
_ROOM_BYTES = 768 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class UpReport:
    """What ``up`` did."""

    mongod: Mongod
    started: tuple[str, ...]
    """The programs that did not run before."""
    writable_seconds: float
    """Until all sets took a majority write."""
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
        _check_same_tls(plan, state, running)
        if state is not None and (ended := end_orphans(plan, None if running is None else supervisor.pid())):
            progress("repair", f"ended orphaned processes: {ended}")
        state = state or LocalState(plan.ports.as_dict())
        prepared = prepare(plan, state, mongod_setting, running or set())
        mongod = prepared.mongod
        progress("mongod", f"MongoDB {mongod.version} from {mongod.origin}: {mongod.path}")
        with_data = {name for name in plan.replica_sets if has_data(plan, name)}
        launched = launch_supervisor(plan) if running is None else None
        import prodcore.installation.set_up  # noqa: F401  here, because the driver loads while supervisord does

        if launched:
            wait_supervisor(plan, launched)
        left = take_over(plan, supervisor, running, prepared.changed) if running is not None else set()
        renewed = frozenset(left & (prepared.changed.settings | set(state.renewing)))
        started = tuple(name for name in plan.program_names if name not in left - renewed)
        assembly = Assembly(plan, supervisor, prepared, state, _only_about(plan, started, progress), renewed)
        assembly.start_sets(with_data)
        writable = assembly.wait_writable()
        assembly.finish(when_writable if started else None)
        if plan.tls:
            take_certificate(plan, supervisor, left - renewed, progress)
        save_state(plan.directory, state)
        if assembly.failures:
            raise _without(assembly.failures)
    return UpReport(mongod, started, writable - began, time.monotonic() - began)


def _without(failures: Mapping[str, Exception]) -> ClusterUnavailable:
    first = next(iter(failures.values()))
    hint = first.hint if isinstance(first, ProdError) else ""
    what = "; ".join(f"{name} is incomplete: {failure}" for name, failure in failures.items())
    return ClusterUnavailable(f"{what}; everything else is started and works", hint=hint)


def _only_about(plan: LocalPlan, started: Collection[str], progress: Progress) -> Progress:
    """Progress without the programs and sets that were there all the time."""
    subjects = {*started, *(m.replica_set for m in plan.members if m.name in started)}

    def tell(subject: str, what: str) -> None:
        if subject in subjects:
            progress(subject, what)

    return tell


def _check_same_tls(plan: LocalPlan, state: LocalState | None, running: Collection[str] | None) -> None:
    """Members that speak TLS and those that do not make no set together: they all change at once, or none does."""
    if state and running and state.tls != plan.tls:
        how = "--tls" if plan.tls else "--no-tls"
        raise Conflict(
            "the cluster is running: encryption can be switched only while it is stopped",
            hint=f"prodctl local down, then prodctl local up {how}",
        )


def ensure_certificate(plan: LocalPlan, *, in_any_case: bool = False) -> None:
    """Make the one certificate of all programs, or renew it when it is time. Raises ConfigError."""
    from prodcore.installation.certificates import ensure_leaf

    make_private_directory(plan.certificates)
    ensure_leaf(plan.tls_file, [LOOPBACK, "localhost"], datetime.now(UTC), in_any_case=in_any_case)


def take_certificate(plan: LocalPlan, supervisor: Supervisor, running: Collection[str], progress: Progress) -> None:
    """Have every running program that shows another certificate show that of the file, without a restart."""
    from prodcore.installation.certificates import read_leaf, shown_fingerprint
    from prodcore.mongo.admin.replica_set_admin import ReplicaSetAdmin, keyfile_login

    wanted = read_leaf(plan.tls_file).fingerprint
    login = keyfile_login(plan.keyfile.read_text(encoding="utf-8")) | plan.member_options
    programs: tuple[SetMember | LocalService, ...] = (*plan.members, *plan.services)
    for program in programs:
        if program.name not in running or shown_fingerprint(LOOPBACK, program.port) == wanted:
            continue
        if isinstance(program, LocalService):
            reload_service(supervisor, program.name)
        else:
            admin = ReplicaSetAdmin(program.replica_set, [program.address], login)
            try:
                admin.rotate_certificates(program.address)
            finally:
                admin.close()
        if shown_fingerprint(LOOPBACK, program.port) != wanted:
            raise ClusterUnavailable(
                f"{program.name} has not loaded its new certificate", hint=f"prodctl local logs {program.name}"
            )
        progress(program.name, "uses the new certificate")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the programs are going to be started with."""

    mongod: Mongod
    secrets: Secrets
    env_files: Mapping[str, str]
    """The texts of the env files, which are written when what they name is of use."""
    changed: Changed

    def write_env_files(self, plan: LocalPlan) -> None:
        """Write what programs are started with from now on."""
        for name, text in self.env_files.items():
            write_private(plan.env_file(name), text)


def prepare(plan: LocalPlan, state: LocalState, mongod_setting: Path | None, running: Collection[str]) -> Prepared:
    """Check that what does not run can be started, then write every file. Raises ConfigError, all before a write."""
    missing = [name for name in plan.program_names if name not in running]
    ports = plan.ports.by_program()
    check_ports_free({name: port for name, port in ports.items() if name in missing})
    check_disk(plan)
    known = state.known_mongod()
    mongod = known if known and not set(missing) & {m.name for m in plan.members} else find_mongod(mongod_setting)
    return _write(plan, state, mongod)


def take_away(before: LocalPlan, plan: LocalPlan, replica_set: str, progress: Progress) -> None:
    """Remove a set from a running cluster, with its data: ``plan`` is the cluster without it."""
    supervisor = Supervisor(plan.supervisor_socket)
    state = load_state(plan.directory)
    mongod = state.known_mongod() if state else None
    if state is None or mongod is None:
        raise ClusterUnavailable(f"there is no local cluster in {plan.directory}", hint="prodctl local up")
    running = running_programs(supervisor) or set()
    state.renewing = sorted(running & {p.name for p in plan.python_programs if p.settings != "auth"})
    prepared = _write(plan, state, mongod)
    state.ports = before.ports.as_dict()  # until the end it is a shard of the cluster: an ``up`` would bring it back
    save_state(plan.directory, state)
    prepared.write_env_files(plan)
    for program in plan.python_programs:
        if program.name in state.renewing:
            renew(supervisor, program, prepared.changed)
            progress(program.name, f"works without {replica_set}")
    take_over(plan, supervisor, running, prepared.changed)
    for member in before.members_of(replica_set):
        shutil.rmtree(plan.data_directory(member), ignore_errors=True)
        plan.member_config(member).unlink(missing_ok=True)
        progress(member.name, "is removed")
    state.ports, state.renewing = plan.ports.as_dict(), []
    state.ready_sets.pop(replica_set, None)
    save_state(plan.directory, state)


def has_data(plan: LocalPlan, replica_set: str) -> bool:
    """Whether a member of this set has ever been started."""
    return any((plan.data_directory(m) / "WiredTiger").exists() for m in plan.members_of(replica_set))


def check_disk(plan: LocalPlan) -> None:
    """Raise ConfigError when the disk has no room for the journals of new members, and some for work."""
    new = sum(not (plan.data_directory(m) / "WiredTiger").exists() for m in plan.members)
    needed = _ROOM_BYTES + new * _NEW_MEMBER_BYTES
    free = shutil.disk_usage(plan.directory).free
    if free < needed:
        raise ConfigError(
            f"the disk of {plan.directory} has {_gb(free)} free; {_gb(needed)} are needed to start",
            hint="make room, or choose a directory on another disk with --dir",
        )


def _write(plan: LocalPlan, state: LocalState, mongod: Mongod) -> Prepared:
    before, after = LocalPorts.read(state.ports).by_program(), plan.ports.by_program()
    state.ports, state.tls = plan.ports.as_dict(), plan.tls
    state.remember_mongod(mongod)
    save_state(plan.directory, state)  # first: it marks the directory as ours
    for name in ("conf", "data", "env", "logs", plan.auth_keys.name):
        make_private_directory(plan.directory / name)
    secrets = ensure_secrets(plan.directory, plan.keyfile)
    if plan.tls:
        ensure_certificate(plan)
    for member in plan.members:
        make_private_directory(plan.data_directory(member))
        write_private(plan.member_config(member), render_member(plan, member))
    files = render_env_files(plan, secrets)
    changed = {name for name, text in files.items() if not is_written(plan.env_file(name), text)}
    return Prepared(
        mongod,
        secrets,
        files,
        Changed(
            frozenset(p.name for p in plan.python_programs if p.settings in changed),
            frozenset(name for name, port in after.items() if before.get(name, port) != port),
            write_private(plan.supervisor_config, render_supervisor(plan, mongod.path, open_files_limit())),
        ),
    )


def _gb(number: int) -> str:
    return f"{number / 1e9:.1f} GB"


def _nothing() -> None:
    """There is nothing to prepare."""


class Assembly:
    """Call ``start_sets``, ``wait_writable`` and ``finish``, in this order, inside one budget."""

    def __init__(
        self,
        plan: LocalPlan,
        supervisor: Supervisor,
        prepared: Prepared,
        state: LocalState,
        progress: Progress,
        renewed: Set[str],
    ) -> None:
        self._plan = plan
        self._supervisor = supervisor
        self._prepared = prepared
        self._renewed = renewed
        """Programs that run with other settings than they shall have."""
        self._secrets = prepared.secrets
        self._state = state
        self._progress = progress
        self._starter = MemberStarter(plan, supervisor, progress)
        self._with_data: frozenset[str] = frozenset()
        self._pool = ThreadPoolExecutor(len(plan.replica_sets) + 1, thread_name_prefix="local-up")
        self._writable: queue.Queue[tuple[str, Exception | None]] = queue.Queue()
        self._complete: queue.Queue[tuple[str, Exception | None]] = queue.Queue()
        self.failures: dict[str, Exception] = {}
        """Why a set, by its name, does not come up whole; the others work without it."""

    def start_sets(self, with_data: Collection[str]) -> None:
        """Start every member that does not run, and set each set up as its members come."""
        from prodcore.installation.set_up import HEARTBEAT_MS, SetBringUp, users_of
        from prodcore.mongo.admin.replica_set_admin import SetTiming, keyfile_login

        self._submit(self._starter.run, self._plan.members)
        login = keyfile_login(self._plan.keyfile.read_text(encoding="utf-8")) | self._plan.member_options
        self._with_data = frozenset(with_data)
        for name in self._plan.replica_sets:
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
        """Wait until every set takes majority writes; the moment (monotonic).

        A shard that does not come up is left out, if it has been there before and another one works: the services do
        without it. Raises ClusterUnavailable where they cannot.
        """
        self._collect(self._writable)
        self._starter.let_all_start()
        works = set(self._plan.replica_sets) - set(self.failures)
        for name, failure in self.failures.items():
            if name == USERS_SET or name not in self._with_data or works <= {USERS_SET}:
                self._starter.give_up(failure)
                raise failure
        return time.monotonic()

    def finish(self, when_writable: Callable[[], None] | None) -> None:
        """Start the services, and wait for them and for every member.

        What runs already hears of a new set when that is prepared, not before.
        """
        from prodcore.installation.set_up import users_of

        prepare = when_writable if when_writable and not self.failures else _nothing
        if self._renewed:
            prepare()
        self._state.renewing = sorted(self._renewed)
        save_state(self._plan.directory, self._state)  # first: whoever goes on after a kill must know of it
        self._prepared.write_env_files(self._plan)
        for service in self._plan.services:
            self._start(service)
        if not self._renewed:
            prepare()
        wait_ready(self._plan, self._supervisor, self._plan.services, self._progress)
        self._collect(self._complete)
        for daemon in self._plan.daemons:  # last: nobody waits for it, and it would only take a processor
            self._start(daemon)
            self._progress(daemon.name, "is started")
        users = {name: users_of(name, self._secrets) for name in self._plan.replica_sets if name not in self.failures}
        self._state.renewing = []
        self._state.ready_sets |= {name: users_fingerprint(of) for name, of in users.items()}
        self._pool.shutdown()

    def _start(self, program: LocalService | Daemon) -> None:
        if program.name in self._renewed:
            renew(self._supervisor, program, self._prepared.changed)
        else:
            self._supervisor.start(program.name)

    def _submit(self, function: Callable[..., None], *arguments: object) -> None:
        self._pool.submit(contextvars.copy_context().run, function, *arguments)

    def _bring_up_set(self, job: SetBringUp) -> None:
        admin = job.open()
        try:
            for step, done in ((job.until_writable, self._writable), (job.until_complete, self._complete)):
                step(admin)
                done.put((job.name, None))
        except Exception as error:  # noqa: BLE001  carried to the thread that waits, and raised there
            self._writable.put((job.name, error))
            self._complete.put((job.name, error))
        finally:
            admin.close()

    def _collect(self, done: queue.Queue[tuple[str, Exception | None]]) -> None:
        """Wait for an answer about every set, and note the failures."""
        for _ in self._plan.replica_sets:
            try:
                name, error = done.get(timeout=remaining())
            except queue.Empty:
                raise ClusterUnavailable("the replica sets did not come up in time") from None
            if error:
                self.failures[name] = error
