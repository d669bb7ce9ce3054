"""One round on one set: break, watch, put back, wait until all is as before, and say how long what took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from prodcore.drill.faults import Broken, DrillJournal, Fault, Faults
from prodcore.drill.ledger import Ledger
from prodcore.drill.plan import DrillPlan, DrillStep, OnProgress, Progress
from prodcore.drill.verdict import Found
from prodcore.errors import ProdError, Unavailable
from prodcore.replicaset.status import Member
from prodcore.replicaset.steering import SetWatch, Steerable

_UNSAFE_WRITES = 10
_UNSAFE_SECONDS = 3.0
_CONTINUED_WRITES = 3
"""So many acknowledged writes that began after the election show that writing goes on."""


@dataclass(frozen=True, slots=True)
class Election:
    """The last election, from the winner's own record; times are of the wall clock, in seconds."""

    term: int
    reason: str
    started_at: float


class SetAccess(Steerable, Protocol):
    """One set, its members asked directly, and the drill's own records in it."""

    def last_election(self, primary: str) -> Election | None:
        """How this primary came to be it."""

    def read_everywhere(self, run: str, members: Sequence[str], deadline: float) -> dict[str, list[Found]]:
        """A drill's records in a majority read of every member, once each has caught up. Raises Unavailable."""

    def imports_at_work(self) -> list[str]:
        """Imports of products that go on at this moment, a few words each."""


