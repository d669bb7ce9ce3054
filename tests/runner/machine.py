"""What this machine can run, and why not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from prodcore.errors import ConfigError
from prodcore.installation.mongod import find_mongod


def _mongod() -> str | None:
    try:
        find_mongod(None)
    except ConfigError as error:
        return str(error)
    return None


def _chromium() -> str | None:
    installed = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if installed or (os.geteuid() == 0 and shutil.which("apt-get")):
        return None
    return "Chromium is not installed: sudo apt-get install chromium-headless-shell"


def _incus() -> str | None:
    if os.geteuid() != 0:
        return "needs root"
    if not (Path("/etc/debian_version").exists() and shutil.which("apt-get")):
        return "needs Debian 12 or newer"
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode
    ):
        return "this machine allows no namespaces"
    if not any(line.split()[2] == "cgroup2" for line in Path("/proc/mounts").read_text().splitlines()):
        return "this machine has no cgroup2 mount"
    return None


ABILITIES: dict[str, Callable[[], str | None]] = {"mongod": _mongod, "chromium": _chromium, "incus": _incus}
"""Each says what is missing, or None."""
