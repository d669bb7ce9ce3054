"""The findings of ``cluster lint`` on the doctor's page: alike ones in one line. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from prodcore.doctor.check import Check, State
from prodcore.replicaset.lint import Finding

GROUP = "members"

_SAID_BY_LAYOUT = {"one_host"}
_NOTES = {"stays_dead"}
_WARNINGS = {"even_voters", "small_oplog", "zlib"}
_SHOWN = 3


def from_findings(found: Iterable[Finding]) -> Iterator[Check]:
    """One line for each risk, with all members that have it."""
    by_code: dict[str, list[Finding]] = {}
    for finding in found:
        if finding.code not in _SAID_BY_LAYOUT:
            by_code.setdefault(finding.code, []).append(finding)
    for code, alike in by_code.items():
        where = [f.where for f in alike]
        subject = ", ".join(where) if len(where) <= _SHOWN else f"{len(where)} members"
        others = "" if len({f.text for f in alike}) == 1 else "; the others alike"
        yield Check(GROUP, subject, _state(code, where), alike[0].text + others, alike[0].fix)
    if not by_code:
        yield Check(GROUP, "set-up", State.OK, "nothing risky: prodctl cluster lint")


def _state(code: str, where: Iterable[str]) -> State:
    if code in _NOTES:
        return State.NOTE
    if code in _WARNINGS or (code == "old_version" and all(_is_loopback(address) for address in where)):
        return State.WARNING
    return State.PROBLEM


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.rsplit(":", 1)[0].strip("[]")).is_loopback
    except ValueError:
        return False
