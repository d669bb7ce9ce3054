#!/usr/bin/env python3
"""Does a page cost the same at ten thousand products and at a million?

Starts a cluster of its own and fills two catalogues in it, a small and a large one, with products made from the names,
presentations, prices and categories of a real catalogue. Measures the same lists in both, in turn, so that whatever
else the machine does slows both, through the use cases that webapp calls: the first time, when most of the large one
comes from the disk's cache, decompressed and put together, and again; with the cache that members have by default, and
with a larger one. Asks the servers how many index keys and documents they looked at for a page, which no load changes.
Then it reads everything through webapp and watches that process's memory:

    bench/catalogue_size.py --small 10000 --large 200000

Exit status 1 when a list takes more than 1.5 × as long in the large catalogue with the default cache, the first time or
again, or webapp grows; what the larger cache changes is printed beside.
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
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests
from pymongo import MongoClient, WriteConcern
from pymongo.errors import BulkWriteError

from prodcore.app.wiring import prepare_cluster
from prodcore.catalog import Catalog, Query, Sort, search_words
from prodcore.catalog.listing import MAX_PAGE
from prodcore.errors import QueryTooBroad
from prodcore.local import LocalCluster, LocalPlan, find_free_ports, services_for
from prodcore.mongo.client.replica_set import ReplicaSet
from prodcore.mongo.products.checks import ensure_indexes
from prodcore.mongo.products.document import as_document
from prodcore.mongo.products.query import INDEXES, LIST_SECONDS
from prodcore.mongo.products.store import MongoProductStore
from prodcore.product.model import SHOWN, Author, Product, ProductDraft
from prodcore.routing import DEFAULT_MAP
from prodcore.settings import load_settings
from prodcore.support.validation import validate

LIMIT = 1.5
GROWTH_MIB = 40
LARGE_CACHE_GB = 1
"""The members of ``prodctl local`` have a quarter of it, which a million products do not fit in."""
ROUNDS = 60
BATCH = 1_000
_CATALOGUE = Path(__file__).parents[1] / "tests" / "data" / "catalogue.csv"
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
    options.add_argument("--names", type=Path, default=_CATALOGUE)
    options.add_argument("--small", type=int, default=10_000)
    options.add_argument("--large", type=int, default=200_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="prodctl-bench-") as directory:
        ports = find_free_ports()
        cluster = LocalCluster(LocalPlan(Path(directory) / "cluster", ports, services_for(ports, workers=1, threads=4)))
        try:
            cluster.up(when_writable=lambda: prepare_cluster(load_settings(**cluster.addresses("root"))))
            return measure(cluster, given.names, given.small, given.large)
        finally:
            cluster.destroy()


def measure(cluster: LocalCluster, names: Path, small: int, large: int) -> int:
    """Fill both catalogues and compare them; the exit status."""
    with ExitStack() as resources:
        catalogues = [open_database(cluster, database, resources) for database in ("small_db", "products_db")]
        for catalogue, size in zip(catalogues, (small, large), strict=True):
            started = time.perf_counter()
            catalogue.fill(islice(made_from(names), size))
            print(f"{size / (time.perf_counter() - started):,.0f} products a second up to {size:,}", flush=True)
        missed = sum(compare(name, *asked, catalogues) for name, asked in (LISTS | UNSERVED).items())
        print(f"the same with {LARGE_CACHE_GB} GB of cache for a member", flush=True)
        enlarge_caches(cluster)
        missed_again = sum(compare(name, *asked, catalogues) for name, asked in (LISTS | UNSERVED).items())
    print(f"missed: {missed}, with the larger cache {missed_again}")
    growth = growth_of_webapp(cluster)
    print(f"webapp reads all {large:,} products, and grows by {growth:.0f} MiB (at most {GROWTH_MIB})")
    return 1 if missed or growth > GROWTH_MIB else 0


@dataclass(frozen=True)
class Catalogue:
    """A catalogue in a database of its own."""

    catalog: Catalog
    sets: list[ReplicaSet]

    def fill(self, products: Iterator[Product]) -> None:
        """Store the products; of two with one name and presentation the second is left out.

        Straight into the members, and all indexes but the unique one are made afterwards: what a store costs is not
        measured here, and a million would take an hour.
        """
        by_shard = {replica_set.name: replica_set for replica_set in self.sets}
        with ThreadPoolExecutor(len(by_shard)) as pool:
            for batch in iter(lambda: list(islice(products, BATCH)), []):
                parts = {s: [as_document(p) for p in batch if p.shard == name] for name, s in by_shard.items()}
                list(pool.map(insert, parts.items()))
            list(pool.map(ensure_indexes, self.sets))

    def examined(self, query: Query, limit: int) -> int:
        """Index keys and documents that the servers look at for the second page."""
        cursor = self.catalog.rows(query, limit=limit, fields=SHOWN).next_cursor
        databases = [replica_set.client[replica_set.database_name] for replica_set in self.sets]
        for database in databases:
            database.command("profile", 2)
        self.catalog.rows(query, cursor=cursor, limit=limit, fields=SHOWN)
        looked = 0
        for database in databases:
            database.command("profile", 0)
            for found in database["system.profile"].find({"command.find": "products"}):
                looked += found["keysExamined"] + found["docsExamined"]
            database.drop_collection("system.profile")
        return looked


def insert(part: tuple[ReplicaSet, list[dict[str, Any]]]) -> None:
    """Insert ready documents into a set; those whose key is there already are left out."""
    replica_set, documents = part
    products = replica_set.client[replica_set.database_name].get_collection("products", write_concern=WriteConcern(1))
    with suppress(BulkWriteError):
        products.insert_many(documents, ordered=False)


def open_database(cluster: LocalCluster, database: str, resources: ExitStack) -> Catalogue:
    """A catalogue over the cluster's shards, in this database, empty but for the unique index."""
    addresses = cluster.addresses("root")
    uris = [
        addresses[name].get_secret_value().replace("/products_db", f"/{database}") for name in ("db1_url", "db2_url")
    ]
    sets = [ReplicaSet(uri) for uri in uris]
    for replica_set in sets:
        resources.callback(replica_set.close)
        emptied = replica_set.client[replica_set.database_name]
        emptied.drop_collection("products")
        emptied.products.create_indexes([INDEXES[0]])
    return Catalogue(Catalog(DEFAULT_MAP, {s.name: MongoProductStore(s) for s in sets}), sets)


