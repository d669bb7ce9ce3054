"""How a cluster's status looks in the terminal, as JSON, as Prometheus text and as one line for monitoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prodctl.terminal.output import columns, message, print_item, print_rows, print_text
from prodctl.terminal.rows import duration, size

if TYPE_CHECKING:
    from prodcore.replicaset.cluster import ClusterStatus
    from prodcore.replicaset.status import Member, SetStatus

_COLUMNS = columns(
    "Member=name!", "Role!", "Address!", "Lag>", "Uptime>", "Sync source", "Term+>", "Oplog=oplog_window+>", "Version+",
    "Documents (about)=documents+>", "Data+>", "Free disk+>", "Sees as primary=believed_primary+", "Error+~",
)  # fmt: skip
_CSV_COLUMNS = columns(
    "Set", "Name", "Address", "Role", "replication_lag_seconds", "oplog_window_seconds", "term", "uptime_seconds",
    "version", "documents", "data_bytes", "free_disk_bytes", "sync_source", "believed_primary", "error",
)  # fmt: skip
_SERVICE_COLUMNS = columns("Service=name!", "State!", "Url!", "Detail~")


def show_status(seen: ClusterStatus, output: str) -> None:
    """Print it in any of the formats."""
    from prodcore.replicaset.cluster import member_document, service_document, status_document

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
        if output == "wide":
            print_text(
                "Documents: each member's own estimate, of all that it stores; prodctl shard list counts products.\n"
            )
        print_rows([service_document(s) for s in seen.services], _SERVICE_COLUMNS, output, kind="services")
        print_text(f"\nShard map  version {seen.map_version if seen.map_version is not None else 'unknown'}")
        print_text("Guard      " + "\n           ".join(_guards(seen)))
        print_text(f"Cluster    {seen.health}")
        for line in seen.problems:
            print_text(f"  ! {line}")


def _row(of: SetStatus, member: Member) -> dict[str, Any]:
    """As people read it: members by their names."""
    from prodcore.replicaset.cluster import member_document

    facts = member_document(of, member)
    lag = facts["replication_lag_seconds"]
    return facts | {
        "sync_source": _name(of, member.sync_source),
        "believed_primary": _name(of, member.believed_primary),
        "lag": None if lag is None or member.role == "PRIMARY" else f"{lag:.1f} s",
        "oplog_window": duration(member.oplog_window_seconds),
        "uptime": duration(member.uptime_seconds),
        "data": size(member.data_bytes),
        "free_disk": size(member.free_disk_bytes),
    }


def _name(of: SetStatus, address: str) -> str:
    """The name of the member at this address; the address where none has it."""
    found = of.member(address)
    return found.name if found else address


def _guards(seen: ClusterStatus) -> list[str]:
    """A line for each."""
    told = []
    for guard in seen.guards:
        sets = {s.name: s for s in seen.sets}
        successors = ", ".join(_name(sets[name], m) for name, m in guard.successors.items() if m and name in sets)
        duty = "active" if guard.active else "disabled"
        told.append(f"{guard.name} {duty}, successors: {successors or 'none yet'}")
    return told or ["none (prodctl cluster guard)"]


def status_line(seen: ClusterStatus) -> str:
    """One line for Nagios and similar, with figures after the bar."""
    word = {"healthy": "OK", "degraded": "WARNING", "down": "CRITICAL"}[seen.health.value]
    members = [(s, m) for s in seen.sets for m in s.members]
    up = sum(m.answers for _s, m in members)
    lag = max((s.lag_seconds(m) or 0.0 for s, m in members), default=0.0)
    told = "; ".join(seen.problems) or f"{len(seen.sets)} sets, {up} of {len(members)} members"
    return f"CLUSTER {word} - {told} | members_up={up};;;0;{len(members)} lag={lag:.3f}s problems={len(seen.problems)}"


def show_prometheus(seen: ClusterStatus) -> None:
    """The text exposition format, for a node exporter's textfile directory or a cron job."""
    lines = ["# TYPE prodctl_member_up gauge", "# TYPE prodctl_member_primary gauge"]
    lines += ["# TYPE prodctl_replication_lag_seconds gauge", "# TYPE prodctl_member_term gauge"]
    for of in seen.sets:
        for m in of.members:
            labels = f'{{set="{of.name}",member="{m.address}"}}'
            lines.append(f"prodctl_member_up{labels} {int(m.answers)}")
            lines.append(f"prodctl_member_primary{labels} {int(m.role == 'PRIMARY')}")
            figures = {
                "replication_lag_seconds": of.lag_seconds(m),
                "oplog_window_seconds": m.oplog_window_seconds,
                "member_term": m.term,
                "member_uptime_seconds": m.uptime_seconds,
                "member_documents": m.documents,
                "member_data_bytes": m.data_bytes,
                "member_free_disk_bytes": m.free_disk_bytes,
            }
            lines += [f"prodctl_{name}{labels} {value}" for name, value in figures.items() if value is not None]
    lines += [f'prodctl_set_healthy{{set="{s.name}"}} {int(s.health == "healthy")}' for s in seen.sets]
    lines += [f'prodctl_service_ready{{service="{s.name}"}} {int(s.state == "ready")}' for s in seen.services]
    lines.append(f"prodctl_cluster_problems {len(seen.problems)}")
    print_text("\n".join([*lines, *_guard_metrics(seen)]))


def _guard_metrics(seen: ClusterStatus) -> list[str]:
    """Which guards are active, whether each set has a successor, and what the guards saw and did."""
    lines = ["# TYPE prodctl_guards_active gauge", f"prodctl_guards_active {sum(g.active for g in seen.guards)}"]
    lines += ["# TYPE prodctl_guard_successor gauge", "# TYPE prodctl_guard_events_total counter"]
    for guard in seen.guards:
        for name, member in guard.successors.items():
            lines.append(f'prodctl_guard_successor{{guard="{guard.name}",set="{name}"}} {int(bool(member))}')
        for name, counts in guard.counts.items():
            labels = f'guard="{guard.name}",set="{name}"'
            lines += [
                f'prodctl_guard_events_total{{{labels},event="{event}"}} {count}' for event, count in counts.items()
            ]
    return lines


def show_topology(seen: ClusterStatus) -> None:
    """Sets, members and who copies from whom, as a tree."""
    print_text(f"cluster  {seen.health}, shard map version {seen.map_version}")
    for service in seen.services:
        print_text(f"├── {service.name}  {service.state}  {service.url}")
    for of in seen.sets:
        last = of is seen.sets[-1]
        print_text(f"{'└── ' if last else '├── '}{of.name}  {of.health}")
        known = {m.address for m in of.members}
        roots = [m for m in of.members if m.sync_source not in known or m.role == "PRIMARY"]
        _show_branch(of, roots, "    " if last else "│   ")


def _show_branch(of: SetStatus, members: list[Member], indent: str) -> None:
    for i, m in enumerate(members):
        last = i == len(members) - 1
        lag = of.lag_seconds(m)
        told = f": {m.error}" if m.error else ""
        if lag is not None and m.role == "SECONDARY":
            told = f", {lag:.1f} s behind"
        print_text(f"{indent}{'└── ' if last else '├── '}{m.name}  {m.role}  {m.address}{told}")
        followers = [x for x in of.members if x.sync_source == m.address]
        _show_branch(of, followers, indent + ("    " if last else "│   "))
