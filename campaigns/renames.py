"""Renames over the border under readers and kills: every product is there exactly once in every reading.

    python -m campaigns.renames [--renames 1000] [--kills 20] [--directory /tmp/campaign]

It brings up three replica sets of its own. First products go to and fro between the shards while four readers loop
over get, search and the whole list in pages of twenty; halfway one of the ranges is split, which who renames then knows
and the readers do not. Then, under the same readers, a process is killed with SIGKILL
after each step of a move, and the primary of the source and of the target: so many times each. After every kill the
product must be there once, and nothing may be left of the move but its old location. Exit status 1 when anything was
seen twice, not at all, or was left over.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prodcore.app.shards import open_shards
from prodcore.app.wiring import open_catalog, prepare_cluster
from prodcore.catalog import Catalog, Query, search_words
from prodcore.deadline import budget
from prodcore.errors import OutcomeUnknown, Unavailable
from prodcore.local import LocalCluster, LocalPlan, find_free_ports
from prodcore.product.model import Author, Product, ProductDraft, ProductPatch
from prodcore.routing import name_key
from prodcore.settings import Settings, load_settings
from prodcore.support.validation import validate

STEPS = ("intended", "received", "committed", "published")
VICTIMS = ("process", "source", "target")
READERS = 4
_AUTHOR = Author("campaign")
_NAMES = ("Arroz {:04} común", "Zumo {:04} común")
_SECONDS = 60.0


@dataclass
class Readings:
    """What the readers saw; safe to use from many threads."""

    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unavailable: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, wrong: list[str]) -> None:
        """One reading that was whole."""
        with self.lock:
            self.done[kind] += 1
            self.wrong += wrong

    def missed(self) -> None:
        """A reading that said itself that it is not whole."""
        with self.lock:
            self.unavailable += 1


def fill(catalog: Catalog, count: int) -> list[UUID]:
    """Products on both sides of the border, all found by one word."""
    drafts = [
        validate(ProductDraft, {"name": _NAMES[i % 2].format(i), "price": f"{i % 7}", "stock": i}) for i in range(count)
    ]
    return [catalog.create(draft, _AUTHOR).id for draft in drafts]


def rename(catalog: Catalog, product: Product) -> Product:
    """Send a product over the border."""
    _here, there = _NAMES if product.name.startswith("Arroz") else _NAMES[::-1]
    number = int(product.name.split()[1])
    patch = validate(ProductPatch, {"name": there.format(number)})
    return catalog.edit(product.id, patch, _AUTHOR, product.version)


@contextmanager
def readers(catalog: Catalog, ids: list[UUID]) -> Iterator[Readings]:
    """Four readers, until the block ends."""
    readings, ended = Readings(), threading.Event()

    def loop(number: int) -> None:
        kinds = (_read_each, _read_search, _read_list, _read_by_price)
        while not ended.is_set():
            kind = kinds[number % len(kinds)]
            number += 1
            try:
                with budget(_SECONDS):
                    readings.add(kind.__name__.removeprefix("_read_"), kind(catalog, ids))
            except Unavailable:
                readings.missed()

    threads = [threading.Thread(target=loop, args=(number,), daemon=True) for number in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield readings
    finally:
        ended.set()
        for thread in threads:
            thread.join(_SECONDS)


def _read_each(catalog: Catalog, ids: list[UUID]) -> list[str]:
    found = [catalog.get(product_id).id for product_id in ids]
    return _judge("get", found, ids)


def _read_search(catalog: Catalog, ids: list[UUID]) -> list[str]:
    return _judge("search", _all(catalog, Query(words=search_words("común")), 200), ids)


def _read_list(catalog: Catalog, ids: list[UUID]) -> list[str]:
    return _judge("list", _all(catalog, Query(), 20), ids)


def _read_by_price(catalog: Catalog, ids: list[UUID]) -> list[str]:
    from prodcore.catalog import Sort

    return _judge("list by price", _all(catalog, Query(sort=Sort.parse("-price")), 20), ids)


def _all(catalog: Catalog, query: Query, limit: int) -> list[UUID]:
    found: list[UUID] = []
    cursor = None
    while True:
        page = catalog.rows(query, cursor=cursor, limit=limit, fields=("id",))
        page.require_all()
        found += [values["id"] for values in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


def _judge(kind: str, found: list[UUID], ids: list[UUID]) -> list[str]:
    times = Counter(found)
    return [f"{kind}: {product_id} {times[product_id]} times" for product_id in ids if times[product_id] != 1]


def renames_under_readers(
    catalog: Catalog, ids: list[UUID], count: int, halfway: Callable[[], Catalog] | None = None
) -> Readings:
    """So many renames over the border, one after the other; ``halfway`` makes who renames from then on."""
    renaming = catalog
    with readers(catalog, ids) as readings:
        for number in range(count):
            if halfway and number == count // 2:
                renaming = halfway()
            with budget(_SECONDS):
                rename(renaming, catalog.get(ids[number % len(ids)]))
    return readings


@contextmanager
def splitting(settings: Settings, key: str) -> Iterator[Callable[[], Catalog]]:
    """Splits the map at ``key`` when it is called, and gives a catalogue that knows; the readers do not."""
    with ExitStack() as opened:

        def split() -> Catalog:
            opened.enter_context(open_shards(settings)).split(key)
            return opened.enter_context(open_catalog(settings))

        yield split


class Killing:
    """Kills, after a step of a move, its own process or a primary."""

    def __init__(self, cluster: LocalCluster, settings: Settings, catalog: Catalog) -> None:
        self._cluster = cluster
        self._settings = settings
        self._catalog = catalog

    def rename(self, product_id: UUID, step: str, victim: str) -> list[str]:
        """Rename a product, kill after ``step``; what is wrong afterwards."""
        product = self._catalog.get(product_id)
        if victim == "process":
            self._in_a_process_that_dies(product, step)
            acknowledged = False
        else:
            acknowledged = self._while_a_primary_dies(product, step, victim)
        with budget(_SECONDS):
            left = self._catalog.moves.sweep(timedelta(0))
            now = self._catalog.get(product_id)
        return [
            text
            for text, wrong in (
                (f"{left} moves left unfinished", left),
                (
                    f"version {now.version} after {product.version}",
                    now.version not in (product.version, product.version + 1),
                ),
                ("renamed, acknowledged and lost", acknowledged and now.name == product.name),
                ("decided and undone", step in STEPS[2:] and now.name == product.name),
            )
            if wrong
        ]

    def _in_a_process_that_dies(self, product: Product, step: str) -> None:
        environment = {name.upper(): getattr(self._settings, name).get_secret_value() for name in _ADDRESSES}
        arguments = [sys.executable, "-m", "campaigns.renames", "--die-after", step, str(product.id)]
        environment |= {name: value for name, value in os.environ.items() if name not in environment}
        child = subprocess.run(  # noqa: S603  this very program
            arguments, env=environment, cwd=Path(__file__).parents[1], timeout=_SECONDS
        )
        if child.returncode != -signal.SIGKILL:
            raise RuntimeError(f"the process ended with {child.returncode}, it was to die after {step}")

    def _while_a_primary_dies(self, product: Product, step: str, victim: str) -> bool:
        """Whether the rename was acknowledged."""
        killed: list[str] = []

        def kill(name: str) -> None:
            if name == step and not killed:
                other = next(s for s in self._catalog.shard_map.shards if s != product.shard)
                killed.append(primary(self._cluster, product.shard if victim == "source" else other))
                self._cluster.members.kill(killed[0])

        try:
            with budget(_SECONDS):
                rename(stepping(self._catalog, kill), product)
        except OutcomeUnknown:
            return False
        finally:
            self._cluster.up()
        return True


_ADDRESSES = ("db1_url", "db2_url", "db3_url")


def stepping(catalog: Catalog, step: object) -> Catalog:
    """The same catalogue, which calls ``step`` after each step of a move."""
    stores = {shard: catalog.store(shard) for shard in catalog.shard_map.shards}
    return Catalog(catalog.shard_map, stores, catalog.claims.store, step=step)  # type: ignore[arg-type]


def primary(cluster: LocalCluster, replica_set: str) -> str:
    """The address of a set's primary, once there is one."""
    from pymongo import MongoClient

    setting = {"rsA": "db1_url", "rsB": "db2_url", "rsU": "db3_url"}[replica_set]
    with MongoClient[dict[str, Any]](cluster.addresses("root")[setting].get_secret_value()) as client:
        return str(client.admin.command("hello")["primary"])


