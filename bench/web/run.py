#!/usr/bin/env python3
"""Ours beside the seed's handlers, Eve and FastAPI: GET one, a page of 50, a search, POST; ratios of one run.

    make bench-web

Ours is the system as `local up` starts it: logged in, validated, with metrics, request ids, history and audit. The
others know no users and keep the same products in the same replica sets (Eve in rsA alone). All Python servers have two
processes; WSGI runs on granian with eight threads, FastAPI on uvicorn. `wrk` asks with 32 connections; every round asks
all of them in turn, and a ratio is taken within its round. Needs wrk (Debian: apt-get install wrk) and an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import requests
from pymongo import MongoClient

from bench.words import PASSWORD, WORDS
from prodcore.app.wiring import prepare_cluster
from prodcore.local import LocalCluster, LocalPlan, find_free_ports, services_for
from prodcore.product.model import ProductDraft
from prodcore.settings import load_settings

HERE = Path(__file__).parent
CONNECTIONS = 32


@dataclass(frozen=True)
class Stack:
    """One server under test: how it is asked for each of the four things."""

    name: str
    url: str
    one: list[str]
    page: list[str]
    search: list[str]
    post: str
    token: str = ""


@dataclass(frozen=True)
class Result:
    """What wrk measured: requests a second, the 99th percentile in ms, and answers that were errors."""

    rate: float
    p99: float
    errors: int


def main() -> int:
    """Set up, measure, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--products", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=6)
    given = options.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is needed: apt-get install wrk")
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        stacks = set_up(opened, directory, given.products)
        results: dict[tuple[str, str], list[Result]] = {}
        for round_number in range(given.rounds + 1):
            for what in ("one", "page", "search", "post"):
                for stack in stacks:
                    measured = measure(stack, what, directory, round_number, given.seconds)
                    if round_number:  # the first one warms up
                        results.setdefault((what, stack.name), []).append(measured)
                        print(f"{round_number} {what:<7}{stack.name:<9}{measured}", file=sys.stderr)
    return report(results, [stack.name for stack in stacks])


def set_up(opened: ExitStack, directory: Path, count: int) -> list[Stack]:
    """The cluster, the products, and every server on a port of its own."""
    ports = find_free_ports()
    cluster = LocalCluster(LocalPlan(directory / "c", ports, services_for(ports, workers=2, threads=8)))
    opened.callback(cluster.destroy)
    cluster.up(when_writable=lambda: prepare_cluster(load_settings(**cluster.addresses("root"))))
    drafts = make_drafts(count)
    uris = {name: str(uri.get_secret_value()) for name, uri in cluster.addresses("root").items()}
    fill_peers(uris, drafts)
    ours = ours_as_stack(f"http://127.0.0.1:{ports.web}", cluster, drafts)
    bases = {
        "seed": opened.enter_context(served(granian("bench.web.seed_flask:app"), 24101, uris)),
        "fastapi": opened.enter_context(served(uvicorn("bench.web.fastapi_app:app"), 24102, uris)),
        "eve": opened.enter_context(served(granian("bench.web.eve_app:app"), 24103, uris)),
    }
    return [ours, *(peer(name, base, drafts) for name, base in bases.items())]


def make_drafts(count: int) -> list[ProductDraft]:
    """Products with names of two or three words and a number, spread over both shards."""
    chance = random.Random(7)  # noqa: S311  the same products in every run
    return [
        ProductDraft(
            name=f"{chance.choice(WORDS).capitalize()} {chance.choice(WORDS)} {number}",
            variant="Botella 1 L",
            category=chance.choice(WORDS),
            description="Tan bueno como ayer",
            price="8.95",  # type: ignore[arg-type]
            currency="EUR",
            stock=chance.randrange(100),
            tags=["oliva", "virgen"],
            active=True,
        )
        for number in range(count)
    ]


def fill_peers(uris: dict[str, str], drafts: list[ProductDraft]) -> None:
    """The same products for the others, with the index that their queries use."""
    documents = [{**draft.model_dump(exclude={"sku"}), "price": str(draft.price)} for draft in drafts]
    rsa, rsb = MongoClient(uris["db1_url"])["bench_db"], MongoClient(uris["db2_url"])["bench_db"]
    rsa.products.insert_many([dict(d) for d in documents if "A" <= d["name"][0].upper() <= "M"])
    rsb.products.insert_many([dict(d) for d in documents if not "A" <= d["name"][0].upper() <= "M"])
    rsa.eve_products.insert_many([dict(d) for d in documents])
    for collection in (rsa.products, rsb.products, rsa.eve_products):
        collection.create_index("name")


