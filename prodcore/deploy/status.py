"""How the parts of a deployment are, and how the files in its containers differ from the described ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prodcore.deploy.layout import Host, Layout
from prodcore.deploy.observe import Observed
from prodcore.deploy.render import MASK
from prodcore.deploy.spec import File, HostSpec

_OK = 200
_WORKING = ("PRIMARY", "SECONDARY")


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One container, unit, member or service."""

    container: str
    part: str
    state: str
    address: str
    is_healthy: bool


def read_status(layout: Layout, specs: Mapping[str, HostSpec], observed: Observed) -> list[PartStatus]:
    """Container by container: itself, its members or its service, its other units."""
    return [part for host in layout.hosts for part in _parts(host, specs[host.name], observed)]


def _parts(host: Host, spec: HostSpec, observed: Observed) -> Iterator[PartStatus]:
    instance = observed.instances.get(host.name)
    state = instance["status"].lower() if instance else "missing"
    yield PartStatus(host.name, "container", state, host.address, state == "running")
    inside = observed.inside(host.name)
    roles = {m.unit: observed.replica_set(m.replica_set).roles.get(m.endpoint, "") for m in host.members}
    names = {m.unit: m for m in host.members}
    for unit in spec.units:
        active = inside.unit(unit.name).active
        if unit.name in names:
            member, role = names[unit.name], roles[unit.name]
            shown = role if active == "active" and role else active
            is_healthy = active == "active" and role in _WORKING
            yield PartStatus(host.name, member.name, shown, member.endpoint, is_healthy)
        else:
            yield PartStatus(host.name, unit.name, active, "", active == "active")
    for url in spec.ready:
        status, _body = inside.get(url)
        shown = {_OK: "ready", 0: "no answer"}.get(status, f"not ready ({status})")
        yield PartStatus(host.name, "service", shown, url.removesuffix("/readyz"), status == _OK)


def differences(specs: Mapping[str, HostSpec], observed: Observed) -> Iterator[str]:
    """A unified diff, from what is there to what is wanted, of each file that is not as wanted."""
    for name, spec in specs.items():
        for file in spec.files:
            entry = observed.inside(name).entry("files", file.path)
            if entry is None or entry["sha256"] != file.sha256:
                there = observed.inside(name).content(file.path) if entry else None
                yield "".join(_diff(f"{name}{file.path}", there, file))


def _diff(path: str, there: bytes | None, wanted: File) -> Iterator[str]:
    if wanted.is_secret:
        before, after = ([] if there is None else ["(another secret)\n"]), [MASK]
    else:
        before, after = _lines(there or b""), _lines(wanted.content)
    source = "/dev/null" if there is None else f"a/{path}"
    yield from difflib.unified_diff(before, after, source, f"b/{path}")


def _lines(content: bytes) -> list[str]:
    """Lines that all end with a newline, so that a diff of them does."""
    return [f"{line}\n" for line in content.decode(errors="replace").splitlines()]
