"""A third shard is filled and emptied again under load: who works notices nothing, and nothing is lost or doubled.

    python -m campaigns.range_moves [--products 5000] [--seconds 30] [--kills 2]

It brings up a system of its own with an empty rsC. Clients create, edit, rename over all borders, import, and list
everything by name and by price, all the time. Then ``prodctl shard rebalance --apply`` and ``prodctl shard drain rsC``
are carried out by the drill runner, which is killed with SIGKILL so many times in each. The load is measured before,
during and after. Exit status 1 where a request failed, a whole list missed or doubled a product that was there
throughout, or a product is lost, wrong or in a shard that does not own its name at the end.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from dotenv import dotenv_values

from campaigns.system import System, options, print_table, system
from prodcore.app.range_moves import RangeMoves
from prodcore.app.shards import open_shards
from prodcore.app.wiring import open_catalog
from prodcore.catalog import Catalog, Query, Sort
from prodcore.catalog.upsert import new_item, upsert
from prodcore.deadline import budget
from prodcore.errors import Unavailable
from prodcore.product.model import Author, ProductDraft, ProductPatch
from prodcore.settings import Settings, load_settings
from prodcore.support.validation import validate

_AUTHOR = Author("campaign")
_LETTERS = "abcdefghijklmnñopqrstuvwxyz7"
_SECONDS = 30.0
_BATCH = 500
_PAUSE = 0.03


@dataclass
class Record:
    """What the clients met; safe to use from many threads."""

    phase: str = "before"
    expected: dict[UUID, str] = field(default_factory=dict)
    """The names of the products, as they were acknowledged last."""
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """How long writes took, by phase."""
    written: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When writes were acknowledged, by phase."""
    renamed: dict[UUID, float] = field(default_factory=dict)
    """When each was renamed last: within a shard, or in another order than by name, a list may show it twice or not."""
    lists: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wrote(self, began: float, product_id: UUID, name: str) -> None:
        """A write was acknowledged."""
        ended = time.monotonic()
        with self.lock:
            self.seconds[self.phase].append(ended - began)
            self.written[self.phase].append(ended)
            self.expected[product_id] = name

    def renaming(self, product_id: UUID) -> None:
        """It is, or just was, being renamed."""
        with self.lock:
            self.renamed[product_id] = time.monotonic()

    def there(self) -> set[UUID]:
        """The products that are there by now."""
        with self.lock:
            return set(self.expected)


def name_of(number: int) -> str:
    """A name anywhere in the key space."""
    return f"{random.choice(_LETTERS)}{random.choice('aeiour')} producto {number}"  # noqa: S311


