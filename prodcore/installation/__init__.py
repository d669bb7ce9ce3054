"""What every installation has, on one machine or in containers: its sets, users, secrets, configuration."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, str], None]
"""Called with a subject (``rsA-1``, ``webapp``, ``db1``) and what happened to it, in a few words."""


def no_progress(_subject: str, _what: str) -> None:
    """A ``Progress`` that shows nothing."""
