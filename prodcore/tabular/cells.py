"""What a cell means: numbers as people write them in Spain or in English, codes, yes and no, tags.

A cell that means nothing, or no longer what was typed into it, is refused with what to do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from prodcore.product.fields import BY_NAME, Kind
from prodcore.routing import fold

Locale = Literal["es", "en"]
"""Whose way of writing numbers."""

_LOCALES: tuple[Locale, ...] = ("es", "en")
_BLANK = "[ \u00a0\u2007\u2009\u202f]"
"""The blanks that may stand between groups of three digits; others, or elsewhere, are no part of a number."""
_SIGNS = "".join(c for c in map(chr, range(0x2200)) if unicodedata.category(c) == "Sc")
_SYMBOLS = {"€": "EUR", "£": "GBP"}
_NAME = rf"[A-Za-z]{{3}}|[{re.escape(_SIGNS)}]"
_AMOUNT = re.compile(
    rf"(?P<before>{_NAME})?{_BLANK}*(?P<number>[-+\u2212]?[0-9.,]+(?:{_BLANK}[0-9.,]+)*){_BLANK}*(?P<after>{_NAME})?"
)
_IN_PARENTHESES = re.compile(r"\((.*)\)")
_NUMBER = {
    locale: re.compile(
        rf"[-+]?([0-9]+|[1-9][0-9]{{0,2}}(\{thousands}[0-9]{{3}})+|[1-9][0-9]{{0,2}}({_BLANK}[0-9]{{3}})+)"
        rf"(\{decimal}[0-9]+)?"
    )
    for locale, thousands, decimal in (("es", ".", ","), ("en", ",", "."))
}
_EXPORTED = re.compile(r"[0-9]+(\.([0-9]{1,2}|[0-9]{4,}))?")
"""As exports write a number: never with exactly three decimals, which could be a thousand."""
_TAG = re.compile(r"(?:\\[\\|]|[^|])+")
_MOST_DIGITS = 40
_EXAMPLE = {"es": "1.234,50", "en": "1,234.50", None: "1,234.50 or 1.234,50"}
_YES = frozenset(fold(w) for w in ("yes", "y", "true", "1", "sí", "s", "verdadero", "active", "activo", "x"))
_NO = frozenset(fold(w) for w in ("no", "n", "false", "0", "falso", "inactive", "inactivo"))

_SHORTENED = re.compile(r"[0-9]+([.,][0-9]+)?E[+-][0-9]+|[0-9]+[.,][0-9]+E[0-9]+", re.IGNORECASE)
"""A long number as a spreadsheet shows it: most of its digits are gone."""
_WITH_DECIMALS = re.compile(r"[0-9]{6,}[.,]0+")

TYPE_AGAIN = "format the column as text in the spreadsheet and type it again"


class CellRefused(Exception):
    """A cell that means nothing; ``code`` is stable, the text is for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class PlainNumber(str):
    """A cell that is a number and not a text: digits with a decimal point, whatever the locale."""

    shown: str | None
    """What a sheet shows of it; None where that is another text than its digits, which ``why`` says."""
    why: str
    currency: str
    """The sign or code of a currency that its format shows."""

    def __new__(cls, text: object, shown: str | None = "", why: str = "", currency: str = "") -> PlainNumber:
        """Of an empty ``shown`` the digits are what is shown."""
        made = super().__new__(cls, text)
        made.shown = str(text) if shown == "" else shown
        made.why, made.currency = why, currency
        return made


class SheetFlag(str):
    """A cell of a sheet that is true or false."""

    __slots__ = ()


class NoValue(str):
    """A cell of which no text is known, such as a date or the error of a formula; the text is what is there."""

    code: str
    reason: str

    def __new__(cls, text: str, code: str, reason: str) -> NoValue:
        """Refused with ``code`` and ``reason`` wherever a value is wanted."""
        made = super().__new__(cls, text)
        made.code, made.reason = code, reason
        return made


class Formula(str):
    """A cell of a CSV file that begins with ``=``: a formula, where a text does not begin so by chance."""

    __slots__ = ()


class Marked(str):
    """A cell of a CSV file that begins with an apostrophe: a spreadsheet's mark of a text, perhaps."""

    __slots__ = ()


