"""Moving a whole deployment: exported into a directory, imported from it at the addresses of another description.

Whatever ends an import early, the same command continues it: a note in the state directory says how far it has come. As
long as not every container is there, those that are get removed and imported again; once they all are, none ever is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prodcore.deploy.apply import apply
from prodcore.deploy.archive import (
    DESCRIPTION,
    MANIFEST,
    SECRETS,
    BundledInstance,
    Manifest,
    check_files,
    count_documents,
    data_problems,
    describe_file,
    match_hosts,
    megabytes,
    ports_of,
    read_manifest,
    seat_of,
)
from prodcore.deploy.layout import Host
from prodcore.deploy.lifecycle import IncusSteps, Lifecycle
from prodcore.deploy.spec import MARK, ROOT, instance_spec
from prodcore.deploy.system import IMPORT_NOTE, DeployedSystem
from prodcore.errors import Conflict, InvalidInput, Problem
from prodcore.installation import Progress
from prodcore.installation.secret import AUTHORITY_FILES, SETUP_FILES, locked
from prodcore.support.secure_files import make_private_directory, write_private

_EXPORT_SECONDS = 6 * 3600.0
_IMPORT_SECONDS = 6 * 3600.0
_ALLOWED_CONFIG = ("user.", "volatile.", "image.", "limits.", "boot.")
_RUNNING = "Running"


class Export:
    """One export into ``directory``, which is there only when it is whole."""

    def __init__(self, system: DeployedSystem, directory: Path, compression: str, progress: Progress) -> None:
        self._system = system
        self._directory = directory.absolute()
        self._compression = compression
        self._progress = progress
        self._lifecycle = Lifecycle(system.incus, progress)

    def run(self) -> Manifest:
        """Stop everything, export it, start it again. Raises Conflict when something is missing or in the way."""
        layout = self._system.layout
        self._check_complete()
        with locked(self._system.directory), self._beside() as beside:
            with self._lifecycle.stopped([layout.web, layout.auth]):
                counts = count_documents(self._system)
                with self._lifecycle.stopped(layout.db_hosts):
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
                "the deployment's secrets are not on this machine",
                hint="export it on the machine where it was created or imported",
            )
        count_documents(system)  # with a release that cannot, or an unreachable set, it would fail only later

    @contextmanager
    def _beside(self) -> Iterator[Path]:
        """A directory beside the wanted one, which is renamed to it at the end of the block, or is gone."""
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
        incus, compression = self._system.incus, f"--compression={self._compression}"
        with self._lifecycle.without_devices(host):
            arguments = ["--instance-only", compression, "--", incus.at(host.name), str(path)]
            incus.run("export", *arguments, timeout_seconds=_EXPORT_SECONDS)
        volume_path = directory / f"{host.name}-data.tar"
        if volume := host.volume:
            arguments = ["--volume-only", compression, "--", incus.at(volume.pool), volume.name, str(volume_path)]
            incus.run("storage", "volume", "export", *arguments, timeout_seconds=_EXPORT_SECONDS)
            volume_path.chmod(0o600)
        path.chmod(0o600)
        file = describe_file(path)
        self._progress(host.name, f"is exported: {megabytes(file.size)} in {time.monotonic() - began:.1f} s")
        return BundledInstance(
            name=host.name,
            seat=seat_of(host),
            address=host.address,
            ports=ports_of(host),
            file=file,
            volume=describe_file(volume_path) if volume else None,
        )

    def _copy_files(self, beside: Path) -> Iterator[Path]:
        """The description and the secrets: the containers hold these, too, so leaving them out would hide nothing."""
        state = self._system.directory
        kept = (*SECRETS, *SETUP_FILES, *AUTHORITY_FILES)
        sources = {DESCRIPTION: self._system.file, **{name: state / name for name in kept}}
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


class Import:
    """One import of ``directory``."""

    def __init__(self, system: DeployedSystem, directory: Path, progress: Progress) -> None:
        self._system = system
        self._directory = directory.absolute()
        self._progress = progress
        self._note = system.directory / IMPORT_NOTE

    def run(self) -> list[str]:
        """Everything, to the end; what is wrong with the data then, which should be nothing.

        Raises InvalidInput for an export that is damaged or of another shape, Conflict when containers of these names
        or other secrets are there already, and whatever apply raises.
        """
        manifest = read_manifest(self._directory)
        pairs = match_hosts(manifest, self._system.layout)
        identity = hashlib.sha256((self._directory / MANIFEST).read_bytes()).hexdigest()
        if not self._is_restored(identity):
            self._check_free(identity)
            check_files(self._directory, manifest, self._progress)
            self._restore(manifest, pairs, identity)
        apply(self._system, self._progress)
        problems = list(data_problems(self._system, manifest.counts))
        if not problems:
            self._note.unlink()
            self._progress("cluster", "has every product and user that was exported")
        return problems

    def _read_note(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._note.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found

    def _write_note(self, identity: str, *, is_restored: bool) -> None:
        write_private(self._note, json.dumps({"export": identity, "is_restored": is_restored}) + "\n")

    def _is_restored(self, identity: str) -> bool:
        note = self._read_note()
        return note.get("export") == identity and bool(note["is_restored"])

    def _check_free(self, identity: str) -> None:
        """Nothing of these names may be there, but what this import has left itself."""
        note = self._read_note()
        wanted = {host.name for host in self._system.layout.hosts}
        found = {one["name"]: one["config"] for one in self._system.incus.query("GET", "/1.0/instances?recursion=1")}
        marks = {found[name].get(MARK) for name in wanted & found.keys()}
        is_own = note.get("export") == identity and marks <= {self._system.deployment.name}
        if marks and not is_own:
            raise Conflict(
                f"there are containers of these names: {', '.join(sorted(wanted & found.keys()))}",
                hint="prodctl deploy destroy removes them, or give others in the description",
            )
        if note.get("export", identity) != identity:
            raise Conflict("the import of another export was begun here", hint="prodctl deploy destroy, then import")

    def _restore(self, manifest: Manifest, pairs: list[tuple[BundledInstance, Host]], identity: str) -> None:
        system = self._system
        make_private_directory(system.directory)
        with locked(system.directory):
            self._take_secrets(manifest)
            self._write_note(identity, is_restored=False)
            steps = IncusSteps(system.layout, system.incus, self._progress)
            for name in set(system.owned_instances()) & {host.name for _instance, host in pairs}:
                steps.remove(name)
                self._progress(name, "is removed: its import was interrupted")
            for pool, volume in sorted(system.observe_volumes()):
                steps.remove_volume(pool, volume)
            _observed, plan = system.compare(settle=False)
            steps.make_surroundings(replace(plan.incus, volumes=()))
            for instance, host in pairs:
                self._import(instance, host)
            self._write_note(identity, is_restored=True)

    def _take_secrets(self, manifest: Manifest) -> None:
        """The keyfile first, as with new secrets: with ``secrets.json`` everything is there."""
        listed = {file.name for file in manifest.files}
        for name in (*SETUP_FILES, *AUTHORITY_FILES, *reversed(SECRETS)):
            if name not in listed:
                continue
            text = (self._directory / name).read_text(encoding="utf-8")
            target = self._system.directory / name
            if name in SECRETS and target.exists() and target.read_text(encoding="utf-8") != text:
                raise Conflict(
                    f"{target} belongs to another deployment of this name",
                    hint="prodctl deploy destroy removes it; or set PRODCTL_STATE_DIR",
                )
            write_private(target, text)

    def _import(self, instance: BundledInstance, host: Host) -> None:
        began = time.monotonic()
        incus, table = self._system.incus, self._system.deployment.incus
        self._progress(host.name, f"is being imported ({megabytes(instance.file.size)})")
        remote = [f"{table.remote}:"] if table.remote else []
        source = str(self._directory / instance.file.name)
        incus.run(
            "import", f"--storage={table.pool}", "--", *remote, source, host.name, timeout_seconds=_IMPORT_SECONDS
        )
        self._check_allowed(host)
        if instance.volume and host.volume:
            source = str(self._directory / instance.volume.name)
            arguments = ["--", incus.at(host.volume.pool), source, host.volume.name]
            incus.run("storage", "volume", "import", *arguments, timeout_seconds=_IMPORT_SECONDS)
        self._progress(host.name, f"is imported in {time.monotonic() - began:.1f} s")

    def _check_allowed(self, host: Host) -> None:
        """An export can carry any configuration: one that reaches out of its container is never started."""
        found = self._system.incus.query("GET", f"/1.0/instances/{host.name}")
        bad = [f"config {key}" for key in found["config"] if not key.startswith(_ALLOWED_CONFIG)]
        root = instance_spec(self._system.layout, host, "")["devices"].get(ROOT)
        bad += [f"device {name}" for name, device in found["devices"].items() if (name, device) != (ROOT, root)]
        name = self._system.deployment.name
        if found["type"] != "container" or found["profiles"] != [name] or found["config"].get(MARK) != name:
            bad.append("another kind, other profiles or another mark than a container of this deployment")
        if bad:
            IncusSteps(self._system.layout, self._system.incus, self._progress).remove(host.name)
            text = f"the exported container has {', '.join(bad)}, which no container of a deployment has; it is removed"
            raise InvalidInput(problems=[Problem(host.name, "refused", text)])
