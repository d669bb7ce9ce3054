"""Incus, through its own command line: the one place that starts ``incus``.

The command line knows remotes, certificates and projects already, so an operator needs nothing but a working ``incus``.
Arguments are lists, never a shell's text; what may be secret travels by standard input only, because arguments can be
read by everybody on the machine.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from prodcore.errors import IncusRefused, IncusUnavailable, InvalidInput, OutcomeUnknown, Problem

# ``incus exec`` drops what a command wrote last when that ends before the server has read it; on a busy machine one
# short command in twenty loses its whole output. So the far end does not end by itself: it writes a mark after the
# command's output, on both streams, and stays until its standard input is closed, which happens here when both marks
# have arrived. It gets the mark, the length of the command's input, and the command.
_FAR_END = (
    'mark=$1 length=$2; shift 2; head -c "$length" | "$@"; status=$?; '
    'printf %s "$mark"; printf "%s%d$" "$mark" "$status" >&2; exec cat >/dev/null'
)


class _Stream:
    """What one stream brings, until it ends."""

    def __init__(self, file: IO[bytes], mark: bytes, end: bytes) -> None:
        self.data = bytearray()
        self.is_complete = threading.Event()
        """The mark has arrived, or nothing will come any more."""
        self._mark, self._end = mark, end
        self.thread = threading.Thread(target=self._read, args=(file,), daemon=True)
        self.thread.start()

    def _read(self, file: IO[bytes]) -> None:
        while chunk := file.read1(65536):  # type: ignore[attr-defined]  # a pipe's reader has it
            self.data += chunk
            if self.data.endswith(self._end) and self._mark in self.data[-len(self._mark) - 8 :]:
                self.is_complete.set()
        self.is_complete.set()


def _exchange(command: list[str], input: bytes, mark: bytes, seconds: float) -> tuple[int, bytes, bytes]:
    """Run a command line with ``_FAR_END`` at its end; its own status and both streams with their marks.

    Raises FileNotFoundError when there is no such program, TimeoutExpired when time runs out.
    """
    ends = time.monotonic() + seconds
    pipe = subprocess.PIPE
    # In a group of its own: Ctrl-C is for us, and what is put back meanwhile must not be cut off.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, process_group=0) as process:  # noqa: S603
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("a pipe that was asked for is missing")
        out, err = _Stream(process.stdout, mark, mark), _Stream(process.stderr, mark, b"$")
        writer = threading.Thread(target=_write, args=(process.stdin, input), daemon=True)
        writer.start()
        try:
            is_in_time = all(s.is_complete.wait(max(0.0, ends - time.monotonic())) for s in (out, err))
            if not is_in_time:
                raise subprocess.TimeoutExpired(command, seconds)
            writer.join(max(0.0, ends - time.monotonic()))
            with suppress(BrokenPipeError):
                process.stdin.close()
            status = process.wait(max(0.1, ends - time.monotonic()))
        except BaseException:
            process.kill()
            raise
        for stream in (out, err):
            stream.thread.join(1.0)
        return status, bytes(out.data), bytes(err.data)


def _write(file: IO[bytes], content: bytes) -> None:
    with suppress(BrokenPipeError, ValueError):
        file.write(content)
        file.flush()


_ANSWER_SECONDS = 30.0
_NAME = re.compile(r"[a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command in a container ended."""

    status: int
    """Its exit status; 128 and the signal's number for one that a signal ended."""
    stdout: bytes
    stderr: bytes


