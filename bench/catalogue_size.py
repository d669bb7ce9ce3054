#!/usr/bin/env python3
"""Does a page cost the same at ten thousand products and at a million?

Starts a cluster of its own, fills both shards with products made from the names, presentations, prices and categories
of a real catalogue, and measures the same lists at each size, in one process, through the use cases that webapp
calls. Then it reads everything through webapp and watches that process's memory:

    bench/catalogue_size.py --names ../shared/data/mercadona/productos.csv --sizes 10000 200000

Exit status 1 when a list at the largest size takes more than 1.5 × what it takes at the smallest, or webapp grows.
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path

import psutil
import requests

from prodcore.bootstrap import open_catalog, prepare_cluster
from prodcore.catalog import Catalog, Query, Sort, search_words
from prodcore.catalog.listing import MAX_PAGE
from prodcore.history import Author
from prodcore.local import LocalCluster, LocalPlan, find_free_ports, services_for
from prodcore.product import SHOWN, Product, ProductDraft, validate
from prodcore.routing import DEFAULT_MAP
from prodcore.settings import load_settings

LIMIT = 1.5
GROWTH_MIB = 40
ROUNDS = 60
BATCH = 1_000
_FIRST = datetime(2024, 1, 1, tzinfo=UTC)

LISTS = {
    "page by name": (Query(), 50),
    "page by name, backwards": (Query(sort=Sort("name", True)), 50),
    "search: aceite": (Query(search_words("aceite")), 50),
    "search: ace": (Query(search_words("ace")), 50),
    "search: ch": (Query(search_words("ch")), 50),
    "search: leche ent": (Query(search_words("leche ent")), 50),
    "search: prosciutto": (Query(search_words("prosciutto")), 50),
    "category": (Query(category="bebé"), 50),
    "category, search: crema": (Query(search_words("crema"), category="cuidado facial y corporal"), 50),
    "tag": (Query(tags=("leche y bebidas vegetales",)), 50),
    "not for sale": (Query(active=False), 50),
    "price range": (Query(price_min=Decimal(2), price_max=Decimal(3)), 50),
    "by price": (Query(sort=Sort("price")), 50),
    "by price, dearest": (Query(sort=Sort("price", True)), 50),
    "by price, category": (Query(category="bebé", sort=Sort("price")), 50),
    "by price, tag": (Query(tags=("leche y bebidas vegetales",), sort=Sort("price", True)), 50),
    "by stock": (Query(sort=Sort("stock")), 50),
    "by stock, category": (Query(category="bebé", stock_max=5, sort=Sort("stock")), 50),
    "by update, newest": (Query(sort=Sort("updated", True)), 50),
    "by creation": (Query(sort=Sort("created")), 50),
    "export page of 200": (Query(), MAX_PAGE),
}
UNSERVED = {
    "search: aceite, by price": (Query(search_words("aceite"), sort=Sort("price")), 50),
    "category, by update": (Query(category="bebé", sort=Sort("updated", True)), 50),
    "search: prosciutto, by stock": (Query(search_words("prosciutto"), sort=Sort("stock")), 50),
}
"""No index gives the order of these: they may cost more, and are shown."""


def main() -> int:
    """Fill, measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--names", type=Path, default=Path("../shared/data/mercadona/productos.csv"))
    options.add_argument("--sizes", type=int, nargs="+", default=[10_000, 200_000])
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="prodctl-bench-") as directory:
        ports = find_free_ports()
        cluster = LocalCluster(LocalPlan(Path(directory) / "cluster", ports, services_for(ports, workers=1, threads=4)))
        try:
            cluster.up(when_writable=lambda: prepare_cluster(load_settings(**cluster.addresses("root"))))
            return measure(cluster, given.names, sorted(given.sizes))
        finally:
            cluster.destroy()


def measure(cluster: LocalCluster, names: Path, sizes: list[int]) -> int:
    """All sizes in one cluster, one after the other; the exit status."""
    products = made_from(names)
    milliseconds: list[dict[str, float]] = []
    with open_catalog(load_settings(**cluster.addresses("web"))) as catalog:
        stored = 0
        for size in sizes:
            started = time.perf_counter()
            fill(catalog, islice(products, size - stored))
            print(
                f"{(size - stored) / (time.perf_counter() - started):,.0f} products a second up to {size:,}", flush=True
            )
            stored = size
            milliseconds.append({name: cost(catalog, *asked) for name, asked in (LISTS | UNSERVED).items()})
    missed = report(sizes, milliseconds)
    growth = growth_of_webapp(cluster)
    print(f"webapp reads all {sizes[-1]:,} products, and grows by {growth:.0f} MiB (at most {GROWTH_MIB})")
    return 1 if missed or growth > GROWTH_MIB else 0


