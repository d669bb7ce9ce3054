"""Real Incus for tests, by ``scripts/incus-testbed``: the same one that a developer gets."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "incus-testbed"
IMAGE = "prodctl-base"


@dataclass(frozen=True)
class Bed:
    """A test bed that is up. ``environment`` is what ``incus``, and so ``prodcore.incus``, needs to find it."""

    directory: Path

    @property
    def environment(self):
        incus = self.directory / "incus"
        return {
            "PRODCTL_TESTBED": str(self.directory),
            "INCUS_DIR": str(incus),
            "INCUS_SOCKET": str(incus / "unix.socket"),
            "INCUS_CONF": str(self.directory / "client"),
        }

    def up(self):
        self._script("up", timeout=900)  # a new machine builds the image first

    def down(self):
        self._script("down", timeout=120)

    def run(self, *command, timeout=120, check=True, environment=None):
        """What a command writes that sees the containers' network."""
        done = subprocess.run(
            [SCRIPT, "run", *command],
            env=os.environ | self.environment | (environment or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, (
            f"{command} left with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
        return done

    def _script(self, verb, timeout):
        subprocess.run([SCRIPT, verb], env=os.environ | self.environment, timeout=timeout, check=True)


@pytest.fixture(scope="session")
def bed():
    """Not below pytest's own directory, which nobody else may enter: users of containers pass through."""
    bed = Bed(Path(tempfile.gettempdir()) / f"prodctl-testbed-{os.getpid()}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bed.environment.items():
            patch.setenv(name, value)
        try:
            bed.up()
            yield bed
        finally:
            bed.down()
