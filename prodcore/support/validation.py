"""Input read into a pydantic model, and what is wrong with it in our own words.

The codes of the problems are pydantic's and stable; its sentences, which name its own types and patterns, are not
shown to anybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from prodcore.errors import InvalidInput, Problem

M = TypeVar("M", bound=BaseModel)


def _in_digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,100}", value, re.ASCII):
        raise PydanticCustomError("int_parsing", "must be a whole number")
    return value


WholeNumber = Annotated[int, BeforeValidator(_in_digits)]
"""Of a query string: in digits alone, where pydantic would read 1_0 and 4.0 too."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]{5,15}([Zz]|[+-][0-9]{2}:?[0-9]{2})")
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""A day within what is known, so that it stays so in every time zone."""


def _as_written(value: Any) -> Any:
    if isinstance(value, str) and _DATE.fullmatch(value):
        return f"{value}T00:00:00Z"
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise PydanticCustomError("datetime_parsing", "must be a date or a time such as 2026-01-31T08:00:00Z")
    return value


def _in_our_time(value: datetime) -> datetime:
    if not _FIRST <= value <= _LAST:
        raise PydanticCustomError("out_of_range", "must lie between the years 1970 and 9999")
    return value.astimezone(UTC)


Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_as_written), AfterValidator(_in_our_time)]
"""Of a query string: a date or a time with its zone, in UTC then; one that no calendar or database holds is refused."""


def validate(model: type[M], data: Any) -> M:
    """Read input into a model. Raises InvalidInput that lists every problem with its field."""
    if not isinstance(data, Mapping):
        raise InvalidInput(problems=[Problem("", "object_type", "must be an object with named fields")])
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise InvalidInput(problems=problems_of(error)) from None


def problems_of(error: ValidationError) -> list[Problem]:
    """What a model found wrong, field by field."""
    return [
        Problem(".".join(map(str, e["loc"])), e["type"], sentence(e), e.get("input"))
        for e in error.errors(include_url=False)
    ]


def sentence(error: Mapping[str, Any]) -> str:
    """One of pydantic's errors as the rest of a sentence that begins with the field's name.

    >>> sentence({"type": "string_too_long", "ctx": {"max_length": 5}, "msg": "String should …"})
    'must be at most 5 characters long'
    """
    kind, context = str(error["type"]), error.get("ctx", {})
    if isinstance(context.get("error"), ValueError):  # a rule of ours that has no code of its own
        return str(context["error"])
    known = _SENTENCES.get(kind)
    if known is None:
        return "is not valid" if kind in _LIBRARY_TYPES else str(error["msg"])  # the others are ours, in our words
    try:
        return known(context) if callable(known) else known
    except KeyError:  # a rule of ours under the code that pydantic has for such a thing
        return str(error["msg"])


def _count(context: Mapping[str, Any], bound: str, what: str) -> str:
    count = context[bound]
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _pattern(context: Mapping[str, Any]) -> str:
    return _PATTERNS.get(context["pattern"], "has a character or a form that is not allowed")


_PATTERNS = {
    "^[!-~]+$": "must be letters, digits and symbols without spaces or accents",
    "^[A-Z]{3}$": "must be an ISO 4217 currency code such as EUR",
    "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$": "must be a UUID",
    "^[0-9a-f]{32}$": "must be 32 hexadecimal digits",
}
"""What the patterns of our models ask for."""

_SENTENCES: dict[str, str | Callable[[Mapping[str, Any]], str]] = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be text",
    "string_unicode": "holds half of a character, which cannot be stored",
    "string_too_short": lambda c: (
        "must not be empty" if c["min_length"] == 1 else f"must be at least {_count(c, 'min_length', 'character')} long"
    ),
    "string_too_long": lambda c: f"must be at most {_count(c, 'max_length', 'character')} long",
    "string_pattern_mismatch": _pattern,
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "decimal_type": "must be a decimal number such as 1.20",
    "decimal_parsing": "must be a decimal number such as 1.20",
    "decimal_max_places": lambda c: f"must have at most {_count(c, 'decimal_places', 'decimal')}",
    "decimal_max_digits": lambda c: f"must have at most {_count(c, 'max_digits', 'digit')}",
    "decimal_whole_digits": lambda c: f"must have at most {_count(c, 'whole_digits', 'digit')} before the point",
    "finite_number": "must be a finite number",
    "greater_than": lambda c: f"must be greater than {c['gt']}",
    "greater_than_equal": lambda c: "must not be negative" if c["ge"] == 0 else f"must be at least {c['ge']}",
    "less_than": lambda c: f"must be less than {c['lt']:,}",
    "less_than_equal": lambda c: f"must be at most {c['le']:,}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "set_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be an object with named fields",
    "model_type": "must be an object with named fields",
    "model_attributes_type": "must be an object with named fields",
    "object_type": "must be an object with named fields",
    "too_short": lambda c: f"must have at least {_count(c, 'min_length', 'item')}",
    "too_long": lambda c: f"must have at most {_count(c, 'max_length', 'item')}",
    "literal_error": lambda c: f"must be one of {str(c['expected']).replace(' or ', ', ').replace(chr(39), '')}",
    "enum": lambda c: f"must be one of {str(c['expected']).replace(' or ', ', ').replace(chr(39), '')}",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "uuid_version": "must be a UUID",
    "datetime_type": "must be a time such as 2026-01-31T08:00:00Z",
    "datetime_parsing": "must be a time such as 2026-01-31T08:00:00Z",
    "datetime_from_date_parsing": "must be a time such as 2026-01-31T08:00:00Z",
    "datetime_object_invalid": "must be a time such as 2026-01-31T08:00:00Z",
    "timezone_aware": "must name its time zone, as in 2026-01-31T08:00:00Z",
    "date_type": "must be a date such as 2026-01-31",
    "date_parsing": "must be a date such as 2026-01-31",
    "url_type": "must be an address such as https://example.org",
    "url_parsing": "must be an address such as https://example.org",
    "url_scheme": "must be an address that begins with http:// or https://",
    "url_syntax_violation": "must be an address such as https://example.org",
    "path_type": "must be a path",
    "ip_any_address": "must be an IP address",
    "json_invalid": "is not valid JSON",
    "json_type": "is not valid JSON",
}


def _library_types() -> frozenset[str]:
    from typing import get_args

    from pydantic_core.core_schema import ErrorType

    return frozenset(get_args(ErrorType))


_LIBRARY_TYPES = _library_types()
