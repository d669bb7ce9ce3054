"""One ``prodctl`` at a time changes an installation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prodcore.errors import ConfigError, Conflict
from prodcore.support import secure_files


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the installation's lock inside the block. Raises Conflict at once when another process has it."""
    path = directory / "lock"
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(secure_files.locked(path, wait=False))
        except BlockingIOError:
            holder = path.read_text(errors="replace")[:20] or "unknown"
            raise Conflict(
                f"another prodctl (process {holder}) is changing this installation", hint="wait until it is done"
            ) from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be used: {(error.strerror or str(error)).lower()}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
