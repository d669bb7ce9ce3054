"""No hand on any member: for a machine that neither runs the members nor knows the deployment that does."""

from __future__ import annotations

from typing import NoReturn

from prodcore.errors import MemberNotFound

_WHY = "the members' processes are not under control of this machine"
_HINT = "a deployment: set PRODCTL_DEPLOYMENT to its deploy.toml; on this machine: prodctl local up"


class NoMembers:
    """A ``MemberControl`` of nobody. What needs only the database's own commands (a step down) goes all the same."""

    def addresses(self) -> tuple[str, ...]:
        """None."""
        return ()

    def is_running(self, address: str) -> NoReturn:
        """Refused, like all that follows: it is not known."""
        raise MemberNotFound(f"{address}: {_WHY}", hint=_HINT)

    start = stop = kill = pause = resume = isolate = rejoin = stop_host = stays_dead = co_located = is_running

    def cannot_isolate(self) -> str:
        """Always something."""
        return _WHY

    cannot_stop_host = cannot_isolate
