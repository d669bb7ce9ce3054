"""The cluster's state as JSON shows it, in ``-o json`` and in the REST API: one shape. Units are in the names."""

from __future__ import annotations

from typing import Any

from prodcore.replicaset.cluster import ClusterStatus
from prodcore.replicaset.ports import ServiceStatus
from prodcore.replicaset.status import Member, SetStatus


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
                "on_duty": g.on_duty,
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
