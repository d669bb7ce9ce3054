"""The members of a local cluster, through the supervisord that started them."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from prodcore.errors import MemberNotFound, Unavailable
from prodcore.processes.supervisord import Supervisor

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

    def stays_dead(self, address: str) -> str:
        """Always something: supervisord leaves a dead member to drills and people."""
        return f"{self._name(address)} stays dead after a crash, and after a restart of the machine"

    def cannot_isolate(self) -> str:
        """Always something: no rule can tell who sent what among processes of one user on one address."""
        return "the local members share 127.0.0.1, so the network around one of them cannot be cut: take pause instead"

    def isolate(self, address: str) -> None:
        """Refused: see ``cannot_isolate``."""
        raise Unavailable(self.cannot_isolate(), member=self._name(address))

    def rejoin(self, address: str) -> None:
        """Nothing to do: it was never isolated."""

    def housemates(self, address: str) -> tuple[str, ...]:
        """All of them."""
        self._name(address)
        return self.addresses()

    def cannot_stop_host(self) -> str:
        """Always something: their host is this machine."""
        return "the local members run in no container: take kill instead"

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
