"""Everything that apply would make, as files to read. Secrets are masked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from prodcore.deploy.diff import MASK
from prodcore.deploy.incus_wish import instance_wish, network_wish, profile_wish
from prodcore.deploy.layout import Layout
from prodcore.deploy.spec import HostWish
from prodcore.installation.set_up import HEARTBEAT_MS
from prodcore.mongo.admin.replica_set_admin import SetTiming


def write_rendering(layout: Layout, wishes: Mapping[str, HostWish], secrets_mark: str, directory: Path) -> list[Path]:
    """Write ``preseed.yaml``, ``instances.yaml``, ``sets/``, and ``hosts/NAME/``; the paths that were written."""
    texts = {
        "preseed.yaml": _yaml({"networks": [network_wish(layout)], "profiles": [profile_wish(layout)]}),
        "instances.yaml": _yaml({host.name: instance_wish(layout, host, secrets_mark) for host in layout.hosts}),
        **{f"sets/{name}.json": _set_text(layout, name, members) for name, members in layout.set_members.items()},
    }
    for name, wish in wishes.items():
        texts[f"hosts/{name}/steps.yaml"] = _yaml(_steps(wish))
        texts |= {
            f"hosts/{name}/files{f.path}": MASK if f.is_secret else f.content.decode(errors="replace")
            for f in wish.files
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


def _steps(wish: HostWish) -> dict[str, Any]:
    """What is done in a container besides writing its files, in order."""
    return {
        "packages": list(wish.packages),
        "accounts": list(wish.accounts),
        "binaries": {binary.path: binary.source for binary in wish.binaries},
        "release": wish.release,
        "directories": {d.path: f"{d.mode:04o} {d.owner}" for d in wish.directories},
        "files": {f.path: f"{f.mode:04o} {f.owner}" for f in wish.files},
        "links": {link.path: link.target for link in wish.links},
        "units": [unit.name for unit in wish.units],
    }


def _yaml(document: Any) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
