"""Bringing a release to the containers: installed in one, copied to those like it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from prodcore.deploy import paths as place
from prodcore.deploy.container import Container
from prodcore.deploy.host_plan import HostPlan
from prodcore.installation.progress import Progress

_INSTALL_SECONDS = 900.0


def groups_of(plans: Sequence[HostPlan], machine: Callable[[str], str]) -> list[list[HostPlan]]:
    """The containers of each kind of which any needs the release; first those that have it already."""
    kinds = sorted({machine(plan.host) for plan in plans if plan.release})
    return [sorted((p for p in plans if machine(p.host) == kind), key=lambda p: bool(p.release)) for kind in kinds]


def install_release(container: Container, plan: HostPlan, python: str, wheelhouse: Path, progress: Progress) -> None:
    """From the wheelhouse, with every hash checked; nothing is fetched from anywhere."""
    progress(plan.host, f"installs release {plan.release}")
    request = {
        "path": f"{place.RELEASES}/{plan.release}",
        "wheelhouse": f"{place.WHEELHOUSES}/{plan.release}",
        "python": python,
        "forget": list(plan.forget),
    }
    container.ask("release", request, content=_pack(wheelhouse), seconds=_INSTALL_SECONDS)


def read_release(container: Container, release: str) -> bytes:
    """An installed release as a tar file."""
    return container.output(
        ["tar", "--create", "--file=-", f"--directory={place.RELEASES}", "--exclude=.complete", release],
        seconds=_INSTALL_SECONDS,
    )


def copy_release(container: Container, plan: HostPlan, packed: bytes, progress: Progress) -> None:
    """To a container that is like the one that it was installed in: a virtual environment holds its own place."""
    progress(plan.host, f"gets a copy of release {plan.release}")
    request = {"path": f"{place.RELEASES}/{plan.release}", "forget": list(plan.forget)}
    container.ask("unpack", request, content=packed, seconds=_INSTALL_SECONDS)


def _pack(directory: Path) -> bytes:
    """Every file of a wheelhouse in one tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(directory.iterdir()):
            if path.is_file():
                archive.add(path, path.name)
    return packed.getvalue()
