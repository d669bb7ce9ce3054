"""What is wanted, as ``deploy.toml`` says it. Every problem of the file is found at once, with its place."""

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

Name = Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,60}[a-z0-9]$")]
Optional = Annotated[str, Field(pattern="^([A-Za-z0-9][A-Za-z0-9_.-]{0,62})?$")]
Port = Annotated[int, Field(ge=1, le=65_535)]
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


class _ServiceTable(_Table):
    name: Name
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


class SetTable(_Table):
    """The container or containers of one replica set."""

    name: Name
    addresses: tuple[IPv4Address, ...] = ()
    targets: tuple[Optional, ...] = ()
    port: Annotated[int, Field(ge=1, le=65_533)] = 27017


class MongodTable(_Table):
    """Where mongod comes from."""

    file: Path | None = None
    package: str = Field(default="mongodb-org-server", pattern="^[a-z0-9][a-z0-9.+=~:-]*$")
    source: str = Field(default="", pattern=r"^(deb(-src)? [^\n]+)?$")
    key: Path | None = None
    cache_gb: float = Field(default=0.25, ge=0.25, le=1024)


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
    db1: SetTable = SetTable(name="db1")
    db2: SetTable = SetTable(name="db2")
    db3: SetTable = SetTable(name="db3")
    mongod: MongodTable = MongodTable()
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
        deployment = Deployment.model_validate(_named_sets(_without_empty_paths(given)))
    except ValidationError as error:
        problems = [_problem(path, text, tuple(map(str, e["loc"])), e["msg"], e["type"]) for e in error.errors()]
        raise ConfigError(problems=problems, hint="prodctl deploy init shows every name") from None
    return _with_absolute_paths(deployment, path.absolute().parent)


def _named_sets(given: dict[str, object]) -> dict[str, object]:
    """A table of a set that leaves its name out has the table's."""
    sets = {
        name: {"name": name, **table} for name in ("db1", "db2", "db3") if isinstance(table := given.get(name), dict)
    }
    return given | sets


def _without_empty_paths(given: dict[str, object]) -> dict[str, object]:
    table = given.get("mongod")
    if not isinstance(table, dict):
        return given
    return given | {"mongod": {k: v for k, v in table.items() if not (k in ("file", "key") and v == "")}}


def _with_absolute_paths(deployment: Deployment, base: Path) -> Deployment:
    mongod = deployment.mongod
    absolute = {name: base / path.expanduser() for name in ("file", "key") if (path := getattr(mongod, name))}
    wheelhouse = base / deployment.release.wheelhouse.expanduser()
    return deployment.model_copy(
        update={
            "mongod": mongod.model_copy(update=absolute),
            "release": deployment.release.model_copy(update={"wheelhouse": wheelhouse}),
        }
    )


def _problem(path: Path, text: str, place: tuple[str, ...], message: str, kind: str) -> Problem:
    said = "no setting is called so" if kind == "extra_forbidden" else message[:1].lower() + message[1:]
    line = _line(text, place)
    return Problem(f"{path.name}{f':{line}' if line else ''}: {'.'.join(place)}", kind, said)


def _line(text: str, place: Iterable[str]) -> int | None:
    """Where a key stands, as far as simple TOML shows it: the table's heading, then the key below it."""
    *tables, key = [part for part in place if not part.isdigit()]
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if heading := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            table = heading[1]
            if not tables and table == key:
                return number
        if table == ".".join(tables) and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return number
    return None
