"""The processes of a local cluster, through its supervisord: XML-RPC over a Unix socket that only its owner can open.

Signals go through supervisord to its own children, so only ever to a process that it started.
"""

from __future__ import annotations

import http.client
import signal
import socket
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prodcore.errors import ClusterUnavailable, MemberNotFound, Unavailable

_ANSWER_SECONDS = 5.0
_STOPPING_SECONDS = 30.0
_POLL_SECONDS = 0.01
_BAD_NAME = 10
_NOT_RUNNING = 70
_ALREADY_STARTED = 60
_GONE = frozenset({"STOPPED", "EXITED", "FATAL", "UNKNOWN"})


@dataclass(frozen=True, slots=True)
class ProgramState:
    """A program as supervisord sees it."""

    name: str
    state: str
    """supervisord's word: RUNNING, STARTING, BACKOFF, STOPPING, STOPPED, EXITED, FATAL."""
    pid: int
    """0 when it does not run."""
    uptime_seconds: float
    exit_status: int

    @property
    def is_running(self) -> bool:
        """Whether there is a process; a paused or stopping one is there too."""
        return self.pid != 0

    @property
    def is_gone(self) -> bool:
        """Whether there is no process, and none will come by itself."""
        return self.state in _GONE


class Supervisor:
    """The supervisord behind one socket.

    Every call raises ClusterUnavailable when it does not answer; ``silent`` in the details tells a frozen or
    overloaded one from none at all.
    """

    def __init__(self, socket_path: Path) -> None:
        self._one_at_a_time = threading.Lock()  # the transport is not safe to share between threads
        self._proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(socket_path))

    def is_alive(self) -> bool:
        """Whether it answers."""
        try:
            self._call(self._rpc.getState)
        except ClusterUnavailable:
            return False
        return True

    def pid(self) -> int:
        """Its own process."""
        return int(self._call(self._rpc.getPID))

    def programs(self) -> dict[str, ProgramState]:
        """All programs by name."""
        return {info["name"]: _state(info) for info in self._call(self._rpc.getAllProcessInfo)}

    def program(self, name: str) -> ProgramState:
        """One program. Raises MemberNotFound."""
        return _state(self._call(lambda: self._rpc.getProcessInfo(name), name))

    def start(self, name: str) -> None:
        """Start a program, without waiting for it to be of use; nothing happens when it runs."""
        self._wait([name], lambda program: program.state != "STOPPING", _STOPPING_SECONDS)
        self._call(lambda: self._rpc.startProcess(name, False), name, ignore=_ALREADY_STARTED)

    def ask_to_stop(self, name: str) -> None:
        """SIGTERM, without waiting; nothing happens when it does not run."""
        self._call(lambda: self._rpc.stopProcess(name, False), name, ignore=_NOT_RUNNING)

    def wait_running(self, name: str, seconds: float) -> None:
        """Wait until a program has stayed up for a while. Raises ClusterUnavailable when it does not."""
        self._wait([name], lambda program: program.state in ("RUNNING", "FATAL"), seconds)
        if (state := self.program(name).state) != "RUNNING":
            raise ClusterUnavailable(f"{name} does not stay up: it is {state}", hint=f"prodctl local logs {name}")

    def wait_gone(self, names: Iterable[str], seconds: float) -> None:
        """Wait until these processes are gone. Raises ClusterUnavailable when one is not in time."""
        self._wait(names, lambda program: program.is_gone, seconds)

    def send(self, name: str, signal_: signal.Signals) -> None:
        """Send a signal to a program's process; nothing happens when it does not run."""
        number = str(int(signal_))
        self._call(lambda: self._rpc.signalProcess(name, number), name, ignore=_NOT_RUNNING)

    def reread(self) -> tuple[set[str], set[str], set[str]]:
        """Read the configuration again: which programs are new, changed, gone. None of them is touched."""
        ((added, changed, removed),) = self._call(self._rpc.reloadConfig)
        return set(added), set(changed), set(removed)

    def add(self, name: str) -> None:
        """Take a program of the configuration under control."""
        self._call(lambda: self._rpc.addProcessGroup(name), name)

    def remove(self, name: str) -> None:
        """Let go of a program that does not run."""
        self._call(lambda: self._rpc.removeProcessGroup(name), name)

    def shut_down(self) -> None:
        """Make supervisord stop what still runs, and leave."""
        self._call(self._rpc.shutdown)

    @property
    def _rpc(self) -> Any:
        return self._proxy.supervisor

    def _call(self, request: Callable[[], Any], name: str = "", ignore: int | None = None) -> Any:
        try:
            with self._one_at_a_time:
                return request()
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == ignore:
                return None
            if fault.faultCode == _BAD_NAME:
                raise MemberNotFound(f"no program is called {name}", member=name) from None
            raise ClusterUnavailable(f"the supervisor refuses: {fault.faultString} ({name})") from None
        except TimeoutError:
            raise ClusterUnavailable("the supervisor gives no answer", hint="prodctl local up", silent=True) from None
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            why = type(error).__name__
            raise ClusterUnavailable(f"the supervisor does not answer ({why})", silent=False) from None

    def _wait(self, names: Iterable[str], condition: Callable[[ProgramState], bool], seconds: float) -> None:
        waiting = set(names)
        ends = time.monotonic() + seconds
        while True:
            programs = self.programs()
            waiting = {name for name in waiting if name in programs and not condition(programs[name])}
            if not waiting:
                return
            if time.monotonic() > ends:
                still = ", ".join(f"{name} is still {programs[name].state}" for name in sorted(waiting))
                raise ClusterUnavailable(f"{still} after {seconds:.0f} s")
            time.sleep(_POLL_SECONDS)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.close()
            raise