def ours_as_stack(url: str, cluster: LocalCluster, drafts: list[ProductDraft]) -> Stack:
    """Log the first admin in, import the products, and collect the addresses of single products and of pages."""
    code = cluster.setup_code()
    answer = requests.post(
        f"{url}/api/v1/setup", json={"code": code, "username": "bench", "password": PASSWORD}, timeout=30
    )
    token = answer.json()["access_token"]
    for start in range(0, len(drafts), 500):
        items = [draft.model_dump(mode="json", exclude={"sku"}) for draft in drafts[start : start + 500]]
        loaded = requests.post(
            f"{url}/api/v1/products/batch",
            json={"items": items},
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        assert {result["status"] for result in loaded.json()["results"]} == {"created"}, loaded.text[:500]  # noqa: S101
    one, page, path = [], [], "/api/v1/products?limit=50"
    while path:
        page.append(path)
        answer = requests.get(url + path, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        one += [f"/api/v1/products/{product['id']}" for product in answer.json()["items"]]
        cursor = answer.json()["next_cursor"]
        path = f"/api/v1/products?{urlencode({'limit': 50, 'cursor': cursor})}" if cursor else ""
    search = [f"/api/v1/products?{urlencode({'limit': 50, 'search': prefix})}" for prefix in prefixes(drafts)]
    return Stack("ours", url, one, page, search, "/api/v1/products", token)


def peer(name: str, base: str, drafts: list[ProductDraft]) -> Stack:
    """Where another stack answers the same questions."""
    names = sorted(draft.name for draft in drafts)
    if name == "eve":
        page = [f"/products?sort=name&page={number + 1}" for number in range(len(names) // 50)]
        search = [
            "/products?" + urlencode({"sort": "name", "where": json.dumps({"name": {"$regex": f"^{p}"}})})
            for p in prefixes(drafts)
        ]
    else:
        page = [f"/products?{urlencode({'after': after})}" for after in names[49::50]]
        search = [f"/products?{urlencode({'search': prefix})}" for prefix in prefixes(drafts)]
    return Stack(name, base, [f"/products/{quote(n)}" for n in names], page, search, "/products")


def prefixes(drafts: list[ProductDraft]) -> list[str]:
    """Beginnings of names that many products have."""
    return sorted({" ".join(draft.name.split()[:2])[:-1] for draft in drafts})


def granian(app: str) -> list[str]:
    """A WSGI app as `local up` serves ours."""
    return ["granian", "--interface", "wsgi", "--workers", "2", "--blocking-threads", "8", "--no-access-log", app]


def uvicorn(app: str) -> list[str]:
    """An ASGI app on two processes."""
    return ["uvicorn", "--workers", "2", "--log-level", "warning", "--no-access-log", app]


@contextmanager
def served(command: list[str], port: int, uris: dict[str, str]) -> Iterator[str]:
    """Run a server until the block ends."""
    environment = {
        "PATH": os.environ["PATH"],
        "BENCH_RSA": uris["db1_url"],
        "BENCH_RSB": uris["db2_url"],
        "BENCH_EVE": uris["db1_url"].replace("/products_db", "/bench_db"),
    }
    arguments = [sys.executable, "-m", *command, "--port", str(port)]
    with subprocess.Popen(arguments, env=environment, cwd=HERE.parents[1]) as server:  # noqa: S603  ours, just made
        try:
            base = f"http://127.0.0.1:{port}"
            wait_for(base + "/products?after=A&page=1", server)
            yield base
        finally:
            server.terminate()


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until it answers. Raises TimeoutError."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends and server.poll() is None:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise TimeoutError(f"{url} does not answer")


def measure(stack: Stack, what: str, directory: Path, round_number: int, seconds: int) -> Result:
    """One run of wrk."""
    environment = {"PATH": os.environ["PATH"], "BENCH_ROUND": f"r{round_number}"}
    if stack.token:
        environment["BENCH_TOKEN"] = stack.token
    if what == "post":
        environment["BENCH_POST"] = stack.post
    else:
        paths = directory / f"{stack.name}-{what}.txt"
        paths.write_text("\n".join(getattr(stack, what)) + "\n")
        environment["BENCH_PATHS"] = str(paths)
    command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(HERE / "requests.lua"), stack.url]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    numbers = next(line for line in done.stdout.splitlines() if line.startswith("RESULT")).split()[1:]
    count, micros, p99, errors = map(int, numbers)
    return Result((count - errors) / micros * 1e6, p99 / 1000, errors)


def report(results: dict[tuple[str, str], list[Result]], names: list[str]) -> int:
    """Print rates, and ours as a multiple of each other one with the least and the greatest of the rounds."""
    print("| | " + " | ".join(f"{name}, a second (p99 ms)" for name in names), end="")
    print(" | " + " | ".join(f"ours ÷ {name}" for name in names[1:]) + " |")
    print("|---|" + "--:|" * (2 * len(names) - 1))
    for what in ("one", "page", "search", "post"):
        cells = []
        for name in names:
            runs = results[what, name]
            rate, p99 = statistics.median(r.rate for r in runs), statistics.median(r.p99 for r in runs)
            errors = sum(r.errors for r in runs)
            cells.append(f"{rate:,.0f} ({p99:.0f})" + (f" {errors} errors" if errors else ""))
        for name in names[1:]:
            pairs = zip(results[what, "ours"], results[what, name], strict=True)
            ratios = sorted(mine.rate / theirs.rate for mine, theirs in pairs)
            cells.append(f"**{statistics.median(ratios):.2f}** ({ratios[0]:.2f}–{ratios[-1]:.2f})")
        print(f"| {what} | " + " | ".join(cells) + " |")
    return 1 if any(r.errors for (_, name), runs in results.items() if name == "ours" for r in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
