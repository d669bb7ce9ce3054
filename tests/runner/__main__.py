"""Every check and every test: ``scripts/test --help``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from tests.runner import report
from tests.runner.machine import ABILITIES
from tests.runner.report import Result
from tests.runner.rings import PREPARATIONS, RINGS, ROOT, Task

_FIRST_PORT, _PORTS_OF_A_TASK = 20_000, 1_200
_INTERRUPTED = 130


def main() -> int:
    """The exit status."""
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    wanted = [ring for ring in RINGS if ring.name in (given.rings or [r.name for r in RINGS])]
    wanted = [ring for ring in wanted if ring.name not in given.without]
    missing = {ring.name: reason for ring in wanted if (reason := _reason_against(ring))}
    runnable = [ring for ring in wanted if ring.name not in missing]
    print(f"This machine runs: {', '.join(ring.name for ring in runnable) or 'nothing'}")
    for name, reason in missing.items():
        print(f"It cannot run {name}: {reason}")
    sys.stdout.flush()
    run = Run(_in_order(runnable), given.jobs, given.pytest)
    try:
        status = run.run(given.installed_in)
    except KeyboardInterrupt:
        print("Interrupted; what ran has been ended.")
        return _INTERRUPTED
    finally:
        run.tidy()
    if missing:
        names = ", ".join(missing)
        print(f"NOT RUN: {names}. To leave them out on purpose: scripts/test --without {' '.join(missing)}")
    return status or bool(missing)


def _arguments() -> argparse.Namespace:
    names = [ring.name for ring in RINGS]
    parser = argparse.ArgumentParser("scripts/test", description=__doc__)
    parser.add_argument("rings", nargs="*", choices=[*names, []], metavar="RING", help=f"{', '.join(names)}; all")
    parser.add_argument("--without", nargs="+", default=[], choices=names, metavar="RING", help="leave these out")
    parser.add_argument("--jobs", type=int, default=2, help="how many run side by side (2)")
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=[], help="all that follows goes to pytest")
    parser.add_argument("--installed-in", type=float, default=0.0, help=argparse.SUPPRESS)
    return parser.parse_args()


def _reason_against(ring: Task) -> str | None:
    return next((reason for ability in ring.needs if (reason := ABILITIES[ability]())), None)


def _in_order(rings: Sequence[Task]) -> list[Task]:
    """With their preparations, which begin as soon as what comes first does."""
    before = [PREPARATIONS[ring.name] for ring in rings if ring.name in PREPARATIONS]
    first = [ring for ring in rings if not ring.needs]
    return [*first, *before, *(ring for ring in rings if ring.needs)]


class Run:
    """Tasks side by side, each below a directory of its own and with ports of its own."""

    def __init__(self, tasks: Sequence[Task], jobs: int, pytest_arguments: Sequence[str]) -> None:
        self._tasks, self._jobs, self._pytest_arguments = tasks, jobs, pytest_arguments
        self._directory = Path(tempfile.mkdtemp(prefix="pt-"))  # short: sockets are made below it
        self._directory.chmod(0o755)  # users of containers pass through
        self._running: dict[Future[Result], subprocess.Popen[bytes]] = {}
        self._results: list[Result] = []

    def run(self, installation: float) -> int:
        """Run all of them, print what became of each, and at the end the times and the failures."""
        began = time.monotonic()
        waiting = list(self._tasks)
        with ThreadPoolExecutor(len(self._tasks) or 1) as pool:
            try:
                while waiting or self._running:
                    self._start(waiting, pool)
                    done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._running.pop(future)
                        self._show(future.result())
            except KeyboardInterrupt:
                self._stop()
                for future in self._running:
                    self._show(future.result())
                raise
        total = time.monotonic() - began
        failed = [result for result in self._results if result.status]
        print(report.times(self._results, installation, total))
        for result in failed:
            print(report.failures(result))
        print(report.rule())
        for result in self._results:
            print(report.short(result))
        print(report.closing(self._results, total), flush=True)
        return int(bool(failed))

    def tidy(self) -> None:
        """Remove what the tasks wrote."""
        shutil.rmtree(self._directory, ignore_errors=True)
        if self._directory.exists():
            print(f"Left behind: {self._directory}")

    def _start(self, waiting: list[Task], pool: ThreadPoolExecutor) -> None:
        ended = {result.name for result in self._results}
        known = {task.name for task in self._tasks}
        for task in list(waiting):
            if len(self._running) >= self._jobs:
                return
            if (set(task.after) & known) <= ended:
                waiting.remove(task)
                began = time.monotonic()
                keeper = self._keeper(task)
                self._running[pool.submit(self._result, task, keeper, began)] = keeper
                print(f"{time.strftime('%H:%M:%S')}  {task.name} begins", flush=True)

    def _keeper(self, task: Task) -> subprocess.Popen[bytes]:
        here = self._directory / task.name
        for name in ("tmp", "home"):
            (here / name).mkdir(parents=True)
            here.chmod(0o755)
        commands = []
        for number, words in enumerate(task.commands):
            own = [f"--junitxml={here}/{number}.xml", f"--basetemp={here}/t{number}", "-p", "no:cacheprovider"]
            commands.append([*words, *own, *self._pytest_arguments] if task.tests else list(words))
        command = [sys.executable, "-m", "tests.runner.keeper", str(here), json.dumps(commands)]
        with (here / "output").open("wb") as output:
            return subprocess.Popen(
                command, cwd=ROOT, env=self._environment(task), stdout=output, stderr=output, start_new_session=True
            )

    def _environment(self, task: Task) -> dict[str, str]:
        """Nothing of this user's: neither settings nor files. Only downloads come from and go where they always do."""
        here, home = self._directory / task.name, Path.home()
        cache = Path(os.environ.get("XDG_CACHE_HOME", home / ".cache"))
        first = _FIRST_PORT + _PORTS_OF_A_TASK * [t.name for t in self._tasks].index(task.name)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PRODCTL_", "DB", "XDG_"))}
        return kept | {
            "HOME": str(here / "home"),
            "TMPDIR": str(here / "tmp"),
            "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(cache / "pip")),
            "PIP_CONFIG_FILE": os.environ.get("PIP_CONFIG_FILE", str(home / ".config/pip/pip.conf")),
            "PRODCTL_TESTBED_CACHE": os.environ.get("PRODCTL_TESTBED_CACHE", str(cache / "prodctl-testbed")),
            "PRODCTL_WHEELHOUSE_CACHE": os.environ.get("PRODCTL_WHEELHOUSE_CACHE", str(cache / "prodctl-wheelhouse")),
            "TEST_PORTS": f"{first}-{first + _PORTS_OF_A_TASK}",
        }

    def _result(self, task: Task, keeper: subprocess.Popen[bytes], began: float) -> Result:
        status = keeper.wait()
        here = self._directory / task.name
        output = (here / "output").read_text(errors="replace")
        result = Result(task.name, time.monotonic() - began, status, output, task.prepares)
        spent = here / "processor"
        result.processor = float(spent.read_text()) if spent.exists() else 0.0
        result.read(sorted(here.glob("*.xml")))
        return result

    def _show(self, result: Result) -> None:
        self._results.append(result)
        print(report.rule(result.name))
        print(result.output.rstrip())
        print(report.rule(report.short(result)), flush=True)

    def _stop(self) -> None:
        """Tell all to end, and wait: what they started is put away. Once more kills them."""
        for keeper in self._running.values():
            keeper.send_signal(signal.SIGINT)
        try:
            for keeper in self._running.values():
                keeper.wait()
        except KeyboardInterrupt:
            self._stop()


if __name__ == "__main__":
    sys.exit(main())
