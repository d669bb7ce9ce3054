"""Starting supervisord, and clearing away what a crashed one has left."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from prodcore.errors import ClusterUnavailable
from prodcore.local.plan import LocalPlan
from prodcore.local.render import MARKER_VARIABLE
from prodcore.processes.supervisord import Supervisor

if TYPE_CHECKING:
    import psutil

_START_SECONDS = 30.0
_TERMINATE_SECONDS = 15.0
_KEPT_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_CONFIG_HOME")


def open_files_limit() -> int:
    """How many files a process of this user may have open at most."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def launch_supervisor(plan: LocalPlan) -> subprocess.Popen[str]:
    """Start supervisord, which goes to the background by itself; see ``wait_supervisor``."""
    return subprocess.Popen(  # noqa: S603  our own interpreter, a fixed module, our own file
        [plan.python, "-m", "supervisor.supervisord", "-c", str(plan.supervisor_config)],
        env=_environment(plan.directory),
        cwd=plan.directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        umask=0o077,
    )


def wait_supervisor(plan: LocalPlan, launched: subprocess.Popen[str]) -> None:
    """Wait until supervisord answers. Raises ClusterUnavailable."""
    said, _ = launched.communicate(timeout=_START_SECONDS)
    supervisor = Supervisor(plan.supervisor_socket)
    ends = time.monotonic() + (_START_SECONDS if launched.returncode == 0 else 0.0)
    while not supervisor.is_alive():
        if time.monotonic() > ends:
            last = said.strip().splitlines()[-1:]
            raise ClusterUnavailable(
                f"supervisord does not start{''.join(f': {line}' for line in last)}",
                hint=f"its log is {plan.log('supervisord')}",
            )
        time.sleep(0.01)


def clear_remains(plan: LocalPlan) -> int:
    """End every process that an earlier supervisord of this directory has left; returns how many there were.

    Found by the marker in their environment, so only what we started, and only of this user.
    """
    import psutil

    left = _marked(plan.directory)
    # supervisord itself first, frozen perhaps: it must not start again what is ended next.
    for process in left:
        if _is_supervisord(process):
            _end(process, psutil.Process.kill)
    for process in left:
        _end(process, psutil.Process.resume)
        _end(process, psutil.Process.terminate)
    _gone, stubborn = psutil.wait_procs(left, timeout=_TERMINATE_SECONDS)
    for process in stubborn:
        _end(process, psutil.Process.kill)
    psutil.wait_procs(stubborn, timeout=_TERMINATE_SECONDS)
    plan.supervisor_socket.unlink(missing_ok=True)
    return len(left)


def _marked(directory: Path) -> list[psutil.Process]:
    import psutil

    marked = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == os.getuid() and process.environ().get(MARKER_VARIABLE) == str(directory):
                marked.append(process)
    return [process for process in marked if process.pid != os.getpid()]


def _is_supervisord(process: psutil.Process) -> bool:
    import psutil

    with contextlib.suppress(psutil.Error):
        return "supervisor.supervisord" in process.cmdline()
    return False


def _end(process: psutil.Process, how: object) -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        how(process)  # type: ignore[operator]


def _environment(directory: Path) -> dict[str, str]:
    """What supervisord and its programs see: nothing of the caller's own settings, which would win over env files."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return kept | {MARKER_VARIABLE: str(directory)}
