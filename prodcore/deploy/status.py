"""How a deployment is: the state of its parts, and everything that is not as described, in short and line by line.

What differs is what the plan would change: there is no other opinion about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prodcore.deploy.layout import Host, Layout
from prodcore.deploy.observe import Observed, ObservedHost
from prodcore.deploy.plan import HostPlan, Plan
from prodcore.deploy.render import MASK
from prodcore.deploy.spec import HostSpec
from prodcore.replicaset.diagnostic import Diagnostic, Severity

_OK = 200
_WORKING = ("PRIMARY", "SECONDARY")
_APPLY = "prodctl deploy diff shows it, prodctl deploy apply repairs it"
_UNKNOWN = "prodctl deploy apply; incus list and incus info --show-log NAME say more"


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


def drift(plan: Plan) -> list[Diagnostic]:
    """Everything that is not as described, or not known to be."""
    found = [Diagnostic("differs", c.where, Severity.PROBLEM, f"{c.what}: {c.reason}", _APPLY) for c in plan.changes]
    found += [Diagnostic("unknown", c.where, Severity.PROBLEM, f"{c.what}: {c.reason}", _UNKNOWN) for c in plan.unknown]
    found += [
        Diagnostic("obstacle", problem.field, Severity.PROBLEM, problem.message, "correct deploy.toml")
        for problem in plan.obstacles
    ]
    return found


def _parts(host: Host, spec: HostSpec, observed: Observed) -> Iterator[PartStatus]:
    instance = observed.instances.get(host.name)
    state = instance["status"].lower() if instance else "missing"
    yield PartStatus(host.name, "container", state, host.address, state == "running")
    inside = observed.inside(host.name)
    members = {m.unit: m for m in host.members}
    for unit in spec.units:
        active = "unknown" if inside.unknown else inside.unit(unit.name).active
        if member := members.get(unit.name):
            role = observed.replica_set(member.replica_set).roles.get(member.endpoint, "")
            shown = role if active == "active" and role else active
            is_healthy = active == "active" and role in _WORKING
            yield PartStatus(host.name, member.name, shown, member.endpoint, is_healthy)
        else:
            yield PartStatus(host.name, unit.name, active, "", active == "active")
    for url in spec.ready:
        status, _body = inside.get(url)
        shown = {_OK: "ready", 0: "no answer"}.get(status, f"not ready ({status})")
        yield PartStatus(host.name, "service", shown, url.removesuffix("/readyz"), status == _OK)


def differences(specs: Mapping[str, HostSpec], observed: Observed, plan: Plan) -> Iterator[str]:
    """A unified diff of each file from what is there to what is described, and a comment line for all else."""
    shown = set[tuple[str, str]]()
    for name, host in plan.hosts.items():
        inside = observed.inside(name)
        secret = {file.path for file in specs[name].files if file.is_secret}
        for path, there, wanted in _files(host, inside):
            shown.add((name, f"file {path}"))
            yield "".join(_diff(f"{name}{path}", there, wanted, is_secret=path in secret))
    for change in (*plan.changes, *plan.unknown):
        if (change.where, change.what) not in shown:
            yield f"# {change.where}: {change.action} {change.what}: {change.reason}\n"


def _files(plan: HostPlan, inside: ObservedHost) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    """Path, present and desired content of each file whose content differs."""
    for file in plan.rewritten:
        yield file.path, inside.content(file.path), file.content
    for path in plan.set_aside:
        yield path, inside.content(path), None


def _diff(path: str, there: bytes | None, wanted: bytes | None, *, is_secret: bool) -> Iterator[str]:
    if is_secret:
        before, after = ([] if there is None else ["(another secret)\n"]), [MASK]
    else:
        before, after = _lines(there or b""), _lines(wanted or b"")
    source, target = (
        f"{side}/{path}" if content is not None else "/dev/null" for side, content in (("a", there), ("b", wanted))
    )
    yield from difflib.unified_diff(before, after, source, target)


def _lines(content: bytes) -> list[str]:
    """Lines that all end with a newline, so that a diff of them does."""
    return [f"{line}\n" for line in content.decode(errors="replace").splitlines()]
