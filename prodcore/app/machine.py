"""The composition root of what ``prodctl doctor`` sees of the machine itself, with or without a system on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator

from prodcore.doctor import files, listening, versions
from prodcore.doctor.check import Check, State
from prodcore.errors import ConfigError
from prodcore.local.mongod import find_mongod
from prodcore.local.state import load_state
from prodcore.settings import Settings, config_file, default_state_dir, env_file


def look_at_versions() -> Iterator[Check]:
    """Python, and every package against its floor."""
    own = importlib.metadata.version("prodctl")
    yield Check(versions.GROUP, "prodctl", State.OK, f"{own} on Python {platform.python_version()}")
    yield from versions.judge_packages(importlib.metadata.requires("prodctl") or [], _installed)


def look_at_mongod(settings: Settings) -> Check:
    """The mongod that ``prodctl local`` would run."""
    try:
        mongod = find_mongod(settings.mongod)
    except ConfigError as error:
        text = f"none that runs here, which only prodctl local needs: {error.message}"
        return Check(versions.GROUP, "mongod", State.SKIPPED, text, error.hint)
    return versions.judge_mongod(mongod.version, f"from {mongod.origin}")


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def look_at_files() -> Iterator[Check]:
    """Everything that holds a secret of this user; works where the settings cannot be read."""
    secret = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
    places = files.private_places(default_state_dir(), env_file(), config_file(), secret)
    return files.judge_private(files.look_at(places), {os.getuid(), 0})


def look_at_listening(settings: Settings) -> Iterator[Check]:
    """The ports of the local cluster."""
    state = load_state(settings.state_dir / "local")
    if state is None:
        yield Check(listening.GROUP, "loopback", State.SKIPPED, "there is no local cluster on this machine")
        return
    from prodcore.local import open_cluster

    ports = open_cluster(settings).plan.ports.by_program()
    yield from listening.judge_listeners(listening.listeners(), {port: name for name, port in ports.items()})
