"""One thing that apply would do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """``where`` is a container, a replica set, ``incus`` or ``cluster``; the rest are words for people."""

    where: str
    action: str
    """make, write, mend, start …"""
    what: str
    reason: str