@dataclass(frozen=True, slots=True)
class TimedStep:
    """A step of a round; ``at`` in monotonic seconds."""

    at: float
    step: DrillStep
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What one round on one set did and saw."""

    number: int
    set_name: str
    member: str
    old_primary: str
    new_primary: str
    """The same as before when there was no election; empty when none was found in time."""
    term_before: int
    term_after: int
    election_reason: str
    started: float
    ended: float
    steps: tuple[TimedStep, ...]
    problem: str = ""
    """What did not happen in time."""
    guarded: bool = False
    """Whether a guard was active."""
    extra: bool = False
    """Whether the guards were disabled for this one, to see the difference."""

    @property
    def hit_primary(self) -> bool:
        """Whether the fault was done to the primary, so that an election must follow."""
        return self.member == self.old_primary

    @property
    def is_vacuous(self) -> bool:
        """Whether nothing happened that could prove anything."""
        detected = any(s.step is DrillStep.DETECTED for s in self.steps)
        return not detected or (self.hit_primary and self.term_after <= self.term_before)

    @property
    def fault_at(self) -> float:
        """When the fault was done."""
        return next((s.at for s in self.steps if s.step is DrillStep.FAULT), self.started)


class Round:
    """Does one round. Whatever happens in it, ``restore`` puts the member back."""

    def __init__(
        self,
        number: int,
        access: SetAccess,
        members: Sequence[str],
        watch: SetWatch,
        faults: Faults,
        journal: DrillJournal,
        ledger: Ledger,
        plan: DrillPlan,
        on_progress: OnProgress,
        *,
        guarded: bool = False,
        extra: bool = False,
    ) -> None:
        self._guarded = guarded
        self._extra = extra
        self._number = number
        self._set = access
        self._members = members
        self._watch = watch
        self._faults = faults
        self._journal = journal
        self._ledger = ledger
        self._plan = plan
        self._emit = on_progress
        self._steps: list[TimedStep] = []

    def run(self, primary: Member, member: str) -> RoundResult:
        """Break ``member``, put it back, and wait until the set is whole. A wait that ends in vain is in the result."""
        started = time.monotonic()
        where = (self._number, self._set.name, member, primary.address)
        result = RoundResult(*where, "", primary.term or 0, 0, "", started, started, ())
        result = replace(result, guarded=self._guarded, extra=self._extra)
        broken = Broken(self._set.name, member, self._plan.fault)
        problem = ""
        try:
            self._journal.breaking(broken)
            try:
                problem = self._break_and_watch(broken, result)
            finally:
                restored_at = self.restore(broken)
            problem = problem or self._wait_whole(broken, restored_at)
        except ProdError as error:
            problem = problem or error.message
        return self._finish(replace(result, problem=problem))

    def restore(self, broken: Broken) -> float:
        """Put the member back, and note that; returns when."""
        at = self._note(DrillStep.RESTORE, broken.member)
        self._faults.undo(broken)
        self._journal.mended(broken)
        return at

    def _break_and_watch(self, broken: Broken, result: RoundResult) -> str:
        """Do the fault, and wait until the set has recovered from it; returns what did not happen in time."""
        fault_at = self._note(DrillStep.FAULT, f"{broken.fault} {broken.member}")
        deadline = fault_at + self._plan.recovery_seconds
        with self._secondaries_dead(broken, deadline):
            self._faults.inject(broken)
        if not result.hit_primary:
            return self._watch_secondary(broken, fault_at, deadline)
        lost = self._watch.wait_for_role(
            broken.member, ("Unknown", "SECONDARY", "OTHER"), fault_at, min(deadline, fault_at + self._detection())
        )
        if lost is None:
            return "no member noticed the fault"
        self._note(DrillStep.DETECTED, at=lost.at)
        if self._is_whole_set(broken):
            return ""  # nobody is left to be elected, and nothing to wait for, before they are back
        seen = self._watch.wait_for_new_primary(broken.member, fault_at, deadline)
        if seen is None:
            return "there was no new primary in time"
        self._note(DrillStep.NEW_PRIMARY, seen.primary, at=seen.at)
        return self._wait_writes(seen.at, deadline)

    @contextmanager
    def _secondaries_dead(self, broken: Broken, deadline: float) -> Iterator[None]:
        """For the drill that must find losses: nobody else is alive, and what the primary acknowledges only it has.

        Pausing them would not do: the primary streams its oplog, and they would find it in their socket's buffer.
        """
        others = [a for a in self._members if a != broken.member] if broken.fault.deed.kills_secondaries_first else []
        dead = [Broken(self._set.name, address, Fault.KILL) for address in others]
        try:
            for each in dead:
                self._journal.breaking(each)
                self._faults.inject(each)
            if dead:
                until = min(deadline, time.monotonic() + _UNSAFE_SECONDS)
                self._ledger.wait_for_acknowledged(self._set.name, _UNSAFE_WRITES, time.monotonic(), until)
            yield
        finally:
            for each in dead:
                self._faults.undo(each)
                self._journal.mended(each)

    def _watch_secondary(self, broken: Broken, fault_at: float, deadline: float) -> str:
        lost = self._watch.wait_for_role(
            broken.member, ("Unknown",), fault_at, min(deadline, fault_at + self._detection())
        )
        if lost is None:
            return "no member noticed the fault"
        self._note(DrillStep.DETECTED, at=lost.at)
        return self._wait_writes(lost.at, deadline)

    def _wait_writes(self, since: float, deadline: float) -> str:
        if not self._ledger.wait_for_acknowledged(self._set.name, _CONTINUED_WRITES, since, deadline):
            return "no write was acknowledged in time"
        return ""

    def _is_whole_set(self, broken: Broken) -> bool:
        return set(self._members) <= set(self._faults.affected(broken))

    def _detection(self) -> float:
        """How long the fault may stay unnoticed before it counts as none."""
        return min(15.0, self._plan.recovery_seconds)

    def _wait_whole(self, broken: Broken, restored_at: float) -> str:
        """Wait until the member is back, has caught up, and writing goes on."""
        deadline = restored_at + self._plan.recovery_seconds
        back = self._watch.wait_for_role(broken.member, ("SECONDARY", "PRIMARY"), restored_at, deadline)
        if back is None:
            return f"{broken.member} did not come back in time"
        self._note(DrillStep.BACK, broken.member, at=max(back.at, restored_at))
        if self._is_whole_set(broken):
            seen = self._watch.wait_for_new_primary("", restored_at, deadline)
            if seen is None:
                return "there was no primary in time after all members were back"
            self._note(DrillStep.NEW_PRIMARY, seen.primary, at=seen.at)
        self._set.wait_caught_up(deadline)
        caught_up = self._note(DrillStep.CAUGHT_UP, broken.member)
        return self._wait_writes(caught_up, deadline)

    def _finish(self, result: RoundResult) -> RoundResult:
        """Add what the members themselves say of the election, and the first request that each kind got through."""
        ended = self._note(DrillStep.OVER)
        try:
            after = self._set.inspect().primary
            election = self._set.last_election(after.address) if after else None
        except Unavailable:
            after = election = None
        if election and election.term > result.term_before:
            at = min(max(ended - (time.time() - election.started_at), result.started), ended)
            self._note(DrillStep.ELECTION, election.reason, at=at)
        first_primary = next((s.detail for s in self._steps if s.step is DrillStep.NEW_PRIMARY), "")
        return replace(
            result,
            new_primary=first_primary or (after.address if after else ""),
            term_after=(after.term or 0) if after else 0,
            election_reason=election.reason if election and election.term > result.term_before else "",
            ended=ended,
            steps=tuple(sorted(self._steps, key=lambda s: s.at)),
        )

    def _note(self, step: DrillStep, detail: str = "", at: float | None = None) -> float:
        moment = time.monotonic() if at is None else at
        self._steps.append(TimedStep(moment, step, detail))
        self._emit(Progress(step, detail, self._set.name, {"moment": moment, **self._since_fault(moment)}))
        return moment

    def _since_fault(self, moment: float) -> dict[str, Any]:
        faults: Sequence[float] = [s.at for s in self._steps if s.step is DrillStep.FAULT]
        return {"seconds_since_fault": moment - faults[0]} if faults else {}
