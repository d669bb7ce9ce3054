"""What is risky about how the sets are set up, each with its fix. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prodcore.processes.control import MemberControl
from prodcore.replicaset.status import SetStatus

_FLOORS = {6: (6, 0, 28), 7: (7, 0, 39), 8: (8, 0, 28)}
"""The first version of each line without a known hole that needs no login."""
_OPLOG_MB = 512


@dataclass(frozen=True, slots=True)
class Finding:
    """One risk."""

    code: str
    """Stable: programs may ignore what they know about."""
    where: str
    text: str
    fix: str


@dataclass(frozen=True, slots=True)
class MemberSetup:
    """How one member was started and what it assumes."""

    address: str
    options: Mapping[str, Any]
    """``parsed`` of ``getCmdLineOpts``."""
    default_write_concern: Mapping[str, Any]


def lint_processes(status: SetStatus, control: MemberControl) -> list[Finding]:
    """Members of a set that are under this control and would not come back by themselves."""
    held = set(control.addresses())
    told = {m.address: control.stays_dead(m.address) for m in status.members if m.address in held}
    fix = "here: prodctl local up, or local start; in a deployment: an enabled unit with Restart=always"
    return [Finding("stays_dead", address, why, fix) for address, why in told.items() if why]


def lint_set(status: SetStatus, setups: Sequence[MemberSetup], config: Mapping[str, Any]) -> list[Finding]:
    """Everything risky about one set."""
    found = [*_lint_topology(status), *_lint_config(status, config)]
    for setup in setups:
        found += [f for check in _MEMBER_CHECKS for f in check(setup)]
    for member in status.members:
        found += _lint_version(member.address, member.version)
    return found


def _lint_topology(status: SetStatus) -> Iterator[Finding]:
    hosts = {c.address.rsplit(":", 1)[0] for c in status.config}
    voters = sum(c.votes for c in status.config)
    if len(status.config) > 1 and len(hosts) == 1:
        yield Finding(
            "one_host",
            status.name,
            f"all {len(status.config)} members are on {hosts.pop()}: the set survives a process, not the machine",
            "put one member on each host: the layout spread of prodctl deploy",
        )
    if voters % 2 == 0:
        yield Finding(
            "even_voters",
            status.name,
            f"{voters} votes: a tie is possible, and one more member would cost nothing in safety",
            "add a member, or take a vote away",
        )
    if len(status.config) < 3:
        yield Finding(
            "few_members", status.name, f"{len(status.config)} members: any failure stops writes", "make it three"
        )


def _lint_config(status: SetStatus, config: Mapping[str, Any]) -> Iterator[Finding]:
    if config.get("writeConcernMajorityJournalDefault") is False:
        yield Finding(
            "majority_unjournaled",
            status.name,
            "a majority acknowledgement does not wait for the journal: a power cut can lose it",
            "writeConcernMajorityJournalDefault: true in the set's configuration",
        )


def _lint_auth(setup: MemberSetup) -> Iterator[Finding]:
    security = setup.options.get("security", {})
    if not security.get("keyFile") and security.get("authorization") != "enabled":
        yield Finding("no_auth", setup.address, "anybody who reaches it may do anything", "start it with a keyFile")


def _lint_binding(setup: MemberSetup) -> Iterator[Finding]:
    net = setup.options.get("net", {})
    if net.get("bindIpAll") or "0.0.0.0" in str(net.get("bindIp", "")).split(","):  # noqa: S104  it is looked for
        yield Finding(
            "open_binding", setup.address, "it listens on every address of its host", "bindIp: loopback and its own"
        )


def _lint_compressors(setup: MemberSetup) -> Iterator[Finding]:
    offered = setup.options.get("net", {}).get("compression", {}).get("compressors", "snappy,zstd,zlib")
    if "zlib" in offered:
        yield Finding(
            "zlib",
            setup.address,
            "it offers zlib compression, which leaked memory to anybody in older versions (CVE-2025-14847)",
            "networkMessageCompressors: snappy,zstd",
        )


def _lint_oplog(setup: MemberSetup) -> Iterator[Finding]:
    size = setup.options.get("replication", {}).get("oplogSizeMB")
    if size is not None and float(size) < _OPLOG_MB:
        yield Finding(
            "small_oplog",
            setup.address,
            f"its oplog holds {float(size):.0f} MB: a member that is away for long must copy everything anew",
            f"replSetResizeOplog to at least {_OPLOG_MB} MB",
        )


def _lint_write_concern(setup: MemberSetup) -> Iterator[Finding]:
    if setup.default_write_concern.get("w", "majority") != "majority":
        yield Finding(
            "write_concern",
            setup.address,
            f"a client that names no write concern gets w: {setup.default_write_concern['w']}",
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


def _lint_version(address: str, version: str) -> Iterator[Finding]:
    if floor := floor_missed(version):
        yield Finding("old_version", address, f"mongod {version} has known holes", f"update to {floor} or newer")


_MEMBER_CHECKS: tuple[Callable[[MemberSetup], Iterator[Finding]], ...] = (
    _lint_auth,
    _lint_binding,
    _lint_compressors,
    _lint_oplog,
    _lint_write_concern,
)
