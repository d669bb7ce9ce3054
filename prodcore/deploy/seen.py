"""What is there, as it was seen; a missing container is one with nothing in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class UnitSeen:
    """One systemd unit."""

    is_loaded: bool = False
    active: str = "inactive"
    enabled: str = ""
    needs_reload: bool = False
    started: float | None = None
    """When its process was started, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The inside of a container, as its agent answered; empty where there is none, or it does not run."""

    answer: Mapping[str, Any] = field(default_factory=dict)

    def entry(self, kind: str, path: str) -> Document | None:
        """Mode, owner and ``sha256`` of a file or directory."""
        found: Document | None = self.answer.get(kind, {}).get(path)
        return found

    def content(self, path: str) -> bytes | None:
        """What is in a file that differs from what was expected."""
        found = self.entry("files", path)
        return base64.b64decode(found["content"]) if found and "content" in found else None

    def link(self, path: str) -> str:
        """Where a link leads."""
        return str(self.answer.get("links", {}).get(path, ""))

    def has(self, kind: str, name: str) -> bool:
        """Whether a package, account, release or binary is there."""
        return name in self.answer.get(kind, ())

    def unit(self, name: str) -> UnitSeen:
        """A unit's state."""
        found = self.answer.get("units", {}).get(name)
        if found is None:
            return UnitSeen()
        return UnitSeen(found["loaded"], found["active"], found["enabled"], found["reload"], found["started"])

    def changed(self, path: str) -> float:
        """When a file was written, in seconds since 1970; 0 for one that is not there."""
        return float(self.answer.get("changed", {}).get(path, 0.0))

    @property
    def machine(self) -> str:
        """What a virtual environment is bound to: the kind of processor, and Python's version."""
        return str(self.answer.get("machine", ""))

    def get(self, url: str) -> tuple[int, str]:
        """Status and body of a URL; status 0 where nobody answered."""
        status, body = self.answer.get("urls", {}).get(url, (0, ""))
        return int(status), str(body)


@dataclass(frozen=True, slots=True)
class SetSeen:
    """One replica set, as asked from inside: what it lacks, and each member's role."""

    lacks: tuple[tuple[str, str, str], ...] = (("initiate", "the set", "it is not initiated"),)
    """Action, what, reason."""
    roles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything."""

    is_clustered: bool = False
    network: Document | None = None
    profile: Document | None = None
    instances: Mapping[str, Document] = field(default_factory=dict)
    insides: Mapping[str, Inside] = field(default_factory=dict)
    sets: Mapping[str, SetSeen] = field(default_factory=dict)
    unprepared: tuple[tuple[str, str, str], ...] = (("store", "shard map and indexes", "they are not there"),)
    """What is missing of the shard map and the indexes: action, what, reason."""

    def inside(self, host: str) -> Inside:
        """A container's inside."""
        return self.insides.get(host, Inside())

    def replica_set(self, name: str) -> SetSeen:
        """One set."""
        return self.sets.get(name, SetSeen())
