"""Everything that each container holds, from the layout and the secrets: as data, and as files to be read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from prodcore.deploy.layout import DeployedMember, Host, Layout
from prodcore.deploy.spec import (
    APT_KEY,
    APT_SOURCE,
    CA_PATH,
    CURRENT_RELEASE,
    DATA_DIR,
    KEYFILE_PATH,
    MEMBER_TLS,
    MONGOD_DIR,
    MONGOD_LINK,
    PACKAGED_MONGOD,
    RELEASE_MANIFEST,
    RELEASES_DIR,
    SEALED_CODE,
    SETTINGS_DIR,
    UNITS_DIR,
    Binary,
    Directory,
    File,
    HostSpec,
    Link,
    Unit,
    instance_spec,
    network_spec,
    profile_spec,
)
from prodcore.installation.mongod import MemberFiles, render_env, render_mongod
from prodcore.installation.secret import Secrets
from prodcore.installation.set_up import HEARTBEAT_MS
from prodcore.installation.sets import SETS, credentials, set_urls
from prodcore.mongo.admin.replica_set_admin import SetTiming
from prodcore.settings import is_set_setting

MONGOD_USER = "mongodb"
MASK = "(secret)\n"
"""Shown instead of a secret."""
_UNIT_FILES = Path(__file__).parent / "systemd"
_SERVICES = {"web": "webapp", "auth": "authsvc"}
_NAMED_BY_UNITS = {one.setting for one in SETS.values()}
_OPERATOR_PROGRAMS = ("guard", "drills", "drill", "backup")
"""Programs on containers of members; they work with the operator's rights, backups with rights of their own."""
_TIMED = ("drill", "backup")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is not in the description: secrets, and what the operator's machine holds."""

    secrets: Secrets
    keyfile: str
    release: str
    """The id of the wheelhouse."""
    mongod: Binary | None = None
    """A given mongod; None: from packages."""
    apt_key: bytes = b""
    sealed_code: str = ""
    """Of the first admin's setup code; empty once there is an admin."""
    ca: bytes = b""
    """The authorities' certificates; empty: without TLS."""
    leaves: Mapping[str, bytes] = field(default_factory=dict)
    """By container: its certificate with the private key, one PEM text."""
    backup_key: bytes = b""
    """What backups are encrypted with; empty: they are not."""


def render_hosts(layout: Layout, inputs: Inputs) -> dict[str, HostSpec]:
    """The desired state of each container, by its name."""
    return {host.name: _Renderer(layout, inputs, host).spec() for host in layout.hosts}


