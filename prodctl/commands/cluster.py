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
    from prodcore.cluster.document import member_document, service_document, status_document

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
        print_rows([service_document(s) for s in seen.services], _SERVICE_COLUMNS, output, kind="services")
        print_text(f"\nShard map  version {seen.map_version if seen.map_version is not None else 'unknown'}")
        print_text(f"Cluster    {seen.health}")
        for line in seen.problems:
            print_text(f"  ! {line}")


def _row(of: SetStatus, member: Member) -> dict[str, Any]:
    from prodcore.cluster.document import member_document

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
