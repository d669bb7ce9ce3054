"""The drill from preflight to clean-up. Whatever ends it, what it broke is put back and what it stored is removed.

What a killed drill left behind is put back before the next one begins.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from prodcore.drill.faults import Broken, DrillJournal, Faults, Unfinished
from prodcore.drill.ledger import Ledger
from prodcore.drill.load import LoadRate, Traffic, running_load
from prodcore.drill.plan import TARGET_PRIMARY, TARGET_RANDOM, DrillPlan, DrillStep, OnProgress, Progress
from prodcore.drill.report import DrillReport, missed_limits, report_round
from prodcore.drill.round import Round, RoundResult, SetAccess
from prodcore.drill.verdict import Verdict, judge
from prodcore.errors import CommandRefused, NoPrimary, ShardNotFound, Unavailable
from prodcore.processes.control import MemberControl
from prodcore.replicaset.diagnostic import ProblemLine, problem_line
from prodcore.replicaset.status import SECONDARY, Member, SetStatus
from prodcore.replicaset.steering import Guards, SetWatch

_WARM_UP_WRITES = 10
_GUARD_READY_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What bootstrap wires for one drill."""

    run: str
    """The drill's id, one word; its records carry it."""
    sets: Mapping[str, SetAccess]
    """Every set, by name."""
    shards: frozenset[str]
    """The sets of products. One can move to another, so all of them are judged together."""
    traffic: Callable[[str], Traffic]
    """Opens the load's way to a set."""
    control: MemberControl
    journal: DrillJournal
    budget_seconds: float
    """What one request may take."""
    guards: Guards
    settle: Callable[[], None]
    """Finishes what a request left half done when its process died. Raises Unavailable when it cannot."""

    def judged(self, plan: DrillPlan) -> dict[str, SetAccess]:
        """The sets in which a record of this drill could be."""
        names = plan.judged(self.shards)
        return {name: access for name, access in self.sets.items() if name in names}

    def drills_products(self, plan: DrillPlan) -> bool:
        """Whether the load is on products."""
        return not self.shards.isdisjoint(plan.sets)


def preflight(plan: DrillPlan, parts: Parts) -> list[ProblemLine]:
    """Why the drill must not begin now; empty when it may. Touches nothing.

    Raises ShardNotFound, MemberNotFound.
    """
    if unknown := [name for name in plan.sets if name not in parts.sets]:
        raise ShardNotFound(f"there is no set {unknown[0]}; there are {', '.join(parts.sets)}", shard=unknown[0])
    judged = parts.judged(plan)
    with ThreadPoolExecutor(max_workers=len(judged)) as pool:
        statuses = list(pool.map(lambda access: access.inspect(), judged.values()))
    if plan.compare_guard and not parts.guards.any_active():
        return [problem_line("no_guard")]
    if why := plan.fault.deed.unmet(parts.control):
        return [problem_line("fault_not_possible", why=why)]
    return objections(plan, statuses, parts.control.addresses()) or [
        problem_line("import_at_work", what=what) for access in judged.values() for what in access.imports_at_work()
    ]


def run_drill(plan: DrillPlan, parts: Parts, on_progress: OnProgress, ledger: Ledger | None = None) -> DrillReport:
    """Drill. Raises Unavailable when it cannot begin, DrillRunning when another one is at work.

    ``ledger`` is an empty one that somebody else wants to read meanwhile.
    """
    with parts.journal.lock():
        restore_leftovers(parts.journal, parts.control, parts.sets, on_progress)
        on_progress(Progress(DrillStep.PREFLIGHT, ", ".join(plan.sets)))
        if against := preflight(plan, parts):
            raise Unavailable("the drill cannot start: " + "; ".join(against), hint="prodctl cluster status shows more")
        parts.journal.open(parts.run, tuple(parts.judged(plan)))
        try:
            return _Drill(plan, parts, on_progress, ledger or Ledger()).run()
        finally:
            clean_up(parts.journal, parts.control, parts.sets, on_progress)


