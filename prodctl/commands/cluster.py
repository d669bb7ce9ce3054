"""``prodctl cluster``: replica sets, member by member, straight from the members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prodctl.output import columns, message, output_option, print_item, print_rows, print_text
from prodctl.units import duration, size

if TYPE_CHECKING:
    from prodcore.cluster.status import ClusterStatus
    from prodcore.replica_set import Member, SetStatus

EXIT_NOT_HEALTHY = 6

_COLUMNS = columns(
    "Set", "Member", "Role", "Lag>", "Oplog=oplog_window>", "Term>", "Uptime>", "Version", "Documents>", "Data>",
    "Free disk>", "Sync source", "Sees as primary=believed_primary+", "Error+",
)  # fmt: skip
_CSV_COLUMNS = columns(
    "Set", "Address", "Role", "replication_lag_seconds", "oplog_window_seconds", "term", "uptime_seconds", "version",
    "documents", "data_bytes", "free_disk_bytes", "sync_source", "believed_primary", "error",
)  # fmt: skip
_SERVICE_COLUMNS = columns("Service=name", "State", "Url", "Detail")


@click.group()
def cluster() -> None:
    """Shards and their members: roles, health, lag.

    Goes straight to the members, so it works while the web tier is down.
    """


@cluster.command()
@output_option
def status(output: str) -> int:
    """Every set, every member, both services, the shard map, and what is wrong.

    Exit status 0 when all is healthy, 6 when anything is degraded or down.
    """
    from prodcore.bootstrap_cluster import cluster_status
    from prodcore.settings import load_settings

    seen = cluster_status(load_settings())
    show_status(seen, output)
    return 0 if not seen.problems else EXIT_NOT_HEALTHY


def show_status(seen: ClusterStatus, output: str) -> None:
    """Print it in any of the formats."""
    if output in ("json", "yaml"):
        print_item(status_document(seen), output, kind="cluster_status")
    elif output == "csv":
        rows = [{"set": s.name, **member_document(s, m)} for s in seen.sets for m in s.members]
        print_rows(rows, _CSV_COLUMNS, output, kind="cluster_status")
        for line in seen.problems:
            message(line)
    else:
        print_rows([_row(s, m) for s in seen.sets for m in s.members], _COLUMNS, output, kind="cluster_status")
        print_text("")
        print_rows([_service_document(s) for s in seen.services], _SERVICE_COLUMNS, output, kind="services")
        print_text(f"\nShard map  version {seen.map_version if seen.map_version is not None else 'unknown'}")
        print_text(f"Cluster    {seen.health}")
        for line in seen.problems:
            print_text(f"  ! {line}")


def status_document(seen: ClusterStatus) -> dict[str, Any]:
    """The status as JSON and YAML show it."""
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
        "services": [_service_document(s) for s in seen.services],
    }


def member_document(of: SetStatus, member: Member) -> dict[str, Any]:
    """One member as JSON shows it; units are in the names."""
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


def _service_document(service: Any) -> dict[str, Any]:
    return {"name": service.name, "state": service.state, "url": service.url, "detail": service.detail or None}


def _row(of: SetStatus, member: Member) -> dict[str, Any]:
    facts = member_document(of, member)
    lag = facts["replication_lag_seconds"]
    return facts | {
        "set": of.name,
        "member": member.address,
        "lag": None if lag is None or member.role == "PRIMARY" else f"{lag:.1f} s",
        "oplog_window": duration(member.oplog_window_seconds),
        "uptime": duration(member.uptime_seconds),
        "data": size(member.data_bytes),
        "free_disk": size(member.free_disk_bytes),
    }
