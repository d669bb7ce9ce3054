"""Is this machine as it should be: versions, private files, ports, clocks, disks? Judgements are pure.

The floors of the packages are those of ``setup.cfg``, which an installed prodctl carries with it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
import struct
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from prodcore.replicaset.diagnostic import Diagnostic, Severity, counted
from prodcore.replicaset.lint import floor_missed

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*(?P<floor>[0-9.]+)[^;]*(?:;(?P<when>.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"](?P<extra>[\w-]+)['\"]")
_NEEDED = {"", "server", "xlsx"}
"""What runs a system; the other extras are for building and testing it."""


def judge_packages(requirements: Iterable[str], installed: Callable[[str], str]) -> Iterator[Diagnostic]:
    """Each package below its floor. ``installed`` gives a package's version, empty where it is not there."""
    at_floor = []
    for requirement in requirements:
        match = _REQUIREMENT.fullmatch(requirement.strip())
        extra = _EXTRA.search(match["when"] or "") if match else None
        if match is None or (extra["extra"] if extra else "") not in _NEEDED:
            continue
        name, floor, version = match["name"], match["floor"], installed(match["name"])
        if version and numbers(version) < numbers(floor):
            fix = f"pip install '{name}>={floor}'; in a checkout: scripts/venv"
            yield Diagnostic(
                "old_package",
                name,
                Severity.PROBLEM,
                f"{version} is older than {floor}, the oldest without a known vulnerability",
                fix,
            )
        elif version:
            at_floor.append(name)
    yield Diagnostic("packages", "packages", Severity.OK, f"{len(at_floor)} at or above their floors")


def judge_mongod(version: str, where: str) -> Diagnostic:
    """Whether a mongod is new enough to be within reach of others."""
    floor = floor_missed(version)
    if not floor:
        return Diagnostic("mongod", "mongod", Severity.OK, f"{version} ({where})")
    text = (
        f"{version} ({where}) is older than {floor} and has known vulnerabilities: keep it on loopback, with a keyfile"
    )
    return Diagnostic(
        "old_mongod", "mongod", Severity.WARNING, text, "MongoDB's own package mongodb-org-server, and PRODCTL_MONGOD"
    )


def numbers(version: str) -> tuple[int, ...]:
    """A version for comparison, without its zeros at the end.

    >>> numbers("3.1.10") > numbers("3.1.9"), numbers("2") == numbers("2.0.0"), numbers("5.0rc1")
    (True, True, (5,))
    """
    found = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in found[0].split(".")] if found else []
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file or directory that must be private."""

    path: str
    mode: int
    owner: int


def file_facts(paths: Iterable[Path]) -> Iterator[FileFacts]:
    """Mode and owner of those that exist."""
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        yield FileFacts(str(path), stat.S_IMODE(status.st_mode), status.st_uid)


def judge_private(files: Iterable[FileFacts], owners: Iterable[int]) -> Iterator[Diagnostic]:
    """Each file that others may read or that belongs to another user; ``owners`` are the users it may belong to."""
    allowed, good = set(owners), 0
    for file in files:
        if file.mode & _OTHERS:
            tight = f"{file.mode & ~_OTHERS:o}"
            text = f"others may use it (mode {file.mode:04o})"
            yield Diagnostic("readable_by_others", file.path, Severity.PROBLEM, text, f"chmod {tight} {file.path}")
        elif file.owner not in allowed:
            text = f"it belongs to user {file.owner}, who can read and change it"
            yield Diagnostic("wrong_owner", file.path, Severity.PROBLEM, text, f"chown {min(allowed)} {file.path}")
        else:
            good += 1
    yield Diagnostic("private_files", "secrets", Severity.OK, f"for their owner alone: {counted(good, 'path')}")


def private_paths(state_dir: Path, env_file: Path, config: Path, secret_settings: Iterable[str]) -> Iterator[Path]:
    """Where secrets may be on this machine: login, env file, credentials, local cluster, deployments, settings."""
    yield from (env_file, state_dir / "credentials.json")
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    yield from (Path(credentials), *_below(Path(credentials))) if credentials else ()
    local = state_dir / "local"
    yield from (local, *(local / name for name in ("keyfile", "secrets.json", "trust.json", "supervisor.sock")))
    yield from (local / name for name in ("setup-code", "setup-code-sealed"))
    yield from (*_below(local / "env"), local / "auth-keys", *_below(local / "auth-keys"))
    for deployment in _below(state_dir / "deploy"):
        yield from (deployment, *_below(deployment))
    if _holds_a_secret(config, secret_settings):
        yield config


def _below(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _holds_a_secret(config: Path, secret_settings: Iterable[str]) -> bool:
    try:
        given = tomllib.loads(config.read_text())
    except (OSError, ValueError):
        return False
    return bool({name.lower() for name in given} & set(secret_settings))


_LISTEN = "0A"
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")

Listener = tuple[str, int]
"""Address and port."""


def listeners() -> list[Listener]:
    """Every TCP port that is listened on here, as the kernel lists it (Linux)."""
    found: list[Listener] = []
    for table in _TABLES:
        try:
            found += parse_table(Path(table).read_text())
        except OSError:  # no IPv6, or no Linux
            continue
    return found


def parse_table(text: str) -> Iterator[Listener]:
    """The listening lines of ``/proc/net/tcp`` or ``tcp6``."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTEN:
            address, _, port = fields[1].partition(":")
            yield _address(bytes.fromhex(address)), int(port, 16)


