"""An exported deployment on disk: one directory, with a manifest that lists what else must be in it, byte by byte.

What the containers' data is judged by is part of it: the numbers of products and users.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prodcore.deploy.container import Container
from prodcore.deploy.layout import Host, Layout
from prodcore.deploy.system import DeployedSystem
from prodcore.errors import Conflict, InvalidInput, Problem, UnreadableInput
from prodcore.installation import Progress
from prodcore.installation.secret import AUTHORITY_FILES, KEYFILE, SECRETS_FILE, SETUP_FILES
from prodcore.installation.sets import USERS_SET
from prodcore.replicaset.diagnostic import counted

MANIFEST = "manifest.json"
DESCRIPTION = "deploy.toml"
SECRETS = (SECRETS_FILE, KEYFILE)
_MANIFEST_BYTES = 1_000_000
_COUNT_SECONDS = 660.0
_VERIFY_SECONDS = 6 * 3600.0

Counts = Mapping[str, Mapping[str, int]]
"""For each set the number of documents by ``database.collection``."""

FileName = Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$", max_length=100)]
"""No way out of the directory can be written so."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class BundledFile(_Part):
    """One file of the directory."""

    name: FileName
    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class BundledInstance(_Part):
    """One container. ``seat`` tells what it is for: web, auth, or its first member (rsA-1)."""

    name: str = Field(pattern="^[a-z][a-z0-9-]{0,60}[a-z0-9]$")
    seat: str = Field(pattern="^[A-Za-z0-9-]{1,20}$")
    address: str
    ports: tuple[int, ...]
    """Of its members: each has its data under its port."""
    file: BundledFile
    volume: BundledFile | None = None
    """Its data volume, where it has one."""


class Manifest(_Part):
    """``manifest.json``."""

    format: Literal[1]
    deployment: str
    made: datetime
    instances: tuple[BundledInstance, ...]
    files: tuple[BundledFile, ...]
    counts: Mapping[str, Mapping[str, int]]
    """Documents of each set by ``database.collection``, after the last write."""


def seat_of(host: Host) -> str:
    """What a container is for, whatever its name and address are."""
    return host.members[0].name if host.members else host.role


def ports_of(host: Host) -> tuple[int, ...]:
    """The ports of its members."""
    return tuple(member.port for member in host.members)


def describe_file(path: Path) -> BundledFile:
    """Size and checksum of a file. Raises OSError; a link, or what is no plain file, is one too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is not a regular file")
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return BundledFile(name=path.name, size=status.st_size, sha256=digest)


def read_manifest(directory: Path) -> Manifest:
    """Raises UnreadableInput when it is no export at all, InvalidInput with everything that is wrong in it."""
    path = directory / MANIFEST
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(_MANIFEST_BYTES)
    except OSError as error:
        raise UnreadableInput(
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}",
            hint="name the directory that prodctl deploy export made",
        ) from None
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        problems = [Problem(f"{MANIFEST}: {'.'.join(map(str, e['loc']))}", e["type"], e["msg"]) for e in error.errors()]
        raise InvalidInput(problems=problems, hint="another version of prodctl may have made it") from None
    names = [one.name for one in _listed(manifest)]
    problems = [
        Problem(name, "used_twice", "is listed twice") for name in sorted({n for n in names if names.count(n) > 1})
    ]
    problems += [Problem(name, "missing", "is not listed") for name in (DESCRIPTION, *SECRETS) if name not in names]
    known = {DESCRIPTION, *SECRETS, *SETUP_FILES, *AUTHORITY_FILES}
    problems += [
        Problem(one.name, "unknown", "does not belong here") for one in manifest.files if one.name not in known
    ]
    if problems:
        raise InvalidInput(problems=problems)
    return manifest


def check_files(directory: Path, manifest: Manifest, progress: Progress) -> None:
    """Read every file to its end. Raises InvalidInput with all that are not as exported."""
    problems = []
    for listed in _listed(manifest):
        try:
            found = describe_file(directory / listed.name)
        except OSError as error:
            problems.append(Problem(listed.name, "unreadable", (error.strerror or str(error)).lower()))
            continue
        if found != listed:
            what = "has another size" if found.size != listed.size else "has another checksum"
            problems.append(Problem(listed.name, "damaged", f"{what} than when it was exported"))
        else:
            progress(listed.name, f"is as it was exported ({megabytes(listed.size)})")
    if problems:
        raise InvalidInput(problems=problems, hint="copy the export again; nothing was changed")


def match_hosts(manifest: Manifest, layout: Layout) -> list[tuple[BundledInstance, Host]]:
    """Which exported container becomes which. Raises InvalidInput where the description is of another shape."""
    wanted = {seat_of(host): host for host in layout.hosts}
    given = {one.seat: one for one in manifest.instances}
    problems = []
    if manifest.deployment != layout.deployment.name:
        text = f"the export is of {manifest.deployment}, and its containers carry that mark"
        problems.append(Problem("name", "differs", text))
    if wanted.keys() != given.keys() or len(given) != len(manifest.instances):
        problems.append(Problem("layout", "differs", f"the export has {', '.join(sorted(given))}"))
    for seat in wanted.keys() & given.keys():
        if (wanted[seat].volume is None) != (given[seat].volume is None):
            text = f"the export has {'no' if given[seat].volume is None else 'a'} data volume of it"
            problems.append(Problem(f"{wanted[seat].name}.data_pool", "differs", text))
        if ports_of(wanted[seat]) != given[seat].ports:
            text = f"members have their data under their ports, {', '.join(map(str, given[seat].ports))}"
            problems.append(Problem(f"{wanted[seat].name}.port", "differs", text))
    if problems:
        raise InvalidInput(problems=problems, hint="names and addresses of containers may differ, these may not")
    return [(given[seat], host) for seat, host in wanted.items()]


def megabytes(size: int) -> str:
    """A size to be shown."""
    return f"{size / 1e6:,.1f} MB"


def _listed(manifest: Manifest) -> Iterator[BundledFile]:
    yield from (instance.file for instance in manifest.instances)
    yield from (instance.volume for instance in manifest.instances if instance.volume)
    yield from manifest.files


def count_documents(system: DeployedSystem) -> dict[str, dict[str, int]]:
    """How many products and users each set has. Raises Unavailable."""
    requests = system.set_requests
    return {name: _ask(system, name, "count", requests[name], _COUNT_SECONDS) for name in requests}


def data_problems(system: DeployedSystem, expected: Counts) -> Iterator[str]:
    """Every count that is not as expected, then what ``shard verify`` finds."""
    found = count_documents(system)
    for name, counts in expected.items():
        for collection, count in counts.items():
            if (there := found.get(name, {}).get(collection)) != count:
                has = counted(there or 0, "document")
                yield f"{name}: {collection} has {has}, and had {count:,} when it was exported"
    report = _ask(system, USERS_SET, "verify", system.set_requests[USERS_SET], _VERIFY_SECONDS)
    yield from (f"{one['shard']}: {one['kind']}: {one['finding']}" for one in report["first"])
    if report["found"] > len(report["first"]):
        yield f"and {counted(report['found'] - len(report['first']), 'finding')} more: prodctl shard verify"


def _ask(system: DeployedSystem, name: str, task: str, request: dict[str, Any], seconds: float) -> Any:
    host = system.layout.set_host(name).name
    answer = Container(system.incus, host).prodctl(task, request, seconds=seconds)
    if answer is None:
        raise Conflict(f"there is no prodctl in {host}", hint="prodctl deploy apply")
    return answer
