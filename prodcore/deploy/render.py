"""Everything that stands in each container, from the layout and the secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prodcore.deploy import paths as place
from prodcore.deploy.layout import DeployedMember, Host, Layout
from prodcore.deploy.spec import Binary, Directory, File, HostWish, Link, Unit
from prodcore.deploy.unit_file import unit_text
from prodcore.installation.env_file import render_env
from prodcore.installation.mongod import MemberFiles, render_mongod
from prodcore.installation.secret import Secrets
from prodcore.installation.sets import credentials

MONGOD_USER = "mongodb"
_SERVICES = {"web": "webapp", "auth": "authsvc"}
_OPERATOR_PROGRAMS = ("guard", "drills", "drill")
"""Programs on containers of members; they work with the operator's rights."""


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


def render_hosts(layout: Layout, inputs: Inputs) -> dict[str, HostWish]:
    """Every container's inside, by its name."""
    return {host.name: _Renderer(layout, inputs, host).wish() for host in layout.hosts}


class _Renderer:
    def __init__(self, layout: Layout, inputs: Inputs, host: Host) -> None:
        self._layout = layout
        self._deployment = layout.deployment
        self._inputs = inputs
        self._host = host
        self._credentials = credentials(layout.set_members, inputs.secrets)
        self._files: list[File] = []
        self._directories = [Directory(place.SETTINGS)]
        self._units: list[Unit] = []

    def wish(self) -> HostWish:
        """Put it together."""
        is_db = self._host.role == "db"
        if is_db:
            self._add_members()
        else:
            self._add_service()
        packaged = (self._deployment.mongod.package,) if is_db and not self._inputs.mongod else ()
        return HostWish(
            name=self._host.name,
            packages=(*self._deployment.release.packages, *packaged),
            accounts=(MONGOD_USER,) if is_db else (),
            release=self._inputs.release,
            binaries=(self._inputs.mongod,) if is_db and self._inputs.mongod else (),
            directories=tuple(self._directories),
            files=tuple(self._files),
            absent=() if self._inputs.sealed_code or self._host.role != "auth" else (place.SEALED_CODE,),
            links=tuple(self._links()),
            units=tuple(self._units),
            ready=() if is_db else (f"http://{self._host.address}:{self._service_port}/readyz",),
        )

    def _links(self) -> Iterator[Link]:
        yield Link(place.CURRENT, f"{place.RELEASES}/{self._inputs.release}")
        if self._host.role == "db":
            given = self._inputs.mongod
            yield Link(place.MONGOD, given.path if given else place.PACKAGED_MONGOD)

    @property
    def _service_port(self) -> int:
        return self._deployment.web.port if self._host.role == "web" else self._deployment.auth.port

    def _add_service(self) -> None:
        """webapp or authsvc: a socket on the container's own address, which stays while the service restarts."""
        name = _SERVICES[self._host.role]
        service, socket = f"prodctl-{name}.service", f"prodctl-{name}.socket"
        listen = File(
            f"{place.UNITS}/{socket}.d/listen.conf",
            f"[Socket]\nListenStream=\nListenStream={self._host.address}:{self._service_port}\n".encode(),
        )
        if self._host.role == "auth" and self._inputs.sealed_code:
            self._files.append(File(place.SEALED_CODE, self._inputs.sealed_code.encode()))
        socket_files = (self._add_unit_file(socket), self._add(listen))
        settings = self._add_settings(name, self._service_settings(), self._credentials[self._host.role])
        self._units.append(Unit(socket, socket_files))
        self._units.append(Unit(service, (self._add_unit_file(service), *settings, place.CURRENT)))

    def _service_settings(self) -> dict[str, str]:
        listening = {"PORT": str(self._service_port), "PRODCTL_BIND": self._host.address}
        if self._host.role == "auth":
            return {**listening, "PRODCTL_SETUP_CODE_FILE": place.SEALED_CODE}
        web = self._deployment.web
        return {
            **listening,
            "AUTH_SERVER_URL": f"http://{self._layout.auth.address}:{self._deployment.auth.port}",
            "PRODCTL_WORKERS": str(web.workers),
            "PRODCTL_THREADS": str(web.threads),
            "PRODCTL_TRUSTED_PROXIES": str(web.trusted_proxies),
            "PRODCTL_TRUSTED_HOSTS": web.trusted_hosts,
        }

    def _add_members(self) -> None:
        self._add_apt_source()
        self._directories += [Directory(place.MONGOD_SETTINGS), Directory(place.DATA)]
        unit_file = self._add_unit_file("mongod@.service")
        self._add(File(place.KEYFILE, self._inputs.keyfile.encode(), 0o400, MONGOD_USER, is_secret=True))
        for member in self._host.members:
            config = self._add(self._member_config(member))
            self._directories.append(Directory(f"{place.DATA}/{member.port}", 0o700, MONGOD_USER))
            self._units.append(Unit(member.unit, (unit_file, config, place.KEYFILE, place.MONGOD)))
        programs = _OPERATOR_PROGRAMS if self._host == self._layout.users_host else _OPERATOR_PROGRAMS[:1]
        for name in programs:
            self._add_operator_program(name)

    def _member_config(self, member: DeployedMember) -> File:
        files = MemberFiles(f"{place.DATA}/{member.port}", place.KEYFILE)
        text = render_mongod(
            member.replica_set,
            f"127.0.0.1,{member.address}",
            member.port,
            files,
            cache_gb=self._deployment.mongod.cache_gb,
        )
        return File(f"{place.MONGOD_SETTINGS}/{member.port}.conf", text.encode())

    def _add_operator_program(self, name: str) -> None:
        settings = self._add_settings(name, self._operator_settings(), self._credentials["operator"])
        files = (self._add_unit_file(f"prodctl-{name}.service"), *settings, place.CURRENT)
        if name == "drill":  # its timer starts it, once a week
            timer = "prodctl-drill.timer"
            self._units.append(Unit(timer, (self._add_unit_file(timer),)))
        else:
            self._units.append(Unit(f"prodctl-{name}.service", files))

    def _operator_settings(self) -> dict[str, str]:
        web, auth = self._deployment.web, self._deployment.auth
        return {
            "PRODCTL_URL": f"http://{web.address}:{web.port}",
            "AUTH_SERVER_URL": f"http://{auth.address}:{auth.port}",
        }

    def _add_settings(self, name: str, public: Mapping[str, str], secret: Mapping[str, str]) -> list[str]:
        """The settings of one program: what everybody may read, and a file for each secret."""
        directory = f"{place.SETTINGS}/{name}"
        self._directories.append(Directory(directory, 0o700))
        paths = [self._add(File(f"{place.SETTINGS}/{name}.env", render_env(public).encode()))]
        for setting, value in secret.items():
            paths.append(self._add(File(f"{directory}/{setting}", value.encode(), 0o600, is_secret=True)))
        return paths

    def _add_apt_source(self) -> None:
        source = self._deployment.mongod.source
        if source and not self._inputs.mongod:
            self._add(File(place.APT_SOURCE, f"{source}\n".encode()))
            self._add(File(place.APT_KEY, self._inputs.apt_key))

    def _add_unit_file(self, name: str) -> str:
        return self._add(File(f"{place.UNITS}/{name}", unit_text(name).encode()))

    def _add(self, file: File) -> str:
        self._files.append(file)
        return file.path
