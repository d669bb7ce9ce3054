"""Telling what happens while an installation comes up."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, str], None]
"""Told what happened: a subject (``rsA-1``, ``webapp``, ``db1``) and a few words."""


def silence(_subject: str, _what: str) -> None:
    """Progress that nobody wants to see."""
