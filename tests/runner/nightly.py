"""What takes too long for every change, one after the other: ``make nightly``, ``make nightly-short``.

One table at the end: what each was to show, and whether it did. Their status is theirs to judge; the campaigns write
tables of their own, which stand in the log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.runner import report
from tests.runner.keeper import ROOT


@dataclass(frozen=True)
class Proof:
    """A command and what its exit status 0 shows. ``short`` are arguments with which it takes a minute or two."""

    name: str
    aim: str
    command: tuple[str, ...]
    short: tuple[str, ...] = ()


def _campaign(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"campaigns.{name}")


PROOFS = (
    Proof(
        "every test",
        "all pass, also in every width, theme and language; ten kills of an apply; ten minutes of fuzz",
        (str(ROOT / "scripts/test"), "--pytest", "--nightly"),
    ),
    Proof(
        "renames",
        "1,000 renames to and fro under readers, 240 kills: every product once in every reading",
        _campaign("renames"),
        ("--renames", "60", "--kills", "1", "--products", "30"),
    ),
    Proof(
        "kills",
        "50 rounds of kills of every set at once: nothing lost, a witness agrees",
        _campaign("kills"),
        ("--rounds", "1"),
    ),
    Proof(
        "gaps",
        "the write gap of each fault within its limit, with MongoDB's defaults beside it",
        _campaign("gaps"),
        ("--rounds", "1", "--idle-seconds", "1", "--idle-systems", "1", "--events", "kill", "switchover"),
    ),
    Proof(
        "process kills",
        "200 kills of any process under load: no wrong answer, whole again within a minute",
        _campaign("processes"),
        ("--kills", "2"),
    ),
    Proof(
        "races",
        "500 races of four for one SKU, 80 deaths in between, 100 of each other race: nothing given twice",
        _campaign("races"),
        ("--skus", "20", "--others", "5", "--kills", "1"),
    ),
    Proof(
        "consistency",
        "an hour of random clients and faults: every promise kept",
        _campaign("consistency.run"),
        ("--seconds", "20"),
    ),
    Proof(
        "range moves",
        "a third shard filled and emptied under load, the mover killed: nothing failed, lost, doubled or misplaced",
        _campaign("range_moves"),
        ("--products", "300", "--seconds", "5", "--kills", "1"),
    ),
    Proof(
        "soak",
        "ten minutes of busy processors, ten of a slow network: no election",
        _campaign("soak"),
        ("--minutes", "0.05"),
    ),
    Proof(
        "abuse",
        "held connections cost others nothing, and floods no more than their share",
        _campaign("abuse"),
        ("--seconds", "1", "--only", "body"),
    ),
    Proof(
        "guard faults",
        "a guard that is killed, paused or doubled makes no failover worse",
        _campaign("guard_faults"),
        ("--times", "1"),
    ),
    Proof(
        "shard outage",
        "a shard killed and hanging: no request for the other one fails or waits",
        _campaign("shard_outage"),
        ("--seconds", "4"),
    ),
)
_LONG = {
    "DEPLOY_KILLS": "10",
    "FUZZ_SECONDS": "600",
    "FUZZ_PHASES": "examples,coverage,fuzzing,stateful",
    "RANGE_MOVE_RUNS": "400",
}


def main(*arguments: str) -> int:
    """Run all, or those named; with --short only the campaigns, in their shortest form. 1 when one missed its aim."""
    short, named = "--short" in arguments, {a for a in arguments if a != "--short"}
    proofs = [p for p in PROOFS if (not named or p.name in named) and (p.short or not short)]
    lines, missed = ["| proof | aim | minutes | |", "|---|---|--:|---|"], []
    for proof in proofs:
        print(report.rule(proof.name), flush=True)
        began = time.monotonic()
        status = _run([*proof.command, *(proof.short if short else ())])
        verdict = "met" if status == 0 else f"missed, status {status}"
        lines.append(f"| {proof.name} | {proof.aim} | {(time.monotonic() - began) / 60:.1f} | {verdict} |")
        if status:
            missed.append(proof.name)
    print(report.rule("nightly"), *lines, "", sep="\n")
    print(f"Missed: {', '.join(missed)}." if missed else "Every aim was met.")
    return int(bool(missed))


def _run(command: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="pn-") as directory:
        keeper = [sys.executable, "-m", "tests.runner.keeper", directory, json.dumps([command])]
        environment = os.environ | _LONG | {"TMPDIR": str(Path(directory, "tmp"))}
        Path(directory, "tmp").mkdir()
        return subprocess.run(keeper, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
