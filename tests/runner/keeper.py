"""Run commands so that nothing of them is left, however they end: ``python -m tests.runner.keeper DIRECTORY COMMANDS``.

COMMANDS is a JSON list of commands; the first one that fails is the last. What they start and do not end becomes a
child of this process, which says what it was and kills it: then the status is not 0. A command is told to end by
SIGINT, as by Ctrl-C, when this process is asked to end or whoever started it has died; asked once more, it is killed.
Test beds and mounts below DIRECTORY are removed. DIRECTORY/processor then holds the processor seconds of all of it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
_SUBREAPER, _PARENT_DEATH = 36, 1
_ENDING_SECONDS = 20.0
"""What is ending by itself has so long: a supervisor that was told to stop, the helpers of a browser."""


class Keeper:
    """Runs one command after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._asked = 0
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, commands: Sequence[Sequence[str]]) -> int:
        """The exit status of the first that failed, 1 where none did and something was left."""
        become_parent_of_orphans()
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGTERM, self._end)
        status = next((s for s in map(self._run, commands) if s), 0)
        left = [*_remove_test_beds(self._directory), *_kill_descendants(), *_unmount(self._directory)]
        if left and not self._asked:
            print("Left behind, and removed:", *left, sep="\n  ", flush=True)
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        (self._directory / "processor").write_text(f"{spent.ru_utime + spent.ru_stime:.0f}")
        return status or int(bool(left))

    def _run(self, command: Sequence[str]) -> int:
        if self._asked:
            return 128 + signal.SIGINT
        self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
        while True:
            ended, status = os.waitpid(-1, 0)  # orphans end here too
            if ended == self._child.pid:
                self._child.returncode = code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code

    def _end(self, *_: object) -> None:
        self._asked += 1
        if self._child and self._child.returncode is None:
            self._child.send_signal(signal.SIGINT if self._asked == 1 else signal.SIGKILL)


def become_parent_of_orphans() -> None:
    """What loses its parent below this process comes to it; and this process is told when its own parent dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_SUBREAPER, 1), (_PARENT_DEATH, signal.SIGTERM)):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def _remove_test_beds(directory: Path) -> list[str]:
    """Their namespaces, mounts and cgroups end with their processes."""
    left = sorted(directory.glob("tmp/prodctl-testbed-*"))
    for bed in left:
        subprocess.run(
            [ROOT / "scripts/incus-testbed", "down"], env=os.environ | {"PRODCTL_TESTBED": str(bed)}, check=False
        )
    return [str(bed) for bed in left]


def _unmount(directory: Path) -> list[str]:
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    left = [mount for mount in mounts if Path(mount).is_relative_to(directory)]
    for mount in reversed(left):
        subprocess.run(["umount", "--lazy", mount], check=False)
    return left


def _kill_descendants() -> list[str]:
    """What still ran after a moment, by its command line."""
    me = psutil.Process()
    deadline = time.monotonic() + _ENDING_SECONDS
    while (left := _alive(me)) and time.monotonic() < deadline:
        psutil.wait_procs(list(left), timeout=0.1)
    said = [f"process {process.pid}: {line}" for process, line in left.items()]
    while left := _alive(me):  # those that the killed ones leave come next
        for process in left:
            process.kill()
        psutil.wait_procs(list(left), timeout=1.0)
    return said


def _alive(me: psutil.Process) -> dict[psutil.Process, str]:
    """Our descendants and their command lines."""
    found = {}
    for process in me.children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found[process] = " ".join(process.cmdline()) or process.name()
        except psutil.Error:  # it has just ended
            continue
    return found


if __name__ == "__main__":
    sys.exit(Keeper(Path(sys.argv[1])).run(json.loads(sys.argv[2])))