def compare(name: str, query: Query, limit: int, catalogues: list[Catalogue]) -> bool:
    """Print a line; whether the large one takes too long although an index should serve the list."""
    try:
        return _compare(name, query, limit, catalogues)
    except QueryTooBroad:
        print(
            f"{name:32}is refused after {LIST_SECONDS:.0f} s as too broad{'  MISSED' if name in LISTS else ''}",
            flush=True,
        )
        return name in LISTS


def _compare(name: str, query: Query, limit: int, catalogues: list[Catalogue]) -> bool:
    cold = read_pages(query, limit, catalogues)
    milliseconds = read_pages(query, limit, catalogues)
    ratio = milliseconds[1] / milliseconds[0]
    missed = name in LISTS and max(ratio, cold[1] / cold[0]) > LIMIT
    looked = " -> ".join(f"{catalogue.examined(query, limit):,}" for catalogue in catalogues)
    mark = "  MISSED" if missed else "" if name in LISTS else "  (no index)"
    print(
        f"{name:32}{milliseconds[0]:8.2f}{milliseconds[1]:8.2f} ms{ratio:7.2f}   "
        f"first time {cold[1] / cold[0]:5.2f}   looked at {looked}{mark}",
        flush=True,
    )
    return missed


def read_pages(query: Query, limit: int, catalogues: list[Catalogue]) -> list[float]:
    """What a page of the list takes in each catalogue, in milliseconds, the median of so many in a row."""
    taken: list[list[float]] = [[] for _ in catalogues]
    cursors: list[str | None] = [None for _ in catalogues]
    for _ in range(ROUNDS):
        for i, catalogue in enumerate(catalogues):
            started = time.perf_counter()
            page = catalogue.catalog.rows(query, cursor=cursors[i], limit=limit, fields=SHOWN)
            taken[i].append(time.perf_counter() - started)
            cursors[i] = page.next_cursor
    return [statistics.median(times) * 1000 for times in taken]


def enlarge_caches(cluster: LocalCluster) -> None:
    """What ``cache_gb`` in deploy.toml gives, while the members run."""
    login = urlsplit(cluster.addresses("root")["db1_url"].get_secret_value()).netloc.rpartition("@")[0]
    for member in cluster.plan.members:
        address = f"mongodb://{login}@{member.address}/?directConnection=true&authSource=admin"
        with MongoClient[dict[str, Any]](address) as client:
            client.admin.command(
                "setParameter", 1, wiredTigerEngineRuntimeConfig=f"cache_size={int(LARGE_CACHE_GB * 1024)}MB"
            )


def made_from(names: Path) -> Iterator[Product]:
    """Products without end: the rows of the catalogue in turn, each time with another presentation and price."""
    with names.open(encoding="utf-8-sig") as file:
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
