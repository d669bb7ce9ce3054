"""What has to be done inside one container. Pure: what is wanted and what was seen in, differences out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prodcore.deploy import paths as place
from prodcore.deploy.change import Change
from prodcore.deploy.seen import Inside
from prodcore.deploy.spec import Binary, Directory, File, HostWish, Link, Unit

_SOCKET = ".socket"
_SERVICE = ".service"


@dataclass(frozen=True, slots=True)
class HostPlan:
    """The differences of one container. ``rewritten`` files get content, ``regiven`` ones mode and owner only."""

    host: str
    packages: tuple[str, ...]
    accounts: tuple[str, ...]
    binaries: tuple[Binary, ...]
    release: str
    """The one to install; empty when it is there."""
    forget: tuple[str, ...]
    """Releases that are neither this one nor the one that runs."""
    directories: tuple[Directory, ...]
    rewritten: tuple[File, ...]
    regiven: tuple[File, ...]
    removed: tuple[str, ...]
    links: tuple[Link, ...]
    needs_reload: bool
    enable: tuple[str, ...]
    start: tuple[str, ...]
    restart: tuple[str, ...]
    changes: tuple[Change, ...]


def plan_host(wish: HostWish, inside: Inside) -> HostPlan:
    """Compare."""
    return _Comparison(wish, inside).plan()


class _Comparison:
    def __init__(self, wish: HostWish, inside: Inside) -> None:
        self._wish = wish
        self._inside = inside
        self._changes: list[Change] = []

    def plan(self) -> HostPlan:
        wish, inside = self._wish, self._inside
        packages = tuple(p for p in wish.packages if not inside.has("packages", p))
        self._note("install", (f"package {p}" for p in packages), "it is missing")
        accounts = tuple(a for a in wish.accounts if not inside.has("accounts", a))
        self._note("make", (f"account {a}" for a in accounts), "it is missing")
        binaries = tuple(b for b in wish.binaries if not inside.has("binaries", b.path))
        self._note("push", (f"file {b.path}" for b in binaries), "it is missing")
        release = "" if inside.has("releases", wish.release) else wish.release
        self._note("install", [f"release {release}"] if release else [], "it is not installed")
        forget = tuple(self._forget())
        directories = tuple(self._directories())
        rewritten, regiven = self._files()
        removed = tuple(path for path in wish.absent if inside.entry("files", path))
        self._note("remove", (f"file {path}" for path in removed), "there is an admin")
        links = tuple(self._links())
        touched = {f.path for f in rewritten} | {link.path for link in links}
        enable = tuple(self._enable())
        start, restart = self._start(), self._restart(touched)
        needs_reload = any(f.path.startswith(place.UNITS) for f in rewritten) or any(
            inside.unit(u.name).needs_reload for u in wish.units
        )
        return HostPlan(
            wish.name, packages, accounts, binaries, release, forget, directories, rewritten, regiven, removed, links,
            needs_reload, enable, start, restart, tuple(self._changes),
        )  # fmt: skip

    def _note(self, action: str, what: Iterator[str] | list[str], reason: str) -> None:
        self._changes += [Change(self._wish.name, action, one, reason) for one in what]

    def _forget(self) -> Iterator[str]:
        kept = {self._wish.release, self._inside.link(place.CURRENT).rpartition("/")[2]}
        yield from (name for name in self._inside.answer.get("releases", ()) if name not in kept)

    def _directories(self) -> Iterator[Directory]:
        for wanted in self._wish.directories:
            seen = self._inside.entry("directories", wanted.path)
            reason = "it is missing" if seen is None else _other_access(wanted, seen)
            if reason:
                self._note("make" if seen is None else "mend", [f"directory {wanted.path}"], reason)
                yield wanted

    def _files(self) -> tuple[tuple[File, ...], tuple[File, ...]]:
        rewritten, regiven = list[File](), list[File]()
        for wanted in self._wish.files:
            seen = self._inside.entry("files", wanted.path)
            if seen is None:
                self._note("write", [f"file {wanted.path}"], "it is missing")
                rewritten.append(wanted)
            elif seen["sha256"] != wanted.sha256:
                self._note("write", [f"file {wanted.path}"], "its content differs")
                rewritten.append(wanted)
            elif reason := _other_access(wanted, seen):
                self._note("mend", [f"file {wanted.path}"], reason)
                regiven.append(wanted)
        return tuple(rewritten), tuple(regiven)

    def _links(self) -> Iterator[Link]:
        for wanted in self._wish.links:
            seen = self._inside.link(wanted.path)
            if seen != wanted.target:
                reason = f"it leads to {seen}" if seen else "it is missing"
                self._note("link", [f"{wanted.path} to {wanted.target}"], reason)
                yield wanted

    def _enable(self) -> Iterator[str]:
        for unit in self._wish.units:
            if self._inside.unit(unit.name).enabled not in ("enabled", "static"):
                self._note("enable", [f"unit {unit.name}"], "it would not start with the container")
                yield unit.name

    def _start(self) -> tuple[str, ...]:
        start = []
        for unit in self._wish.units:
            seen = self._inside.unit(unit.name)
            if seen.active != "active":
                self._note("start", [f"unit {unit.name}"], f"it is {seen.active}")
                start.append(unit.name)
        return tuple(start)

    def _restart(self, touched: set[str]) -> tuple[str, ...]:
        """Units that run with older files than there are, or will be."""
        restart = []
        for unit in self._wish.units:
            seen = self._inside.unit(unit.name)
            if seen.active == "active" and (newer := self._newer(unit, seen.started, touched)):
                self._note("restart", [f"unit {unit.name}"], f"{newer} is newer than its process")
                restart.append(unit.name)
        return tuple(restart)

    def _newer(self, unit: Unit, started: float | None, touched: set[str]) -> str:
        for path in unit.files:
            if path in touched or (started and self._inside.changed(path) > started):
                return path
        return ""


def _other_access(wanted: File | Directory, seen: dict[str, object]) -> str:
    """In which way mode and owner are not as wanted; empty when they are."""
    if seen["mode"] != wanted.mode:
        return f"its mode is {seen['mode']:04o}, not {wanted.mode:04o}"
    return f"its owner is {seen['owner']}, not {wanted.owner}" if seen["owner"] != wanted.owner else ""
