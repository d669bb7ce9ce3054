"""The description, ``deploy.toml``. Every problem of the file is reported at once, with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib import resources
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prodcore.errors import ConfigError, Problem
from prodcore.installation.sets import SETS, TABLES, table_of

Name = Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,60}[a-z0-9]$")]
Optional = Annotated[str, Field(pattern="^([A-Za-z0-9][A-Za-z0-9_.-]{0,62})?$")]
Port = Annotated[int, Field(ge=1, le=65_535)]
Size = Annotated[str, Field(pattern=r"^([1-9]\d{0,5}(MiB|GiB|TiB))?$")]
"""As Incus writes it; empty: no limit."""
Proxy = Annotated[str, Field(pattern=r"^(\d{1,3}(\.\d{1,3}){3}:\d{1,5})?$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class IncusTable(_Table):
    """Where the containers are made."""

    remote: Optional = ""
    project: Optional = "default"
    pool: Optional = "default"
    image: str = Field(default="images:debian/12", pattern="^[A-Za-z0-9][A-Za-z0-9:/._-]*$")
    bridge: str = Field(default="incusbr0", pattern="^[a-z][a-z0-9-]{0,14}$")
    subnet: IPv4Network = IPv4Network("10.10.10.0/24")
    nat: bool = True


class _ContainerTable(_Table):
    name: Name
    cpus: int = Field(default=0, ge=0, le=1024)
    memory: Size = ""
    disk: Size = ""


class _ServiceTable(_ContainerTable):
    address: IPv4Address
    port: Port
    target: Optional = ""
    proxy: Proxy = ""


class WebTable(_ServiceTable):
    """The container of webapp."""

    name: Name = "web-server"
    address: IPv4Address = IPv4Address("10.10.10.11")
    port: Port = 3000
    proxy: Proxy = "0.0.0.0:3000"
    workers: int = Field(default=2, ge=1, le=64)
    threads: int = Field(default=8, ge=1, le=256)
    trusted_proxies: int = Field(default=0, ge=0, le=8)
    trusted_hosts: str = Field(default="", pattern="^[A-Za-z0-9.,:_-]*$")


class AuthTable(_ServiceTable):
    """The container of authsvc."""

    name: Name = "auth-server"
    address: IPv4Address = IPv4Address("10.10.10.10")
    port: Port = 5000


class SetTable(_ContainerTable):
    """The container or containers of one replica set."""

    addresses: tuple[IPv4Address, ...] = ()
    targets: tuple[Optional, ...] = ()
    port: Annotated[int, Field(ge=1, le=65_533)] = 27017
    data_pool: Optional = ""
    data_size: Size = ""


class MongodTable(_Table):
    """Where mongod comes from."""

    file: Path | None = None
    package: str = Field(default="mongodb-org-server", pattern="^[a-z0-9][a-z0-9.+=~:-]*$")
    source: str = Field(default="", pattern=r"^(deb(-src)? [^\n]+)?$")
    key: Path | None = None
    cache_gb: float = Field(default=0.25, ge=0.25, le=1024)
    memory_max: Annotated[str, Field(pattern=r"^([1-9]\d{0,5}[MGT])?$")] = ""


class BackupTable(_Table):
    """The backups that are made in the container of the users' set."""

    keep: int = Field(default=0, ge=0, le=10_000)
    schedule: str = Field(default="*-*-* 03:00", pattern=r"^[A-Za-z0-9*,./:~ _+-]+$")
    key: Path | None = None


class TlsTable(_Table):
    """Whether the connections are encrypted, and by whose certificates."""

    enabled: bool = False
    directory: Path | None = None


class ReleaseTable(_Table):
    """What is installed, and with which Python."""

    wheelhouse: Path = Path("dist/wheelhouse")
    python: str = Field(default="python3", pattern=r"^[a-z0-9./]+$")
    packages: tuple[Annotated[str, Field(pattern="^[a-z0-9][a-z0-9.+-]*$")], ...] = ("python3-venv",)


