"""What is risky about how the sets are set up, each risk with its severity and its fix. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prodcore.processes.control import MemberControl
from prodcore.replicaset.diagnostic import Diagnostic, Severity, counted
from prodcore.replicaset.status import SetStatus

_FLOORS = {6: (6, 0, 28), 7: (7, 0, 39), 8: (8, 0, 28)}
"""The first version of each line without a known hole that needs no login."""
_OPLOG_MB = 512
_ORDER = (Severity.PROBLEM, Severity.WARNING, Severity.NOTE, Severity.SKIPPED, Severity.OK)
_NAMED = 3
"""So many are named; of more their number is given."""


@dataclass(frozen=True, slots=True)
class MemberSetup:
    """How one member was started and what it assumes."""

    address: str
    options: Mapping[str, Any]
    """``parsed`` of ``getCmdLineOpts``."""
    default_write_concern: Mapping[str, Any]


def lint_processes(status: SetStatus, control: MemberControl) -> list[Diagnostic]:
    """Members of a set that are under this control and would not come back by themselves."""
    held = set(control.addresses())
    reasons = {m: control.cannot_come_back(m.address) for m in status.members if m.address in held}
    fix = "here: prodctl local up after the machine has started; in a deployment: an enabled unit with Restart=always"
    return [
        Diagnostic("does_not_restart", m.name or m.address, Severity.NOTE, reason, fix)
        for m, reason in reasons.items()
        if reason
    ]


def lint_set(status: SetStatus, setups: Sequence[MemberSetup], config: Mapping[str, Any]) -> list[Diagnostic]:
    """Everything risky about one set; members under their names."""
    found = [*_lint_topology(status), *_lint_config(status, config)]
    for setup in setups:
        found += [f for check in _MEMBER_CHECKS for f in check(setup)]
    for member in status.members:
        found += _lint_version(member.address, member.version)
    names = {m.address: m.name for m in status.members if m.name}
    return [replace(f, subject=names.get(f.subject, f.subject)) for f in found]


def by_cause(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """One for each cause, with everything that has it; the worst first."""
    causes: dict[str, list[Diagnostic]] = {}
    for diagnostic in found:
        causes.setdefault(diagnostic.code, []).append(diagnostic)
    grouped = [_join(alike) for alike in causes.values()]
    return sorted(grouped, key=lambda d: _ORDER.index(d.severity))


def _join(alike: Sequence[Diagnostic]) -> Diagnostic:
    first, subjects = alike[0], list(dict.fromkeys(d.subject for d in alike))
    others = "" if len({d.text for d in alike}) == 1 else "; the others alike"
    worst = min((d.severity for d in alike), key=_ORDER.index)
    kind = "members" if "-" in first.subject or ":" in first.subject else "sets"  # rsA-1 or host:port; rsA
    subject = ", ".join(subjects) if len(subjects) <= _NAMED else f"{len(subjects)} {kind}"
    return replace(first, subject=subject, severity=worst, text=first.text + others)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.rsplit(":", 1)[0].strip("[]")).is_loopback
    except ValueError:
        return False


def _lint_topology(status: SetStatus) -> Iterator[Diagnostic]:
    hosts = {c.address.rsplit(":", 1)[0] for c in status.config}
    voters = sum(c.votes for c in status.config)
    if len(status.config) > 1 and len(hosts) == 1:
        here = _is_loopback(status.config[0].address)
        yield Diagnostic(
            "one_host",
            status.name,
            Severity.NOTE if here else Severity.WARNING,
            "its members are all on this machine: it survives a process, not the machine"
            if here
            else f"all {len(status.config)} members are on {hosts.pop()}: the set survives a process, not the machine",
            "put one member on each host: the layout spread of prodctl deploy",
        )
    if voters % 2 == 0:
        yield Diagnostic(
            "even_voters",
            status.name,
            Severity.WARNING,
            f"{counted(voters, 'vote')}: a tie is possible, and one more member would cost nothing in safety",
            "add a member, or take a vote away",
        )
    if len(status.config) < 3:
        yield Diagnostic(
            "few_members",
            status.name,
            Severity.PROBLEM,
            f"{counted(len(status.config), 'member')}: any failure stops writes",
            "make it three",
        )


def _lint_config(status: SetStatus, config: Mapping[str, Any]) -> Iterator[Diagnostic]:
    if config.get("writeConcernMajorityJournalDefault") is False:
        yield Diagnostic(
            "majority_unjournaled",
            status.name,
            Severity.PROBLEM,
            "a majority acknowledgement does not wait for the journal: a power cut can lose it",
            "writeConcernMajorityJournalDefault: true in the set's configuration",
        )


def _lint_auth(setup: MemberSetup) -> Iterator[Diagnostic]:
    security = setup.options.get("security", {})
    if not security.get("keyFile") and security.get("authorization") != "enabled":
        yield Diagnostic(
            "no_auth",
            setup.address,
            Severity.PROBLEM,
            "anyone who can connect to it has full access",
            "start it with a keyFile",
        )


def _lint_binding(setup: MemberSetup) -> Iterator[Diagnostic]:
    net = setup.options.get("net", {})
    if net.get("bindIpAll") or "0.0.0.0" in str(net.get("bindIp", "")).split(","):  # noqa: S104  it is looked for
        yield Diagnostic(
            "open_binding",
            setup.address,
            Severity.PROBLEM,
            "it listens on every address of its host",
            "bindIp: loopback and its own",
        )


def _lint_compressors(setup: MemberSetup) -> Iterator[Diagnostic]:
    offered = setup.options.get("net", {}).get("compression", {}).get("compressors", "snappy,zstd,zlib")
    if "zlib" in offered:
        yield Diagnostic(
            "zlib",
            setup.address,
            Severity.WARNING,
            "it offers zlib compression, which in older versions leaks memory to anyone who can connect "
            "(CVE-2025-14847)",
            "networkMessageCompressors: snappy,zstd",
        )


def _lint_oplog(setup: MemberSetup) -> Iterator[Diagnostic]:
    size = setup.options.get("replication", {}).get("oplogSizeMB")
    if size is not None and float(size) < _OPLOG_MB:
        yield Diagnostic(
            "small_oplog",
            setup.address,
            Severity.WARNING,
            f"its oplog holds {float(size):.0f} MB: a member that is down for long has to copy everything again",
            f"replSetResizeOplog to at least {_OPLOG_MB} MB",
        )


def _lint_write_concern(setup: MemberSetup) -> Iterator[Diagnostic]:
    if setup.default_write_concern.get("w", "majority") != "majority":
        yield Diagnostic(
            "write_concern",
            setup.address,
            Severity.PROBLEM,
            f"a client that does not specify a write concern gets w: {setup.default_write_concern['w']}",
            "setDefaultRWConcern with w: majority",
        )


def floor_missed(version: str) -> str:
    """The oldest version of that line without a known hole, where ``version`` is older; else nothing.

    >>> floor_missed("7.0.38"), floor_missed("8.0.28"), floor_missed("5.0.31")
    ('7.0.39', '', '7.0.39')
    """
    numbers = tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
    floor = _FLOORS.get(numbers[0] if numbers else 0, _FLOORS[7])
    return ".".join(map(str, floor)) if numbers and numbers < floor else ""


def _lint_version(address: str, version: str) -> Iterator[Diagnostic]:
    if floor := floor_missed(version):
        severity = Severity.WARNING if _is_loopback(address) else Severity.PROBLEM
        text = f"mongod {version} has known vulnerabilities"
        yield Diagnostic("old_version", address, severity, text, f"update to {floor} or newer")


_MEMBER_CHECKS: tuple[Callable[[MemberSetup], Iterator[Diagnostic]], ...] = (
    _lint_auth,
    _lint_binding,
    _lint_compressors,
    _lint_oplog,
    _lint_write_concern,
)
