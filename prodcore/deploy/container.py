"""Containers, spoken to through their agent: a script on standard input, one round trip a task; many at once."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from prodcore.deploy.spec import PRODCTL_PROGRAM, RELEASES_DIR
from prodcore.errors import Unavailable
from prodcore.incus import Incus

_BOOT = "import sys;s=sys.stdin.buffer;exec(s.read(int(s.readline())))"
_NOT_THERE = (126, 127)


class Container:
    """A container of a deployment. Every call raises Unavailable with what its inside said when it cannot do it."""

    def __init__(self, incus: Incus, name: str) -> None:
        self.name = name
        self._incus = incus

    def ask(self, task: str, request: dict[str, Any] | None = None, *, content: bytes = b"", seconds: float) -> Any:
        """Let the agent carry out one task; its answer. Secrets are safe in the request: it goes by stdin."""
        script = resources.files("prodcore.deploy").joinpath("agent.py").read_bytes()
        asked = json.dumps({**(request or {}), "task": task}).encode()
        given = b"%d\n%s%d\n%s%s" % (len(script), script, len(asked), asked, content)
        done = self._incus.execute(self.name, ["python3", "-c", _BOOT], input=given, timeout_seconds=seconds)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            raise Unavailable(
                f"{self.name}: its python3 exited with status {done.status}: {_last_line(done.stderr)}"
            ) from None
        if "error" in answer:
            raise Unavailable(f"{self.name}: {answer['error']}")
        return answer["answer"]

    def prodctl(self, task: str, request: dict[str, Any], *, release: str = "", seconds: float) -> Any:
        """Let the prodctl that is installed there carry out a task of ``deploy inside``; None where there is none."""
        program = f"{RELEASES_DIR}/{release}/bin/prodctl" if release else PRODCTL_PROGRAM
        argv = [program, "deploy", "inside", task]
        done = self._incus.execute(self.name, argv, input=json.dumps(request).encode(), timeout_seconds=seconds)
        if done.status in _NOT_THERE:
            return None
        if done.status:
            said = done.stderr.decode(errors="replace").strip()
            raise Unavailable(f"{self.name}: {said.removeprefix('Error: ') or f'{task} exited with {done.status}'}")
        return json.loads(done.stdout)

    def output(self, argv: list[str], *, seconds: float) -> bytes:
        """What a command there writes."""
        done = self._incus.execute(self.name, argv, timeout_seconds=seconds)
        if done.status:
            raise Unavailable(f"{self.name}: {argv[0]} exited with status {done.status}: {_last_line(done.stderr)}")
        return done.stdout

    def push(self, path: str, source: Path, *, seconds: float) -> None:
        """Copy an executable file of this machine into it."""
        self._incus.push(self.name, path, source, mode=0o755, timeout_seconds=seconds)


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no word"
