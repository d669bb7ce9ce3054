"""Taking a whole deployment along: every container as Incus exports it, and all that a new operator needs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prodcore.deploy.archive import (
    DESCRIPTION,
    MANIFEST,
    SECRETS,
    BundledInstance,
    Manifest,
    describe_file,
    megabytes,
    ports_of,
    seat_of,
)
from prodcore.deploy.data_check import count_documents
from prodcore.deploy.incus_wish import MARK
from prodcore.deploy.layout import Host
from prodcore.deploy.lifecycle import Power
from prodcore.errors import Conflict, InvalidInput, Problem
from prodcore.installation.lock import locked
from prodcore.installation.progress import Progress
from prodcore.installation.secret import SETUP_FILES
from prodcore.support.secure_files import write_private

if TYPE_CHECKING:
    from prodcore.deploy.system import DeployedSystem

_EXPORT_SECONDS = 6 * 3600.0
_RUNNING = "Running"


class Export:
    """One export into ``directory``, which is there only when it is whole."""

    def __init__(self, system: DeployedSystem, directory: Path, compression: str, progress: Progress) -> None:
        self._system = system
        self._directory = directory.absolute()
        self._compression = compression
        self._progress = progress
        self._power = Power(system.incus, progress)

    def run(self) -> Manifest:
        """Stop everything, export it, start it again. Raises Conflict when something is missing or in the way."""
        layout = self._system.layout
        self._check_complete()
        with locked(self._system.directory), self._beside() as beside:
            with self._power.stopped([layout.web, layout.auth]):
                counts = count_documents(self._system)
                with self._power.stopped(layout.db_hosts):
                    instances = [self._export(host, beside) for host in layout.hosts]
            files = [describe_file(path) for path in self._copy_files(beside)]
            manifest = Manifest(
                format=1,
                deployment=layout.deployment.name,
                made=datetime.now(UTC),
                instances=tuple(instances),
                files=tuple(files),
                counts=counts,
            )
            write_private(beside / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
        self._system.wait_ready()
        return manifest

    def _check_complete(self) -> None:
        """Nothing is stopped before it is known that everything can be exported."""
        system = self._system
        found = system.incus.query("GET", "/1.0/instances?recursion=1")
        ours = [one for one in found if one["config"].get(MARK) == system.deployment.name]
        running = {one["name"] for one in ours if one["status"] == _RUNNING}
        lacking = [host.name for host in system.layout.hosts if host.name not in running]
        if lacking:
            raise Conflict(f"not every container runs: {', '.join(lacking)} does not", hint="prodctl deploy apply")
        if not system.operator.has_secrets:
            raise Conflict(
                "the deployment's secrets are not on this machine", hint="export it where it was made, or imported"
            )
        count_documents(system)  # with a release that cannot, or a silent set, it would fail only later

    @contextmanager
    def _beside(self) -> Iterator[Path]:
        """A directory beside the wanted one, which takes its place at the end of the block, or is gone."""
        _check_empty(self._directory)
        beside = self._directory.with_name(f".{self._directory.name}.unfinished")
        shutil.rmtree(beside, ignore_errors=True)
        try:
            beside.mkdir(mode=0o700)
        except OSError as error:
            raise _unusable(beside.parent, error) from None
        try:
            yield beside
            beside.replace(self._directory)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _export(self, host: Host, directory: Path) -> BundledInstance:
        path = directory / f"{host.name}.tar"
        began = time.monotonic()
        self._progress(host.name, "is being exported")
        incus = self._system.incus
        with self._power.without_network(host):
            arguments = ["--instance-only", f"--compression={self._compression}", "--", incus.at(host.name), str(path)]
            incus.run("export", *arguments, timeout_seconds=_EXPORT_SECONDS)
        path.chmod(0o600)
        file = describe_file(path)
        self._progress(host.name, f"is exported: {megabytes(file.size)} in {time.monotonic() - began:.1f} s")
        return BundledInstance(
            name=host.name, seat=seat_of(host), address=host.address, ports=ports_of(host), file=file
        )

    def _copy_files(self, beside: Path) -> Iterator[Path]:
        """The description and the secrets: the containers hold these, too, so leaving them out would hide nothing."""
        state = self._system.directory
        sources = {DESCRIPTION: self._system.file, **{name: state / name for name in (*SECRETS, *SETUP_FILES)}}
        for name, source in sources.items():
            if source.exists():
                write_private(beside / name, source.read_text(encoding="utf-8"))
                yield beside / name


def _check_empty(directory: Path) -> None:
    try:
        with os.scandir(directory) as entries:
            if any(entries):
                raise Conflict(f"{directory} is not empty", hint="name a new directory: an export is never added to")
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(directory, error) from None


def _unusable(directory: Path, error: OSError) -> InvalidInput:
    reason = (error.strerror or str(error)).lower()
    return InvalidInput(problems=[Problem("DIRECTORY", "unusable", f"{directory} cannot be used: {reason}")])