def die_after(step: str, product_id: UUID) -> None:
    """Rename a product in this process, which kills itself after ``step``."""

    def die(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_catalog(load_settings()) as catalog:
        rename(stepping(catalog, die), catalog.get(product_id))


@contextmanager
def own_cluster(directory: Path) -> Iterator[tuple[LocalCluster, Settings]]:
    """Three replica sets without services, removed at the end."""
    cluster = LocalCluster(LocalPlan(directory, find_free_ports()))
    cluster.up()
    try:
        prepare_cluster(load_settings(**cluster.addresses("root")))
        yield cluster, load_settings(**cluster.addresses("web"))
    finally:
        cluster.destroy()


def main() -> int:
    """Run and judge."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--renames", type=int, default=1000)
    options.add_argument("--kills", type=int, default=20, help="of each victim after each step")
    options.add_argument("--products", type=int, default=200)
    options.add_argument("--directory", type=Path)
    options.add_argument("--die-after", nargs=2, metavar=("STEP", "ID"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.die_after:
        die_after(given.die_after[0], UUID(given.die_after[1]))
        return 0
    directory = given.directory or Path(tempfile.mkdtemp(prefix="rename-campaign-")) / "cluster"
    wrong: list[str] = []
    with own_cluster(directory) as (cluster, settings), open_catalog(settings) as catalog:
        ids = fill(catalog, given.products)
        began = time.monotonic()
        with splitting(load_settings(**cluster.addresses("operator")), name_key(_NAMES[0].format(100))) as split:
            readings = renames_under_readers(catalog, ids, given.renames, split)
        wrong += _report(f"{given.renames} renames, a split halfway, in {time.monotonic() - began:.1f} s", readings)
        with readers(catalog, ids) as readings:
            killing = Killing(cluster, settings, catalog)
            for step in STEPS:
                for victim in VICTIMS:
                    for number in range(given.kills):
                        wrong += [
                            f"{step}, {victim}: {w}" for w in killing.rename(ids[number % len(ids)], step, victim)
                        ]
                    print(f"{given.kills} × kill -9 of the {victim} after “{step}”", flush=True)
        wrong += _report("under kills", readings)
    return 1 if wrong else 0


def _report(title: str, readings: Readings) -> list[str]:
    counts = ", ".join(f"{count} × {kind}" for kind, count in sorted(readings.done.items()))
    print(
        f"{title}: {counts}; not whole, and said so: {readings.unavailable}; wrong: {len(readings.wrong)}", flush=True
    )
    for text in readings.wrong[:20]:
        print(f"  {text}", flush=True)
    return readings.wrong


if __name__ == "__main__":
    sys.exit(main())
