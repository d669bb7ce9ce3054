"""The desired state, as data: the inside of the containers, and the Incus objects as its API writes them. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from prodcore.deploy.layout import DataVolume, Host, Layout, bridge_address

# Where everything is inside a container.

RELEASES_DIR = "/opt/prodctl/releases"
RELEASE_MANIFEST = ".complete"
"""In the directory of a release; written last, so what has it is whole."""
CURRENT_RELEASE = "/opt/prodctl/current"
"""For operators, and for tasks of the deployment; units name the release itself."""
PRODCTL_PROGRAM = f"{CURRENT_RELEASE}/bin/prodctl"
WHEELHOUSES_DIR = "/opt/prodctl/wheelhouse"
MONGOD_LINK = "/opt/mongod/bin/mongod"
"""What ``mongod@.service`` starts: a link to the packaged or the pushed one."""
PUSHED_MONGOD_DIR = "/opt/mongod"
PACKAGED_MONGOD = "/usr/bin/mongod"
UNITS_DIR = "/etc/systemd/system"
SETTINGS_DIR = "/etc/prodctl"
SEALED_CODE = f"{SETTINGS_DIR}/setup-code-sealed"
"""Hash and end of the first admin's code: no secret, and read whenever a code is tried."""
MONGOD_DIR = "/etc/mongod"
KEYFILE_PATH = f"{MONGOD_DIR}/keyfile"
DATA_DIR = "/var/lib/mongod"
CA_PATH = f"{SETTINGS_DIR}/ca.pem"
"""The authority that every program verifies the others by; only with TLS, as the next."""
MEMBER_TLS = f"{MONGOD_DIR}/tls.pem"
APT_SOURCE = "/etc/apt/sources.list.d/mongodb.list"
APT_KEY = "/etc/apt/keyrings/mongodb.asc"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """One file, whole."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = "root"
    is_secret: bool = False

    @property
    def sha256(self) -> str:
        """Of the content, in hex."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory; what else is in it stays."""

    path: str
    mode: int = 0o755
    owner: str = "root"


@dataclass(frozen=True, slots=True)
class Link:
    """One symbolic link."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Unit:
    """One systemd unit to run, and what it is to be restarted for: files that are newer than its process."""

    name: str
    files: tuple[str, ...] = ()
    is_enabled: bool = True
    """False where another unit starts it."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A large file that is pushed once: its path holds its checksum."""

    path: str
    source: str
    """The file on the operator's machine."""


@dataclass(frozen=True, slots=True)
class HostSpec:
    """Everything inside a container. Units are in the order in which they are started."""

    name: str
    packages: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    """System users."""
    release: str = ""
    binaries: tuple[Binary, ...] = ()
    directories: tuple[Directory, ...] = ()
    files: tuple[File, ...] = ()
    absent: tuple[str, ...] = ()
    """Files to be removed."""
    links: tuple[Link, ...] = ()
    units: tuple[Unit, ...] = ()
    ready: tuple[str, ...] = ()
    """``http://…/readyz`` of its service."""

    def unit_files(self, drop_in: str) -> tuple[str, ...]:
        """The unit files that a drop-in changes, by its path: ``…/NAME.service.d/…`` those that begin with ``NAME``."""
        name, _, kind = drop_in.rsplit("/", 2)[1].removesuffix(".d").rpartition(".")
        stem = name.split("@")[0]
        paths = (file.path for file in self.files if file.path.startswith(f"{UNITS_DIR}/") and ".d/" not in file.path)
        return tuple(p for p in paths if p.startswith(f"{UNITS_DIR}/{stem}") and p.endswith(f".{kind}"))


MARK = "user.prodctl.deployment"
"""Carried by everything that we have made; what has another value, or none, is left alone."""
SECRETS_MARK = "user.prodctl.secrets"
"""The fingerprint of the secrets that a container was made with."""
PROXY = "prodctl-proxy"
NIC = "eth0"
ROOT = "root"
DATA = "prodctl-data"
DEVICES = (NIC, ROOT, PROXY, DATA)
"""The devices that are ours: what the description does not want of them goes."""
LIMITS = ("limits.cpu", "limits.memory")


def network_spec(layout: Layout) -> Document:
    """The bridge."""
    incus = layout.deployment.incus
    return {
        "name": incus.bridge,
        "type": "bridge",
        "config": {
            "ipv4.address": f"{bridge_address(layout.deployment)}/{incus.subnet.prefixlen}",
            "ipv4.nat": str(incus.nat).lower(),
            "ipv6.address": "none",
            MARK: layout.deployment.name,
        },
    }


def profile_spec(layout: Layout) -> Document:
    """What all containers share: their disk, and that they start with the machine."""
    return {
        "name": layout.deployment.name,
        "config": {"boot.autostart": "true", MARK: layout.deployment.name},
        "devices": {ROOT: _root(layout)},
    }


def instance_spec(layout: Layout, host: Host, secrets_mark: str) -> Document:
    """One container: marks, limits, its network card with a fixed address, perhaps a proxy and a data volume."""
    deployment, limits = layout.deployment, host.limits
    devices: Document = {
        NIC: {"type": "nic", "name": NIC, "network": deployment.incus.bridge, "ipv4.address": host.address},
        **_proxy(layout, host),
    }
    if limits.disk:
        devices[ROOT] = _root(layout) | {"size": limits.disk}
    if host.volume:
        devices[DATA] = {"type": "disk", "pool": host.volume.pool, "source": host.volume.name, "path": DATA_DIR}
    given = {"limits.cpu": str(limits.cpus) if limits.cpus else "", "limits.memory": limits.memory}
    return {
        "config": {
            MARK: deployment.name,
            SECRETS_MARK: secrets_mark,
            **{name: value for name, value in given.items() if value},
        },
        "devices": devices,
        "profiles": [deployment.name],
    }


def volume_spec(layout: Layout, volume: DataVolume) -> Document:
    """A data volume."""
    size = {"size": volume.size} if volume.size else {}
    return {"name": volume.name, "config": {MARK: layout.deployment.name, **size}}


def _root(layout: Layout) -> Document:
    return {"type": "disk", "path": "/", "pool": layout.deployment.incus.pool}


def _proxy(layout: Layout, host: Host) -> Document:
    table = {"web": layout.deployment.web, "auth": layout.deployment.auth}.get(host.role)
    if table is None or not table.proxy:
        return {}
    connect = f"tcp:{host.address}:{table.port}"
    device = {"type": "proxy", "listen": f"tcp:{table.proxy}", "connect": connect, "bind": "host"}
    return {PROXY: device | ({"nat": "true"} if shows_clients(table.proxy) else {})}


def shows_clients(proxy: str) -> bool:
    """Whether the addresses of clients arrive behind a proxy: Incus forwards packets of one address, but no wildcard.

    >>> shows_clients("192.168.1.5:3000"), shows_clients("0.0.0.0:3000"), shows_clients("127.0.0.1:3000")
    (True, False, False)
    """
    address = IPv4Address(proxy.rpartition(":")[0])
    return not (address.is_unspecified or address.is_loopback)