class _UnixTransport(xmlrpc.client.Transport):
    """A new connection for each call: a kept one that went stale would look like a dead supervisord."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)

    def send_request(self, *arguments: Any) -> http.client.HTTPConnection:
        connection = super().send_request(*arguments)
        self._connection = arguments[0], connection  # so that close() closes it
        return connection

    def single_request(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().single_request(*arguments, **options)
        finally:
            self.close()


def _state(info: Any) -> ProgramState:
    running = info["pid"] != 0
    return ProgramState(
        name=info["name"],
        state=info["statename"],
        pid=info["pid"],
        uptime_seconds=float(info["now"] - info["start"]) if running else 0.0,
        exit_status=info["exitstatus"],
    )


_STOP_SECONDS = 30.0  # longer than supervisord waits before it kills what does not stop


class SupervisedMembers:
    """A ``MemberControl`` over programs of one supervisord; ``names`` gives the program of each ``host:port``.

    Signals go through supervisord to its own children, so only ever to a process that it started.
    """

    def __init__(self, supervisor: Supervisor, names: Mapping[str, str]) -> None:
        self._supervisor = supervisor
        self._names = dict(names)

    def addresses(self) -> tuple[str, ...]:
        """All members that can be controlled."""
        return tuple(self._names)

    def is_running(self, address: str) -> bool:
        """Whether the process exists; a paused one does."""
        return self._supervisor.program(self._name(address)).is_running

    def start(self, address: str) -> None:
        """Start the process; nothing happens when it runs."""
        self._supervisor.start(self._name(address))

    def stop(self, address: str) -> None:
        """SIGTERM, and wait until the process is gone; one that was paused goes on, to be able to leave."""
        name = self._name(address)
        self._supervisor.ask_to_stop(name)
        self._supervisor.send(name, signal.SIGCONT)
        self._supervisor.wait_gone([name], _STOP_SECONDS)

    def kill(self, address: str) -> None:
        """SIGKILL. Returns when the process is gone, a moment later; supervisord does not start it again."""
        name = self._name(address)
        self._supervisor.send(name, signal.SIGSTOP)  # so that the SIGTERM, which tells supervisord, never arrives
        self._supervisor.ask_to_stop(name)
        self._supervisor.send(name, signal.SIGKILL)
        self._supervisor.wait_gone([name], _STOP_SECONDS)

    def pause(self, address: str) -> None:
        """SIGSTOP."""
        self._supervisor.send(self._name(address), signal.SIGSTOP)

    def resume(self, address: str) -> None:
        """SIGCONT."""
        self._supervisor.send(self._name(address), signal.SIGCONT)

    def cannot_come_back(self, address: str) -> str:
        """Always something: nothing starts supervisord with the machine."""
        return f"{self._name(address)} does not start when the machine does"

    def cannot_isolate(self) -> str:
        """Always something: no rule can tell who sent what among processes of one user on one address."""
        return (
            "the local members share 127.0.0.1, so one of them cannot be partitioned from the others: use pause instead"
        )

    def isolate(self, address: str) -> None:
        """Refused: see ``cannot_isolate``."""
        raise Unavailable(self.cannot_isolate(), member=self._name(address))

    def rejoin(self, address: str) -> None:
        """Nothing to do: it was never isolated."""

    def co_located(self, address: str) -> tuple[str, ...]:
        """All of them."""
        self._name(address)
        return self.addresses()

    def cannot_stop_host(self) -> str:
        """Always something: their host is this machine."""
        return "the local members do not run in containers: use kill instead"

    def stop_host(self, address: str) -> None:
        """Refused: see ``cannot_stop_host``."""
        raise Unavailable(self.cannot_stop_host(), member=self._name(address))

    def _name(self, address: str) -> str:
        try:
            return self._names[address]
        except KeyError:
            raise MemberNotFound(
                f"{address} is not a member of this cluster", hint=f"its members are {', '.join(self._names)}"
            ) from None
