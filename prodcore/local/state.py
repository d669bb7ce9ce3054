"""What a local cluster remembers about itself, in ``cluster.json``; the file also marks the directory as ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodcore.errors import ConfigError
from prodcore.installation.mongod import Mongod
from prodcore.support.secure_files import make_private_directory, write_private

if TYPE_CHECKING:
    from prodcore.mongo.admin.replica_set_admin import DatabaseUser

STATE_FILE = "cluster.json"
_FORMAT = 1


@dataclass(slots=True)
class LocalState:
    """``ports`` as the cluster was made; ``ready_sets`` are set up, with the fingerprint of the users they got."""

    ports: dict[str, int]
    mongod: dict[str, str] = field(default_factory=dict)
    ready_sets: dict[str, str] = field(default_factory=dict)
    renewing: list[str] = field(default_factory=list)
    """Programs that run and may not have read their env files as they are now."""
    tls: bool = False
    """Whether members and services were started with TLS."""
    format: int = _FORMAT

    def known_mongod(self) -> Mongod | None:
        """The mongod that the members were last started with."""
        if not self.mongod:
            return None
        return Mongod(Path(self.mongod["path"]), self.mongod["version"], self.mongod["origin"])

    def remember_mongod(self, mongod: Mongod) -> None:
        """Keep which mongod it is."""
        self.mongod = {"path": str(mongod.path), "version": mongod.version, "origin": mongod.origin}


def load_state(directory: Path) -> LocalState | None:
    """What is remembered, None where there is no local cluster. Raises ConfigError for a file we cannot use."""
    path = directory / STATE_FILE
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        state = LocalState(**document)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}",
            hint="choose a directory of your own with --dir",
        ) from None
    except (ValueError, TypeError):
        raise ConfigError(f"{path} is damaged", hint="prodctl local destroy, then start again") from None
    if state.format != _FORMAT:
        raise ConfigError(f"{path} was written by another version of prodctl (format {state.format})")
    return state


def save_state(directory: Path, state: LocalState) -> None:
    """Remember it."""
    kept = {name: value for name, value in asdict(state).items() if name != "tls" or value}  # as it was before TLS
    write_private(directory / STATE_FILE, json.dumps(kept, indent=2) + "\n")


def claim_directory(directory: Path) -> None:
    """Make the directory ours. Raises ConfigError when it holds something else, or cannot be used."""
    if directory.exists() and load_state(directory) is None:
        try:
            strange = next((entry.name for entry in directory.iterdir() if entry.name != "lock"), None)
        except OSError as error:
            raise ConfigError(f"{directory} cannot be used: {(error.strerror or str(error)).lower()}") from None
        if strange is not None:
            raise ConfigError(
                f"{directory} holds {strange} and no local cluster: nothing was changed", hint="choose another --dir"
            )
    make_private_directory(directory)


def users_fingerprint(users: Iterable[DatabaseUser]) -> str:
    """Changes with names, passwords and roles; says nothing about the passwords."""
    text = json.dumps([asdict(user) for user in users], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
