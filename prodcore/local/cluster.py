"""A local cluster: the one object that ``prodctl local`` and the tests work with."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prodcore.deadline import budget
from prodcore.errors import ClusterUnavailable, Conflict
from prodcore.installation import Progress, no_progress
from prodcore.installation.secret import ensure_secrets, ensure_setup_code, forget_setup_code, locked
from prodcore.installation.sets import set_urls
from prodcore.local.plan import GUARD, Daemon, LocalPlan, LocalService, SetMember, drill_runner, services_for
from prodcore.local.ports import check_ports_free, ports_from_settings, with_shard, without_shard
from prodcore.local.render import check_directory_name
from prodcore.local.state import claim_directory, load_state
from prodcore.local.status import ProgramStatus, read_status, setup_is_open, wait_ready
from prodcore.local.supervise import MemberStarter, end_orphans, running_programs
from prodcore.local.up import UpReport, bring_up, ensure_certificate, take_away, take_certificate
from prodcore.processes.supervisord import SupervisedMembers, Supervisor

if TYPE_CHECKING:
    from prodcore.installation.certificates import LeafFacts
    from prodcore.settings import SecretStr, Settings

_STOP_SECONDS = 30.0  # longer than supervisord waits before it kills what does not stop
_START_SECONDS = 60.0
_REMOVE_SECONDS = 180.0
_OURS = (
    "auth-keys", "cluster.json", "conf", "data", "drill", "env", "keyfile", "lock", "logs", "secrets.json",
    "setup-code", "setup-code-sealed", "supervisor.sock", "supervisord.conf", "supervisord.pid", "tls",
    "trust.json", "trust.json.lock",
)  # fmt: skip


def default_directory(settings: Settings) -> Path:
    """Where the cluster of this user lives."""
    return settings.state_dir / "local"


def open_cluster(settings: Settings, directory: Path | None = None, *, tls: bool | None = None) -> LocalCluster:
    """The cluster in a directory, with the ports it was made with; a new one gets those of the settings.

    With ``tls`` its next ``up`` begins or ends to encrypt the connections; None leaves that as it is.
    """
    place = (directory or default_directory(settings)).expanduser().absolute()
    check_directory_name(place)
    state = load_state(place)
    ports = ports_from_settings(settings, state.ports if state else None)
    plan = LocalPlan(
        place,
        ports,
        (),
        (drill_runner(place), GUARD) if settings.local_guard else (drill_runner(place),),
        settings.election_timeout_ms,
        tls=bool(state and state.tls) if tls is None else tls,
    )
    services = services_for(ports, workers=settings.workers, threads=settings.threads, ca_file=plan.ca_file)
    return LocalCluster(replace(plan, services=services), settings.mongod)


class LocalCluster:
    """Replica sets of three members, the users' and two shards or more, and the services of the plan, on this machine.

    ``mongod`` is the setting of that name. Nothing is started or looked at before a method asks for it.
    """

    def __init__(self, plan: LocalPlan, mongod: Path | None = None) -> None:
        self.plan = plan
        self._mongod = mongod
        self._supervisor = Supervisor(plan.supervisor_socket)

    @property
    def members(self) -> SupervisedMembers:
        """A hand on each member's process: a ``prodcore.processes.control.MemberControl``."""
        return SupervisedMembers(self._supervisor, {m.address: m.name for m in self.plan.members})

    def up(self, progress: Progress = no_progress, when_writable: Callable[[], None] | None = None) -> UpReport:
        """Start what does not run and repair what is half made; returns when everything takes requests.

        ``when_writable`` is called once all sets take writes, unless everything was running already. Raises
        ConfigError before anything is started, Conflict while another command works on this cluster, and
        ClusterUnavailable or ServiceUnavailable when something does not come up.
        """
        check_directory_name(self.plan.directory)
        claim_directory(self.plan.directory)
        with locked(self.plan.directory):
            return bring_up(self.plan, self._mongod, progress, when_writable)

    def with_shard(self, name: str, first_port: int | None = None) -> LocalCluster:
        """The cluster with one more shard, which the ``up`` of it makes; nothing is done yet.

        Raises ConfigError, Conflict where there is such a set, ClusterUnavailable where the cluster does not run.
        """
        self._require_supervisor()
        ports = with_shard(self.plan.ports, name, first_port)
        return LocalCluster(replace(self.plan, ports=ports), self._mongod)

    def check_removable(self, name: str) -> None:
        """Raise ShardNotFound or Conflict for a set that can never be removed; whether it is in use is not asked."""
        self._require_supervisor()
        without_shard(self.plan.ports, name)

    def remove_shard(self, name: str, check_unused: Callable[[], None], progress: Progress = no_progress) -> None:
        """Take an added shard away with its data: first from the services, which fail no request by it, then at all.

        ``check_unused`` raises where it is in use. Cut short it is a shard still: ``up`` brings it back whole.
        """
        self.check_removable(name)
        plan = replace(self.plan, ports=without_shard(self.plan.ports, name))
        with locked(plan.directory), budget(_REMOVE_SECONDS):
            check_unused()
            take_away(self.plan, plan, name, progress)

    def down(self, progress: Progress = no_progress) -> bool:
        """Stop everything: daemons and services first, then all members at the same time. False when nothing ran."""
        self._require_cluster()
        with locked(self.plan.directory):
            return self._down(progress)

    def destroy(self, progress: Progress = no_progress) -> None:
        """Stop everything and remove all data. What is not ours in the directory stays, and the directory with it."""
        self._require_cluster()
        with locked(self.plan.directory):
            self._down(progress)
            for name in _OURS:
                path = self.plan.directory / name
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        if not any(self.plan.directory.iterdir()):
            self.plan.directory.rmdir()

    def status(self) -> list[ProgramStatus]:
        """Every program."""
        self._require_cluster()
        return read_status(self.plan, self._supervisor)

    def stop(self, *names: str) -> list[str]:
        """Stop programs, a planned shutdown; their names. Raises MemberNotFound, ClusterUnavailable."""
        programs = [self.plan.program(name).name for name in names]
        self._require_supervisor()
        self._stop_all(programs)
        return programs

    def start(self, *names: str) -> dict[str, str]:
        """Start programs and wait until they do their work; the role of each then.

        A service without a shard that is down does part of its work: ``DEGRADED`` and what it lacks. Raises
        MemberNotFound, ConfigError for a port that is taken, ClusterUnavailable, ServiceUnavailable.
        """
        programs = [self.plan.program(name) for name in dict.fromkeys(names)]
        self._require_supervisor()
        states = self._supervisor.programs()
        gone = [p for p in programs if states[p.name].is_gone]
        check_ports_free({p.name: p.port for p in gone if not isinstance(p, Daemon)})
        with budget(_START_SECONDS):
            roles = self._start_members([p for p in programs if isinstance(p, SetMember)])
            services = [p for p in programs if isinstance(p, LocalService)]
            daemons = [p for p in programs if isinstance(p, Daemon)]
            for name in [p.name for p in services] + [p.name for p in daemons]:
                self._supervisor.start(name)
            for name, seen in wait_ready(self.plan, self._supervisor, services, no_progress).items():
                roles[name] = "READY" if seen.state == "ready" else f"DEGRADED: {seen.detail}"
            for daemon in daemons:
                self._supervisor.wait_running(daemon.name, _START_SECONDS)
                roles[daemon.name] = "RUNNING"
        return {p.name: roles[p.name] for p in programs}

    def log_files(self, names: Sequence[str] = ()) -> dict[str, Path]:
        """The logs of these programs, or of all. Raises MemberNotFound."""
        self._require_cluster()
        wanted = [self.plan.program(name).name for name in names] or list(self.plan.program_names)
        return {name: self.plan.log(name) for name in wanted}

    def addresses(self, user: str) -> dict[str, SecretStr]:
        """The settings db1_url, db2_url, db3_url … for ``root``, ``web``, ``auth`` or ``operator``; after ``up``."""
        from prodcore.settings import SecretStr

        self._require_cluster()
        secrets = ensure_secrets(self.plan.directory, self.plan.keyfile)
        urls = set_urls(self.plan.set_members, secrets, user, str(self.plan.ca_file or ""))
        return {name: SecretStr(url) for name, url in urls.items()}

    def renew_certificate(self, progress: Progress = no_progress) -> LeafFacts:
        """Give all programs a new certificate: what runs takes it over without a restart, and fails no request by it.

        Raises Conflict where the cluster speaks plain TCP, ClusterUnavailable where there is none.
        """
        from prodcore.installation.certificates import read_leaf

        self._require_cluster()
        if not self.plan.tls:
            raise Conflict("this cluster does not encrypt its connections", hint="prodctl local up --tls")
        with locked(self.plan.directory), budget(_START_SECONDS):
            ensure_certificate(self.plan, in_any_case=True)
            running = running_programs(self._supervisor) or set()
            take_certificate(self.plan, self._supervisor, running, progress)
        return read_leaf(self.plan.tls_file)

    def setup_code(self) -> str | None:
        """The one-time code for the first admin, a new one a day later; None once there is an admin; after ``up``."""
        webapp = next((s for s in self.plan.services if s.name == "webapp"), None)
        if webapp and setup_is_open(webapp) is False:
            forget_setup_code(self.plan.directory)
            return None
        return ensure_setup_code(self.plan.directory, datetime.now(UTC))

    def _start_members(self, members: Sequence[SetMember]) -> dict[str, str]:
        """Start all of them before any is waited for: alone, one of a set has no majority."""
        from prodcore.mongo.admin.replica_set_admin import ReplicaSetAdmin

        starter = MemberStarter(self.plan, self._supervisor, no_progress)
        starter.let_all_start()
        starter.run(members)
        roles = {}
        for member in members:
            starter.wait_listening(member.address)
            admin = ReplicaSetAdmin(member.replica_set, [member.address], self.plan.member_options)
            try:
                roles[member.name] = admin.wait_member_ready(member.address)
            finally:
                admin.close()
        return roles

    def _down(self, progress: Progress) -> bool:
        try:
            programs = self._supervisor.programs()
        except ClusterUnavailable:
            ended = end_orphans(self.plan, None)
            if ended:
                progress("repair", f"ended orphaned processes: {ended}")
            return ended > 0
        running = [name for name, program in programs.items() if not program.is_gone]
        members = {m.name for m in self.plan.members}
        for group in ([n for n in running if n not in members], [n for n in running if n in members]):
            self._stop_all(group)
            for name in group:
                progress(name, "stopped")
        pid = self._supervisor.pid()
        self._supervisor.shut_down()
        _wait_process_gone(pid, _STOP_SECONDS)
        return True

    def _stop_all(self, names: Sequence[str]) -> None:
        for name in names:
            self._supervisor.ask_to_stop(name)
            self._supervisor.send(name, signal.SIGCONT)  # a paused one has to go on to be able to leave
        self._supervisor.wait_gone(names, _STOP_SECONDS)

    def _require_cluster(self) -> None:
        if load_state(self.plan.directory) is None:
            raise ClusterUnavailable(f"there is no local cluster in {self.plan.directory}", hint="prodctl local up")

    def _require_supervisor(self) -> None:
        self._require_cluster()
        if not self._supervisor.is_alive():
            raise ClusterUnavailable("the local cluster is not running", hint="prodctl local up")


def _wait_process_gone(pid: int, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while _exists(pid):
        if time.monotonic() > ends:
            raise ClusterUnavailable(f"supervisord (process {pid}) did not exit")
        time.sleep(0.01)


def _exists(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
