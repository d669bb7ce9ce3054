"""What webapp's workers know of authsvc, in a file that outlives them.

A worker that starts while authsvc is silent goes on with it, and a logout that authsvc could not be told of yet is
known to every worker. The file holds no secret: public keys, ids of ended sessions, epochs of users.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from prodcore.support.secure_files import locked, write_private

_HEARD_STEP = timedelta(seconds=5)
"""How old the time in the file may become before it is written again for its sake alone."""


@dataclass(frozen=True, slots=True)
class Known:
    """Judging tokens needs no more than this."""

    heard_at: datetime
    """When authsvc answered last, by its own clock."""
    clock_ahead: float
    """Seconds by which its clock is ahead of ours."""
    keys: Mapping[str, str]
    """Public keys, base64url, by ``kid``."""
    sessions: frozenset[str] = frozenset()
    """Sessions that have ended."""
    epochs: Mapping[str, int] = field(default_factory=dict)
    """By user id: tokens of an earlier epoch are refused."""
    ended: frozenset[str] = frozenset()
    """Those of the sessions that authsvc has not been told of yet."""

    def joined(self, other: Known) -> Known:
        """The later answer, and everything that either refuses."""
        later = max(self, other, key=lambda known: known.heard_at)
        epochs = {u: max(self.epochs.get(u, 0), other.epochs.get(u, 0)) for u in self.epochs.keys() | other.epochs}
        ended = self.ended | other.ended
        return replace(later, sessions=self.sessions | other.sessions | ended, epochs=epochs, ended=ended)


class TrustMemory:
    """The file; without a path nothing is remembered."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> Known | None:
        """What is remembered; None where there is nothing readable."""
        if self._path is None:
            return None
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return Known(
                datetime.fromisoformat(kept["heard_at"]),
                float(kept["clock_ahead"]),
                dict(kept["keys"]),
                frozenset(kept["sessions"]),
                {str(user): int(epoch) for user, epoch in kept["epochs"].items()},
                frozenset(kept["ended"]),
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def change(self, change: Callable[[Known | None], Known]) -> None:
        """Replace what is remembered; workers take turns. Raises OSError."""
        if self._path is None:
            return
        with locked(self._path.with_name(f"{self._path.name}.lock")):
            old = self.read()
            new = change(old)
            if (
                old is None
                or old != replace(new, heard_at=old.heard_at, clock_ahead=old.clock_ahead)
                or (new.heard_at - old.heard_at > _HEARD_STEP)
            ):
                write_private(self._path, _text(new))


def _text(known: Known) -> str:
    return json.dumps(
        {
            "heard_at": known.heard_at.isoformat(),
            "clock_ahead": known.clock_ahead,
            "keys": dict(known.keys),
            "sessions": sorted(known.sessions),
            "epochs": dict(known.epochs),
            "ended": sorted(known.ended),
        }
    )
