"""Can only their owner read the files with secrets?"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prodcore.doctor.check import Check, State

GROUP = "files"

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file or directory that must be private."""

    path: str
    mode: int
    owner: int


def look_at(paths: Iterable[Path]) -> Iterator[FileFacts]:
    """Mode and owner of those that exist."""
    for path in paths:
        try:
            seen = path.stat()
        except OSError:
            continue
        yield FileFacts(str(path), stat.S_IMODE(seen.st_mode), seen.st_uid)


def judge_private(files: Iterable[FileFacts], owners: Iterable[int]) -> Iterator[Check]:
    """Each file that others may read or that belongs to somebody else; ``owners`` are the users it may belong to."""
    allowed, good = set(owners), 0
    for file in files:
        if file.mode & _OTHERS:
            tight = f"{file.mode & ~_OTHERS:o}"
            text = f"others may use it (mode {file.mode:04o})"
            yield Check(GROUP, file.path, State.PROBLEM, text, f"chmod {tight} {file.path}")
        elif file.owner not in allowed:
            text = f"it belongs to user {file.owner}, who can read and change it"
            yield Check(GROUP, file.path, State.PROBLEM, text, f"chown {min(allowed)} {file.path}")
        else:
            good += 1
    yield Check(GROUP, "secrets", State.OK, f"{good} files and directories, for their owner alone")


def private_places(state_dir: Path, env_file: Path, config: Path, secret_settings: Iterable[str]) -> Iterator[Path]:
    """Where secrets may be on this machine: login, env file, credentials, local cluster, deployments, settings."""
    yield from (env_file, state_dir / "credentials.json")
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    yield from (Path(credentials), *_below(Path(credentials))) if credentials else ()
    local = state_dir / "local"
    yield from (local, *(local / name for name in ("keyfile", "secrets.json", "trust.json", "supervisor.sock")))
    yield from (local / name for name in ("setup-code", "setup-code-sealed"))
    yield from (*_below(local / "env"), local / "auth-keys", *_below(local / "auth-keys"))
    for deployment in _below(state_dir / "deploy"):
        yield from (deployment, *_below(deployment))
    if _holds_a_secret(config, secret_settings):
        yield config


def _below(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _holds_a_secret(config: Path, secret_settings: Iterable[str]) -> bool:
    try:
        given = tomllib.loads(config.read_text())
    except (OSError, ValueError):
        return False
    return bool({name.lower() for name in given} & set(secret_settings))
