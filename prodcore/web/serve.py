"""``python -m prodcore.web.serve webapp``: runs webapp or authsvc until it is stopped.

Under systemd the listening socket comes from the ``.socket`` unit and stays open while the service restarts: what
arrives meanwhile waits in its queue, and no connection is refused. systemd is told ``READY=1`` when a request has been
answered. A service whose socket somebody keeps stops in four steps, so that a restart fails no request:

1. it ends its connections with their next answer (``Connection: close``), for three seconds: a request that is on its
   way on an idle connection must not meet a closed one;
2. it takes no new connections, for a second: those that it took may still send their first request;
3. idle connections are closed; requests at work may finish within the budget of a request;
4. what still runs is killed.

On SIGHUP workers with the settings of now take the places of all, which stop in the same steps; the sockets stay open.
They show the certificate of now, too. Where it cannot be shown, the former workers go on with theirs.

Each worker accepts from a socket of its own, all on one port, and the kernel deals the connections out. From one that
they share, whoever wakes first takes all that wait, and one worker may end up with every connection. The sockets are
open in the process above the workers (granian opens them in the workers): what waits in the queue of a worker that dies
is for the next one. systemd hands over one socket, which they share.

Workers end with the process above them, however that ends: they would keep the port from the next one.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from math import ceil
from pathlib import Path
from typing import Any, cast

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server import MPServer

from prodcore.errors import ConfigError, ProdError
from prodcore.settings import Settings, load_settings
from prodcore.web.front import App, Front

BACKLOG = 1024
"""How many connections may wait to be accepted."""

_FIRST_PASSED = 3
_TAKES_NOTHING_MS = 30_000


def passed_socket() -> socket.socket | None:
    """The socket that systemd hands over. Raises ConfigError when there are several."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if os.environ.get("LISTEN_FDS") != "1":
        raise ConfigError("one listening socket is served, and systemd hands over another number of them")
    listener = socket.socket(fileno=_FIRST_PASSED)
    drop_stuck_readers(listener)
    return listener


def bind(host: str, port: int, count: int = 1) -> list[socket.socket]:
    """So many sockets of our own on one port; the kernel deals its connections out to them. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listeners: list[socket.socket] = []
    try:
        for _ in range(count):
            # The first one does not share: where somebody has the port, it is refused.
            listener = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=bool(listeners))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            drop_stuck_readers(listener)
            listeners.append(listener)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    return listeners


def drop_stuck_readers(listener: socket.socket) -> None:
    """Have the kernel end connections of that socket whose client takes nothing of an answer for so long."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TAKES_NOTHING_MS)


def accept_none(listener: socket.socket) -> None:
    """Take no new connections in this process; others go on accepting from the very socket."""
    nobody = socket.socket(socket.AF_UNIX)  # one that nobody connects to takes its place
    nobody.bind("")
    nobody.listen()
    nobody.setblocking(False)
    os.dup2(nobody.fileno(), listener.fileno())


