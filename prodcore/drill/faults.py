"""The faults that a drill can do to a member: one row for each. The pages have its name in ``webapp.pages.labels``.

A row says how the fault is done and undone, whom it takes down, what it needs, and whether it can be ordered in the
browser; who may order there is in ``prodcore.identity.rights``. What a member's
process can suffer is a method of ``prodcore.processes.control.MemberControl``; what only the database's own commands
can do is one of ``Stepping``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from prodcore.errors import CommandRefused, MemberUnavailable
from prodcore.processes.control import MemberControl


class Stepping(Protocol):
    """A set whose primary can be made to hand over."""

    def step_down(self, primary: str) -> None:
        """Make the primary hand over. Raises CommandRefused."""

    def allow_election(self, member: str) -> None:
        """Let a member that stepped down run for election again."""


@dataclass(frozen=True, slots=True)
class Target:
    """One member, and what can be done to it."""

    member: str
    control: MemberControl
    set: Stepping


def _no_need(_control: MemberControl) -> str:
    return ""


def _itself(target: Target) -> tuple[str, ...]:
    return (target.member,)


@dataclass(frozen=True, slots=True)
class FaultAction:
    """How one fault is done."""

    inject: Callable[[Target], None]
    """Do it; returns when the order is given, which may be before the process has ended."""
    undo: Callable[[Target], None]
    """Put the member back; idempotent."""
    summary: str
    """For people, after the fault's name."""
    affected: Callable[[Target], tuple[str, ...]] = _itself
    """The members that it takes down, of whatever set."""
    unmet: Callable[[MemberControl], str] = _no_need
    """Why it cannot be done here, a sentence; empty where it can."""
    needs_control: bool = True
    """Whether every member's process must be under control: what is broken must be put back."""
    only_primary: bool = False
    """Whether it can be done to a primary only."""
    orderable: bool = True
    """Whether an operator may order it in the browser."""
    kills_secondaries_first: bool = False
    """For the drill that must find losses: nobody else is alive when it is done."""


def _start_again(target: Target) -> None:
    if not target.control.is_running(target.member):
        target.control.start(target.member)


def _start_host_again(target: Target) -> None:
    for member in _on_its_host(target):
        target.control.start(member)


def _on_its_host(target: Target) -> tuple[str, ...]:
    return target.control.co_located(target.member)


def _allow_election(target: Target) -> None:
    with suppress(CommandRefused, MemberUnavailable):  # it is primary again, or its ban ends by itself
        target.set.allow_election(target.member)


class Fault(StrEnum):
    """What is done to a member."""

    deed: FaultAction

    def __new__(cls, name: str, *row: FaultAction) -> Fault:
        """A word that knows how it is done; ``Fault("kill")`` finds the one of that name."""
        fault = str.__new__(cls, name)
        fault._value_ = name
        (fault.deed,) = row
        return fault

    KILL = "kill", FaultAction(lambda t: t.control.kill(t.member), _start_again, "SIGKILL: the process dies at once")
    STOP = "stop", FaultAction(lambda t: t.control.stop(t.member), _start_again, "SIGTERM: a planned shutdown")
    STEPDOWN = (
        "stepdown",
        FaultAction(
            lambda t: t.set.step_down(t.member),
            _allow_election,
            "replSetStepDown: the primary hands over and lives on",
            needs_control=False,
            only_primary=True,
        ),
    )
    PAUSE = (
        "pause",
        FaultAction(
            lambda t: t.control.pause(t.member),
            lambda t: t.control.resume(t.member),
            "SIGSTOP: the process hangs with its connections open, and goes on later",
        ),
    )
    PARTITION = (
        "partition",
        FaultAction(
            lambda t: t.control.isolate(t.member),
            lambda t: t.control.rejoin(t.member),
            "the network between the member and everybody else is cut, and mended later",
            unmet=lambda control: control.cannot_isolate(),
            orderable=False,
        ),
    )
    CONTAINER = (
        "container",
        FaultAction(
            lambda t: t.control.stop_host(t.member),
            _start_host_again,
            "the member's container is stopped at once, with all that runs in it, and started later",
            affected=_on_its_host,
            unmet=lambda control: control.cannot_stop_host(),
            orderable=False,
        ),
    )
    LOSE = (
        "lose",
        FaultAction(
            lambda t: t.control.kill(t.member),
            _start_again,
            "what a drill must find: the secondaries die, one member acknowledges writes and dies: they must be lost",
            orderable=False,
            kills_secondaries_first=True,
        ),
    )


ORDERABLE = tuple(fault for fault in Fault if fault.deed.orderable)
"""What an operator may order in the browser."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A member that a fault was, or was about to be, done to."""

    set_name: str
    member: str
    fault: Fault


class Faults:
    """Breaks members and puts them back. What a drill breaks is in its journal before."""

    def __init__(self, control: MemberControl, sets: Mapping[str, Stepping]) -> None:
        self._control = control
        self._sets = sets

    def inject(self, broken: Broken) -> None:
        """Do it; returns when the order is given, which for ``stop`` is before the process has ended."""
        broken.fault.deed.inject(self._target(broken))

    def undo(self, broken: Broken) -> None:
        """Put the member back; nothing happens when it is back already."""
        broken.fault.deed.undo(self._target(broken))

    def affected(self, broken: Broken) -> tuple[str, ...]:
        """The members that the fault takes down, of whatever set."""
        return broken.fault.deed.affected(self._target(broken))

    def _target(self, broken: Broken) -> Target:
        return Target(broken.member, self._control, self._sets[broken.set_name])