class _Renderer:
    def __init__(self, layout: Layout, inputs: Inputs, host: Host) -> None:
        self._layout = layout
        self._deployment = layout.deployment
        self._inputs = inputs
        self._host = host
        self._tls = layout.deployment.tls.enabled
        ca_file = CA_PATH if self._tls else ""
        self._credentials = credentials(layout.set_members, inputs.secrets, ca_file)
        self._credentials["backup"] = set_urls(layout.set_members, inputs.secrets, "backup", ca_file)
        self._files: list[File] = []
        self._directories = [Directory(SETTINGS_DIR)]
        self._units: list[Unit] = []

    def spec(self) -> HostSpec:
        """The whole container."""
        is_db = self._host.role == "db"
        if self._tls:
            self._add(File(CA_PATH, self._inputs.ca))
        if is_db:
            self._add_members()
        else:
            self._add_service()
        packaged = (self._deployment.mongod.package,) if is_db and not self._inputs.mongod else ()
        return HostSpec(
            name=self._host.name,
            packages=(*self._deployment.release.packages, *packaged),
            accounts=(MONGOD_USER,) if is_db else (),
            release=self._inputs.release,
            binaries=(self._inputs.mongod,) if is_db and self._inputs.mongod else (),
            directories=tuple(self._directories),
            files=tuple(self._files),
            absent=() if self._inputs.sealed_code or self._host.role != "auth" else (SEALED_CODE,),
            links=tuple(self._links()),
            units=tuple(self._units),
            ready=self._layout.ready_urls(self._host),
        )

    @property
    def _release_manifest(self) -> str:
        """Newer than a process that was started before its release was replaced."""
        return f"{RELEASES_DIR}/{self._inputs.release}/{RELEASE_MANIFEST}"

    def _links(self) -> Iterator[Link]:
        yield Link(CURRENT_RELEASE, f"{RELEASES_DIR}/{self._inputs.release}")
        if self._host.role == "db":
            given = self._inputs.mongod
            yield Link(MONGOD_LINK, given.path if given else PACKAGED_MONGOD)

    @property
    def _service_port(self) -> int:
        return self._deployment.web.port if self._host.role == "web" else self._deployment.auth.port

    def _add_service(self) -> None:
        """webapp or authsvc: a socket on the container's own address, which stays while the service restarts."""
        name = _SERVICES[self._host.role]
        service, socket = f"prodctl-{name}.service", f"prodctl-{name}.socket"
        listen = File(
            f"{UNITS_DIR}/{socket}.d/listen.conf",
            f"[Socket]\nListenStream=\nListenStream={self._host.address}:{self._service_port}\n".encode(),
        )
        if self._host.role == "auth" and self._inputs.sealed_code:
            self._files.append(File(SEALED_CODE, self._inputs.sealed_code.encode()))
        socket_files = (self._add_unit_file(socket), self._add(listen))
        settings = self._add_settings(name, self._service_settings(), self._credentials[self._host.role])
        self._units.append(Unit(socket, socket_files))
        settings += self._add_service_certificate(name) if self._tls else []
        self._units.append(Unit(service, (self._add_unit_file(service), *settings, self._release_manifest)))

    def _add_service_certificate(self, name: str) -> list[str]:
        """A service reads it when it starts: systemd hands it over as it does passwords."""
        pem = File(f"{SETTINGS_DIR}/{name}/tls.pem", self._inputs.leaves[self._host.name], 0o600, is_secret=True)
        handed_over = f"[Service]\nLoadCredential=tls.pem:{pem.path}\nEnvironment=PRODCTL_TLS_FILE=%d/tls.pem\n"
        drop_in = File(f"{UNITS_DIR}/prodctl-{name}.service.d/tls.conf", handed_over.encode())
        return [self._add(pem), self._add(drop_in)]

    def _service_settings(self) -> dict[str, str]:
        listening = {"PORT": str(self._service_port), "PRODCTL_BIND": self._host.address}
        if self._host.role == "auth":
            return {**listening, "PRODCTL_SETUP_CODE_FILE": SEALED_CODE}
        web = self._deployment.web
        return {
            **listening,
            "AUTH_SERVER_URL": self._layout.url(self._layout.auth),
            **self._verified,
            "PRODCTL_WORKERS": str(web.workers),
            "PRODCTL_THREADS": str(web.threads),
            "PRODCTL_TRUSTED_PROXIES": str(web.trusted_proxies),
            "PRODCTL_TRUSTED_HOSTS": web.trusted_hosts,
        }

    @property
    def _verified(self) -> dict[str, str]:
        return {"PRODCTL_CA_FILE": CA_PATH} if self._tls else {}

    def _add_members(self) -> None:
        self._add_apt_source()
        self._directories += [Directory(MONGOD_DIR), Directory(DATA_DIR)]
        unit_files = [self._add_unit_file("mongod@.service")]
        if limit := self._deployment.mongod.memory_max:
            path = f"{UNITS_DIR}/mongod@.service.d/limits.conf"
            unit_files.append(self._add(File(path, f"[Service]\nMemoryMax={limit}\n".encode())))
        self._add(File(KEYFILE_PATH, self._inputs.keyfile.encode(), 0o400, MONGOD_USER, is_secret=True))
        if self._tls:  # members take another one over without a restart
            self._add(File(MEMBER_TLS, self._inputs.leaves[self._host.name], 0o400, MONGOD_USER, is_secret=True))
        for member in self._host.members:
            config = self._add(self._member_config(member))
            self._directories.append(Directory(f"{DATA_DIR}/{member.port}", 0o700, MONGOD_USER))
            self._units.append(Unit(member.unit, (*unit_files, config, KEYFILE_PATH, MONGOD_LINK)))
        programs = _OPERATOR_PROGRAMS if self._host == self._layout.users_host else _OPERATOR_PROGRAMS[:1]
        for name in programs:
            self._add_operator_program(name)

    def _member_config(self, member: DeployedMember) -> File:
        tls = {"tls": MEMBER_TLS, "ca": CA_PATH} if self._tls else {}
        files = MemberFiles(f"{DATA_DIR}/{member.port}", KEYFILE_PATH, **tls)
        text = render_mongod(
            member.replica_set,
            f"127.0.0.1,{member.address}",
            member.port,
            files,
            cache_gb=self._deployment.mongod.cache_gb,
        )
        return File(f"{MONGOD_DIR}/{member.port}.conf", text.encode())

    def _add_operator_program(self, name: str) -> None:
        public, rights = self._operator_settings(), "operator"
        if name == "backup":
            public, rights = public | {"BACKUPS_KEPT": str(self._deployment.backup.keep)}, "backup"
        settings = self._add_settings(name, public, self._credentials[rights])
        files = (self._add_unit_file(f"prodctl-{name}.service"), *settings, self._release_manifest)
        if name in _TIMED:
            timer = f"prodctl-{name}.timer"
            more = self._add_schedule() if name == "backup" else []
            self._units.append(Unit(timer, (self._add_unit_file(timer), *more)))
        else:
            self._units.append(Unit(f"prodctl-{name}.service", files))

    def _add_schedule(self) -> list[str]:
        """When backups are made, and their key."""
        if self._inputs.backup_key:
            key = File(f"{SETTINGS_DIR}/backup/backup_key", self._inputs.backup_key, 0o600, is_secret=True)
            options = 'Environment="KEY_OPTIONS=--key-file %d/backup_key"'
            drop_in = f"[Service]\nLoadCredential=backup_key:{self._add(key)}\n{options}\n"
            self._add(File(f"{UNITS_DIR}/prodctl-backup.service.d/key.conf", drop_in.encode()))
        schedule = f"[Timer]\nOnCalendar=\nOnCalendar={self._deployment.backup.schedule}\n"
        return [self._add(File(f"{UNITS_DIR}/prodctl-backup.timer.d/schedule.conf", schedule.encode()))]

    def _operator_settings(self) -> dict[str, str]:
        return {
            "PRODCTL_URL": self._layout.url(self._layout.web),
            "AUTH_SERVER_URL": self._layout.url(self._layout.auth),
            **self._verified,
        }

    def _add_settings(self, name: str, public: Mapping[str, str], secret: Mapping[str, str]) -> list[str]:
        """The settings of one program: what any user may read, and a file for each secret."""
        directory = f"{SETTINGS_DIR}/{name}"
        self._directories.append(Directory(directory, 0o700))
        written = [self._add(File(f"{SETTINGS_DIR}/{name}.env", render_env(public).encode()))]
        for setting, value in secret.items():
            written.append(self._add(File(f"{directory}/{setting}", value.encode(), 0o600, is_secret=True)))
        if more := [setting for setting in secret if is_set_setting(setting) and setting not in _NAMED_BY_UNITS]:
            handed_over = "".join(f"LoadCredential={setting}:{directory}/{setting}\n" for setting in more)
            drop_in = f"{UNITS_DIR}/prodctl-{name}.service.d/shards.conf"
            written.append(self._add(File(drop_in, f"[Service]\n{handed_over}".encode())))
        return written + ([CA_PATH] if self._tls else [])

    def _add_apt_source(self) -> None:
        source = self._deployment.mongod.source
        if source and not self._inputs.mongod:
            self._add(File(APT_SOURCE, f"{source}\n".encode()))
            self._add(File(APT_KEY, self._inputs.apt_key))

    def _add_unit_file(self, name: str) -> str:
        """With the release's own path: a process that begins in the middle of an upgrade is of the new release."""
        text = unit_text(name).replace(f"{CURRENT_RELEASE}/", f"{RELEASES_DIR}/{self._inputs.release}/")
        return self._add(File(f"{UNITS_DIR}/{name}", text.encode()))

    def _add(self, file: File) -> str:
        self._files.append(file)
        return file.path