def notify(state: str) -> None:
    """Tell systemd, if it wants to know (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.sendall(state.encode())


PORTS = {"webapp": 3000, "authsvc": 5000}
"""The services and their usual ports."""

_ANSWER_SECONDS = 120.0  # as long as systemd waits
_CONNECTIONS = 8_192
"""Of each worker at a time; those that are idle or slow cost some kilobytes each."""
_HEAD_MILLISECONDS = 20_000
"""How long the head of a request may take, and how long a connection may be idle before it."""
_HEAD_BYTES = 32_768
_LAST_ANSWERS = signal.SIGUSR1
_NO_NEWCOMERS = signal.SIGUSR2  # granian goes on accepting as long as somebody waits, whatever it is told

_SET_PARENT_DEATH_SIGNAL = partial(ctypes.CDLL(None).prctl, 1)  # PR_SET_PDEATHSIG of prctl(2)


def main(arguments: list[str] | None = None) -> None:
    """Run the service that the command line names, with the settings of its environment."""
    parser = argparse.ArgumentParser(prog="python -m prodcore.web.serve", description="Run one of the services.")
    parser.add_argument("service", choices=PORTS)
    parser.add_argument("--workers", type=int, help="worker processes; else the setting (authsvc: 1)")
    parser.add_argument("--threads", type=int, help="threads of each worker; else the setting")
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    service = given.pop("service")
    if service == "authsvc":
        given.setdefault("workers", 1)  # its limits of attempts are a process's own
    _allow_many_files()
    try:
        settings = load_settings(**given)
        passed = passed_socket()
        port = settings.port or PORTS[service]
        listeners = [passed] if passed else bind(settings.bind, port, settings.workers)
        Server(service, settings, listeners, kept=bool(passed)).run()
    except ProdError as error:
        sys.exit(_explain(error))


class Server(MPServer):
    """granian, on sockets that are open already."""

    def __init__(self, service: str, settings: Settings, listeners: Sequence[socket.socket], *, kept: bool) -> None:
        host, port = listeners[0].getsockname()[:2]
        super().__init__(
            f"{service}.app:create_app",
            host,
            port,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            websockets=False,
            workers=settings.workers,
            backlog=BACKLOG,
            backpressure=_CONNECTIONS,
            http1_settings=HTTP1Settings(header_read_timeout=_HEAD_MILLISECONDS, max_buffer_size=_HEAD_BYTES),
            respawn_failed_workers=True,
            workers_kill_timeout=ceil(settings.request_budget_seconds),
            ssl_cert=_checked_certificate(settings.tls_file),
            ssl_key=settings.tls_file,
        )
        self.service = service
        self.settings = settings
        self.listeners = listeners
        self.kept = kept
        """Whether somebody else keeps the socket open while this process restarts."""

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        self.serve(target_loader=cast(Any, self._load), wrap_loader=False)

    def _init_shared_socket(self) -> None:
        self._sso = None  # what every worker would have; each has its own

    def _spawn_worker(  # type: ignore[override]  # as all of granian's own servers have it
        self, idx: int, target: Any, callback_loader: Any
    ) -> Any:
        listener = self.listeners[idx % len(self.listeners)]
        holder: Any = SocketHolder  # its stub knows no arguments
        self._shd = holder(listener.fileno(), False, BACKLOG)
        return cast(Any, super())._spawn_worker(idx, target, partial(callback_loader, listener))

    def startup(self, spawn_target: Any, target_loader: Any) -> None:
        """Start the workers, and tell systemd when the first of them serves."""
        cast(Any, super()).startup(spawn_target, target_loader)
        threading.Thread(target=self._announce, daemon=True).start()

    def shutdown(self, exit_code: int = 0) -> None:
        """Stop as the module's docstring says."""
        notify("STOPPING=1")
        workers: list[Any] = list(self.wrks)
        for worker in workers:
            worker.interrupt_by_parent = True
        if self.kept and any(worker.is_alive() for worker in workers):
            _tell(workers, _LAST_ANSWERS, 3.0)
        _tell(workers, _NO_NEWCOMERS, 1.0 if self.kept else 0.2)
        cast(Any, super()).shutdown(exit_code)

    def _reload(self, spawn_target: Any, target_loader: Any) -> None:
        """On SIGHUP: workers that read the settings anew take the places of all, which stop as at a restart."""
        self.reload_signal = False
        self.main_loop_interrupt.clear()
        try:
            _checked_certificate(self.settings.tls_file)
        except ConfigError as error:
            _explain(error)
            return
        former: list[Any] = list(self.wrks)
        self.wrks.clear()
        cast(Any, self)._spawn_workers(spawn_target, target_loader)
        present: list[Any] = list(self.wrks)
        for worker in former:
            worker.interrupt_by_parent = True
        _tell(former, _LAST_ANSWERS, 3.0)
        _tell(former, _NO_NEWCOMERS, 1.0)
        self.wrks[:] = former
        cast(Any, self)._stop_workers()
        self.wrks[:] = present

    def _respawn_workers(self, workers: list[int], *arguments: Any, **options: Any) -> None:
        """Put another worker in the place of one that ended, unless the settings are at fault."""
        if any(cast(Any, self.wrks[number]).inner.exitcode == ConfigError.exit_status for number in workers):
            self.shutdown(ConfigError.exit_status)
        cast(Any, super())._respawn_workers(workers, *arguments, **options)

    def _announce(self) -> None:
        """Ask for something; the question waits in the queue until a worker takes it."""
        connection: HTTPConnection
        if self.settings.tls_file:
            itself = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            itself.check_hostname, itself.verify_mode = False, ssl.CERT_NONE  # it knows to whom it speaks
            connection = HTTPSConnection(self.bind_addr, self.bind_port, timeout=_ANSWER_SECONDS, context=itself)
        else:
            connection = HTTPConnection(self.bind_addr, self.bind_port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", "/healthz", headers={"Host": "localhost"})
            if connection.getresponse().status == HTTPStatus.OK:
                notify("READY=1")
        except (OSError, HTTPException) as error:
            print(f"{self.service} does not answer: {error}", file=sys.stderr)
        finally:
            connection.close()

    def _load(self, listener: socket.socket) -> Front:
        """The application, in its worker process, which accepts from that socket."""
        _end_with_parent()
        try:
            app: App = importlib.import_module(f"{self.service}.app").create_app(load_settings())
        except ProdError as error:
            sys.exit(_explain(error))
        drain = Drain(app)

        def close(number: int, _frame: object) -> None:
            drain.begin()
            if number == _NO_NEWCOMERS:
                accept_none(listener)

        signal.signal(_LAST_ANSWERS, close)
        signal.signal(_NO_NEWCOMERS, close)
        return Front(drain, threads=self.settings.threads, budget=self.settings.request_budget_seconds)


class Drain:
    """The application; once the draining has begun, each answer is the last one of its connection."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._begun = False

    def begin(self) -> None:
        """Whatever is answered from now on is answered last."""
        self._begun = True

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        if not self._begun:
            return self._app(environ, start_response)

        def start_last(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            return start_response(status, [*headers, ("Connection", "close")], *exc_info)

        return self._app(environ, start_last)


def _checked_certificate(path: Path | None) -> Path | None:
    """The file, which can be shown to clients. Raises ConfigError."""
    if path:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=_no_passphrase)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            why = "it holds no private key with its certificate"
            if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
                why = (error.strerror or str(error)).lower()
            raise ConfigError(f"PRODCTL_TLS_FILE: {path} cannot be used: {why}") from None
    return path


def _no_passphrase() -> str:
    """Instead of a question on the terminal, where nobody is."""
    raise ValueError


def _tell(workers: list[Any], number: signal.Signals, seconds: float) -> None:
    """Send a signal, and give time to act on it: Python may overlook one of several that come at once.

    It ends a worker that is still loading, which would not notice SIGTERM.
    """
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.inner.pid, number)
    threading.Event().wait(seconds)


def _allow_many_files() -> None:
    """Every connection is an open file; the usual soft limit of 1,024 is for programs that use select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 4 * _CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 4 * _CONNECTIONS)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _end_with_parent() -> None:
    """Have the kernel kill this worker when the process above it has ended."""
    parent = multiprocessing.parent_process()
    _SET_PARENT_DEATH_SIGNAL(signal.SIGKILL)
    if parent is None or os.getppid() != parent.pid:  # it was gone before
        os._exit(1)


def _explain(error: ProdError) -> int:
    print(f"Error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"Hint: {error.hint}", file=sys.stderr)
    return error.exit_status


if __name__ == "__main__":
    main()
