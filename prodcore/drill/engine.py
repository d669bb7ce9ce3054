"""The drill from start to end. Whatever ends it, what it broke is put back and what it stored is removed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from prodcore.drill.events import OnProgress, Progress, Step
from prodcore.drill.faults import Faults
from prodcore.drill.journal import Broken, Journal
from prodcore.drill.ledger import Ledger
from prodcore.drill.limits import missed_limits
from prodcore.drill.load import LoadRate, running_load
from prodcore.drill.plan import TARGET_PRIMARY, TARGET_RANDOM, DrillPlan, Fault
from prodcore.drill.ports import Guards, SetAccess, SetWatch, Traffic
from prodcore.drill.preflight import objections
from prodcore.drill.report import DrillReport, report_round
from prodcore.drill.restore import clean_up, restore_leftovers
from prodcore.drill.round import Round, RoundResult
from prodcore.drill.verdict import Verdict, judge
from prodcore.errors import CommandRefused, InvalidInput, NoPrimary, Problem, Unavailable
from prodcore.processes.control import MemberControl
from prodcore.replicaset.diagnostic import ProblemLine, problem_line
from prodcore.replicaset.status import SECONDARY, Member, SetStatus

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
    journal: Journal
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
    """Why the drill must not begin now; empty when it may. Touches nothing. Raises InvalidInput for unknown sets."""
    if unknown := [name for name in plan.sets if name not in parts.sets]:
        known = ", ".join(parts.sets)
        raise InvalidInput(problems=[Problem("set", "unknown", f"there is no set {unknown[0]}; there are {known}")])
    judged = parts.judged(plan)
    with ThreadPoolExecutor(max_workers=len(judged)) as pool:
        statuses = list(pool.map(lambda access: access.inspect(), judged.values()))
    if plan.compare_guard and not parts.guards.on_duty():
        return [problem_line("no_guard")]
    if plan.fault is Fault.PARTITION and (why := parts.control.cannot_isolate()):
        return [problem_line("cannot_isolate", why=why)]
    if plan.fault is Fault.CONTAINER and (why := parts.control.cannot_stop_host()):
        return [problem_line("cannot_stop_host", why=why)]
    return objections(plan, statuses, parts.control.addresses()) or [
        problem_line("import_at_work", what=what) for access in judged.values() for what in access.imports_at_work()
    ]


def run_drill(plan: DrillPlan, parts: Parts, on_progress: OnProgress, ledger: Ledger | None = None) -> DrillReport:
    """Drill. Raises Unavailable when it cannot begin, DrillRunning when another one is at work.

    ``ledger`` is an empty one that somebody else wants to read meanwhile.
    """
    with parts.journal.lock():
        restore_leftovers(parts.journal, parts.control, parts.sets, on_progress)
        on_progress(Progress(Step.PREFLIGHT, ", ".join(plan.sets)))
        if against := preflight(plan, parts):
            raise Unavailable("the drill cannot begin: " + "; ".join(against), hint="prodctl cluster status shows more")
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
        started_at, started = datetime.now(UTC), time.monotonic()
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
        self._emit(Progress(Step.LOAD, f"{self._plan.writes_per_second:g} writes a second on each set"))
        results: list[RoundResult] = []
        try:
            for number in range(1, self._plan.rounds + 1):
                results += self._one_round(number, watches)
                if self._plan.compare_guard and not any(r.problem for r in results):
                    with self._guards_away():
                        results += self._one_round(number, watches, extra=True)
                if any(r.problem for r in results):
                    break
            self._settle()
        except BaseException:
            self._ledger.abort()
            raise
        return results

    @contextmanager
    def _guards_away(self) -> Iterator[None]:
        """Without guards, and without what they have done: else a secondary would still follow their successor."""
        self._parts.guards.send_away(3 * self._plan.recovery_seconds)
        try:
            for access in self._sets.values():
                status = access.inspect()
                for member in (m.address for m in status.members if m.role == SECONDARY):
                    with suppress(CommandRefused):
                        access.follow(member, _primary(status).address)
            yield
        finally:
            self._parts.guards.call_back()

    def _one_round(self, number: int, watches: Mapping[str, SetWatch], *, extra: bool = False) -> list[RoundResult]:
        """The round on every set at once. When it is interrupted, each set's thread puts its member back first."""
        if guarded := self._parts.guards.on_duty():
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
        return primary if primary in self._faults.fallen(Broken(status.name, chosen, self._plan.fault)) else chosen

    def _judge(self) -> Verdict:
        self._emit(Progress(Step.JUDGE, "a majority read of every member"))
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
