"""Files that only their owner may read, written so that a crash leaves the old or the new content, never half of it."""

from __future__ import annotations

import os
from pathlib import Path

from prodcore.errors import ConfigError


def make_private_directory(path: Path) -> None:
    """Make a directory with mode 0700, or give an existing one of ours that mode. Raises ConfigError."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"the directory {path} cannot be used: {(error.strerror or str(error)).lower()}",
            hint="choose another one with --dir, or set PRODCTL_STATE_DIR",
        ) from None


def write_private(path: Path, text: str) -> bool:
    """Write a file with mode 0600, through a new file beside it. Returns whether the content changed."""
    try:
        if path.read_text(encoding="utf-8") == text:
            path.chmod(0o600)
            return False
    except FileNotFoundError:
        pass
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return True
