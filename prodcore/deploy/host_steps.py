"""Bringing the inside of one container from what was seen to what is wanted, all but its running units."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from prodcore.deploy import paths as place
from prodcore.deploy.container import Container
from prodcore.deploy.host_plan import HostPlan
from prodcore.deploy.spec import File, Link
from prodcore.installation.progress import Progress

_WRITE_SECONDS = 180.0
_PACKAGES_SECONDS = 900.0
_PUSH_SECONDS = 600.0
_APT = (place.APT_SOURCE, place.APT_KEY)


def prepare_host(container: Container, plan: HostPlan, progress: Progress) -> None:
    """Packages, accounts, a pushed mongod, directories, files; then units are known and enabled.

    The link to the release stays: it is switched at the moment of the restart.
    """
    if plan.packages:
        container.ask("write", _writing(files=_only(plan, _APT)), seconds=_WRITE_SECONDS)
        progress(plan.host, f"installs {', '.join(plan.packages)}")
        container.ask("packages", {"names": list(plan.packages)}, seconds=_PACKAGES_SECONDS)
    if plan.accounts:
        container.ask("write", _writing(accounts=plan.accounts), seconds=_WRITE_SECONDS)
    for binary in plan.binaries:
        progress(plan.host, f"gets {Path(binary.source).name} from {binary.source}")
        container.push(f"{binary.path}.new", Path(binary.source), seconds=_PUSH_SECONDS)
        container.ask("take", {"path": binary.path}, seconds=_WRITE_SECONDS)
    links = tuple(link for link in plan.links if link.path != place.CURRENT)
    if plan.directories or plan.rewritten or plan.regiven or plan.removed or links:
        written = _writing(plan, files=plan.rewritten, links=links)
        container.ask("write", written, seconds=_WRITE_SECONDS)
    if plan.needs_reload or plan.enable:
        reading = {"reload": plan.needs_reload, "enable": list(plan.enable)}
        container.ask("systemctl", reading, seconds=_WRITE_SECONDS)


def switch_release(plan: HostPlan) -> dict[str, Any] | None:
    """What ``systemctl`` writes just before a restart; None when the release stays."""
    links = tuple(link for link in plan.links if link.path == place.CURRENT)
    return _writing(links=links) if links else None


def _only(plan: HostPlan, paths: tuple[str, ...]) -> tuple[File, ...]:
    return tuple(file for file in plan.rewritten if file.path in paths)


def _writing(
    plan: HostPlan | None = None,
    *,
    accounts: tuple[str, ...] = (),
    files: tuple[File, ...] = (),
    links: tuple[Link, ...] = (),
) -> dict[str, Any]:
    """A request of the agent's ``write``; with ``plan``, what it says of directories and of modes, too."""

    def as_request(file: File, *, whole: bool) -> dict[str, Any]:
        content = base64.b64encode(file.content).decode() if whole else None
        return {"path": file.path, "mode": file.mode, "owner": file.owner, "content": content}

    regiven = plan.regiven if plan else ()
    directories = plan.directories if plan else ()
    return {
        "accounts": list(accounts),
        "directories": [{"path": d.path, "mode": d.mode, "owner": d.owner} for d in directories],
        "files": [as_request(f, whole=True) for f in files] + [as_request(f, whole=False) for f in regiven],
        "removed": list(plan.removed) if plan else [],
        "links": [{"path": link.path, "target": link.target} for link in links],
    }
