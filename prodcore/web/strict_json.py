"""What a request holds, read strictly: JSON that refuses what other parsers let through, parameters that repeat.

Refused: NaN and Infinity, numbers of any size or scale, repeated keys, anything but UTF-8, lone surrogates, nesting
without end. Numbers with a fraction are read as Decimal, so that a price never passes through a binary float.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any, NoReturn

import orjson
from flask import Request, Response
from flask.json.provider import JSONProvider
from werkzeug.datastructures import ImmutableMultiDict, MultiDict

from prodcore.errors import UnreadableInput

_LONGEST_NUMBER = 64
"""Characters, and places before or behind the point: nothing here is counted in more, and no library is asked to."""


class StrictJSON(JSONProvider):
    """Flask's way of reading and writing JSON. Reading raises UnreadableInput."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Write JSON; Decimal as a string, the other types as orjson does."""
        return dump(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Read JSON strictly."""
        return load(s)


def dump(data: Any) -> bytes:
    """JSON in UTF-8; Decimal as a string."""
    return orjson.dumps(data, default=_default)


def load(data: str | bytes) -> Any:
    """Read JSON strictly. Raises UnreadableInput."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value = json.loads(
            text, parse_constant=_refuse, parse_int=_integer, parse_float=_decimal, object_pairs_hook=_object
        )
        _refuse_surrogates(value)
    except RecursionError:
        raise UnreadableInput("the JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise UnreadableInput("the body is not UTF-8") from None
    except ValueError as error:
        raise UnreadableInput(f"not valid JSON: {_reason(error)}") from None
    return value


def json_response(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(dump(data), status, headers, content_type="application/json")


def _default(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _integer(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number has too many digits")
    return int(text)


def _decimal(text: str) -> Decimal:
    exponent = text.lower().partition("e")[2].lstrip("+-0")
    if len(text) > _LONGEST_NUMBER or len(exponent) > 3 or int(exponent or 0) > _LONGEST_NUMBER:
        raise ValueError("a number has too many digits")
    return Decimal(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object names the same field twice")
    return result


def _refuse_surrogates(value: Any) -> None:
    """Half a character cannot be stored nor answered; it is refused wherever it stands."""
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError("a text holds half a surrogate pair") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_surrogates(key)
            _refuse_surrogates(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_surrogates(item)


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (line {error.lineno}, column {error.colno})"
    return str(error)


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
