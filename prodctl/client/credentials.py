"""Logins on this machine: one file, mode 0600, a login for each webapp URL."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from prodcore.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Login:
    """The tokens of one login."""

    username: str
    access_token: str
    refresh_token: str


class Credentials:
    """The file of logins under the state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "credentials.json"

    def get(self, url: str) -> Login | None:
        """The login at this webapp, None where there is none."""
        entry = self._read().get(url)
        return Login(**entry) if entry else None

    def put(self, url: str, login: Login | None) -> None:
        """Keep a login, or forget it with None. Call it inside ``locked`` where others may write too."""
        logins = self._read()
        if login is None:
            logins.pop(url, None)
        else:
            logins[url] = asdict(login)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(logins, file)
        partial.replace(self._path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other prodctl processes from refreshing the same login at the same time."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            logins: dict[str, dict[str, str]] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except (ValueError, OSError) as error:
            raise ConfigError(f"{self._path} cannot be read: {error}", hint="remove it and log in again") from None
        return logins
