"""What looking at a cluster needs from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from prodcore.replicaset.status import SetStatus


class SetInspector(Protocol):
    """Asks every member of one replica set, at once and directly."""

    @property
    def name(self) -> str:
        """The set's name."""

    def inspect(self) -> SetStatus:
        """What the members say; a member that does not answer is part of the answer. Bounded in time."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service as it answers ``/readyz``."""

    name: str
    url: str
    state: str
    """``ready``, ``degraded`` or ``down``."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GuardSign:
    """A guard that gave a sign of life lately."""

    name: str
    on_duty: bool
    successors: Mapping[str, str]
    """By set; empty where nobody is followed yet."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By set: how often it saw and did what, since it began."""


class ServiceProbe(Protocol):
    """Asks one service whether it is ready."""

    def probe(self) -> ServiceStatus:
        """Its state; a service that does not answer is part of the answer. Bounded in time."""
