"""What a campaign needs of the machine to break more than processes: groups, clocks and disks of members.

All of it needs root, and a network and a mount namespace, which nobody else's programs are in; ``enter_namespaces``
makes them. Where they cannot be had a campaign does without those faults, and says so.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prodcore.installation.mongod import find_mongod
from prodcore.local.plan import SetMember

_INSIDE = "CAMPAIGN_IN_NAMESPACES"
_TOOLS = ("unshare", "ip", "mount", "umount", "iptables", "setpriv")
_FIRST_GROUP = 61_000
_DISK_BYTES = 900_000_000
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")

_MONGOD = """\
#!/bin/sh
name=$(basename "${{2:-none}}" .conf)
if [ -f {clocks}/"$name" ]; then
    export LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={clocks}/"$name"
    export FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_FORCE_MONOTONIC_FIX=0
fi
if [ -f {groups}/"$name" ]; then
    exec setpriv --regid "$(cat {groups}/"$name")" --keep-groups {mongod} "$@"
fi
exec {mongod} "$@"
"""


def missing() -> list[str]:
    """What this machine lacks for namespaces of a campaign's own."""
    lacks = [tool for tool in _TOOLS if not shutil.which(tool)]
    return lacks if os.geteuid() == 0 else ["root", *lacks]


def enter_namespaces(module: str, arguments: Sequence[str]) -> None:
    """Run this program anew in namespaces of its own; return where it is there already."""
    if os.environ.get(_INSIDE) != "1":
        command = ["unshare", "--net", "--mount", sys.executable, "-m", module, *arguments]
        os.execvpe(command[0], command, os.environ | {_INSIDE: "1"})  # noqa: S606  this very program
    _run("ip", "link", "set", "lo", "up")


def is_inside() -> bool:
    """Whether the network and the mounts are the campaign's own."""
    return os.environ.get(_INSIDE) == "1"


class Machine:
    """Files in ``directory`` that the members' ``mongod`` reads as it starts; cuts, clocks and disks of members."""

    def __init__(self, directory: Path, members: Sequence[SetMember], with_clock: SetMember) -> None:
        self._clocks, groups = directory / "clocks", directory / "groups"
        self.mongod = directory / "mongod"
        self._groups = {member.name: str(_FIRST_GROUP + i) for i, member in enumerate(members)}
        self.library = _faketime()
        for folder in (self._clocks, groups):
            folder.mkdir(parents=True)
        for name, group in self._groups.items():
            (groups / name).write_text(group, "utf-8")
        self.with_clock = with_clock if self.library else None
        """One alone. Without that fix: with it, waits of WiredTiger's end at once and take most of a processor."""
        if self.with_clock:
            self.set_clock(self.with_clock, 0)
        places = {"clocks": self._clocks, "groups": groups, "mongod": find_mongod(None).path, "library": self.library}
        self.mongod.write_text(_MONGOD.format(**{k: shlex.quote(str(v)) for k, v in places.items()}), "utf-8")
        self.mongod.chmod(0o755)

    def set_clock(self, member: SetMember, seconds: float) -> None:
        """Let a member's clock be late or early by so much, within a second."""
        new = self._clocks / f"{member.name}.new"
        new.write_text(f"{seconds:+.3f}\n", "utf-8")
        new.rename(self._clocks / member.name)

    def cut(self, member: SetMember, *, heard: bool, hears: bool) -> None:
        """Drop what a member sends (nobody hears it), or what is sent to its port, without a word to anybody."""
        if not heard:
            _run("iptables", "-A", "OUTPUT", "-m", "owner", "--gid-owner", self._groups[member.name], "-j", "DROP")
        if not hears:
            _run("iptables", "-A", "INPUT", "-p", "tcp", "--dport", str(member.port), "-j", "DROP")

    def mend(self) -> None:
        """End all cuts."""
        _run("iptables", "-F")


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Put a small disk, with what is in it, in the place of a stopped member's data; the file that can fill it."""
    kept = directory.with_name(f"{directory.name}.kept")
    directory.rename(kept)
    directory.mkdir(mode=0o700)
    _run("mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0700", "tmpfs", str(directory))
    shutil.copytree(kept, directory, dirs_exist_ok=True)
    shutil.rmtree(kept)
    try:
        yield directory / "filler"
    finally:
        _run("umount", "--lazy", str(directory))


def fill(filler: Path) -> None:
    """Leave nothing free on the disk of a file."""
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError:
            return


def _faketime() -> Path | None:
    found = (path for folder in _LIBRARIES for path in Path(folder).glob("**/libfaketimeMT.so.1"))
    return next(found, None)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  fixed words and our own paths