class Incus:
    """One project of one Incus; ``remote`` as ``incus remote list`` shows it, empty for the default one.

    Every call raises IncusUnavailable when Incus does not answer at all, IncusRefused with Incus's own reason when it
    will not do it, OutcomeUnknown when time ran out on something that may still happen, and InvalidInput for a name or
    path that cannot be.
    """

    def __init__(self, remote: str = "", project: str = "default") -> None:
        if remote:
            check_name("remote", remote)
        check_name("project", project)
        self._prefix = f"{remote}:" if remote else ""
        self._project = project

    @cached_property
    def host_address(self) -> str:
        """Where the ports of its host are reached from here; empty behind a NAT, where only some are passed on."""
        name = self._prefix.rstrip(":") or self.run("remote", "get-default").decode().strip()
        listed = json.loads(self.run("remote", "list", "--format", "json"))
        parts = urlsplit(str(listed[name]["Addr"]))
        if parts.scheme == "unix":
            return "127.0.0.1"
        host = parts.hostname or ""
        return "" if host in ("127.0.0.1", "localhost", "::1") else host

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine."""
        return self.host_address == "127.0.0.1"

    def at(self, name: str) -> str:
        """The name of an instance, network, profile or image, with the remote before it, for ``run``."""
        check_name("name", name)
        return self._prefix + name

    def query(
        self, method: str, path: str, body: Any | None = None, *, timeout_seconds: float = _ANSWER_SECONDS
    ) -> Any:
        """One request to Incus's REST API, waited for to its end; what it answers. No secret may be in ``body``."""
        arguments = ["query", "--wait", "--request", method]
        if body is not None:
            arguments += ["--data", json.dumps(body)]
        # The one command that does not know --project.
        url = f"{self._prefix}{path}{'&' if '?' in path else '?'}project={self._project}"
        done = self._call([*arguments, "--", url], b"", timeout_seconds, changes=method != "GET")
        return json.loads(self._or_refused(done, f"{method} {path}").stdout or b"null")

    def execute(
        self, instance: str, argv: list[str], *, input: bytes = b"", timeout_seconds: float = _ANSWER_SECONDS
    ) -> Finished:
        """Run a command in a container as root. Its own failure is for the caller to judge."""
        if not argv:
            raise InvalidInput(problems=[Problem("argv", "missing", "names no command")])
        mark = secrets.token_hex(16)  # known to nobody else, so a failure of the command is never one of Incus
        wrapped = ["sh", "-c", _FAR_END, "sh", mark, str(len(input)), *argv]
        command = self._command(["exec", "-T", self.at(instance), "--", *wrapped])
        with _translated("exec", timeout_seconds, changes=True):
            status, stdout, stderr = _exchange(command, input, mark.encode(), timeout_seconds)
        said, found, ended = stderr.rpartition(mark.encode())
        if not found:
            self._or_refused(Finished(status or 1, stdout, stderr), f"{argv[0]} in {instance}")
        return Finished(int(ended.rstrip(b"$")), stdout.removesuffix(mark.encode()), said)

    def push(
        self,
        instance: str,
        path: str,
        content: bytes | Path,
        *,
        mode: int = 0o644,
        owner: tuple[int, int] = (0, 0),
        timeout_seconds: float = 300.0,
    ) -> None:
        """Write a file, and directories above it where there are none. ``owner`` is user and group as numbers."""
        check_path(path)
        flags = ["--create-dirs", f"--mode={mode:04o}", f"--uid={owner[0]}", f"--gid={owner[1]}"]
        arguments = ["file", "push", *flags, "--", "-", self.at(instance) + path]
        if isinstance(content, bytes):
            done = self._call(arguments, content, timeout_seconds)
        else:
            with content.open("rb") as file:
                done = self._call(arguments, file, timeout_seconds)
        self._or_refused(done, f"writing {path} in {instance}")

    def pull(self, instance: str, path: str, *, timeout_seconds: float = 300.0) -> bytes:
        """Read a file."""
        check_path(path)
        arguments = ["file", "pull", "--", self.at(instance) + path, "-"]
        done = self._call(arguments, b"", timeout_seconds, changes=False)
        return self._or_refused(done, f"reading {path} in {instance}").stdout

    def run(self, *arguments: str, input: bytes = b"", timeout_seconds: float = 300.0) -> bytes:
        """Any other ``incus`` command; what it wrote. Names go through ``at`` and come after ``--``."""
        done = self._call(list(arguments), input, timeout_seconds)
        return self._or_refused(done, " ".join(arguments[:2])).stdout

    def _call(
        self, arguments: list[str], input: bytes | IO[bytes], seconds: float, *, changes: bool = True
    ) -> Finished:
        with _translated(arguments[0], seconds, changes=changes), _whole(input) as stdin:
            # In a group of its own: Ctrl-C is for us, and what is put back meanwhile must not be cut off.
            done = subprocess.run(  # noqa: S603  a list, no shell
                self._command(arguments),
                stdin=stdin,
                capture_output=True,
                timeout=seconds,
                check=False,
                process_group=0,
            )
        return Finished(done.returncode, done.stdout, done.stderr)

    def _command(self, arguments: list[str]) -> list[str]:
        project = [] if arguments[0] == "query" else ["--project", self._project]
        return ["incus", "--quiet", *project, *arguments]

    def _or_refused(self, done: Finished, what: str) -> Finished:
        if done.status == 0:
            return done
        reason = done.stderr.decode(errors="replace").strip().rpartition("Error: ")[2] or "no reason given"
        asked = self._call(["query", "--", self._prefix + "/1.0"], b"", _ANSWER_SECONDS, changes=False)
        if asked.status:
            raise IncusUnavailable(f"Incus does not answer: {reason}", hint="incus remote list, incus info")
        raise IncusRefused(f"{what}: {reason}")


@contextmanager
def _whole(input: bytes | IO[bytes]) -> Iterator[IO[bytes]]:
    """The input as a file that has no name.

    Through a pipe, ``incus`` outlives us with half of it: killed before it was written, an apply left containers
    without their configuration, which are nobody's.
    """
    if not isinstance(input, bytes):
        yield input
        return
    with tempfile.TemporaryFile() as file:
        file.write(input)
        file.seek(0)
        yield file


@contextmanager
def _translated(what: str, seconds: float, *, changes: bool) -> Iterator[None]:
    """No program is no Incus; no answer in time is an unknown outcome, unless nothing could change."""
    try:
        yield
    except FileNotFoundError:
        raise IncusUnavailable("the command incus is not installed", hint="apt-get install incus-client") from None
    except subprocess.TimeoutExpired:
        text = f"incus {what} gave no answer within {seconds:.0f} s"
        if not changes:
            raise IncusUnavailable(text) from None
        raise OutcomeUnknown(text, hint="check what exists, then repeat it") from None


def check_name(field: str, name: str) -> None:
    """Raise InvalidInput for what is no name of a thing in Incus, and might be taken for an option or a remote."""
    if not _NAME.fullmatch(name) or name.startswith("-"):
        raise InvalidInput(
            problems=[Problem(field, "pattern", f"{name!r} is not a name: use letters a-z, digits, hyphens")]
        )


def check_path(path: str) -> None:
    """Raise InvalidInput for what is no absolute path of a file."""
    if not path.startswith("/") or path.endswith("/") or ".." in path.split("/") or "\0" in path:
        raise InvalidInput(problems=[Problem("path", "pattern", f"{path!r} is not an absolute path of a file")])
