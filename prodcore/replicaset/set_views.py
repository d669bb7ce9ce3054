"""Where the members of a set do not agree with each other, or with what we see ourselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prodcore.replicaset.diagnostic import ProblemLine, problem_line

if TYPE_CHECKING:
    from prodcore.replicaset.status import Member


def disagreements(name: str, members: Sequence[Member], primary: Member | None) -> list[ProblemLine]:
    """A line for each: other primaries, members that do not reach each other, different configurations."""
    lines = _other_primaries(name, members, primary) if primary else []
    working = {m.address for m in members if m.is_working}
    for m in members:
        for view in m.views:
            if view.address in working and not view.healthy:
                lines.append(problem_line("cut_off", set=name, member=m.address, other=view.address))
    versions = {m.address: m.config_version for m in members if m.config_version is not None}
    if len(set(versions.values())) > 1:
        told = ", ".join(f"{address} has {version}" for address, version in versions.items())
        lines.append(problem_line("configurations", set=name, told=told))
    return lines


def _other_primaries(name: str, members: Sequence[Member], primary: Member) -> list[ProblemLine]:
    """Who takes itself, or somebody else, for the primary."""
    lines = [
        problem_line(
            "former_primary", set=name, member=m.address, term=m.term, primary=primary.address, newer=primary.term
        )
        for m in members
        if m.role == primary.role and m is not primary
    ]
    for m in members:
        believed = m.believed_primary
        if m.answers and m.views and m is not primary and believed != primary.address:
            code = "other_primary" if believed else "no_believed_primary"
            lines.append(problem_line(code, set=name, member=m.address, believed=believed, primary=primary.address))
    return lines