class Typed(str):
    """A cell that somebody typed over; ``was`` is what the file has there."""

    was: str

    def __new__(cls, text: str, was: str) -> Typed:
        """Read as a cell of a CSV file is."""
        made = super().__new__(cls, text)
        made.was = was
        return made


@dataclass(frozen=True, slots=True)
class NumberForm:
    """How a column writes numbers: as ``locale`` says; where that is None, a number that means one thing only means it.

    ``settle`` says, from the other numbers of the file, whose way it is where one could mean two things. In a file
    that is an export of ours (``exported``) numbers are as exports write them, whatever the locale.
    """

    locale: Locale | None = None
    exported: bool = False
    settle: Callable[[], Locale | None] = lambda: None


def read_price(text: str, form: NumberForm) -> tuple[str, str | None]:
    """A price as a plain decimal, and its currency where the cell names one: a code, or a sign that has no one code.

    Raises CellRefused.

    >>> read_price("1.234,50 €", NumberForm("es"))
    ('1234.50', 'EUR')
    >>> read_price("GBP 22.95", NumberForm("en")), read_price("$5", NumberForm())
    (('22.95', 'GBP'), ('5', '$'))
    """
    if isinstance(text, PlainNumber):
        return _sheet_number(text), _currency(text.currency) if text.currency else None
    _refuse_what_is_no_number(text, "a price", form)
    text = text.strip()
    if negative := _IN_PARENTHESES.fullmatch(text):
        raise CellRefused("negative", f"is -{negative[1].strip()} in accounting notation, but a price is not negative")
    match = _AMOUNT.fullmatch(text)
    if not match:
        raise CellRefused("not_a_price", f"is not a price such as {_EXAMPLE[form.locale]}")
    named = {_currency(sign) for sign in (match["before"], match["after"]) if sign}
    if len(named) > 1:
        raise CellRefused("two_currencies", "names two currencies")
    return _plain(match["number"], form), next(iter(named), None)


def read_stock(text: str, form: NumberForm) -> int:
    """A whole number. Raises CellRefused.

    >>> read_stock("1.200", NumberForm("es")), read_stock("40,00", NumberForm("es")), read_stock("1 200", NumberForm())
    (1200, 40, 1200)
    """
    if isinstance(text, PlainNumber):
        plain = _sheet_number(text)
    else:
        _refuse_what_is_no_number(text, "a number", form)
        plain = _plain(text.strip(), form)
    number = Decimal(plain)
    if number.is_infinite() or number.adjusted() > _MOST_DIGITS:  # the service reads no number that is longer
        raise CellRefused("int_parsing_size", "is too large")
    if number != number.to_integral_value():
        raise CellRefused("not_a_whole_number", "is not a whole number")
    return int(number)


def read_active(text: str) -> bool:
    """Yes or no. Raises CellRefused."""
    word = fold(text)
    if word not in _YES | _NO:
        raise CellRefused("not_yes_or_no", "is neither yes nor no")
    return word in _YES


def read_text(text: str) -> str:
    """A text as people see it. Raises CellRefused where what they typed is lost."""
    if isinstance(text, SheetFlag):
        raise CellRefused("yes_or_no", f"is true or false in the sheet, not text: {TYPE_AGAIN}")
    if isinstance(text, PlainNumber):
        if text.shown is None:
            raise CellRefused("shown_otherwise", f"{text.why}: {TYPE_AGAIN}")
        return text.shown
    return str(text)


def read_code(text: str) -> str:
    """A code, digit by digit as it was typed. Raises CellRefused where a spreadsheet has changed it.

    >>> read_code(" 0012345 "), read_code(Marked("'0012345"))
    ('0012345', '0012345')
    """
    if isinstance(text, Formula):
        raise CellRefused("formula", "is a formula: copy its column in the spreadsheet and paste it as values")
    code = read_text(text).strip()
    if isinstance(text, Marked):
        code = code[1:]
    if _SHORTENED.fullmatch(code) and not isinstance(text, PlainNumber):
        raise CellRefused("digits_lost", f"is a long number of which a spreadsheet kept some digits: {TYPE_AGAIN}")
    if _WITH_DECIMALS.fullmatch(code):
        raise CellRefused("shown_otherwise", f"is a number with decimals, which a code does not have: {TYPE_AGAIN}")
    return code


