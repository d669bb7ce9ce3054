"""One deployment: its description, the operator's secrets for it, and the Incus that it is in."""

from __future__ import annotations

import hashlib
import json
import secrets as random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from prodcore.backup.sealing import read_key_file
from prodcore.deadline import run_parallel
from prodcore.deploy.config import Deployment
from prodcore.deploy.container import Container
from prodcore.deploy.layout import Host, Layout
from prodcore.deploy.lifecycle import IncusSteps
from prodcore.deploy.observe import Observed, observe, setup_url, volumes
from prodcore.deploy.plan import Plan, make_plan
from prodcore.deploy.render import Inputs, render_hosts
from prodcore.deploy.spec import CA_PATH, MARK, PUSHED_MONGOD_DIR, Binary, HostSpec
from prodcore.errors import ConfigError, Conflict, IncusRefused, ShardNotFound, Unavailable
from prodcore.incus import Incus
from prodcore.installation import Progress, no_progress
from prodcore.installation.mongod import render_env
from prodcore.installation.secret import (
    AUTHORITY_FILES,
    CA_FILE,
    KEYFILE,
    SEALED_CODE_FILE,
    SECRETS_FILE,
    SETUP_CODE_FILE,
    SETUP_FILES,
    Secrets,
    ensure_secrets,
    ensure_setup_code,
    forget_setup_code,
    locked,
    new_secrets,
)
from prodcore.installation.sets import SETS, USERS_SET, set_urls, variable
from prodcore.support.secure_files import make_private_directory, write_private

IMPORT_NOTE = "import.json"
"""How far an import has come."""
_OK = 200
_READY_SECONDS = 120
_UNUSED_SECONDS = 60.0
_ID_DIGITS = 12


