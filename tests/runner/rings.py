"""What there is to run, what each part needs, and what it has to wait for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_DOCTESTS = ("--doctest-modules", "prodcore", "prodctl", "webapp")


@dataclass(frozen=True)
class Task:
    """Commands that run one after the other. ``needs`` are names of ``machine.ABILITIES``; ``after`` those of tasks.

    Where ``tests`` is true, the commands are pytest's and take more of its arguments. ``prepares`` are downloads and
    images: their time is told apart.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    tests: bool = True
    prepares: bool = False


def _pytest(*arguments: str) -> tuple[str, ...]:
    return (str(_BIN / "pytest"), *arguments)


LINT = Task(
    "lint",
    (
        (str(_BIN / "ruff"), "format", "--check", "."),
        (str(_BIN / "ruff"), "check", "."),
        (str(_BIN / "mypy"), "prodcore", "prodctl", "webapp", "authsvc", "campaigns"),
        (str(_BIN / "lint-imports"), "setup.cfg"),
    ),
    tests=False,
)
FAST = Task("fast", (_pytest("tests/fast", "tests/contracts", "-n", "2", "-m", "not mongod"), _pytest(*_DOCTESTS)))
MONGO = Task("mongo", (_pytest("tests/mongo", "tests/contracts", "-m", "not memory"),), needs=("mongod",))
SITE = Task("site", (_pytest("tests/api", "tests/cli"),), needs=("mongod",))
LOCAL = Task("local", (_pytest("tests/local"),), needs=("mongod",))
BROWSER = Task("browser", (_pytest("tests/browser"),), needs=("mongod", "chromium"), after=("chromium",))
INCUS = Task("incus", (_pytest("tests/incus"),), needs=("mongod", "incus"), after=("image",))

CHROMIUM = Task("chromium", (("scripts/chromium",),), needs=("chromium",), tests=False, prepares=True)
IMAGE = Task(
    "image",
    (("scripts/incus-testbed", "image"), ("scripts/wheelhouse", "--cached", "--python", "3.11")),
    needs=("incus",),
    tests=False,
    prepares=True,
)

RINGS = (LINT, FAST, MONGO, BROWSER, INCUS, LOCAL, SITE)
"""In the order in which they begin, two at a time: what answers soonest, then the longest first."""
PREPARATIONS = {"browser": CHROMIUM, "incus": IMAGE}
