"""What the text of a cell means: numbers as people write them in Spain or in English, yes and no, tags."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

from prodcore.product.fields import FIELDS, Kind
from prodcore.routing import fold

Locale = Literal["es", "en"]
"""Whose way of writing numbers. Where none is said (None), a number that could mean two things is refused."""

_LOCALES: tuple[Locale, ...] = ("es", "en")
_SYMBOLS = {"€": "EUR", "£": "GBP"}
_PRICE = re.compile(r"(?P<before>[A-Za-z]{3}|[^\w\s.,'-])?(?P<number>[-+]?[0-9.,]+)(?P<after>[A-Za-z]{3}|[^\w\s.,'-])?")
_NUMBER = {
    "es": re.compile(r"[-+]?([0-9]+|[1-9][0-9]{0,2}(\.[0-9]{3})+)(,[0-9]+)?"),
    "en": re.compile(r"[-+]?([0-9]+|[1-9][0-9]{0,2}(,[0-9]{3})+)(\.[0-9]+)?"),
}
_TAG = re.compile(r"(?:\\[\\|]|[^|])+")
_EXAMPLE = {"es": "1.234,50", "en": "1,234.50", None: "1,234.50 or 1.234,50"}
_YES = frozenset(fold(w) for w in ("yes", "y", "true", "1", "sí", "s", "verdadero", "active", "activo", "x"))
_NO = frozenset(fold(w) for w in ("no", "n", "false", "0", "falso", "inactive", "inactivo"))


class CellRefused(Exception):
    """A cell that means nothing; ``code`` is stable, the text is for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class PlainNumber(str):
    """A cell that is a number and not a text: digits with a decimal point, whatever the locale."""

    __slots__ = ()


class FormulaError(str):
    """A cell whose formula came to no value, such as ``#N/A``."""

    __slots__ = ()


def read_price(text: str, locale: Locale | None) -> tuple[str, str | None]:
    """A price as a plain decimal, and its currency where the cell names one. Raises CellRefused.

    >>> read_price("1.234,50 €", "es")
    ('1234.50', 'EUR')
    >>> read_price("GBP 22.95", "en")
    ('22.95', 'GBP')
    """
    if isinstance(text, PlainNumber):
        return str(text), None
    match = _PRICE.fullmatch("".join(text.split()))
    if not match:
        raise CellRefused("not_a_price", f"is not a price such as {_EXAMPLE[locale]}")
    named = {_currency(sign) for sign in (match["before"], match["after"]) if sign}
    if len(named) > 1:
        raise CellRefused("two_currencies", "names two currencies")
    return _plain(match["number"], locale), next(iter(named), None)


def read_stock(text: str, locale: Locale | None) -> int:
    """A whole number. Raises CellRefused.

    >>> read_stock("1.200", "es"), read_stock("40,00", "es")
    (1200, 40)
    """
    plain = str(text) if isinstance(text, PlainNumber) else _plain("".join(text.split()), locale)
    number = Decimal(plain)
    if number != number.to_integral_value():
        raise CellRefused("not_a_whole_number", "is not a whole number")
    return int(number)


def read_active(text: str) -> bool:
    """Yes or no. Raises CellRefused."""
    word = fold(text)
    if word not in _YES | _NO:
        raise CellRefused("not_yes_or_no", "is neither yes nor no")
    return word in _YES


def read_tags(text: str) -> list[str]:
    r"""Several tags: separated by ``|`` where there is one, else by ``;``, else by commas.

    >>> read_tags("sin gluten, bio"), read_tags("uno, dos|"), read_tags(r"a\|b|c")
    (['sin gluten', 'bio'], ['uno, dos'], ['a|b', 'c'])
    """
    if "|" in text:  # as exports write them: \| and \\ stand for the sign itself
        tags = [re.sub(r"\\([\\|])", r"\1", tag) for tag in _TAG.findall(text)]
    else:
        tags = text.split(";" if ";" in text else ",")
    return [tag.strip() for tag in tags if tag.strip()]


_READERS: dict[Kind, Callable[[str, Locale | None], Any]] = {
    "count": read_stock,
    "flag": lambda text, _locale: read_active(text),
    "currency": lambda text, _locale: text.strip().upper(),
    "code": lambda text, _locale: text.strip(),
}

READERS = {row.name: _READERS[row.kind] for row in FIELDS if row.kind in _READERS}
"""How to read the targets that are neither plain text nor a price nor tags."""


def _currency(sign: str) -> str:
    if sign.isalpha():
        return sign.upper()
    if sign not in _SYMBOLS:
        raise CellRefused(
            "unclear_currency", f"{sign} may be several currencies: write a code such as EUR, or a column"
        )
    return _SYMBOLS[sign]


def _plain(text: str, locale: Locale | None) -> str:
    """The number with a decimal point and nothing between its thousands."""
    said = {known: _without_marks(text, known) for known in _LOCALES if _NUMBER[known].fullmatch(text)}
    fitting = [said[known] for known in ([locale] if locale else _LOCALES) if known in said]
    if not fitting:
        other = next(iter(said), None)
        hint = f"; it looks like --locale {other}" if other else ""
        raise CellRefused("not_a_number", f"is not a number such as {_EXAMPLE[locale]}{hint}")
    if len({Decimal(number) for number in fitting}) > 1:
        raise CellRefused(
            "ambiguous_number", f"may be {said['es']} (--locale es) or {said['en']} (--locale en): say which"
        )
    return fitting[0]


def _without_marks(text: str, locale: Locale) -> str:
    thousands, decimal = (".", ",") if locale == "es" else (",", ".")
    return text.replace(thousands, "").replace(decimal, ".").lstrip("+")
