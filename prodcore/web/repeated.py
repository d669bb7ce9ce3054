"""Query parameters that may be given several times."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from flask import Request
from werkzeug.datastructures import ImmutableMultiDict, MultiDict

REPEATABLE = frozenset({"tag"})
"""The others are refused when they come twice."""


class _Parameters(ImmutableMultiDict[str, str]):
    def to_dict(self, flat: bool = True) -> dict[str, Any]:
        """What APIFlask hands to our models: all values of a parameter that comes more than once."""
        return {name: values[0] if flat and len(values) == 1 else values for name, values in self.lists()}


class RepeatingRequest(Request):
    """A request whose repeated parameters reach the models as lists."""

    @cached_property
    def args(self) -> MultiDict[str, str]:
        """The query string."""
        return _Parameters(super().args)