class DeployedSystem:
    """The containers of the description in ``file``, and its secrets under ``state_dir``.

    Nothing is observed or made before a method asks for it.
    """

    def __init__(self, deployment: Deployment, state_dir: Path, file: Path) -> None:
        self.deployment = deployment
        self.file = file.absolute()
        self.layout = Layout(deployment)
        self.incus = Incus(deployment.incus.remote, deployment.incus.project)
        self.directory = state_dir / "deploy" / deployment.name

    @cached_property
    def operator(self) -> OperatorSide:
        """Secrets, wheelhouse, mongod. Raises ConfigError for what is not there."""
        return OperatorSide(self.layout, self.directory)

    @property
    def release(self) -> str:
        """The id of the release that is wanted."""
        return self.operator.inputs().release

    @property
    def specs(self) -> Mapping[str, HostSpec]:
        """The desired state of each container."""
        return render_hosts(self.layout, self.operator.inputs())

    @property
    def set_requests(self) -> dict[str, dict[str, Any]]:
        """What a container must know to observe, or work on, each set; holds secrets."""
        operator, members = self.operator, self.layout.set_members
        is_tls = self.deployment.tls.enabled
        urls = set_urls(members, operator.secrets, "operator", CA_PATH if is_tls else "")
        secrets = asdict(replace(operator.secrets, session="", service=""))
        return {
            name: {
                "set": {
                    "name": name,
                    "members": members[name],
                    "election_timeout_ms": self.layout.election_timeout_ms,
                    "keyfile": operator.keyfile,
                    "secrets": secrets,
                    **({"ca_file": CA_PATH, "shown": operator.fingerprints(members[name])} if is_tls else {}),
                },
                "urls": urls,
                "preparation": name == USERS_SET,
            }
            for name in members
        }

    def observe(self) -> Observed:
        """Everything as it is."""
        return observe(self.layout, self.incus, self.specs, self.set_requests)

    def compare(self, *, settle: bool = True) -> tuple[Observed, Plan]:
        """What is there, and what is to be done. With ``settle`` the first admin's code is made or forgotten."""
        observed = self.observe()
        if settle:
            is_new = self.layout.auth.name not in observed.instances
            self.operator.settle_setup_code(self.waits_for_admin(observed), is_new=is_new)
        return observed, make_plan(self.layout, self.specs, self.operator.secrets_mark, observed)

    def waits_for_admin(self, observed: Observed) -> bool | None:
        """Whether there is no admin yet; None when webapp does not say."""
        status, body = observed.inside(self.layout.web.name).get(setup_url(self.layout))
        try:
            return bool(json.loads(body)["open"]) if status == _OK else None
        except (ValueError, KeyError, TypeError):
            return None

    def wait_ready(self) -> None:
        """Return when both services say that they are ready. Raises Unavailable."""

        def ready(name: str) -> None:
            spec = self.specs[name]
            units = [unit.name for unit in spec.units]
            request = {"urls": list(spec.ready), "units": units, "seconds": _READY_SECONDS}
            Container(self.incus, name).ask("ready", request, seconds=_READY_SECONDS + 30)

        run_parallel(ready, (self.layout.auth.name, self.layout.web.name))

    @property
    def operator_env(self) -> Path:
        """The settings of the operator's prodctl."""
        return self.directory / "operator.env"

    def owned_instances(self) -> list[str]:
        """Every container that carries our mark, whatever the description says today."""
        return sorted(
            one["name"]
            for one in self.incus.query("GET", "/1.0/instances?recursion=1")
            if one["config"].get(MARK) == self.deployment.name
        )

    def check_removable(self, name: str) -> None:
        """Raise ShardNotFound or Conflict where a shard cannot be removed: it is not a further one, or is in use."""
        if name not in self.deployment.sets:
            there = ", ".join(shard for shard in self.deployment.sets if shard != USERS_SET)
            raise ShardNotFound(f"{self.file.name} describes no shard {name}; its shards are {there}", shard=name)
        if name in SETS:
            raise Conflict(f"{name} is a set that every deployment has: it cannot be removed", shard=name)
        container = Container(self.incus, self.layout.users_host.name)
        request = {"urls": self.set_requests[USERS_SET]["urls"], "shard": name}
        answer = container.prodctl("check-unused", request, seconds=_UNUSED_SECONDS)
        if answer is None:
            raise Unavailable(f"{container.name} has no release that could ask {name}", hint="prodctl deploy apply")
        if answer:
            raise Conflict(answer["refusal"], hint=answer["hint"], shard=name)

    def without_shard(self, name: str) -> DeployedSystem:
        """The same deployment as it would be described without this shard."""
        sets = {other: table for other, table in self.deployment.sets.items() if other != name}
        deployment = self.deployment.model_copy(update={"sets": sets})
        return DeployedSystem(deployment, self.directory.parent.parent, self.file)

    def remove_containers(self, name: str, progress: Progress = no_progress) -> None:
        """Remove the containers of a set that nothing uses any more, with their data."""
        steps = IncusSteps(self.layout, self.incus, progress)
        hosts = [host for host in self.layout.db_hosts if host.members[0].replica_set == name]
        with locked(self.directory):
            steps.wait_for_others()
            run_parallel(steps.remove, {host.name for host in hosts} & set(self.owned_instances()))
            volumes = self.observe_volumes()
            for volume in (host.volume for host in hosts if host.volume):
                if (volume.pool, volume.name) in volumes:
                    steps.remove_volume(volume.pool, volume.name)
            for host in hosts:
                (self.directory / f"{host.name}.pem").unlink(missing_ok=True)

    def observe_volumes(self) -> frozenset[tuple[str, str]]:
        """Pool and name of every data volume that carries our mark."""
        return volumes(self.layout, self.incus)

    def destroy(self, progress: Progress = no_progress) -> None:
        """Remove all that carries our mark, and the secrets with it."""
        if self.directory.exists():
            with locked(self.directory):
                self._destroy(progress)
        else:
            self._destroy(progress)

    def _destroy(self, progress: Progress) -> None:
        steps = IncusSteps(self.layout, self.incus, progress)
        steps.wait_for_others()
        run_parallel(steps.remove, self.owned_instances())
        for pool, name in sorted(self.observe_volumes()):
            steps.remove_volume(pool, name)
        for kind in ("profiles", "networks"):
            for one in self.incus.query("GET", f"/1.0/{kind}?recursion=1"):
                if one["config"].get(MARK) == self.deployment.name:
                    try:
                        self.incus.query("DELETE", f"/1.0/{kind}/{one['name']}")
                        progress("incus", f"no longer has the {kind[:-1]} {one['name']}")
                    except IncusRefused as refusal:
                        progress("incus", f"keeps the {kind[:-1]} {one['name']}: {refusal.message}")
        for name in ("operator.env", IMPORT_NOTE, SECRETS_FILE, KEYFILE, *SETUP_FILES, "lock"):
            (self.directory / name).unlink(missing_ok=True)
        for name in (*AUTHORITY_FILES, *(f"{host.name}.pem" for host in self.layout.hosts)):
            (self.directory / name).unlink(missing_ok=True)
        if self.directory.exists() and not any(self.directory.iterdir()):
            self.directory.rmdir()

    def write_operator_env(self) -> None:
        """Store the settings with which the operator's other commands work on this deployment."""
        ca_file = str(self.operator.ca_file) if self.deployment.tls.enabled else ""
        urls = set_urls(self.layout.set_members, self.operator.secrets, "operator", ca_file)
        values = {
            "PRODCTL_URL": self.layout.url(self.layout.web),
            "AUTH_SERVER_URL": self.layout.url(self.layout.auth),
            **({"PRODCTL_CA_FILE": ca_file} if ca_file else {}),
            **{variable(name): url for name, url in urls.items()},
            "PRODCTL_DEPLOYMENT": str(self.file),
        }
        write_private(self.operator_env, render_env(values))


