"""The unit files, as they stand in ``systemd/`` of the project."""

from __future__ import annotations

from pathlib import Path

_DIRECTORY = Path(__file__).parents[2] / "systemd"


def unit_text(name: str) -> str:
    """The content of one unit file."""
    return (_DIRECTORY / name).read_text(encoding="utf-8")
