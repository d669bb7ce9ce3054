"""One ``prodctl`` at a time changes an installation."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prodcore.errors import ConfigError, Conflict


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the installation's lock inside the block. Raises Conflict at once when another process has it."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{directory / 'lock'} cannot be used: {(error.strerror or str(error)).lower()}") from None
    try:
        _take(descriptor)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace") or "unknown"
        raise Conflict(
            f"another prodctl (process {holder}) is changing this installation", hint="wait until it is done"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
