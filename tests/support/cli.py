"""The installed ``prodctl`` as a program of its own: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from click.testing import CliRunner

from prodctl.cli import prodctl
from prodctl.terminal.output import run
from tests.support.waiting import wait_until

PROGRAM = Path(sys.executable).with_name("prodctl")
TIMEOUT_SECONDS = 60
_WAITS = (psutil.STATUS_SLEEPING, psutil.STATUS_ZOMBIE)


@dataclass(frozen=True)
class Answer:
    out: str
    err: str
    status: int

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """Runs commands with an environment of their own, so that nothing of the machine's user is read or written."""

    state_dir: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments, stdin: bytes = b"", **environment) -> Answer:
        done = subprocess.run(
            [PROGRAM, *arguments],
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            env=self._environment(environment),
            check=False,
        )
        return Answer(done.stdout.decode(), done.stderr.decode(), done.returncode)

    def inside(self, *arguments, stdin: bytes = b"", **environment) -> Answer:
        """The same in the process of the tests: for tables of refusals, where starting it is most of the work."""
        wanted = self._environment(environment)
        gone = {name: None for name in os.environ if name not in wanted}
        with CliRunner().isolation(stdin, env=wanted | gone) as (out, err, _both):
            status = run(prodctl, [os.fsdecode(argument) for argument in arguments])
            return Answer(out.getvalue().decode(), err.getvalue().decode(), status)

    @contextmanager
    def started(self, *arguments) -> Iterator[subprocess.Popen[bytes]]:
        """Run in the background, with pipes for stdin, stdout and stderr; killed if it still runs at the end."""
        pipe = subprocess.PIPE
        environment = self._environment({})
        with subprocess.Popen([PROGRAM, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as running:
            try:
                yield running
            finally:
                running.kill()

    def on_terminal(self, *arguments, answers: dict[str, str | Callable[[], str]], columns: int = 80) -> Answer:
        """Run on a terminal, typing each answer once its question is there; ``out`` is the whole screen.

        An answer may be a function: what happens while somebody thinks.
        """
        environment = self._environment({"COLUMNS": str(columns), "TERM": "xterm"})
        child, terminal = pty.fork()
        if child == 0:
            os.execve(PROGRAM, [str(PROGRAM), *arguments], environment)  # noqa: S606  no shell is meant
        screen, waiting = "", dict(answers)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while select.select([terminal], [], [], max(deadline - time.monotonic(), 0))[0]:
            try:
                screen += os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # the other side has closed it
                break
            for question in [q for q in waiting if q in screen]:
                answer = waiting.pop(question)
                typed = answer if isinstance(answer, str) else answer()
                # A signal between the prompt and the read below it is seen by Python when the read has ended: never.
                wait_until(lambda: psutil.Process(child).status() in _WAITS, "it waits for a key", TIMEOUT_SECONDS)
                os.write(terminal, typed.encode())
        else:
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(terminal)
        return Answer(screen.replace("\r\n", "\n"), "", status)

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PRODCTL_", "DB"))}
        return kept | {"PRODCTL_STATE_DIR": str(self.state_dir), "NO_COLOR": "1"} | self.environment | more