class Deployment(_Table):
    """A whole ``deploy.toml``; ``load_deployment`` reads one."""

    name: Name = "prodctl"
    layout: Literal["seed", "spread"] = "seed"
    election_timeout_ms: int = Field(default=0, ge=0, le=60_000)
    incus: IncusTable = IncusTable()
    web: WebTable = WebTable()
    auth: AuthTable = AuthTable()
    sets: dict[str, SetTable] = Field(default_factory=lambda: {name: SetTable(name=table_of(name)) for name in SETS})
    """By the name of the replica set; in the file each has a table (db1 …). Further shards may have one."""
    mongod: MongodTable = MongodTable()
    backup: BackupTable = BackupTable()
    tls: TlsTable = TlsTable()
    release: ReleaseTable = ReleaseTable()


def default_text() -> str:
    """The commented file with every default."""
    return resources.files("prodcore.deploy").joinpath("deploy.toml").read_text(encoding="utf-8")


def load_deployment(path: Path) -> Deployment:
    """Read a description; paths in it are relative to its directory. Raises ConfigError with every problem."""
    try:
        text = path.read_text(encoding="utf-8")
        given = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}", hint=f"prodctl deploy init {path} writes one with every default"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    try:
        deployment = Deployment.model_validate(_with_sets(_without_empty_paths(given)))
    except ValidationError as error:
        problems = [_problem(path, text, _key_path(e["loc"]), e["msg"], e["type"]) for e in error.errors()]
        raise ConfigError(problems=problems, hint="prodctl deploy init shows every name") from None
    return _with_absolute_paths(deployment, path.absolute().parent)


def _with_sets(given: dict[str, object]) -> dict[str, object]:
    """The tables of the sets in one, by the names of the sets; one that leaves its name out has the table's."""
    tables = {table: given.get(table, {}) for table, name in TABLES.items() if table in given or name in SETS}
    sets = {
        TABLES[name]: {"name": name, **table} if isinstance(table, dict) else table for name, table in tables.items()
    }
    return {name: value for name, value in given.items() if name not in tables} | {"sets": sets}


def _key_path(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """Where a setting of the model is in the file."""
    words = tuple(map(str, location))
    return (table_of(words[1]), *words[2:]) if words[0] == "sets" and len(words) > 1 else words


def _without_empty_paths(given: dict[str, object]) -> dict[str, object]:
    paths = ("file", "key", "directory")
    tables = {name: table for name in ("mongod", "backup", "tls") if isinstance(table := given.get(name), dict)}
    return given | {
        name: {k: v for k, v in table.items() if not (k in paths and v == "")} for name, table in tables.items()
    }


def _with_absolute_paths(deployment: Deployment, base: Path) -> Deployment:
    mongod = deployment.mongod
    absolute = {name: base / path.expanduser() for name in ("file", "key") if (path := getattr(mongod, name))}
    backup = {"key": base / key.expanduser()} if (key := deployment.backup.key) else {}
    directory = deployment.tls.directory
    given = {"directory": base / directory.expanduser()} if directory else {}
    wheelhouse = base / deployment.release.wheelhouse.expanduser()
    return deployment.model_copy(
        update={
            "mongod": mongod.model_copy(update=absolute),
            "backup": deployment.backup.model_copy(update=backup),
            "tls": deployment.tls.model_copy(update=given),
            "release": deployment.release.model_copy(update={"wheelhouse": wheelhouse}),
        }
    )


def _problem(path: Path, text: str, key_path: tuple[str, ...], message: str, kind: str) -> Problem:
    said = "there is no such setting" if kind == "extra_forbidden" else message[:1].lower() + message[1:]
    line = _line(text, key_path)
    return Problem(f"{path.name}{f':{line}' if line else ''}: {'.'.join(key_path)}", kind, said)


def _line(text: str, key_path: Iterable[str]) -> int | None:
    """The line of a key, as far as simple TOML shows it: the table's heading, then the key below it."""
    *tables, key = [part for part in key_path if not part.isdigit()]
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if heading := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            table = heading[1]
            if not tables and table == key:
                return number
        if table == ".".join(tables) and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return number
    return None
