"""Files that only their owner may read: the one writer, reader and lock of them.

A crash, even of the machine, leaves the old or the new content, never half of it. No symbolic link is followed at the
file's own name: whoever can put one there would choose what is read or overwritten.

And where a program that must go on writes its log: a line that cannot be written is lost, and nothing else happens. The
reader of a pipe may die, hang or fall behind, and a disk may be full: neither may break an answer, nor hold it up.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from prodcore.errors import ConfigError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private_directory(path: Path) -> None:
    """Make a directory with mode 0700, or give an existing one of ours that mode. Raises ConfigError."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"the directory {path} cannot be used: {(error.strerror or str(error)).lower()}",
            hint="PRODCTL_STATE_DIR names another place for what prodctl keeps",
        ) from None


def write_private(path: Path, content: str | bytes) -> bool:
    """Write a file with mode 0600, through a new file beside it. Returns whether the content changed."""
    data = content.encode() if isinstance(content, str) else content
    if is_written(path, data):
        return False
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600, and new in any case
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)  # else the new name may be lost with the power
    finally:
        os.close(directory)
    return True


def read_private(path: Path) -> bytes:
    """The content of a file that must be ours alone.

    Raises FileNotFoundError, OSError; ConfigError for one that others may read or write, or could have put there.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_mode & _OTHERS:
            raise ConfigError(
                f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})", hint=f"chmod 600 {path}"
            )
        if found.st_uid not in (os.geteuid(), 0):
            raise ConfigError(f"{path} belongs to another user", hint=f"remove {path}")
        return file.read()


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[int]:
    """Hold the lock that a file stands for, among processes; its descriptor.

    Raises BlockingIOError at once when another process has it and ``wait`` is False; OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def is_written(path: Path, content: str | bytes) -> bool:
    """Whether the file is as ``write_private`` would write it."""
    data = content.encode() if isinstance(content, str) else content
    try:
        found = path.lstat()
        return stat.S_ISREG(found.st_mode) and not found.st_mode & _OTHERS and path.read_bytes() == data
    except OSError:
        return False


class LogOutput:
    """Lines to a stream's file, at once and without waiting; several processes may write to the same pipe.

    ``stream`` is ``sys.stdout`` or ``sys.stderr``; None, as Python has it for one that was closed, takes everything.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._file = -1
        self._is_torn = False
        if stream is None:
            return
        with suppress(OSError, ValueError):
            self._file = stream.fileno()
            # A terminal or a file is shared with others, who expect it to wait; it does not hang either.
            if stat.S_ISFIFO(kind := os.fstat(self._file).st_mode) or stat.S_ISSOCK(kind):
                os.set_blocking(self._file, False)

    def line(self, text: str) -> None:
        """Write a line, as much of it as goes in."""
        if self._file < 0:
            return
        data = f"\n{text}\n" if self._is_torn else f"{text}\n"
        encoded = data.encode("utf-8", "backslashreplace")
        with suppress(OSError):
            self._is_torn = os.write(self._file, encoded) < len(encoded)

    # What structlog calls, whatever the level.
    msg = log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = line
