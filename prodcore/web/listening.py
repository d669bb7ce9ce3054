"""The listening socket of a service, its own or from systemd (sd_listen_fds(3)), and what systemd is told."""

from __future__ import annotations

import os
import socket

from prodcore.errors import ConfigError

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
