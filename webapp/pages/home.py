"""The first page after the login: what is healthy, what needs somebody, what runs and what was done last.

Every question is asked at once and for itself, with a time of its own: what cannot be answered is left out and said to
be missing, and the rest of the page stands. None needs more than the first rows of an index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from apiflask import APIBlueprint
from flask import render_template
from flask_babel import gettext, ngettext

from prodcore.catalog import Query, Sort
from prodcore.catalog.finding import Matches, count_matches
from prodcore.catalog.imports import recent_imports
from prodcore.catalog.stores import ImportRecord
from prodcore.identity.rights import Right
from prodcore.replicaset.cluster import ClusterStatus
from prodcore.sharding.mover import MoveOrder
from webapp.identity.caller import account, may
from webapp.live import answers_to, current_catalog, current_desk, current_picture
from webapp.pages.audit import ACTIONS, OUTCOMES
from webapp.pages.curves import Growth, last_day
from webapp.pages.forms import with_query
from webapp.pages.language import show_number

blueprint = APIBlueprint("home", __name__, enable_openapi=False)

LOW_STOCK = 5
"""So many left, or fewer, is little."""
_SHOWN = 6
_SHOWN_DRILLS = 12
_GROWTH_SECONDS = 3600.0
"""A growth over less tells nothing of the days to come."""
_IMPORT_RUNS = timedelta(minutes=10)
_IMPORT_MATTERS = timedelta(days=7)

_FIELDS = ("id", "name", "variant", "category", "stock", "shard", "version", "updated_at", "updated_by")
_SOLD_OUT = Query(active=True, stock_max=0, sort=Sort("stock"))
_LOW = Query(active=True, stock_min=1, stock_max=LOW_STOCK, sort=Sort("stock"))
_NEWEST = Query(sort=Sort("updated", descending=True))

LISTS = {
    "sold_out": with_query("/products", active="true", stock_max=0, sort="stock"),
    "low": with_query("/products", active="true", stock_min=1, stock_max=LOW_STOCK, sort="stock"),
    "changes": with_query("/products", sort="-updated", columns="stock,updated_at,updated_by,shard"),
}
"""The lists behind the figures."""


@dataclass(frozen=True, slots=True)
class Found:
    """The first products of a list."""

    items: tuple[dict[str, Any], ...]
    unavailable: tuple[str, ...]
    """Shards whose products are missing."""
    matches: Matches | None = None
    """How many there are of them; None where that was not asked, or takes too long."""

    @property
    def number(self) -> int:
        """How many are known of."""
        return self.matches.products if self.matches else len(self.items)

    @property
    def count(self) -> str:
        """The same as it is shown: ``12``, ``≈ 12``, ``2,000+``."""
        if self.matches is None or self.matches.more:
            return f"{show_number(self.number)}+"
        return f"{'≈ ' if self.matches.approximate else ''}{show_number(self.number)}"


class Task(NamedTuple):
    """Something that waits for somebody."""

    severity: str
    """``bad`` or ``warn``."""
    text: str
    href: str


class Filling(NamedTuple):
    """The shard whose members will be out of disk first, at the growth of the last day."""

    shard: str
    seconds: float
    """Until then."""


@blueprint.get("/")
def home() -> str:
    """Everything at a glance, as far as the reader's role may see it."""
    answers = answers_to({name: ask for name, (right, ask) in _QUESTIONS.items() if may(right)})
    now = datetime.now(UTC)
    imports = answers.get("imports", [])
    return render_template(
        "home/page.html",
        answers=answers,
        tasks=[task for right, task in tasks(answers, now) if may(right)],
        running=[record for record in imports if is_running(record, now)],
        moves=[move for move in answers.get("moves", []) if not move.closed_at],
        filling=full_first(answers.get("status"), answers.get("growth", {}), now),
        lists=LISTS,
        low_stock=LOW_STOCK,
        now=now,
        actions=ACTIONS,
        outcomes=OUTCOMES,
    )


def _stock(query: Query) -> Found:
    """The products with the least stock, and how many there are."""
    catalog = current_catalog()
    page = catalog.rows(query, cursor=None, limit=_SHOWN, fields=_FIELDS)
    return Found(page.items, page.unavailable, count_matches(catalog, query))


def _changes() -> Found:
    """The products that people changed last."""
    page = current_catalog().rows(_NEWEST, cursor=None, limit=_SHOWN, fields=_FIELDS)
    return Found(page.items, page.unavailable)


