#!/usr/bin/env python3
"""What the system costs while nobody asks it, and what a command costs: processor time, which others hardly disturb.

    make bench-idle            or: python -m bench.idle --minutes 5

First everything that `prodctl local up` starts is left alone for a minute, and then measured minute by minute. Then
each command runs a number of times, and the least processor time of it counts, children included; beside them stand
the interpreter, click and pymongo alone.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.system import System, load, processor_seconds, running_system

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import click'": ["-c", "import click"],
    "python -c 'import pymongo'": ["-c", "import pymongo"],
    **{
        f"prodctl {line}": ["-m", "prodctl", *line.split()]
        for line in ("--help", "product list", "product add Arroz --price 1.20", "cluster status", "whoami")
    },
}
"""`product add` adds one product, and is refused from the second time on, which costs as much."""


def main() -> int:
    """Set up, measure, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=int, default=5)
    options.add_argument("--settle", type=int, default=60, metavar="SECONDS")
    options.add_argument("--times", type=int, default=15, help="how often each command runs")
    given = options.parse_args()
    print(f"before: {load()}")
    with running_system(daemons=True) as system:
        time.sleep(given.settle)
        minutes = [one_minute(system) for _ in range(given.minutes)]
        report_idle(minutes)
        print(f"meanwhile: {load()}")
        for name, arguments in COMMANDS.items():
            print(f"{name:<42}{least(system, arguments, given.times):.3f} s")
    return 0


def one_minute(system: System) -> dict[str, float]:
    """Processor seconds of each program within the next minute."""
    before, began = processor_seconds(system.cluster), time.monotonic()
    time.sleep(60)
    after, passed = processor_seconds(system.cluster), time.monotonic() - began
    return {name: (after[name] - before[name]) * 60 / passed for name in after}


def report_idle(minutes: list[dict[str, float]]) -> None:
    """A line a program, the median and the range of its minutes; then all of them."""
    sums = {"together": [sum(minute.values()) for minute in minutes]}
    for name, values in {**{name: [m[name] for m in minutes] for name in sorted(minutes[0])}, **sums}.items():
        median = statistics.median(values)
        print(f"{name:<42}{median:.2f} s a minute ({min(values):.2f}–{max(values):.2f})")


def least(system: System, arguments: list[str], times: int) -> float:
    """The least processor time that a command takes."""
    environment = system.environment | {"PRODCTL_ENV_FILE": str(system.cluster.plan.env_file("operator"))}
    spent = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(  # noqa: S603  a fixed command
            [sys.executable, *arguments], env=environment, cwd=Path("/"), capture_output=True, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


if __name__ == "__main__":
    sys.exit(main())
