"""Rounds of kill -9 on a random member of every set at once, under load through the REST API.

    python -m campaigns.kills [--rounds 50]

``prodctl failover-test --all --member random`` runs beside a witness: clients of its own, with its own reading of
every member afterwards. Exit status 1 when either of them finds a write lost, doubled or wrong, or a request that
failed, when fewer than a third of the faults brought an election, or when the two do not agree on the longest gap.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from campaigns.system import System, options, print_table, system
from campaigns.witness import Witness

_AGREE_SECONDS = 0.5
"""By so much the gaps of two clients of the same set may differ, and by what the witness waits for its turn."""
_SHARDS = ("rsA", "rsB")


def campaign(of: System, token: str, rounds: int) -> tuple[dict[str, Any], Witness, list[str], list[str]]:
    """The drill's report, the witness, what is wrong, and where the two saw different gaps (busy machines)."""
    with Witness(of, token) as witness:
        began = time.monotonic()
        report = of.drill("--all", "--member", "random", "--rounds", str(rounds), "--via", "api", "--max-failed", "0")
        ended = time.monotonic()
    wrong = [*report["missed"], *report["verdict"]["examples"], *witness.judge()]
    elections = sum(r["term_after"] > r["term_before"] for r in report["rounds"])
    if elections < len(report["rounds"]) / 3 and rounds > 1:
        wrong.append(f"only {elections} elections in {len(report['rounds'])} faults: this proves little")
    differing = []
    for shard in _SHARDS:
        gaps = [r["write_gap_seconds"] for r in report["rounds"] if r["set"] == shard]
        seen = witness.longest_gap(shard, began, ended)
        if abs(max(gaps) - seen) > _AGREE_SECONDS + witness.usual_gap(shard, began, ended):
            differing.append(f"{shard}: the drill tells a gap of {max(gaps):.3f} s, the witness saw {seen:.3f} s")
    return report, witness, wrong, differing


def show(report: dict[str, Any], witness: Witness) -> None:
    """The table."""
    verdict, rounds = report["verdict"], report["rounds"]
    gaps = sorted(r["write_gap_seconds"] for r in rounds)
    elections = sum(r["term_after"] > r["term_before"] for r in rounds)
    title = (
        f"kill -9 of a random member of every set at once, {report['plan']['rounds']} rounds, through the REST API, "
        f"{'with' if report['guarded'] else 'without'} the guard."
    )
    rows = [
        ("faults; elections that followed", f"{len(rounds)}; {elections}"),
        ("requests acknowledged; renames over the border", f"{verdict['acknowledged']}; {verdict['moved']}"),
        ("lost, duplicated, wrong", f"{verdict['lost']}, {verdict['duplicated']}, {verdict['wrong']}"),
        ("failed requests", verdict["failed"]),
        ("write gap, median; longest", f"{gaps[len(gaps) // 2]:.3f} s; {gaps[-1]:.3f} s"),
        ("the witness: products; faults found", f"{len(witness.expected)}; {len(witness.wrong)}"),
    ]
    print_table(title, ("", "figure"), rows)


def main() -> int:
    """Run and judge."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--without-guard", action="store_true")
    given = parser.parse_args()
    with system(guard=not given.without_guard, services=True) as of:
        report, witness, wrong, differing = campaign(of, of.log_in(), given.rounds)
        show(report, witness)
    for line in (wrong := [*wrong, *differing]):
        print(f"WRONG: {line}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
