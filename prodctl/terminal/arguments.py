"""How arguments are read and completed: lengths of time, moments, and the names of what there is.

Whatever fails while a shell completes a word completes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from prodctl.client import open_client

_SECONDS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d|w|)", re.ASCII)

FILE = click.Path(dir_okay=False, allow_dash=True)
"""The name of a file that is read later; ``-`` is stdin."""

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


class Duration(click.ParamType[float]):
    """A length of time such as 90s, 15m, 24h or 30d, in seconds; a number alone is seconds."""

    name = "time"

    def __init__(self, least: str = "0s", most: str = "520w") -> None:
        self._least, self._most = least, most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        seconds = _seconds(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a length of time such as 90s, 15m, 24h or 30d", param, ctx)
        if not (_seconds(self._least) or 0) <= seconds <= (_seconds(self._most) or 0):
            self.fail(f"{value!r} is not between {self._least} and {self._most}", param, ctx)
        return seconds


def _seconds(text: str) -> float | None:
    found = _DURATION.fullmatch(text.strip())
    return float(found[1]) * _SECONDS[found[2]] if found else None


class Whole(click.IntRange):
    """A whole number in digits; what Python would read besides, such as 1_0 or digits of other scripts, is none."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        if isinstance(value, str) and not is_whole(value):
            self.fail(f"{value!r} is not a whole number such as 40", param, ctx)
        return int(super().convert(value, param, ctx))

    def _describe_range(self) -> str:
        """What the help says of its bounds, which click says of none too."""
        return "" if self.min is self.max is None else super()._describe_range()


class Large(Whole):
    """A whole number that may be written with its zeros counted: 1e9."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        if isinstance(value, str) and (short := re.fullmatch(r"([0-9]{1,3})[eE]([0-9]{1,2})", value, re.ASCII)):
            value = short[1] + int(short[2]) * "0"
        return super().convert(value, param, ctx)


def is_whole(text: str) -> bool:
    """Whether a text is a whole number.

    >>> is_whole("-40"), is_whole("1_0"), is_whole("4.0")
    (True, False, False)
    """
    return bool(re.fullmatch(r"[+-]?[0-9]{1,100}", text, re.ASCII))


class Moment(click.ParamType[str]):
    """A moment as ISO 8601: 2026-11-24, 2026-11-24T12:00:00Z, or how long ago it was, such as 24h."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As the REST API takes it; a time without a zone is this machine's."""
        text = str(value).strip()
        try:
            return _moment(text)
        except ValueError:
            self.fail(f"{value!r} is neither a moment such as 2026-11-24 nor an age such as 24h", param, ctx)
        except OverflowError:
            self.fail(f"{value!r} lies outside the calendar, whose years are 1 to 9999", param, ctx)


def _moment(text: str) -> str:
    ago = _DURATION.fullmatch(text)
    if ago and ago[2]:
        moment = datetime.now(UTC) - timedelta(seconds=_seconds(text) or 0)
    elif re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        return datetime.fromisoformat(text).date().isoformat()
    else:
        given = datetime.fromisoformat(text)
        moment = (given if given.tzinfo else given.astimezone()).astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _completing(words: Callable[[], Iterable[str]]) -> Complete:
    """A completer for ``words``, which may need a service that is not there."""

    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        try:
            return [word for word in words() if word.startswith(incomplete)]
        except Exception:  # noqa: BLE001  a shell at work is no place for an error
            return []

    return complete


def _listed(path: str, key: str) -> Complete:
    return _completing(lambda: [str(item[key]) for item in open_client().call("GET", path)["items"]])


complete_users = _listed("/users", "username")
complete_tokens = _listed("/tokens", "name")
complete_imports = _listed("/imports", "id")
complete_mappings = _listed("/imports/mappings", "name")
complete_sessions = _listed("/account/sessions", "id")
complete_shards = _listed("/shards", "shard")


def complete_products(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of products that begin so."""
    from prodcore.routing import fold

    def found() -> list[str]:
        query = {"search": incomplete, "limit": 50, "fields": "name"}
        return [str(item["name"]) for item in open_client().call("GET", "/products", query=query)["items"]]

    names = _completing(found)(_ctx, _param, "")
    return list(dict.fromkeys(name for name in names if fold(name).startswith(fold(incomplete))))


def _addresses() -> list[str]:
    """The connection strings of the sets."""
    from prodcore.settings import SETTINGS, load_settings

    settings = load_settings()
    urls = [getattr(settings, name) for name in SETTINGS if re.fullmatch(r"db\d+_url", name)]
    return [url.get_secret_value() for url in urls if url]


def _members_of(url: str) -> list[str]:
    return re.sub(r"^\w+://(.*@)?|/.*$", "", url).split(",")


def _set_of(url: str) -> list[str]:
    return re.findall(r"[?&]replicaSet=([^&]+)", url)


def _sets() -> list[str]:
    return [name for url in _addresses() for name in _set_of(url)]


def _members() -> list[str]:
    """Their names as ``cluster status`` shows them, then their addresses."""
    urls = _addresses()
    sets = [(name, _members_of(url)) for url in urls for name in _set_of(url)]
    names = [f"{name}-{number}" for name, members in sets for number in range(1, len(members) + 1)]
    return names + [address for url in urls for address in _members_of(url)]


def _targets() -> list[str]:
    """What a drill can break: any member, or one that it chooses."""
    with suppress(Exception):
        return ["primary", "random", *_members()]
    return ["primary", "random"]


def _drills() -> list[str]:
    from prodcore.app.wiring import open_history
    from prodcore.settings import load_settings

    with open_history(load_settings()) as kept:
        return [str(report["id"]) for report in kept.last(50)]


complete_sets = _completing(_sets)
complete_members = _completing(_members)
complete_targets = _completing(_targets)
complete_drills = _completing(_drills)


def by_prefix(items: Sequence[Mapping[str, Any]], text: str, noun: str) -> Mapping[str, Any]:
    """The only item whose ``id`` begins with the text. Raises NotFound, and InvalidInput where several do."""
    from prodcore.errors import InvalidInput, NotFound

    found = [item for item in items if str(item["id"]).startswith(text.lower())]
    if len(found) > 1:
        raise InvalidInput(f"{len(found)} {noun}s have an id that begins with {text!r}", hint="give more of it")
    if not found or not text:
        raise NotFound(f"no {noun} has an id that begins with {text!r}")
    return found[0]