class Client:
    """Works with products that are its own, by a process's own view of the map."""

    def __init__(self, catalog: Catalog, record: Record, number: int) -> None:
        self._catalog = catalog
        self._record = record
        self._numbers = itertools.count(number, 100)
        self._own: list[UUID] = []

    def create(self) -> None:
        """Add a product."""
        began, name = time.monotonic(), name_of(next(self._numbers))
        made = self._catalog.create(validate(ProductDraft, {"name": name, "price": "1"}), _AUTHOR)
        self._own.append(made.id)
        self._record.wrote(began, made.id, name)

    def change(self) -> None:
        """Edit or rename one of them."""
        if not self._own:
            self.create()
        product_id = random.choice(self._own)  # noqa: S311
        seen = self._catalog.get(product_id)
        renamed = random.random() < 0.5  # noqa: S311
        change = {"name": name_of(next(self._numbers))} if renamed else {"stock": seen.stock + 1}
        began = time.monotonic()
        if renamed:
            self._record.renaming(product_id)
        changed = self._catalog.edit(product_id, validate(ProductPatch, change), _AUTHOR, seen.version)
        self._record.wrote(began, product_id, changed.name)
        if renamed:
            self._record.renaming(product_id)

    def bring_in(self) -> None:
        """Import a few, some of them once more."""
        names = [name_of(next(self._numbers)) for _ in range(10)]
        for stock in (1, 2):
            began = time.monotonic()
            items = [new_item({"name": name, "price": "1", "stock": stock}) for name in names]
            outcomes = upsert(self._catalog, items, _AUTHOR)
            for name, outcome in zip(names, outcomes, strict=True):
                if outcome.error or outcome.product_id is None:
                    raise outcome.error or AssertionError(f"{name} is {outcome.status}")
                self._record.wrote(began, outcome.product_id, name)

    def read(self) -> None:
        """List everything, and look whether all that was there throughout is there once."""
        order = random.choice(["name", "-name", "price"])  # noqa: S311
        there, phase, began = self._record.there(), self._record.phase, time.monotonic()
        found: list[UUID] = []
        cursor = None
        while True:
            page = self._catalog.page(Query(sort=Sort.parse(order)), cursor=cursor, limit=200)
            if page.unavailable:
                raise Unavailable(f"a list without {page.unavailable}")
            found += [product.id for product in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        with self._record.lock:
            moved = {i for i, at in self._record.renamed.items() if at > began - _SECONDS}
            settled = [product_id for product_id in found if product_id not in moved]
            doubled, missed = len(settled) - len(set(settled)), len(there - moved - set(settled))
            self._record.lists[phase] += 1
            if doubled or missed:
                self._record.wrong.append(f"a list by {order} in phase {phase}: {doubled} twice, {missed} missed")


@contextmanager
def clients(settings: Settings, record: Record) -> Iterator[None]:
    """All of them at work within the block."""

    def run(work: Callable[[], None], pause: float) -> None:
        while not record.over.wait(pause):
            try:
                with budget(_SECONDS):
                    work()
            except Exception as error:  # noqa: BLE001  each is a failed request
                with record.lock:
                    record.failed.append(f"{record.phase}: {type(error).__name__} {error}")

    def follow(catalog: Catalog) -> None:
        while not record.over.wait(5.0):
            with budget(_SECONDS):
                catalog.current_map.follow()
                catalog.moves.sweep()

    with ExitStack() as stack:
        threads = []
        for number in range(3):
            catalog = stack.enter_context(open_catalog(settings))
            client = Client(catalog, record, number)
            work = {client.create: 4 * _PAUSE, client.change: _PAUSE, client.bring_in: 20 * _PAUSE, client.read: 0.5}
            threads += [threading.Thread(target=run, args=each, daemon=True) for each in work.items()]
            threads.append(threading.Thread(target=follow, args=(catalog,), daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            record.over.set()
            for thread in threads:
                thread.join(2 * _SECONDS)


def carry_out(one: System, settings: Settings, kills: int, *command: str) -> None:
    """Run a command that moves ranges; the drill runner is killed so many times while products are being carried."""
    done: list[Exception] = []

    def run() -> None:
        try:
            one.prodctl("shard", *command, "--yes")
        except RuntimeError as error:
            done.append(error)

    running = threading.Thread(target=run)
    running.start()
    with open_shards(settings) as shards:
        moves, killed, seen = RangeMoves(shards), 0, 0
        while running.is_alive():
            running.join(0.2)
            last = next(iter(moves.latest_orders(1)), None)
            if last and killed < kills and not last.carried_at and last.carried != seen:
                killed, seen = killed + 1, last.carried
                kill_runner(one)
    if done:
        raise done[0]


def kill_runner(one: System) -> None:
    """The supervisor starts it again."""

    programs = json.loads(one.prodctl("local", "status", "-o", "json", ok=(0, 6)).stdout)["items"]
    for pid in (program["pid"] for program in programs if program["name"] == "drills" and program["pid"]):
        os.kill(pid, signal.SIGKILL)


def judge(settings: Settings, record: Record, one: System) -> list[str]:
    """What is wrong at the end."""
    wrong = [*record.wrong, *(f"failed: {text}" for text in record.failed)]
    with open_catalog(settings) as catalog, budget(300):
        catalog.moves.sweep()
        ids = list(record.expected)
        for start in range(0, len(ids), _BATCH):
            part = ids[start : start + _BATCH]
            found, unreachable = catalog.get_many(part)
            assert unreachable is None  # noqa: S101
            now = {product_id: getattr(found.get(product_id), "name", None) for product_id in part}
            wrong += [f"{i} is {now[i]!r}, not {record.expected[i]!r}" for i in part if now[i] != record.expected[i]]
    verified = one.prodctl("shard", "verify", ok=(0, 6))
    return wrong + ([verified.stdout] if verified.returncode else [])


def rows(record: Record, lasted: dict[str, float]) -> list[list[object]]:
    """A row a phase."""
    table: list[list[object]] = []
    for phase, seconds in lasted.items():
        took, at = sorted(record.seconds[phase]), record.written[phase]
        gaps = [after - before for before, after in itertools.pairwise(sorted(at))]
        quantiles = statistics.quantiles(took, n=100) if len(took) > 1 else [0.0] * 99
        rate = f"{len(took) / seconds:.0f}"
        times = [f"{1000 * value:.0f}" for value in (quantiles[49], quantiles[98], max(gaps, default=0.0))]
        table.append([phase, f"{seconds:.0f}", rate, *times, record.lists[phase]])
    return table


def main() -> int:
    """Run it; the exit status."""
    parser = options(__doc__)
    parser.add_argument("--products", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long it is measured before, between and after")
    parser.add_argument("--kills", type=int, default=2)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it so wants its system ended too
    record, lasted = Record(), dict[str, float]()
    with system(guard=False, services=True) as one:
        one.prodctl("local", "add-shard", "rsC")
        operator = dotenv_values(one.state_dir / "local" / "env" / "operator.env")
        settings = load_settings(**{name.lower(): url for name, url in operator.items() if name.startswith("DB")})
        with open_catalog(settings) as catalog:
            for start in range(0, chosen.products, _BATCH):
                names = [name_of(1_000_000 + start + n) for n in range(min(_BATCH, chosen.products - start))]
                with budget(_SECONDS):
                    outcomes = upsert(catalog, [new_item({"name": name, "price": "1"}) for name in names], _AUTHOR)
                record.expected |= {o.product_id: n for n, o in zip(names, outcomes, strict=True) if o.product_id}
        phases: list[tuple[str, Callable[[], object]]] = [
            ("before", lambda: record.over.wait(chosen.seconds)),
            ("rebalance", lambda: carry_out(one, settings, chosen.kills, "rebalance", "--apply")),
            ("between", lambda: record.over.wait(chosen.seconds)),
            ("drain", lambda: carry_out(one, settings, chosen.kills, "drain", "rsC")),
            ("after", lambda: record.over.wait(chosen.seconds)),
        ]
        with clients(settings, record):
            for record.phase, work in phases:
                began = time.monotonic()
                work()
                lasted[record.phase] = time.monotonic() - began
                so_far = f"{len(record.failed)} failed, {len(record.wrong)} lists wrong"
                print(f"{record.phase}: {lasted[record.phase]:.0f} s, {so_far}", file=sys.stderr, flush=True)
        wrong = judge(settings, record, one)
        print(one.prodctl("shard", "status", "-o", "wide").stdout, one.prodctl("shard", "list").stdout)
    heads = ["phase", "seconds", "writes/s", "p50 ms", "p99 ms", "longest gap ms", "whole lists"]
    print_table(f"{len(record.expected):,} products at the end.", heads, rows(record, lasted))
    print(f"{len(record.failed)} failed, {len(wrong)} wrong", *wrong[:20], sep="\n", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