class _Drill:
    def __init__(self, plan: DrillPlan, parts: Parts, on_progress: OnProgress, ledger: Ledger) -> None:
        self._plan = plan
        self._parts = parts
        self._emit = on_progress
        self._sets = {name: parts.sets[name] for name in plan.sets}
        self._ledger = ledger
        self._faults = Faults(parts.control, parts.sets)
        self._random = random.Random()  # noqa: S311  which member falls is no secret

    def run(self) -> DrillReport:
        """Load, rounds, judgement."""
        started_at, started = datetime.now(UTC), self._ledger.start()
        with ExitStack() as stack:
            watches = {name: access.watch() for name, access in self._sets.items()}
            traffics = [self._parts.traffic(name) for name in self._sets]
            for close in (*(w.close for w in watches.values()), *(t.close for t in traffics)):
                stack.callback(close)
            rate = LoadRate(self._plan.writers, self._plan.interval, self._parts.budget_seconds)
            with running_load(traffics, self._ledger, rate):
                results = self._rounds(watches)
            verdict = self._judge()
        attempts = self._ledger.attempts()
        rounds = tuple(report_round(r, attempts, self._plan) for r in results)
        missed = tuple(missed_limits(self._plan.limits, verdict, rounds))
        return DrillReport(
            self._parts.run, started_at, started, time.monotonic(), self._plan, rounds, verdict, missed, attempts
        )

    def _rounds(self, watches: Mapping[str, SetWatch]) -> list[RoundResult]:
        self._emit(Progress(DrillStep.LOAD, f"{self._plan.writes_per_second:g} writes a second on each set"))
        results: list[RoundResult] = []
        try:
            for number in range(1, self._plan.rounds + 1):
                results += self._one_round(number, watches)
                if self._plan.compare_guard and not any(r.problem for r in results):
                    with self._guards_disabled():
                        results += self._one_round(number, watches, extra=True)
                if any(r.problem for r in results):
                    break
            self._settle()
        except BaseException:
            self._ledger.abort()
            raise
        return results

    @contextmanager
    def _guards_disabled(self) -> Iterator[None]:
        """Without guards, and without what they have done: else a secondary would still follow their successor."""
        self._parts.guards.disable(3 * self._plan.recovery_seconds)
        try:
            for access in self._sets.values():
                status = access.inspect()
                for member in (m.address for m in status.members if m.role == SECONDARY):
                    with suppress(CommandRefused):
                        access.follow(member, _primary(status).address)
            yield
        finally:
            self._parts.guards.enable()

    def _one_round(self, number: int, watches: Mapping[str, SetWatch], *, extra: bool = False) -> list[RoundResult]:
        """The round on every set at once. When it is interrupted, each set's thread puts its member back first."""
        if guarded := self._parts.guards.any_active():
            self._parts.guards.wait_ready(self._plan.sets, _GUARD_READY_SECONDS)
        if not self._settle():
            raise Unavailable("the sets do not keep up with the load")
        before = {name: access.inspect() for name, access in self._sets.items()}
        primaries = {name: _primary(status) for name, status in before.items()}
        targets = {name: self._choose(status) for name, status in before.items()}
        rounds = {
            name: Round(
                number,
                access,
                [m.address for m in before[name].members],
                watches[name],
                self._faults,
                self._parts.journal,
                self._ledger,
                self._plan,
                self._emit,
                guarded=guarded,
                extra=extra,
            )
            for name, access in self._sets.items()
        }
        with ThreadPoolExecutor(max_workers=len(rounds)) as pool:
            running = [pool.submit(rounds[name].run, primaries[name], targets[name]) for name in rounds]
            try:
                return [r.result() for r in running]
            except BaseException:
                self._ledger.abort()
                for watch in watches.values():
                    watch.abort()
                raise

    def _settle(self) -> bool:
        """Let the load run undisturbed for the baseline, counted in acknowledged writes rather than slept."""
        since = time.monotonic()
        count = max(_WARM_UP_WRITES, int(self._plan.writes_per_second * self._plan.baseline_seconds))
        deadline = since + self._plan.recovery_seconds
        return all(self._ledger.wait_for_acknowledged(name, count, since, deadline) for name in self._sets)

    def _choose(self, status: SetStatus) -> str:
        """Whom the fault is done to. A primary that falls with the container of the chosen one stands for it."""
        primary, chosen = _primary(status).address, self._plan.target
        if chosen == TARGET_PRIMARY:
            return primary
        if chosen == TARGET_RANDOM:
            chosen = self._random.choice([m.address for m in status.members])
        elif member := status.member(chosen):
            chosen = member.address
        return primary if primary in self._faults.affected(Broken(status.name, chosen, self._plan.fault)) else chosen

    def _judge(self) -> Verdict:
        self._emit(Progress(DrillStep.JUDGE, "a majority read of every member"))
        deadline = time.monotonic() + self._plan.recovery_seconds
        if self._parts.drills_products(self._plan):
            self._parts.settle()
        found = {
            name: access.read_everywhere(self._parts.run, [m.address for m in access.inspect().members], deadline)
            for name, access in self._parts.judged(self._plan).items()
        }
        return judge(self._ledger.attempts(), found)


