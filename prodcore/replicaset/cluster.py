"""The whole cluster at one moment: sets, services, guards, shard map, and what is wrong; and who is asked for it.

As JSON it has one shape, in ``-o json`` and in the REST API; units are in the names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

from prodcore.errors import ServiceUnavailable
from prodcore.replicaset.diagnostic import ProblemLine, problem_line
from prodcore.replicaset.status import Health, Member, SetStatus
from prodcore.support.http import Answer, get

_SECONDS = 2.0


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
    """A guard that has had a heartbeat lately."""

    name: str
    active: bool
    successors: Mapping[str, str]
    """By set; empty where nobody is followed yet."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By set: how often it saw and did what, since it began."""


class ServiceProbe(Protocol):
    """Asks one service whether it is ready."""

    def probe(self) -> ServiceStatus:
        """Its state; a service that does not answer is part of the answer. Bounded in time."""


class HttpServiceProbe:
    """A ``ServiceProbe`` of the service at an address."""

    def __init__(self, name: str, url: str, *, timeout_seconds: float = _SECONDS, ca_file: Path | None = None) -> None:
        self._name = name
        self._ca_file = ca_file
        self._url = url.rstrip("/")
        self._seconds = timeout_seconds

    def probe(self) -> ServiceStatus:
        """Ready, degraded or down, with the reason."""
        return probe(self._name, self._url, seconds=self._seconds, ca_file=self._ca_file)


def probe(name: str, url: str, *, seconds: float = _SECONDS, ca_file: Path | None = None) -> ServiceStatus:
    """Ask a service whether it is ready, degraded (part of it) or down, with the reason.

    ``ca_file`` as in ``prodcore.support.http.get``.
    """
    try:
        answer = get(url, "/readyz", {"Accept": "application/json"}, seconds=seconds, ca_file=ca_file)
    except ServiceUnavailable as error:
        return ServiceStatus(name, url, "down", error.message.removeprefix(f"{url} gives no answer: "))
    is_ready = answer.status == HTTPStatus.OK and answer.fact("status") in (None, "ok", "ready")
    in_part = answer.status == HTTPStatus.OK or answer.fact("status") == "degraded"
    state = "ready" if is_ready else "degraded" if in_part else "down"
    return ServiceStatus(name, url, state, "" if is_ready else _detail(answer))


def _detail(answer: Answer) -> str:
    checks = answer.fact("checks")
    missing = [name for name, state in checks.items() if state not in ("ok", "ready")] if type(checks) is dict else []
    return f"not ready: {', '.join(missing)}" if missing else f"it answers {answer.status}"


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """Every set and every service, and a line for everything that is wrong."""

    sets: tuple[SetStatus, ...]
    services: tuple[ServiceStatus, ...]
    map_version: int | None
    """The version of the stored shard map; None when it cannot be read."""
    health: Health
    problems: tuple[ProblemLine, ...]
    guards: tuple[GuardSign, ...] = ()

    def set(self, name: str) -> SetStatus | None:
        """The set with this name."""
        return next((s for s in self.sets if s.name == name), None)


def inspect_cluster(sets: Sequence[SetInspector], services: Sequence[ServiceProbe], map_set: str) -> ClusterStatus:
    """Ask everybody at once. ``map_set`` names the set that keeps the shard map."""
    with ThreadPoolExecutor(max_workers=max(1, len(sets) + len(services))) as pool:
        asked_sets = [pool.submit(s.inspect) for s in sets]
        asked_services = [pool.submit(s.probe) for s in services]
        return judge_cluster([f.result() for f in asked_sets], [f.result() for f in asked_services], map_set)


def judge_cluster(sets: Sequence[SetStatus], services: Sequence[ServiceStatus], map_set: str) -> ClusterStatus:
    """Put the answers together."""
    map_version, map_problems = _compare_maps(sets, map_set)
    problems = [line for s in sets for line in s.problems]
    problems += map_problems
    problems += [
        problem_line("service", service=s.name, state=s.state, why=s.detail or s.url)
        for s in services
        if s.state != "ready"
    ]
    if all(s.health is Health.DOWN for s in sets):
        health = Health.DOWN
    else:
        health = Health.DEGRADED if problems else Health.HEALTHY
    return ClusterStatus(tuple(sets), tuple(services), map_version, health, tuple(problems))


def _compare_maps(sets: Sequence[SetStatus], map_set: str) -> tuple[int | None, list[ProblemLine]]:
    """The stored map's version, and the shards whose copy is of another one."""
    held = {s.name: max((m.map_version for m in s.members if m.map_version is not None), default=None) for s in sets}
    stored = held.pop(map_set, None)
    if stored is None:
        return None, [problem_line("map_unreadable", set=map_set)]
    return stored, [
        problem_line("map_copy_differs", set=name, copy=version, stored=stored)
        if version is not None
        else problem_line("map_copy_missing", set=name)
        for name, version in held.items()
        if version != stored
    ]


def status_document(seen: ClusterStatus) -> dict[str, Any]:
    """The whole cluster."""
    return {
        "health": seen.health.value,
        "problems": list(seen.problems),
        "shard_map_version": seen.map_version,
        "sets": [
            {
                "name": s.name,
                "health": s.health.value,
                "primary": s.primary.address if s.primary else None,
                "election_timeout_ms": s.election_timeout_ms,
                "members": [member_document(s, m) for m in s.members],
            }
            for s in seen.sets
        ],
        "guards": [
            {
                "name": g.name,
                "active": g.active,
                "successors": dict(g.successors),
                "counts": {name: dict(counts) for name, counts in g.counts.items()},
            }
            for g in seen.guards
        ],
        "services": [service_document(s) for s in seen.services],
    }


def member_document(of: SetStatus, member: Member) -> dict[str, Any]:
    """One member."""
    return {
        "name": member.name,
        "address": member.address,
        "role": member.role,
        "error": member.error or None,
        "replication_lag_seconds": of.lag_seconds(member),
        "oplog_window_seconds": member.oplog_window_seconds,
        "term": member.term,
        "uptime_seconds": member.uptime_seconds,
        "version": member.version or None,
        "documents": member.documents,
        "data_bytes": member.data_bytes,
        "free_disk_bytes": member.free_disk_bytes,
        "sync_source": member.sync_source or None,
        "believed_primary": member.believed_primary or None,
        "views": [{"address": v.address, "role": v.role, "healthy": v.healthy} for v in member.views],
    }


def service_document(service: ServiceStatus) -> dict[str, Any]:
    """One service."""
    return {"name": service.name, "state": service.state, "url": service.url, "detail": service.detail or None}
