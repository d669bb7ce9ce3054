"""What can be done to one member's process. Drills and ``prodctl local`` use it and know no more."""

from __future__ import annotations

from typing import NoReturn, Protocol

from prodcore.errors import MemberNotFound


class MemberControl(Protocol):
    """The processes behind the members of replica sets, each addressed by its ``host:port``.

    Every call raises MemberNotFound for an address that is not under this control, and Unavailable when what runs the
    processes does not answer. None of them waits for the replica set to notice.
    """

    def addresses(self) -> tuple[str, ...]:
        """All members that can be controlled."""

    def is_running(self, address: str) -> bool:
        """Whether the process exists; a paused one does."""

    def start(self, address: str) -> None:
        """Start the process; nothing happens when it runs."""

    def stop(self, address: str) -> None:
        """SIGTERM: a planned shutdown. Returns when the process is gone; nothing happens when it is gone already."""

    def kill(self, address: str) -> None:
        """SIGKILL: the process dies at once, as in a crash."""

    def pause(self, address: str) -> None:
        """SIGSTOP: the process hangs, and keeps its connections open."""

    def resume(self, address: str) -> None:
        """SIGCONT: a paused process goes on; nothing happens to one that is not paused."""

    def cannot_come_back(self, address: str) -> str:
        """Why it would not come back by itself after a crash or a restart of its machine; empty where it would."""

    def cannot_isolate(self) -> str:
        """Why the network around a member cannot be cut here, a sentence; empty where it can."""

    def isolate(self, address: str) -> None:
        """Drop every packet between the member and anybody else, both ways; its process goes on."""

    def rejoin(self, address: str) -> None:
        """Let packets through again; nothing happens to a member that is not isolated."""

    def co_located(self, address: str) -> tuple[str, ...]:
        """The members that are on the same host, this one among them."""

    def cannot_stop_host(self) -> str:
        """Why the host of a member cannot be stopped here, a sentence; empty where it can."""

    def stop_host(self, address: str) -> None:
        """Stop the whole host (a container) of a member at once, with all that runs there; ``start`` brings it back."""


_WHY = "the members' processes are not controlled from this machine"
_HINT = "a deployment: set PRODCTL_DEPLOYMENT to its deploy.toml; on this machine: prodctl local up"


class NoMembers:
    """A ``MemberControl`` of nobody, for a machine that neither runs the members nor knows the deployment that does.

    What needs only the database's own commands (a step down) goes all the same."""

    def addresses(self) -> tuple[str, ...]:
        """None."""
        return ()

    def is_running(self, address: str) -> NoReturn:
        """Refused, like all that follows: it is not known."""
        raise MemberNotFound(f"{address}: {_WHY}", hint=_HINT)

    start = stop = kill = pause = resume = isolate = rejoin = stop_host = cannot_come_back = co_located = is_running

    def cannot_isolate(self) -> str:
        """Always something."""
        return _WHY

    cannot_stop_host = cannot_isolate
