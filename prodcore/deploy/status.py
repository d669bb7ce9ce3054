"""How each part of a deployment does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prodcore.deploy.layout import Host, Layout
from prodcore.deploy.seen import Seen
from prodcore.deploy.spec import HostWish

_OK = 200
_WORKING = ("PRIMARY", "SECONDARY")


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One container, unit, member or service."""

    container: str
    part: str
    state: str
    address: str
    is_well: bool


def read_status(layout: Layout, wishes: Mapping[str, HostWish], seen: Seen) -> list[PartStatus]:
    """Container by container: itself, its members or its service, its other units."""
    return [part for host in layout.hosts for part in _parts(host, wishes[host.name], seen)]


def _parts(host: Host, wish: HostWish, seen: Seen) -> Iterator[PartStatus]:
    instance = seen.instances.get(host.name)
    state = instance["status"].lower() if instance else "missing"
    yield PartStatus(host.name, "container", state, host.address, state == "running")
    inside = seen.inside(host.name)
    roles = {m.unit: seen.replica_set(m.replica_set).roles.get(m.endpoint, "") for m in host.members}
    names = {m.unit: m for m in host.members}
    for unit in wish.units:
        active = inside.unit(unit.name).active
        if unit.name in names:
            member, role = names[unit.name], roles[unit.name]
            shown = role if active == "active" and role else active
            well = active == "active" and role in _WORKING
            yield PartStatus(host.name, member.name, shown, member.endpoint, well)
        else:
            yield PartStatus(host.name, unit.name, active, "", active == "active")
    for url in wish.ready:
        status, _body = inside.get(url)
        shown = {_OK: "ready", 0: "no answer"}.get(status, f"not ready ({status})")
        yield PartStatus(host.name, "service", shown, url.removesuffix("/readyz"), status == _OK)