def made_from(names: Path) -> Iterator[Product]:
    """Products without end: the rows of the catalogue in turn, each time with another presentation and price."""
    with names.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    chance = random.Random(4)  # noqa: S311  the same products every time
    clock = Clock(chance)
    catalog = Catalog(DEFAULT_MAP, {}, clock=clock)
    again = 0
    while True:
        chance.shuffle(rows)
        for row in rows:
            price = float(row["precio"].split()[0].replace(".", "").replace(",", "."))
            fields = {
                "name": row["nombre"],
                "variant": f"{row['presentacion']} {again}"[:200],
                "category": row["categoria"],
                "tags": [row["subcategoria"][:50]],
                "price": f"{price * chance.uniform(0.8, 1.2):.2f}",
                "stock": chance.choice([0, chance.randrange(20), chance.randrange(500)]),
                "active": chance.random() < 0.98,
            }
            yield catalog.draft(validate(ProductDraft, fields), Author("bench"))
        again += 1


class Clock:
    """Times over two years, in no order."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def __call__(self) -> datetime:
        """Some time."""
        return _FIRST + timedelta(milliseconds=self._chance.randrange(63_000_000_000))


def fill(catalog: Catalog, products: Iterator[Product]) -> None:
    """Store the products, both shards at once; the second of two with one name and presentation is left out."""
    waiting: dict[str, list[Product]] = {shard: [] for shard in catalog.shard_map.shards}
    with ThreadPoolExecutor(2) as pool:
        for product in products:
            waiting[product.shard].append(product)
            if sum(map(len, waiting.values())) >= 2 * BATCH:
                list(pool.map(lambda shard: catalog.store(shard).insert_many(waiting[shard]), waiting))
                for part in waiting.values():
                    part.clear()
        list(pool.map(lambda shard: catalog.store(shard).insert_many(waiting[shard]), waiting))


def cost(catalog: Catalog, query: Query, limit: int) -> float:
    """The median milliseconds of a page: the first ones of the list in turn, and again from the beginning."""
    taken = []
    cursor: str | None = None
    for _ in range(ROUNDS):
        started = time.perf_counter()
        page = catalog.rows(query, cursor=cursor, limit=limit, fields=SHOWN)
        taken.append(time.perf_counter() - started)
        cursor = page.next_cursor
    return statistics.median(taken) * 1000


def report(sizes: list[int], milliseconds: list[dict[str, float]]) -> int:
    """A line a list; how many miss the limit."""
    print(f"{'median milliseconds at':32}" + "".join(f"{size:>12,}" for size in sizes) + f"{'ratio':>8}")
    missed = 0
    for name in milliseconds[0]:
        ratio = milliseconds[-1][name] / milliseconds[0][name]
        late = name in LISTS and ratio > LIMIT
        missed += late
        mark = "  MISSED" if late else "" if name in LISTS else "  (no index)"
        print(f"{name:32}" + "".join(f"{m[name]:12.2f}" for m in milliseconds) + f"{ratio:8.2f}{mark}")
    return missed


def growth_of_webapp(cluster: LocalCluster) -> float:
    """MiB that the webapp's processes grow by while everything is read through them a second time."""
    url = f"http://127.0.0.1:{cluster.plan.ports.web}/api/v1"
    person = {"username": "bench", "password": "sandía caballo grapa correcta", "code": cluster.setup_code()}
    token = requests.post(f"{url}/setup", json=person, timeout=60).json()["access_token"]
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        for _ in range(200):
            session.get(f"{url}/products?limit=200", timeout=60).raise_for_status()
        before = resident(cluster.plan.ports.web)
        following: str | None = f"{url}/products?limit=200"
        while following:
            answer = session.get(following, timeout=60)
            answer.raise_for_status()
            link = answer.links.get("next")
            following = link and url.removesuffix("/api/v1") + link["url"]
        return resident(cluster.plan.ports.web) - before


def resident(port: int) -> float:
    """MiB of the processes that listen on the port, children included."""
    owners = {c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.status == "LISTEN"}
    processes = {p.pid: p for owner in owners if owner for p in family(psutil.Process(owner))}
    return sum(process.memory_info().rss for process in processes.values()) / 2**20


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and those it started."""
    return [process, *process.children(recursive=True)]


if __name__ == "__main__":
    sys.exit(main())
