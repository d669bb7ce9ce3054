"""A command at the far end of a lossy ``exec``: nothing it writes gets lost, because it waits until all was read.

``incus exec`` drops what a command wrote last when that ends before the server has read it; on a busy machine one short
command in twenty loses its whole output. So the far end does not end by itself: it writes a mark after the command's
output, on both streams, and stays until its standard input is closed, which happens here when both marks have arrived.
"""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import suppress
from typing import IO

# Gets the mark, the length of the command's input, and the command.
FAR_END = (
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


def exchange(command: list[str], input: bytes, mark: bytes, seconds: float) -> tuple[int, bytes, bytes]:
    """Run a command line with ``FAR_END`` at its end; its own status and both streams with their marks.

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