def judge_listeners(listening: Iterable[Listener], ours: Mapping[int, str]) -> Iterator[Diagnostic]:
    """Our programs that others on the network can reach; ``ours`` names the program of each port."""
    inside = set()
    for address, port in sorted(set(listening)):
        if port not in ours:
            continue
        if ipaddress.ip_address(address).is_loopback:
            inside.add(port)
            continue
        text = f"port {port} listens on {address}: others on the network reach it"
        fix = "PRODCTL_BIND=127.0.0.1 for a service, net.bindIp for a mongod; then prodctl local down and up"
        yield Diagnostic("open_port", ours[port], Severity.PROBLEM, text, fix)
    yield Diagnostic(
        "loopback", "loopback", Severity.OK, f"{len(inside)} of our {len(ours)} ports listen on loopback alone"
    )


def _address(raw: bytes) -> str:
    """The kernel writes an address as 32-bit words in the machine's own order."""
    words = struct.unpack(f"={len(raw) // 4}I", raw)
    address = ipaddress.ip_address(struct.pack(f">{len(words)}I", *words))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


CLOSE_SECONDS = 2.0
"""A ``Date`` header has whole seconds, so less than this says nothing."""
LEEWAY_SECONDS = 30.0
"""What tokens forgive."""
_CLOCK_FIX = "a time service on both machines: systemd-timesyncd or chrony"


def date_offset(header: str, asked: datetime, answered: datetime) -> float | None:
    """By how many seconds the clock behind a ``Date`` header is ahead of ours; None for a header that is no date."""
    try:
        there = parsedate_to_datetime(header)
    except ValueError:
        return None
    middle = asked + (answered - asked) / 2
    return (there - middle).total_seconds() + 0.5  # the header cuts half a second off, on average


def judge_offsets(offsets: Mapping[str, float]) -> Iterator[Diagnostic]:
    """Each clock against this machine's."""
    for name, seconds in offsets.items():
        if abs(seconds) > CLOSE_SECONDS:
            severity = Severity.PROBLEM if abs(seconds) > LEEWAY_SECONDS else Severity.WARNING
            way = "ahead of" if seconds > 0 else "behind"
            yield Diagnostic(
                "clock_off", name, severity, f"its clock is {abs(seconds):.0f} s {way} this machine's", _CLOCK_FIX
            )
    if offsets:
        widest = max(offsets.values()) - min(offsets.values())
        apart = "less than a second" if widest < 1 else f"{widest:.0f} s"
        yield Diagnostic("clocks", "clocks", Severity.OK, f"{len(offsets)} asked, at most {apart} apart")


_LITTLE = 1_000_000_000
_TIGHT = 5_000_000_000
_DISK_FIX = "make room, or move the data: a mongod stops when its disk is full"


def judge_free(free_bytes: Mapping[str, int]) -> Iterator[Diagnostic]:
    """Free bytes by location. Below 1 GB is a problem, below 5 GB a warning."""
    for location, free in free_bytes.items():
        if free < _TIGHT:
            severity = Severity.PROBLEM if free < _LITTLE else Severity.WARNING
            yield Diagnostic("little_disk", location, severity, f"{free / 1e9:.1f} GB free", _DISK_FIX)
    if free_bytes:
        least = min(free_bytes, key=lambda location: free_bytes[location])
        text = f"{free_bytes[least] / 1e9:.1f} GB free at least ({least})"
        yield Diagnostic("disk", "free", Severity.OK, text)
