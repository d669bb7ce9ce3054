"""The unit files, as they stand beside this module."""

from __future__ import annotations

from pathlib import Path

_DIRECTORY = Path(__file__).parent / "systemd"


def unit_text(name: str) -> str:
    """The content of one unit file."""
    return (_DIRECTORY / name).read_text(encoding="utf-8")
