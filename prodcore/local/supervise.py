"""The supervisord of a local cluster: starting it, clearing up after a crashed one, and starting members through it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prodcore.deadline import remaining
from prodcore.errors import ClusterUnavailable
from prodcore.installation import Progress
from prodcore.local.log import last_words
from prodcore.local.plan import Daemon, LocalPlan, LocalService, SetMember
from prodcore.local.ports import is_listener, is_listening
from prodcore.local.render import MARKER_VARIABLE
from prodcore.processes.supervisord import ProgramState, Supervisor

if TYPE_CHECKING:
    import psutil


_START_SECONDS = 30.0
_TERMINATE_SECONDS = 15.0
_KEPT_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_CONFIG_HOME")


def open_files_limit() -> int:
    """How many files a process of this user may have open at most."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def launch_supervisor(plan: LocalPlan) -> subprocess.Popen[str]:
    """Start supervisord, which goes to the background by itself; see ``wait_supervisor``."""
    return subprocess.Popen(  # noqa: S603  our own interpreter, a fixed module, our own file
        [plan.python, "-m", "supervisor.supervisord", "-c", str(plan.supervisor_config)],
        env=_environment(plan.directory),
        cwd=plan.directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        umask=0o077,
    )


def wait_supervisor(plan: LocalPlan, launched: subprocess.Popen[str]) -> None:
    """Wait until supervisord answers. Raises ClusterUnavailable."""
    said, _ = launched.communicate(timeout=_START_SECONDS)
    supervisor = Supervisor(plan.supervisor_socket)
    ends = time.monotonic() + (_START_SECONDS if launched.returncode == 0 else 0.0)
    while not supervisor.is_alive():
        if time.monotonic() > ends:
            last = said.strip().splitlines()[-1:]
            raise ClusterUnavailable(
                f"supervisord does not start{''.join(f': {line}' for line in last)}",
                hint=f"its log is {plan.log('supervisord')}",
            )
        time.sleep(0.01)


def end_orphans(plan: LocalPlan, supervisor_pid: int | None) -> int:
    """End every process of this cluster that its supervisord does not run; returns how many there were.

    Without ``supervisor_pid`` no supervisord answers, and all of them are ended. They are known by the marker in their
    environment, so only what was started for this directory, and only of this user.
    """
    import psutil

    left = _orphans(plan.directory, supervisor_pid)
    # supervisord itself first, frozen perhaps: it must not start again what is ended next.
    for process in left:
        if _is_supervisord(process):
            _end(process, psutil.Process.kill)
    for process in left:
        _end(process, psutil.Process.resume)
        _end(process, psutil.Process.terminate)
    _gone, stubborn = psutil.wait_procs(left, timeout=_TERMINATE_SECONDS)
    for process in stubborn:
        _end(process, psutil.Process.kill)
    psutil.wait_procs(stubborn, timeout=_TERMINATE_SECONDS)
    if supervisor_pid is None:
        plan.supervisor_socket.unlink(missing_ok=True)
    return len(left)


def _orphans(directory: Path, supervisor_pid: int | None) -> list[psutil.Process]:
    import psutil

    ours = {os.getpid()}
    marked = []
    with contextlib.suppress(psutil.Error):
        supervisor = psutil.Process(supervisor_pid) if supervisor_pid else None
        # Before the others are looked for: what it starts meanwhile is not among them, and those in between are alive.
        before = {process.pid for process in psutil.process_iter()}
        ours |= {p.pid for p in (supervisor, *supervisor.children(recursive=True))} if supervisor else set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_marked = process.uids().real == os.getuid() and process.environ().get(MARKER_VARIABLE) == str(
                    directory
                )
                if is_marked and process.pid in before:
                    marked.append(process)
    return [process for process in marked if process.pid not in ours]


def _is_supervisord(process: psutil.Process) -> bool:
    import psutil

    with contextlib.suppress(psutil.Error):
        return "supervisor.supervisord" in process.cmdline()
    return False


def _end(process: psutil.Process, how: object) -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        how(process)  # type: ignore[operator]


def _environment(directory: Path) -> dict[str, str]:
    """What supervisord and its programs see: nothing of the caller's own settings, which would win over env files."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return kept | {MARKER_VARIABLE: str(directory)}


_STOP_SECONDS = 20.0
_RELOAD_SECONDS = 60.0  # new workers load, and the former ones finish what they have begun
_PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Changed:
    """What differs from that which supervisord and its programs were started with."""

    settings: frozenset[str]
    """Programs whose env file differs."""
    moved: frozenset[str]
    """Programs whose port does."""
    programs: bool
    """Whether supervisord's configuration does."""


def running_programs(supervisor: Supervisor) -> set[str] | None:
    """The names of the programs that run, None without a working supervisord. A member left frozen goes on."""
    programs = _programs(supervisor)
    if programs is None:
        return None
    for name in programs:
        supervisor.send(name, signal.SIGCONT)
    return {name for name, program in programs.items() if not program.is_gone}