def _primary(status: SetStatus) -> Member:
    if status.primary is None:
        raise NoPrimary(f"{status.name} has no primary", shard=status.name)
    return status.primary


MAX_LAG_SECONDS = 5.0
MIN_FREE_DISK_BYTES = 500_000_000


def objections(plan: DrillPlan, sets: Sequence[SetStatus], controlled: Collection[str]) -> list[ProblemLine]:
    """Why this drill must not begin now, a sentence each; empty when it may.

    ``controlled`` are the addresses of the members whose processes can be broken and put back.
    """
    found = [line for status in sets for line in _set_objections(status)]
    found += _target_objections(plan, sets)
    if plan.fault.deed.needs_control and not found:
        found += [
            problem_line("not_controlled", member=m.address)
            for s in sets
            for m in s.members
            if m.address not in controlled
        ]
    return found


def _set_objections(status: SetStatus) -> list[ProblemLine]:
    if status.primary is None:
        return [problem_line("set_without_primary", set=status.name)]
    found = list(status.problems)
    secondaries = [m for m in status.members if m.role == SECONDARY]
    working = len(secondaries) + 1
    if working < status.majority + 1:
        found.append(problem_line("majority_at_stake", set=status.name, working=working, needed=status.majority))
    for member in secondaries:
        lag = status.lag_seconds(member)
        if lag is not None and lag > MAX_LAG_SECONDS:
            found.append(problem_line("lag", set=status.name, member=member.address, seconds=lag))
    found += [
        problem_line("little_disk", set=status.name, member=m.address, megabytes=m.free_disk_bytes / 1e6)
        for m in status.members
        if m.free_disk_bytes is not None and m.free_disk_bytes < MIN_FREE_DISK_BYTES
    ]
    return list(dict.fromkeys(found))


def _target_objections(plan: DrillPlan, sets: Sequence[SetStatus]) -> list[ProblemLine]:
    if plan.target in (TARGET_PRIMARY, TARGET_RANDOM):
        hits_anybody = plan.fault.deed.only_primary and plan.target == TARGET_RANDOM
        return [problem_line("only_primary_steps_down")] if hits_anybody else []
    drilled = [s for s in sets if s.name in plan.sets]
    for status in drilled:
        status.required_member(plan.target)
    if plan.fault.deed.only_primary:
        others = [s.primary.address for s in drilled if s.primary and s.primary != s.member(plan.target)]
        return [problem_line("another_is_primary", primary=address) for address in others]
    return []


RESTORE_SECONDS = 60.0


def restore_leftovers(
    journal: DrillJournal, control: MemberControl, sets: Mapping[str, SetAccess], on_progress: OnProgress
) -> Unfinished | None:
    """Put back what an earlier drill left; returns what that was, None when there was nothing. Hold the lock."""
    left = journal.unfinished()
    if left is not None:
        on_progress(Progress(DrillStep.RESTORED, f"drill {left.run} was interrupted; restoring what it left behind"))
        clean_up(journal, control, sets, on_progress)
    return left


def clean_up(
    journal: DrillJournal, control: MemberControl, sets: Mapping[str, SetAccess], on_progress: OnProgress
) -> None:
    """Put back every member that the journal names, remove the records, and close the journal."""
    left = journal.unfinished()
    if left is None:
        return
    faults = Faults(control, sets)
    deadline = time.monotonic() + RESTORE_SECONDS
    for broken in left.broken:
        faults.undo(broken)
        _wait_for_member(sets[broken.set_name], broken.member, deadline)
        journal.mended(broken)
        on_progress(Progress(DrillStep.RESTORED, f"{broken.member} ({broken.fault})", broken.set_name))
    removed = sum(_remove(sets[name], left.run, deadline) for name in left.sets)
    on_progress(Progress(DrillStep.CLEANUP, f"{removed} records of drill {left.run} removed"))
    journal.close()


def _wait_for_member(access: SetAccess, member: str, deadline: float) -> None:
    watch = access.watch()
    try:
        if watch.wait_for_role(member, ("PRIMARY", "SECONDARY"), 0.0, deadline) is None:
            raise Unavailable(f"{member} was started and does not come back", hint="prodctl cluster status shows more")
    finally:
        watch.close()


def _remove(access: SetAccess, run: str, deadline: float) -> int:
    """Remove the records, once there is a primary to do it."""
    watch = access.watch()
    try:
        if watch.wait_for_new_primary("", 0.0, deadline) is None:
            raise NoPrimary(f"{access.name} has no primary: the drill's records are still there", shard=access.name)
    finally:
        watch.close()
    return access.remove_records(run)
