"""Env files: lines that python-dotenv, systemd and a shell read the same way."""

from __future__ import annotations

import shlex
from collections.abc import Mapping


def render_env(values: Mapping[str, str]) -> str:
    """The content of an env file.

    >>> render_env({"PORT": "3000", "NAME": "it is"})
    "PORT=3000\\nNAME='it is'\\n"
    """
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