def take_over(plan: LocalPlan, supervisor: Supervisor, running: set[str], changed: Changed) -> set[str]:
    """Make a running supervisord know every program as planned; the names of those that run then."""
    return _reread(plan, supervisor, running) if changed.programs else set(running)


def renew(supervisor: Supervisor, program: LocalService | Daemon, changed: Changed) -> None:
    """Have a running program work with its changed env file; a service that keeps its port fails no request by it."""
    if isinstance(program, LocalService) and program.name not in changed.moved:
        reload_service(supervisor, program.name)
    else:
        _stop(supervisor, program.name)
        supervisor.start(program.name)


def reload_service(supervisor: Supervisor, name: str) -> None:
    """Have a service replace its workers, which read the settings; returns when the former ones have ended."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        former = psutil.Process(supervisor.program(name).pid).children()
        supervisor.send(name, signal.SIGHUP)
        _gone, left = psutil.wait_procs(former, timeout=_RELOAD_SECONDS)
        if left:
            raise ClusterUnavailable(f"{name} has not replaced its workers", hint=f"prodctl local logs {name}")


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


_POLL_SECONDS = 0.01
_LOOK_SECONDS = 0.2
_MAJORITY = 2
_LARGE_LOG = 16 * 1024 * 1024


class MemberStarter:
    """Starts members; others wait here for the one they need.

    A mongod spends its first half second in computing alone, so more of them at once than there are processors only
    makes all of them late: the first ones are of use sooner, and their sets can be set up meanwhile. For the same
    reason the third members, which no majority needs, leave a processor to the sets that are forming.
    """

    def __init__(self, plan: LocalPlan, supervisor: Supervisor, progress: Progress) -> None:
        self._plan = plan
        self._supervisor = supervisor
        self._progress = progress
        self._changed = threading.Condition()
        self._listening: set[str] = set()
        self._failures: dict[str, Exception] = {}
        """By the address of a member; under no address what keeps all from starting."""
        self._sets_are_formed = False

    def run(self, members: Sequence[SetMember]) -> None:
        """Start these in order and return when each listens or has ended, which is raised to whoever waits for it."""
        try:
            self._run(members)
        except Exception as error:  # noqa: BLE001  carried to the threads that wait, and raised there
            self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """Start nothing more, and let nobody wait any longer."""
        self._fail("", error)

    def _fail(self, address: str, error: Exception) -> None:
        with self._changed:
            self._failures[address] = error
            self._changed.notify_all()

    def let_all_start(self) -> None:
        """Hold nobody back any more: every set has its majority."""
        self._sets_are_formed = True

    def wait_listening(self, address: str) -> None:
        """Return when the member accepts connections. Raises ClusterUnavailable when it died or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: address in self._listening or self._failure(address), timeout=remaining())
            if failure := self._failure(address):
                raise failure
            if address not in self._listening:
                raise ClusterUnavailable(f"{address} did not start to listen in time")

    def _failure(self, address: str) -> Exception | None:
        return self._failures.get(address) or self._failures.get("")

    def _run(self, members: Sequence[SetMember]) -> None:
        waiting, starting = deque(members), list[SetMember]()
        look_at = time.monotonic() + _LOOK_SECONDS
        while (waiting or starting) and "" not in self._failures:
            while waiting and self._may_start(waiting[0], len(starting)):
                starting.append(waiting.popleft())
                _rotate(self._plan, starting[-1])
                self._supervisor.start(starting[-1].name)
            for member in [m for m in starting if self._listens(m)]:
                starting.remove(member)
                self._note(member)
            if time.monotonic() > look_at:
                look_at = time.monotonic() + _LOOK_SECONDS
                starting = self._alive(starting)
            if remaining() <= 0:
                return
            time.sleep(_POLL_SECONDS)

    def _may_start(self, member: SetMember, starting: int) -> bool:
        processors = os.cpu_count() or 1
        if member.number > _MAJORITY and not self._sets_are_formed:
            return starting < max(1, processors - 1)
        return starting <= processors

    def _listens(self, member: SetMember) -> bool:
        """Whether the member accepts connections, and not somebody else who took its port a moment ago."""
        return is_listening(member.port) and is_listener(self._supervisor.program(member.name).pid, member.port)

    def _note(self, member: SetMember) -> None:
        self._progress(member.name, f"listens on {member.address}")
        with self._changed:
            self._listening.add(member.address)
            self._changed.notify_all()

    def _alive(self, members: Sequence[SetMember]) -> list[SetMember]:
        """Those that have not ended; the others are noted as failed."""
        states = self._supervisor.programs()
        for member in (m for m in members if states[m.name].is_gone):
            what = f"{member.name} ended with status {states[member.name].exit_status} while it started"
            failure = ClusterUnavailable(
                f"{what}{last_words(self._plan, member.name)}", hint=f"prodctl local logs {member.name}"
            )
            self._fail(member.address, failure)
        return [m for m in members if not states[m.name].is_gone]


def _rotate(plan: LocalPlan, member: SetMember) -> None:
    """Keep one old log, so that logs do not grow for ever."""
    log = plan.log(member.name)
    if log.exists() and log.stat().st_size > _LARGE_LOG:
        log.replace(log.with_suffix(".log.1"))
