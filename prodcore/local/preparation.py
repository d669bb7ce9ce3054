"""What ``up`` checks and writes before it starts anything."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from prodcore.errors import ConfigError
from prodcore.installation.secret import Secrets, ensure_secrets
from prodcore.local.daemon import open_files_limit
from prodcore.local.mongod import Mongod, find_mongod
from prodcore.local.plan import LocalPlan
from prodcore.local.ports import check_ports_free
from prodcore.local.render import render_env_files, render_member, render_supervisor
from prodcore.local.state import LocalState, save_state
from prodcore.support.secure_files import make_private_directory, write_private

_NEW_MEMBER_BYTES = 64 * 1024 * 1024
_ROOM_BYTES = 768 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the programs are going to be started with."""

    mongod: Mongod
    secrets: Secrets
    changed_settings: frozenset[str]
    """Programs whose settings differ from those they were started with."""
    changed_programs: bool
    """Whether supervisord's configuration differs from the one it has read."""


def prepare(plan: LocalPlan, state: LocalState, mongod_setting: Path | None, running: Collection[str]) -> Prepared:
    """Check that what does not run can be started, then write every file. Raises ConfigError, all before a write."""
    missing = [name for name in plan.program_names if name not in running]
    ports = plan.ports.by_program()
    check_ports_free({name: port for name, port in ports.items() if name in missing})
    check_disk(plan)
    known = state.known_mongod()
    mongod = known if known and not set(missing) & {m.name for m in plan.members} else find_mongod(mongod_setting)
    return _write(plan, state, mongod)


def has_data(plan: LocalPlan, replica_set: str) -> bool:
    """Whether a member of this set has ever been started."""
    return any((plan.data_directory(m) / "WiredTiger").exists() for m in plan.members_of(replica_set))


def check_disk(plan: LocalPlan) -> None:
    """Raise ConfigError when the disk has no room for the journals of new members, and some for work."""
    new = sum(not (plan.data_directory(m) / "WiredTiger").exists() for m in plan.members)
    needed = _ROOM_BYTES + new * _NEW_MEMBER_BYTES
    free = shutil.disk_usage(plan.directory).free
    if free < needed:
        raise ConfigError(
            f"the disk of {plan.directory} has {_gb(free)} free; {_gb(needed)} are needed to start",
            hint="make room, or choose a directory on another disk with --dir",
        )


def _write(plan: LocalPlan, state: LocalState, mongod: Mongod) -> Prepared:
    state.ports = plan.ports.as_dict()
    state.remember_mongod(mongod)
    save_state(plan.directory, state)  # first: it marks the directory as ours
    for name in ("conf", "data", "env", "logs", plan.auth_keys.name):
        make_private_directory(plan.directory / name)
    secrets = ensure_secrets(plan.directory, plan.keyfile)
    for member in plan.members:
        make_private_directory(plan.data_directory(member))
        write_private(plan.member_config(member), render_member(plan, member))
    files = render_env_files(plan, secrets)
    changed = {name for name, text in files.items() if write_private(plan.env_file(name), text)}
    return Prepared(
        mongod,
        secrets,
        frozenset(p.name for p in plan.python_programs if p.settings in changed),
        write_private(plan.supervisor_config, render_supervisor(plan, mongod.path, open_files_limit())),
    )


def _gb(number: int) -> str:
    return f"{number / 1e9:.1f} GB"