def read_tags(text: str) -> list[str]:
    r"""Several tags: separated by ``|`` where there is one, else by ``;``, else by commas.

    >>> read_tags("sin gluten, bio"), read_tags("uno, dos|"), read_tags(r"a\|b|c")
    (['sin gluten', 'bio'], ['uno, dos'], ['a|b', 'c'])
    """
    text = read_text(text)
    if "|" in text:  # as exports write them: \| and \\ stand for the sign itself
        tags = [re.sub(r"\\([\\|])", r"\1", tag) for tag in _TAG.findall(text)]
    else:
        tags = text.split(";" if ";" in text else ",")
    return [tag.strip() for tag in tags if tag.strip()]


READERS: dict[Kind, Callable[[str, NumberForm], Any]] = {
    "text": lambda text, _form: read_text(text),
    "paragraphs": lambda text, _form: read_text(text),
    "code": lambda text, _form: read_code(text),
    "count": read_stock,
    "flag": lambda text, _form: read_active(text),
    "currency": lambda text, _form: _currency(read_text(text).strip()),
}
"""How to read a cell of each kind of field; prices and tags, which give more than one field, have their own."""


def evidence(text: str) -> Locale | None:
    """Whose way of writing a number certainly is; None where it could be either's, or is none.

    >>> evidence("1.234,50 €"), evidence("9,95"), evidence("1.20"), evidence("1.234"), evidence("7")
    ('es', 'es', 'en', None, None)
    """
    match = None if isinstance(text, PlainNumber) else _AMOUNT.fullmatch(text.strip())
    fitting = [known for known in _LOCALES if match and _NUMBER[known].fullmatch(match["number"])]
    return fitting[0] if len(fitting) == 1 else None


def is_numeric(target: str) -> bool:
    """Whether a target's cells are numbers, whose form is to be known."""
    return target in BY_NAME and BY_NAME[target].kind in ("price", "count")


def is_sign(currency: str) -> bool:
    """Whether this is the sign of several currencies, not a code."""
    return not currency.isalpha()


def _refuse_what_is_no_number(text: str, what: str, form: NumberForm) -> None:
    if isinstance(text, Formula):
        raise CellRefused("formula", "is a formula: copy its column in the spreadsheet and paste it as values")
    if isinstance(text, SheetFlag):
        raise CellRefused("not_a_number", f"is true or false, not {what} such as {_EXAMPLE[form.locale]}")
    if text.strip().endswith("%"):
        raise CellRefused("percentage", f"is a percentage, not {what}")


def _sheet_number(number: PlainNumber) -> str:
    if number.shown is not None and number.shown.endswith("%"):
        raise CellRefused("percentage", f"is a percentage ({number.shown}), not a number of its own")
    return str(number)


def _currency(name: str) -> str:
    """The code; the sign itself where several currencies have it."""
    return _SYMBOLS.get(name, name.upper())


def _plain(text: str, form: NumberForm) -> str:
    """The number with a decimal point and nothing between its thousands."""
    text = text.replace("\u2212", "-")
    if form.exported and _EXPORTED.fullmatch(text):
        return text
    said = {known: _without_marks(text, known) for known in _LOCALES if _NUMBER[known].fullmatch(text)}
    fitting = [said[known] for known in ([form.locale] if form.locale else _LOCALES) if known in said]
    if not fitting:
        other = next(iter(said), None)
        hint = f"; it looks like --locale {other}" if other else ""
        raise CellRefused("not_a_number", f"is not a number such as {_EXAMPLE[form.locale]}{hint}")
    if len({Decimal(number) for number in fitting}) > 1:
        if settled := form.settle():
            return said[settled]
        raise CellRefused(
            "ambiguous_number", f"may be {said['es']} (--locale es) or {said['en']} (--locale en): specify which"
        )
    return fitting[0]


def _without_marks(text: str, locale: Locale) -> str:
    thousands, decimal = (".", ",") if locale == "es" else (",", ".")
    return re.sub(_BLANK, "", text).replace(thousands, "").replace(decimal, ".").lstrip("+")