_QUESTIONS: dict[str, tuple[Right, Callable[[], Any]]] = {
    "status": (Right.READ_CLUSTER, lambda: current_picture().status.get()),
    "growth": (Right.READ_PRODUCTS, last_day),
    "holdings": (Right.READ_PRODUCTS, lambda: current_picture().holdings.get()),
    "sold_out": (Right.READ_PRODUCTS, lambda: _stock(_SOLD_OUT)),
    "low": (Right.READ_PRODUCTS, lambda: _stock(_LOW)),
    "changes": (Right.READ_PRODUCTS, _changes),
    "imports": (Right.READ_PRODUCTS, lambda: recent_imports(current_catalog(), _SHOWN)),
    "drills": (Right.READ_CLUSTER, lambda: current_desk().history().last(_SHOWN_DRILLS)),
    "desk": (Right.READ_CLUSTER, lambda: current_desk().state.get()),
    "moves": (Right.READ_CLUSTER, lambda: current_desk().moves().latest(_SHOWN)),
    "audit": (Right.READ_AUDIT, lambda: account("GET", "/audit", query={"limit": _SHOWN})["items"]),
}
"""What the page asks, by name, and the right to know it."""


def full_first(status: ClusterStatus | None, growth: Mapping[str, Growth], now: datetime) -> Filling | None:
    """Which shard will be full first; None where none grows, or is not known for long enough.

    By the least free disk of its members, and the mean size of its products, which are smaller on disk: a safe guess.
    """
    found = []
    for held in status.sets if status else ():
        grown, primary = growth.get(held.name), held.primary
        free = [member.free_disk_bytes for member in held.members if member.free_disk_bytes is not None]
        if not (grown and grown.products > 0 and free and primary and primary.documents and primary.data_bytes):
            continue
        seconds = (now - grown.since).total_seconds()
        if seconds >= _GROWTH_SECONDS:
            a_second = grown.products / seconds * primary.data_bytes / primary.documents
            found.append(Filling(held.name, min(free) / a_second))
    return min(found, key=lambda filling: filling.seconds, default=None)


def is_running(record: ImportRecord, now: datetime) -> bool:
    """Whether an import is probably under way."""
    return record.finished_at is None and record.undone_at is None and now - record.started_at < _IMPORT_RUNS


def tasks(answers: Mapping[str, Any], now: datetime) -> Iterator[tuple[Right, Task]]:
    """What waits for somebody, each with the right of those who can do something about it."""
    yield from ((Right.WRITE_PRODUCTS, task) for task in _stock_tasks(answers))
    for record in answers.get("imports", []):
        if record.finished_at or record.undone_at or is_running(record, now):
            continue
        if now - record.started_at < _IMPORT_MATTERS:
            text = gettext("The import of %(file)s by %(name)s has not finished", file=record.source, name=record.by)
            yield Right.WRITE_PRODUCTS, Task("warn", text, "/products/imports")
    yield from ((Right.CHANGE_SHARDS, task) for task in _move_tasks(answers.get("moves", []), now))
    for drill in answers.get("drills", [])[:1]:
        if drill["outcome"] == "failed":
            yield Right.RUN_DRILLS, Task("bad", gettext("The last drill failed"), f"/drills/{drill['run']}")
    status: ClusterStatus | None = answers.get("status")
    if status and not any(guard.active for guard in status.guards):
        text = gettext("No guard is active: a failover takes the election timeout")
        yield Right.RUN_DRILLS, Task("warn", text, "/cluster")


def _stock_tasks(answers: Mapping[str, Any]) -> Iterator[Task]:
    sold_out: Found | None = answers.get("sold_out")
    if sold_out and (number := sold_out.number):
        text = ngettext("%(n)s product is sold out", "%(n)s products are sold out", number, n=sold_out.count)
        yield Task("bad", text, LISTS["sold_out"])
    low: Found | None = answers.get("low")
    if low and (number := low.number):
        text = ngettext("%(n)s product is low in stock", "%(n)s products are low in stock", number, n=low.count)
        yield Task("warn", text, LISTS["low"])


def _move_tasks(moves: Sequence[MoveOrder], now: datetime) -> Iterator[Task]:
    for move in moves:
        state, names = move.state(now), {"source": move.source, "target": move.target}
        if state == "paused":
            yield Task("warn", gettext("A move from %(source)s to %(target)s is paused", **names), "/cluster")
        elif state == "interrupted":
            yield Task("bad", gettext("A move from %(source)s to %(target)s is interrupted", **names), "/cluster")
