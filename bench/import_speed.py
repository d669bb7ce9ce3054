#!/usr/bin/env python3
"""Rows a second of `prodctl product import` beside a bare insert_many of the very documents that it makes.

    make bench-import            or: python -m bench.import_speed --rows 100000 --rounds 3

In every round a CSV file of new products is imported through the command line and the REST API, w:majority, j; then
the documents that stand in both sets are taken out and inserted again by two threads of pymongo, one a set, in batches
of 1,000, w:majority, j, under the same indexes. The ratio is taken within the round. Then it says where the processor
time of the import went: the command, webapp, the members. Needs an idle machine.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pymongo import MongoClient
from pymongo.collection import Collection

from bench.system import System, load, processor_seconds, running_system
from bench.words import WORDS
from prodcore.app.wiring import prepare_cluster
from prodcore.local import LocalCluster
from prodcore.settings import load_settings

BATCH = 1_000


@dataclass(frozen=True)
class Round:
    """Seconds that each took, and the processor seconds of the import by who spent them."""

    imported: float
    inserted: float
    spent: dict[str, float]


def main() -> int:
    """Set up, measure, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    print(f"before: {load()}", file=sys.stderr)
    with running_system() as system:
        file = system.directory / "products.csv"
        write_products(file, given.rows)
        collections = [products_of(system.cluster, setting) for setting in ("db1_url", "db2_url")]
        rounds = [one_round(system, file, given.rows, collections) for _ in range(given.rounds)]
        print(f"meanwhile: {load()}", file=sys.stderr)
    report(given.rows, rounds)
    return 0


def write_products(file: Path, rows: int) -> None:
    """Names of two or three words and a number, spread over both shards."""
    chance = random.Random(7)  # noqa: S311  the same products in every run
    with file.open("w", encoding="utf-8") as text:
        text.write("nombre;presentacion;precio;existencias;categoria;subcategoria\n")
        for number in range(rows):
            text.write(
                f"{chance.choice(WORDS).capitalize()} {chance.choice(WORDS)} {number};"
                f"Botella {chance.randrange(1, 9)} L;{chance.randrange(90)},{chance.randrange(10, 99)} €;"
                f"{chance.randrange(500)};{chance.choice(WORDS)};{chance.choice(WORDS)}\n"
            )


def products_of(cluster: LocalCluster, setting: str) -> Collection[dict[str, object]]:
    """The products of a shard, for a bare client."""
    uri = cluster.addresses("root")[setting].get_secret_value()
    client: MongoClient[dict[str, object]] = MongoClient(
        uri, uuidRepresentation="standard", w="majority", journal=True, tz_aware=True
    )
    return client["products_db"]["products"]


def one_round(system: System, file: Path, rows: int, collections: list[Collection[dict[str, object]]]) -> Round:
    """Import the file, then insert what it made; both into empty collections."""
    empty(system.cluster, collections)
    before = processor_seconds(system.cluster)
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [str(Path(sys.executable).with_name("prodctl")), "product", "import", str(file), "--locale", "es"]
    done = subprocess.run([*command, "-o", "json"], env=system.environment, capture_output=True, check=False)  # noqa: S603
    imported = time.perf_counter() - began
    assert json.loads(done.stdout)["created"] == rows, done.stderr  # noqa: S101
    after, now = processor_seconds(system.cluster), resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = {name: after[name] - before[name] for name in ("members", "webapp")}
    spent["command"] = now.ru_utime + now.ru_stime - own.ru_utime - own.ru_stime
    documents = [list(collection.find()) for collection in collections]
    empty(system.cluster, collections)
    inserted = insert(collections, documents)
    print(f"import {rows / imported:,.0f} a second, insert_many {rows / inserted:,.0f}", file=sys.stderr)
    return Round(imported, inserted, spent)


def empty(cluster: LocalCluster, collections: list[Collection[dict[str, object]]]) -> None:
    """Without products, and with the indexes."""
    for collection in collections:
        collection.drop()
    prepare_cluster(load_settings(**cluster.addresses("root")))


def insert(collections: list[Collection[dict[str, object]]], documents: list[list[dict[str, object]]]) -> float:
    """The seconds that a bare client needs for both sets at once."""

    def fill(collection: Collection[dict[str, object]], part: list[dict[str, object]]) -> None:
        for start in range(0, len(part), BATCH):
            collection.insert_many(part[start : start + BATCH], ordered=False)

    threads = [threading.Thread(target=fill, args=pair) for pair in zip(collections, documents, strict=True)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def report(rows: int, rounds: list[Round]) -> None:
    """Print the rates and the ratio with its spread, and the processor time a row."""
    ratios = sorted(r.inserted / r.imported for r in rounds)
    print(f"rows                     {rows:,}, {len(rounds)} rounds")
    print(f"import, a second         {statistics.median(rows / r.imported for r in rounds):,.0f}")
    print(f"insert_many, a second    {statistics.median(rows / r.inserted for r in rounds):,.0f}")
    print(f"ratio                    {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})")
    for name in rounds[0].spent:
        print(f"{name + ', µs a row':<25}{statistics.median(r.spent[name] / rows * 1e6 for r in rounds):.0f}")


if __name__ == "__main__":
    sys.exit(main())
