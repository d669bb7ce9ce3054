"""Making a deployment from an export: its containers, at the addresses of the description, then what apply does.

Whatever ends it early, the same command goes on where it was: a note in the state directory tells how far that is. As
long as not every container is there, those that are get removed and imported anew; once they all are, none ever is.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodcore.deploy.archive import (
    MANIFEST,
    SECRETS,
    BundledInstance,
    Manifest,
    check_files,
    match_hosts,
    megabytes,
    read_manifest,
)
from prodcore.deploy.data_check import data_problems
from prodcore.deploy.incus_steps import IncusSteps
from prodcore.deploy.incus_wish import MARK
from prodcore.deploy.layout import Host
from prodcore.errors import Conflict, InvalidInput, Problem
from prodcore.installation.lock import locked
from prodcore.installation.progress import Progress
from prodcore.installation.secret import SETUP_FILES
from prodcore.support.secure_files import make_private_directory, write_private

if TYPE_CHECKING:
    from prodcore.deploy.system import DeployedSystem

NOTE = "import.json"
_IMPORT_SECONDS = 6 * 3600.0
_HARMLESS_CONFIG = ("user.", "volatile.", "image.", "limits.", "boot.")


class Restore:
    """One import of ``directory``."""

    def __init__(self, system: DeployedSystem, directory: Path, progress: Progress) -> None:
        self._system = system
        self._directory = directory.absolute()
        self._progress = progress
        self._note = system.directory / NOTE

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
        self._system.apply(self._progress)
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
                self._progress(name, "is removed: its import was cut short")
            _seen, plan = system.compare(settle=False)
            steps.make_surroundings(plan.incus)
            for instance, host in pairs:
                self._import(instance, host)
            self._write_note(identity, is_restored=True)

    def _take_secrets(self, manifest: Manifest) -> None:
        """The keyfile first, as with new secrets: with ``secrets.json`` everything is there."""
        listed = {file.name for file in manifest.files}
        for name in (*SETUP_FILES, *reversed(SECRETS)):
            if name not in listed:
                continue
            text = (self._directory / name).read_text(encoding="utf-8")
            target = self._system.directory / name
            if name in SECRETS and target.exists() and target.read_text(encoding="utf-8") != text:
                raise Conflict(
                    f"{target} is of another deployment of this name",
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
        self._check_harmless(host)
        self._progress(host.name, f"is imported in {time.monotonic() - began:.1f} s")

    def _check_harmless(self, host: Host) -> None:
        """An export can carry any configuration: one that reaches out of its container is never started."""
        found = self._system.incus.query("GET", f"/1.0/instances/{host.name}")
        bad = [f"config {key}" for key in found["config"] if not key.startswith(_HARMLESS_CONFIG)]
        bad += [f"device {name}" for name in found["devices"]]
        name = self._system.deployment.name
        if found["type"] != "container" or found["profiles"] != [name] or found["config"].get(MARK) != name:
            bad.append("another kind, other profiles or another mark than a container of this deployment")
        if bad:
            IncusSteps(self._system.layout, self._system.incus, self._progress).remove(host.name)
            text = f"the exported container has {', '.join(bad)}, which no container of a deployment has; it is removed"
            raise InvalidInput(problems=[Problem(host.name, "refused", text)])
