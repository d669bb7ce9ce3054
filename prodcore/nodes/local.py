"""The members of a local cluster, through the supervisord that started them."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from prodcore.errors import MemberNotFound
from prodcore.nodes.supervisor import Supervisor

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
        """SIGKILL. Returns when the process is gone, a moment later."""
        name = self._name(address)
        self._supervisor.send(name, signal.SIGKILL)
        self._supervisor.wait_gone([name], _STOP_SECONDS)

    def pause(self, address: str) -> None:
        """SIGSTOP."""
        self._supervisor.send(self._name(address), signal.SIGSTOP)

    def resume(self, address: str) -> None:
        """SIGCONT."""
        self._supervisor.send(self._name(address), signal.SIGCONT)

    def _name(self, address: str) -> str:
        try:
            return self._names[address]
        except KeyError:
            raise MemberNotFound(
                f"{address} is not a member of this cluster", hint=f"its members are {', '.join(self._names)}"
            ) from None
