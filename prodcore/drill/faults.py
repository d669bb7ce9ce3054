"""The faults that a drill can do to a member: one row for each. The pages have its name in ``webapp.pages.labels``.

A row says how the fault is done and undone, whom it takes down, what it needs, and whether it can be ordered in the
browser; who may order there is in ``prodcore.identity.rights``. What a member's
process can suffer is a method of ``prodcore.processes.control.MemberControl``; what only the database's own commands
can do is one of ``Stepping``.

What is broken and not yet put back stands in a journal on disk before it is broken, beside the lock against a second
drill. The kernel lets go of the lock when the process ends, however it ends; the journal stays until all is put back.
So a journal without a lock is what a killed drill left behind.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from prodcore.errors import CommandRefused, DrillRunning, MemberUnavailable
from prodcore.processes.control import MemberControl
from prodcore.support.secure_files import locked, write_private


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
            "replSetStepDown: the primary steps down and keeps running",
            needs_control=False,
            only_primary=True,
        ),
    )
    PAUSE = (
        "pause",
        FaultAction(
            lambda t: t.control.pause(t.member),
            lambda t: t.control.resume(t.member),
            "SIGSTOP: the process freezes with its connections open, and resumes later",
        ),
    )
    PARTITION = (
        "partition",
        FaultAction(
            lambda t: t.control.isolate(t.member),
            lambda t: t.control.rejoin(t.member),
            "the network between the member and all others is cut, and restored later",
            unmet=lambda control: control.cannot_isolate(),
            orderable=False,
        ),
    )
    CONTAINER = (
        "container",
        FaultAction(
            lambda t: t.control.stop_host(t.member),
            _start_host_again,
            "the member's container is stopped at once, with everything in it, and started later",
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


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What must be put back."""

    run: str
    """The drill's id; its records carry it."""
    sets: tuple[str, ...]
    """The sets that hold records of the drill."""
    broken: tuple[Broken, ...] = ()


class DrillJournal:
    """The journal and the lock, in one directory of mode 0700. Safe to use from many threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = directory / "journal.json"
        self._writing = threading.Lock()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only drill on this machine inside the block. Raises DrillRunning."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / "lock"
        with ExitStack() as stack:
            try:
                descriptor = stack.enter_context(locked(path, wait=False))
            except BlockingIOError:
                holder = path.read_text(errors="replace").strip()[:32] or "unknown"
                raise DrillRunning(f"another drill is running (process {holder})", hint="wait for it to end") from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield

    def unfinished(self) -> Unfinished | None:
        """What an earlier drill left behind, or this one has not yet put back."""
        try:
            data = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        broken = tuple(Broken(b["set_name"], b["member"], Fault(b["fault"])) for b in data["broken"])
        return Unfinished(data["run"], tuple(data["sets"]), broken)

    def open(self, run: str, sets: tuple[str, ...]) -> None:
        """Note that the drill will leave records in these sets until it is done."""
        self._store(Unfinished(run, sets))

    def breaking(self, broken: Broken) -> None:
        """Note a fault before it is done."""
        with self._writing:
            current = self._required()
            self._store(replace(current, broken=(*current.broken, broken)))

    def mended(self, broken: Broken) -> None:
        """Note that a fault is undone."""
        with self._writing:
            current = self._required()
            self._store(replace(current, broken=tuple(b for b in current.broken if b != broken)))

    def close(self) -> None:
        """All is put back."""
        self._file.unlink(missing_ok=True)

    def _required(self) -> Unfinished:
        current = self.unfinished()
        if current is None:
            raise RuntimeError("the journal is not open")
        return current

    def _store(self, unfinished: Unfinished) -> None:
        write_private(self._file, json.dumps(asdict(unfinished)))
