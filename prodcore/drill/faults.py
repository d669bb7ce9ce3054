"""Doing a fault to a member and undoing it, through the interface that holds the members."""

from __future__ import annotations

from collections.abc import Mapping

from prodcore.drill.journal import Broken
from prodcore.drill.plan import Fault
from prodcore.drill.ports import SetAccess
from prodcore.errors import CommandRefused, MemberUnavailable
from prodcore.processes.control import MemberControl


class Faults:
    """Breaks members and mends them. What a drill breaks is in its journal before."""

    def __init__(self, control: MemberControl, sets: Mapping[str, SetAccess]) -> None:
        self._control = control
        self._sets = sets

    def inject(self, broken: Broken) -> None:
        """Do it; returns when the order is given, which for ``stop`` is before the process has ended."""
        match broken.fault:
            case Fault.KILL | Fault.LOSE:
                self._control.kill(broken.member)
            case Fault.STOP:
                self._control.stop(broken.member)
            case Fault.PAUSE:
                self._control.pause(broken.member)
            case Fault.STEPDOWN:
                self._sets[broken.set_name].step_down(broken.member)
            case Fault.PARTITION:
                self._control.isolate(broken.member)
            case Fault.CONTAINER:
                self._control.stop_host(broken.member)

    def undo(self, broken: Broken) -> None:
        """Put the member back; harmless when it is back already."""
        match broken.fault:
            case Fault.KILL | Fault.STOP | Fault.LOSE:
                if not self._control.is_running(broken.member):
                    self._control.start(broken.member)
            case Fault.PAUSE:
                self._control.resume(broken.member)
            case Fault.STEPDOWN:
                self._allow_election(broken)
            case Fault.PARTITION:
                self._control.rejoin(broken.member)
            case Fault.CONTAINER:
                for member in self._control.housemates(broken.member):
                    self._control.start(member)

    def fallen(self, broken: Broken) -> tuple[str, ...]:
        """The members that the fault takes away, of whatever set."""
        return self._control.housemates(broken.member) if broken.fault is Fault.CONTAINER else (broken.member,)

    def _allow_election(self, broken: Broken) -> None:
        try:
            self._sets[broken.set_name].allow_election(broken.member)
        except (CommandRefused, MemberUnavailable):
            return  # it is primary again, or its ban ends by itself after STEP_DOWN_SECONDS