class OperatorSide:
    """The directory of one deployment under the state directory. Nothing is made there before ``begin``."""

    def __init__(self, layout: Layout, directory: Path) -> None:
        deployment = layout.deployment
        self.directory = directory
        self._layout = layout
        self._tls = deployment.tls
        self.ca_file = (deployment.tls.directory or directory) / CA_FILE
        """The authorities' certificates; only with TLS."""
        self._keyfile = directory / KEYFILE
        self._release = _release_id(deployment.release.wheelhouse)
        self._mongod = _binary(deployment.mongod.file) if deployment.mongod.file else None
        self._apt_key = _content(deployment.mongod.key) if deployment.mongod.key else b""
        self._backup_key = read_key_file(deployment.backup.key) if deployment.backup.key else b""
        self._throw_away = new_secrets()

    def begin(self) -> None:
        """Make the directory and the secrets, where there are none."""
        make_private_directory(self.directory)
        ensure_secrets(self.directory, self._keyfile)
        if self._tls.enabled:
            self._ensure_certificates()

    def _ensure_certificates(self) -> None:
        """Check the given ones; or make them, and renew those of which a third of their life is left."""
        from prodcore.installation.certificates import Authority, check_leaf

        now = datetime.now(UTC)
        for host in self._layout.hosts:
            names = self._layout.certificate_names(host)
            if self._tls.directory:
                check_leaf(self._leaf(host), self.ca_file, names, now)
            else:
                Authority(self.directory, now).renew(self._leaf(host), names, now)

    def _leaf(self, host: Host) -> Path:
        return (self._tls.directory or self.directory) / f"{host.name}.pem"

    def _leaf_content(self, host: Host) -> bytes:
        """What the container shall show; nothing that could be shown where ``begin`` is to make or renew it."""
        from prodcore.installation.certificates import read_leaf

        path, names = self._leaf(host), self._layout.certificate_names(host)
        is_there = path.exists() and (self._tls.directory or not read_leaf(path).is_due(names, datetime.now(UTC)))
        return path.read_bytes() if is_there else b"made by apply\n"

    def fingerprints(self, endpoints: Sequence[str]) -> dict[str, str]:
        """What these members shall show; without those whose certificate is still to be made."""
        from prodcore.installation.certificates import read_leaf

        found: dict[str, str] = {}
        for host in self._layout.db_hosts:
            if self._leaf(host).exists():
                shown = read_leaf(self._leaf(host)).fingerprint
                found |= {m.endpoint: shown for m in host.members if m.endpoint in endpoints}
        return found

    @property
    def has_secrets(self) -> bool:
        """Whether ``begin`` was called at some time."""
        return (self.directory / SECRETS_FILE).exists()

    @property
    def secrets(self) -> Secrets:
        """The deployment's; others, which are not kept, before there are any."""
        return ensure_secrets(self.directory, self._keyfile) if self.has_secrets else self._throw_away

    @property
    def keyfile(self) -> str:
        """What the members know each other by."""
        return self._keyfile.read_text(encoding="utf-8") if self._keyfile.exists() else random.token_urlsafe(48)

    @property
    def secrets_mark(self) -> str:
        """A fingerprint of the secrets, which says nothing about them."""
        return hashlib.sha256(json.dumps(asdict(self.secrets)).encode()).hexdigest()[:_ID_DIGITS]

    def settle_setup_code(self, is_open: bool | None, *, is_new: bool) -> None:
        """Keep a code that is good while there is no admin, and none afterwards; None: it is not known."""
        if is_open or is_new:
            ensure_setup_code(self.directory, datetime.now(UTC))
        elif is_open is False:
            forget_setup_code(self.directory)

    @property
    def setup_code(self) -> str | None:
        """The first admin's code, while there is none."""
        path = self.directory / SETUP_CODE_FILE
        return path.read_text(encoding="utf-8").strip() if path.exists() else None

    def inputs(self) -> Inputs:
        """For ``render_hosts``."""
        sealed = self.directory / SEALED_CODE_FILE
        tls = self._tls.enabled
        return Inputs(
            ca=self.ca_file.read_bytes() if tls and self.ca_file.exists() else b"",
            leaves={host.name: self._leaf_content(host) for host in self._layout.hosts} if tls else {},
            secrets=self.secrets,
            keyfile=self.keyfile,
            release=self._release,
            mongod=self._mongod,
            apt_key=self._apt_key,
            backup_key=self._backup_key,
            sealed_code=sealed.read_text(encoding="utf-8") if sealed.exists() else "",
        )


def _release_id(wheelhouse: Path) -> str:
    """The release that a wheelhouse holds: another one as soon as any wheel in it is another."""
    requirements = wheelhouse / "requirements.txt"
    if not requirements.is_file():
        raise ConfigError(f"there is no wheelhouse at {wheelhouse}", hint=f"scripts/wheelhouse {wheelhouse}")
    return hashlib.sha256(requirements.read_bytes()).hexdigest()[:_ID_DIGITS]


def _binary(path: Path) -> Binary:
    """A given mongod; its path in the containers holds its checksum, so another file has another path."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"mongod.file {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    return Binary(f"{PUSHED_MONGOD_DIR}/{digest[:_ID_DIGITS]}/mongod", str(path))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"mongod.key {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