def unit_text(name: str) -> str:
    """The content of one unit file."""
    return (_UNIT_FILES / name).read_text(encoding="utf-8")


def write_rendering(layout: Layout, specs: Mapping[str, HostSpec], secrets_mark: str, directory: Path) -> list[Path]:
    """Write ``preseed.yaml``, ``instances.yaml``, ``sets/`` and ``hosts/NAME/``, secrets masked; the paths written."""
    texts = {
        "preseed.yaml": _yaml({"networks": [network_spec(layout)], "profiles": [profile_spec(layout)]}),
        "instances.yaml": _yaml({host.name: instance_spec(layout, host, secrets_mark) for host in layout.hosts}),
        **{f"sets/{name}.json": _set_text(layout, name, members) for name, members in layout.set_members.items()},
    }
    for name, spec in specs.items():
        texts[f"hosts/{name}/steps.yaml"] = _yaml(_steps(spec))
        texts |= {
            f"hosts/{name}/files{f.path}": MASK if f.is_secret else f.content.decode(errors="replace")
            for f in spec.files
        }
    written = []
    for relative, text in texts.items():
        path = directory / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _set_text(layout: Layout, name: str, members: list[str]) -> str:
    """The document for ``replSetInitiate``."""
    document = {
        "_id": name,
        "members": [{"_id": number, "host": member} for number, member in enumerate(members)],
        "settings": SetTiming(layout.election_timeout_ms, HEARTBEAT_MS).as_settings(),
    }
    return json.dumps(document, indent=2) + "\n"


def _steps(spec: HostSpec) -> dict[str, Any]:
    """What is done in a container besides writing its files, in order."""
    return {
        "packages": list(spec.packages),
        "accounts": list(spec.accounts),
        "binaries": {binary.path: binary.source for binary in spec.binaries},
        "release": spec.release,
        "directories": {d.path: f"{d.mode:04o} {d.owner}" for d in spec.directories},
        "files": {f.path: f"{f.mode:04o} {f.owner}" for f in spec.files},
        "links": {link.path: link.target for link in spec.links},
        "units": [unit.name for unit in spec.units],
    }


def _yaml(document: Any) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
