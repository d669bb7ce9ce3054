"""What a campaign breaks: processes, sets, disks, clocks, the network around a member; and how it puts them back."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from campaigns.consistency.machine import Machine, fill, is_inside, missing, small_disk
from campaigns.system import SETS, System
from prodcore.errors import ProdError
from prodcore.local.plan import SetMember

_CALM_SECONDS = (2.0, 8.0)
_HANG_SECONDS = (1.0, 8.0)
_CUT_SECONDS = (2.0, 12.0)
_JUMP_SECONDS = 240.0
"""Less than the five minutes by which clocks may differ."""
_SERVICES = ("webapp", "authsvc", "guard", "drills")


class Nemesis:
    """Breaks one thing after the other, and puts it back."""

    def __init__(self, own: System, machine: Machine | None, filler: Path | None, disk: SetMember, seed: int) -> None:
        self._own = own
        self._machine = machine
        self._filler, self._disk = filler, disk
        self._chance = random.Random(seed)  # noqa: S311  to be repeatable
        self.faults: Counter[str] = Counter()
        self.times: list[tuple[float, float, str]] = []
        """When each began and ended, by the clock of the clients."""
        self.failures: list[str] = []
        """What the nemesis could not break or put back; each stands for a fault of the system, or of its own."""
        self.left_out: dict[str, str] = {}
        self.about = ""
        """Whom the last fault befell."""
        self.kinds = list(self._possible())

    def _possible(self) -> Iterator[Callable[[], None]]:
        yield from (self.kill_member, self.stop_member, self.hang_member, self.lose_majority, self.lose_set)
        yield from (self.lose_all_members, self.kill_service, self.hang_service, self.restart_service)
        yield from (self.kill_worker, self.kill_supervisor)
        more = (self.isolate_member, self.deafen_member, self.mute_member, self.fill_disk, self.jump_clock)
        for fault in more:
            if self._machine is None:
                self.left_out[fault.__name__] = f"needs {', '.join(missing()) or 'namespaces'}"
            elif fault == self.jump_clock and not self._machine.with_clock:
                self.left_out[fault.__name__] = "needs libfaketime"
            else:
                yield fault

    def work(self, ended: threading.Event) -> None:
        """One fault after the other, with calm in between; of each kind equally many."""
        while True:
            kinds = self._chance.sample(self.kinds, len(self.kinds))
            for fault in kinds:
                if ended.wait(self._chance.uniform(*_CALM_SECONDS)):
                    return
                self.about = ""
                began = time.monotonic()
                try:
                    fault()
                except (ProdError, psutil.Error, OSError) as error:
                    self.failures.append(f"{fault.__name__}: {type(error).__name__}: {error}")
                self.faults[fault.__name__] += 1
                self.times.append((began, time.monotonic(), f"{fault.__name__} {self.about}".strip()))

    def kill_member(self) -> None:
        """SIGKILL of any member."""
        self._down([self._any()], self._own.cluster.members.kill)

    def stop_member(self) -> None:
        """SIGTERM of any member."""
        self._down([self._any()], self._own.cluster.members.stop)

    def hang_member(self) -> None:
        """SIGSTOP of any member for some seconds."""
        member = self._any()
        self._own.cluster.members.pause(member.address)
        self._sleep(_HANG_SECONDS)
        self._own.cluster.members.resume(member.address)

    def lose_majority(self) -> None:
        """Two of three members killed."""
        self._down(self._chance.sample(self._members(self._chance.choice(SETS)), 2), self._own.cluster.members.kill)

    def lose_set(self) -> None:
        """A whole set killed."""
        self._down(self._members(self._chance.choice(SETS)), self._own.cluster.members.kill)

    def lose_all_members(self) -> None:
        """All members of all sets killed, as when the power goes."""
        self._down(list(self._own.cluster.plan.members), self._own.cluster.members.kill)

    def kill_service(self) -> None:
        """SIGKILL of a service's parent."""
        if pid := self._pid(self._chance.choice(_SERVICES)):
            os.kill(pid, signal.SIGKILL)

    def hang_service(self) -> None:
        """SIGSTOP of all processes of a service for some seconds."""
        pid = self._pid(self._chance.choice(_SERVICES))
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)] if pid else []
        for process in processes:
            process.suspend()
        self._sleep(_HANG_SECONDS)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def restart_service(self) -> None:
        """SIGTERM of a service, and its start."""
        name = self._chance.choice(_SERVICES)
        self._own.cluster.stop(name)
        self._own.cluster.start(name)

    def kill_worker(self) -> None:
        """SIGKILL of a worker process of a service."""
        pid = self._pid(self._chance.choice(_SERVICES[:2]))
        if pid and (workers := psutil.Process(pid).children()):
            self._chance.choice(workers).kill()

    def kill_supervisor(self) -> None:
        """SIGKILL of supervisord, and ``up``, which ends what it had started and starts it anew."""
        pid = self._pid("webapp")
        supervisor = psutil.Process(pid).parent() if pid else None
        if supervisor and supervisor.pid != 1:
            supervisor.kill()
            self._sleep(_HANG_SECONDS)
        self._own.cluster.up()

    def isolate_member(self) -> None:
        """Nobody hears a member, and it hears nobody."""
        self._cut(heard=False, hears=False)

    def deafen_member(self) -> None:
        """A member that asks others is answered, and what it is asked does not arrive."""
        self._cut(heard=True, hears=False)

    def mute_member(self) -> None:
        """What a member is asked arrives and is done, and its answers are lost."""
        self._cut(heard=False, hears=True)

    def fill_disk(self) -> None:
        """Not a byte is free on the disk of one member."""
        if self._filler:
            fill(self._filler)
            self._sleep(_CUT_SECONDS)
            self._filler.unlink(missing_ok=True)
            self._own.cluster.members.start(self._disk.address)

    def jump_clock(self) -> None:
        """The clock of a member is minutes off for some seconds."""
        if self._machine and (member := self._machine.with_clock):
            self._machine.set_clock(member, self._chance.uniform(-_JUMP_SECONDS, _JUMP_SECONDS))
            self._sleep(_CUT_SECONDS)
            self._machine.set_clock(member, 0)

    def _cut(self, *, heard: bool, hears: bool) -> None:
        if self._machine:
            self._machine.cut(self._any(), heard=heard, hears=hears)
            self._sleep(_CUT_SECONDS)
            self._machine.mend()

    def _down(self, members: list[SetMember], how: Callable[[str], None]) -> None:
        for member in members:
            self.about += f" {member.name}"
            how(member.address)
        self._sleep(_HANG_SECONDS)
        for member in members:
            self._own.cluster.members.start(member.address)

    def _sleep(self, seconds: tuple[float, float]) -> None:
        time.sleep(self._chance.uniform(*seconds))

    def _members(self, replica_set: str) -> list[SetMember]:
        return list(self._own.cluster.plan.members_of(replica_set))

    def _any(self) -> SetMember:
        member = self._chance.choice(list(self._own.cluster.plan.members))
        self.about = member.name
        return member

    def _pid(self, name: str) -> int | None:
        self.about = name
        return next((s.pid for s in self._own.cluster.status() if s.name == name), None)


@contextmanager
def nemesis(own: System, machine: Machine | None, seed: int) -> Iterator[Nemesis]:
    """One that can fill the disk of a member, where that can be had."""
    disk = next(member for member in own.cluster.plan.members if (member.replica_set, member.number) == ("rsB", 3))
    if machine is None or not is_inside():
        yield Nemesis(own, None, None, disk, seed)
        return
    members = own.cluster.members
    members.stop(disk.address)
    with small_disk(own.cluster.plan.data_directory(disk)) as filler:
        members.start(disk.address)
        try:
            yield Nemesis(own, machine, filler, disk, seed)
        finally:
            machine.mend()
            members.stop(disk.address)
