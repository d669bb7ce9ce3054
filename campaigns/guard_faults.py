"""The guard killed, paused or doubled at any moment of a failover: never worse than without it.

    python -m campaigns.guard_faults [--times 3] [--only doubled …]

A drill kills the primary of a set under load; at a moment around that the guard is killed, is paused (and goes on when
the set is whole again, with all it believed before), or a second one begins. The same drill without any guard, in the
same run, says what is to be beaten. Exit status 1 when a write was lost or doubled, when a request failed, when there
were elections after the paused guard went on, or when a gap is longer than the longest without a guard.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from campaigns.gaps import SET, wait_for_guard
from campaigns.system import System, options, print_table, system
from prodcore.app.drills import open_drill
from prodcore.drill.engine import run_drill
from prodcore.drill.faults import Fault
from prodcore.drill.plan import DrillPlan, DrillStep, Progress
from prodcore.drill.report import DrillReport

NOTHING, KILLED, PAUSED, DOUBLED = TROUBLES = ("nothing", "killed", "paused", "doubled")
MOMENTS = (-0.5, 0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.2, 0.5, 1.0)
"""Seconds after the primary was killed."""
_SLACK_SECONDS = 0.5
"""By so much two runs of the same differ on a busy machine."""
_AFTERWARDS_SECONDS = 3.0


@dataclass
class Trouble:
    """What was done to the guard, and what came of it."""

    what: str
    gaps: list[float] = field(default_factory=list)
    elections: list[int] = field(default_factory=list)
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    """Why they failed, and when after the fault."""
    broken: int = 0
    afterwards: int = 0
    """Elections after a paused guard went on."""

    def add(self, report: DrillReport, afterwards: int) -> None:
        """A drill of one round."""
        [of] = report.rounds
        if report.is_vacuous or of.result.problem:
            raise RuntimeError(f"the drill proves nothing: {of.result.problem or 'no election'}")
        self.gaps.append(report.write_gap() or 0.0)
        self.elections.append(of.result.term_after - of.result.term_before)
        self.failed += report.verdict.failed
        fault = of.result.fault_at
        self.errors += [
            f"{a.operation} in {a.set_name} {a.error} from {a.begun - fault:.2f} s to {a.ended - fault:.2f} s"
            for a in report.attempts
            if a.error
        ]
        self.broken += report.verdict.broken
        self.afterwards += afterwards


@contextmanager
def harmed(of: System, what: str) -> Iterator[Callable[[], None]]:
    """What is to be called at the moment; afterwards the guard is as before."""
    guard = next((p.pid for p in of.cluster.status() if p.name == "guard"), None) or 0
    if what in (KILLED, PAUSED) and not guard:
        raise RuntimeError("no guard is active: a signal to process 0 would reach this program itself")
    second: list[subprocess.Popen[bytes]] = []

    def harm() -> None:
        if what == DOUBLED:
            environment = {**os.environ, "PRODCTL_STATE_DIR": str(of.state_dir)}
            command = [sys.executable, "-m", "prodctl", "cluster", "guard"]
            second.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))  # noqa: S603  ours
        elif what in (KILLED, PAUSED):
            with suppress(ProcessLookupError):
                os.kill(guard, signal.SIGKILL if what == KILLED else signal.SIGSTOP)

    try:
        yield harm
    finally:
        if what == PAUSED:
            os.kill(guard, signal.SIGCONT)
        for process in second:
            process.terminate()
            process.wait(20)


def fail_over(of: System, trouble: Trouble, moment: float) -> None:
    """One drill, with the trouble at that moment."""
    with open_drill(of.operator, of.cluster.members) as parts, harmed(of, trouble.what) as harm:
        ready = threading.Event()

        def watch(progress: Progress) -> None:
            if progress.step is DrillStep.FAULT:
                threading.Timer(max(0.0, moment), harm).start()
                ready.wait(max(0.0, -moment))  # the member is killed when this returns

        report = run_drill(DrillPlan((SET,), Fault.KILL, baseline_seconds=1.0), parts, watch)
        before = of.terms()[SET]
    ready.wait(_AFTERWARDS_SECONDS)
    trouble.add(report, of.terms()[SET] - before)


def guard_faults(of: System, moments: tuple[float, ...], times: int, only: Sequence[str] = TROUBLES) -> list[Trouble]:
    """Every trouble at every moment, so many times; the guard has its successor before each."""
    troubles = [Trouble(what) for what in only]
    for trouble in troubles:
        for moment in moments:
            for _ in range(times):
                wait_for_guard(of)
                fail_over(of, trouble, moment)
        print(f"  {trouble.what}: {[round(gap, 3) for gap in trouble.gaps]}", flush=True)
    return troubles


def without_guard(of: System, count: int) -> Trouble:
    """What is to be beaten."""
    absent = Trouble("no guard at all")
    of.cluster.stop("guard")
    for _ in range(count):
        fail_over(of, absent, 0.0)
    of.cluster.start("guard")
    return absent


def wrong(troubles: list[Trouble], absent: Trouble) -> list[str]:
    """What must not be."""
    limit = max(absent.gaps) + _SLACK_SECONDS
    found = [
        f"{t.what}: {max(t.gaps):.3f} s, without a guard {max(absent.gaps):.3f} s"
        for t in troubles
        if max(t.gaps) > limit
    ]
    for t in troubles:
        found += [f"{t.what}: {t.broken} writes lost, doubled or wrong"] * bool(t.broken)
        found += [f"{t.what}: {t.failed} requests failed: {'; '.join(t.errors)}"] * bool(t.failed)
        found += [f"{t.what}: {t.afterwards} elections afterwards"] * bool(t.afterwards)
    return found


def show(troubles: list[Trouble], absent: Trouble) -> None:
    """The table."""
    rows = [
        (t.what, len(t.gaps), f"{max(t.gaps):.2f} s", max(t.elections), t.afterwards, t.failed, t.broken)
        for t in (absent, *troubles)
    ]
    heads = (
        "the guard was",
        "failovers",
        "longest gap",
        "elections, most",
        "elections afterwards",
        "failed",
        "lost, doubled or wrong",
    )
    print_table(f"kill -9 of the primary of {SET} under 50 writes a second.", heads, rows)


def main() -> int:
    """Run and judge."""
    parser = options(__doc__)
    parser.add_argument("--times", type=int, default=3, help="at each moment")
    parser.add_argument("--only", nargs="+", choices=TROUBLES, default=TROUBLES, help="these troubles")
    given = parser.parse_args()
    with system(guard=True) as of:
        troubles = guard_faults(of, MOMENTS, given.times, given.only)
        absent = without_guard(of, len(MOMENTS))
    show(troubles, absent)
    found = wrong(troubles, absent)
    for line in found:
        print(f"WRONG: {line}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
