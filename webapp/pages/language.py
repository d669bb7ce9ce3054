"""The language and the colours that a visitor chose, and how the language writes prices, numbers and times."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from apiflask import APIBlueprint
from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_currency, format_decimal, format_percent, get_decimal_symbol, parse_decimal
from flask import Flask, Response, g, make_response, render_template, request
from flask_babel import Babel, get_locale, gettext
from werkzeug.utils import redirect

from prodcore.product.model import show_time
from prodcore.routing import show_key
from webapp.identity.auth_client import cookie_name
from webapp.pages.forms import safe_next, typed_draft

blueprint = APIBlueprint("language", __name__, enable_openapi=False)

LANGUAGES = {"es": "Español", "en": "English"}
LANGUAGE_COOKIE = "language"
_FALLBACK = "en"
# English is read in many countries: the day stands before the month's name, and nobody guesses about noon.
_TIMES = {"en": "en_GB"}
# Browsers name each other; the first mark that fits is the one that is meant.
_BROWSERS = (("Firefox/", "Firefox"), ("Edg", "Edge"), ("OPR/", "Opera"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)

THEME_COOKIE = "theme"
COLUMNS_COOKIE = "columns"
THEMES = ("auto", "light", "dark")
_YEAR_SECONDS = 365 * 24 * 3600


def install_language(app: Flask) -> None:
    """Translations for the templates, and filters that write values as the language does."""
    folder = str(Path(__file__).parent.parent / "translations")
    Babel(app, default_locale=_FALLBACK, default_translation_directories=folder, locale_selector=_choose)
    app.jinja_env.globals.update(seconds=show_seconds)
    app.jinja_env.filters.update(
        {
            "price": show_price,
            "number": show_number,
            "moment": show_moment,
            "iso": show_time,
            "range": show_range,
            "key": lambda key: show_key(key or ""),
            "device": show_device,
            "ago": show_span,
            "age": show_age,
            "percent": show_percent,
            "size": show_size,
        }
    )


def current_language() -> str:
    """The language of this request: ``es`` or ``en``."""
    return str(get_locale() or _FALLBACK)[:2]


def _choose() -> str:
    """What the person picked, else what the browser asks for."""
    picked = g.get("chosen_language") or remembered(LANGUAGE_COOKIE)
    if picked in LANGUAGES:
        return picked
    return request.accept_languages.best_match(LANGUAGES, default=_FALLBACK) or _FALLBACK


def show_price(price: Decimal, currency: str) -> str:
    """A price with its currency: ``1,20 €``; never rounded, at least the currency's usual decimals."""
    return format_currency(price, currency, locale=current_language(), decimal_quantization=False)


def show_number(number: int | float | Decimal) -> str:
    """A number with the language's separators."""
    return format_decimal(number, locale=current_language(), group_separator=True)


def show_moment(moment: datetime | str) -> str:
    """A time with its zone, UTC; a script turns it into the reader's own."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return format_datetime(moment.astimezone(UTC), "medium", locale=_of_times()) + " UTC"


def show_day(moment: datetime) -> str:
    """A day in UTC."""
    return format_date(moment.astimezone(UTC), "medium", locale=_of_times())


def _of_times() -> str:
    return _TIMES.get(current_language(), current_language())


def show_range(text: str) -> str:
    """A range of keys with the language's word for key: ``a ≤ clave < n``."""
    return re.sub(r"(^|≤ )key(?= )", lambda match: match[1] + gettext("key"), text)


def show_seconds(value: float | None) -> str:
    """Seconds as a drill needs them: ``1,234 s``; a dash for none."""
    return "—" if value is None else f"{format_decimal(round(value, 3), locale=current_language())} s"


def show_span(seconds: float | None) -> str:
    """A span of time in words: ``3 hours``; a dash for none."""
    return "—" if seconds is None else format_timedelta(timedelta(seconds=seconds), locale=current_language())


def show_age(moment: datetime | str) -> str:
    """How long ago something was: ``3 hours ago``."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    since = min(moment - datetime.now(UTC), timedelta(0))
    return format_timedelta(since, add_direction=True, locale=current_language())


def show_percent(share: float) -> str:
    """A part of a whole: ``48%``, in Spanish ``48 %``."""
    return format_percent(share, locale=current_language())


def show_size(size_bytes: int | None) -> str:
    """A size in MiB or GiB; a dash for none."""
    if size_bytes is None:
        return "—"
    power, unit = (30, "GiB") if size_bytes >= 2**30 else (20, "MiB")
    return f"{format_decimal(round(size_bytes / 2**power, 1), locale=current_language())} {unit}"


def show_device(user_agent: str) -> str:
    """A browser and its system in two words, where they are known; else what the program calls itself.

    >>> show_device("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36")
    'Chrome, Linux'
    """
    known = [next((name for mark, name in marks if mark in user_agent), "") for marks in (_BROWSERS, _SYSTEMS)]
    return ", ".join(filter(None, known)) if all(known) else user_agent[:60]


def write_price(price: Decimal) -> str:
    """A price as a form field holds it: the language's decimal sign, no grouping, at least two decimals."""
    places = max(2, -int(price.as_tuple().exponent))
    return f"{price:.{places}f}".replace(".", get_decimal_symbol(current_language()))


def read_price(text: str) -> Decimal | None:
    """A price as somebody types it in this language; None where it is no number there (``1.20`` in Spanish)."""
    cleaned = text.strip().removesuffix("€").strip()
    try:
        price = parse_decimal(cleaned, locale=current_language(), strict=True)
    except ValueError:
        return None
    return price if price.is_finite() else None


def theme() -> str:
    """The colours picked; ``auto`` follows the system."""
    picked = remembered(THEME_COOKIE)
    return picked if picked in THEMES else "auto"


@blueprint.post("/preferences")
def choose() -> Response:
    """Remember a choice and go back; a form that is being filled in comes along, and is shown again."""
    path = safe_next(request.args.get("draft"), "")
    if path:
        g.chosen_language = request.form.get(LANGUAGE_COOKIE)
        response = make_response(render_template("login/draft.html", draft=typed_draft(path), reason="display"))
    else:
        response = make_response(redirect(safe_next(request.form.get("next")), 303))
    for cookie, allowed in ((LANGUAGE_COOKIE, LANGUAGES), (THEME_COOKIE, THEMES)):
        value = request.form.get(cookie, "")
        if value in allowed:
            remember(response, cookie, value)
    return response


def remember(response: Response, cookie: str, value: str) -> None:
    """Keep a choice for a year; an empty one is forgotten."""
    age, name = _YEAR_SECONDS if value else 0, cookie_name(cookie)
    response.set_cookie(name, value, max_age=age, secure=request.is_secure, httponly=True, samesite="Lax")


def remembered(cookie: str) -> str:
    """A choice that was kept; empty where there is none."""
    return request.cookies.get(cookie_name(cookie), "")
