"""Several writes want one SKU, one id, one key, one place or one batch at the same instant: which of them get it?

    python -m campaigns.races [--skus 500] [--others 100] [--kills 5]

Four of six kinds of write (creates in both shards, an edit, a rename over the border, a restore, an import) race for
each SKU. Then the same races while somebody dies after each step of a claim: the process of one of the four, or the
primary of the claims' set or of a shard. Then the other races. Exit status 1 when anything was given twice, was
acknowledged and lost, or cannot be given afterwards.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Event, Lock
from typing import Any
from uuid import UUID, uuid4

from pymongo import MongoClient
from pymongo.collection import Collection

from campaigns.renames import own_cluster, primary
from campaigns.system import options, print_table
from prodcore.app.wiring import open_catalog
from prodcore.catalog import Catalog, Query, Sort, search_words
from prodcore.catalog.catalog import create_once
from prodcore.catalog.claims import Claim, ClaimStore
from prodcore.catalog.upsert import ItemOutcome, new_item, upsert
from prodcore.deadline import budget
from prodcore.errors import Conflict, OutcomeUnknown, ProdError, SkuTaken, Unavailable
from prodcore.local import LocalCluster
from prodcore.product.model import Author, Product, ProductDraft, ProductPatch
from prodcore.settings import Settings, load_settings
from prodcore.support.validation import validate

STEPS = ("claimed", "freed", "written", "done")
VICTIMS = ("process", "rsU", "rsA", "rsB")
BY = Author("race")
_SECONDS = 60.0
_TRIES = 10
_AHEAD = {"claimed": 0, "freed": 1, "written": 3, "done": 3}
"""So many steps the dying process is ahead: its claim, what it frees, its claim again."""
_ADDRESSES = {"rsA": "db1_url", "rsB": "db2_url", "rsU": "db3_url"}

Action = Callable[[], Any]


def at_once(*actions: Action, seconds: float = _SECONDS) -> list[Any]:
    """Start all actions at the same instant, each with so many seconds; what each gives, or its error."""
    barrier = Barrier(len(actions))

    def attempt(action: Action) -> Any:
        barrier.wait()
        try:
            with budget(seconds):
                return action()
        except ProdError as error:
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(attempt, actions))


def draft(name: str, **fields: Any) -> ProductDraft:
    """A product to make."""
    return validate(ProductDraft, {"name": name, "price": "1.20", **fields})


def patch(**fields: Any) -> ProductPatch:
    """A change."""
    return validate(ProductPatch, fields)


class Raw:
    """What is stored, read past the code of the project."""

    def __init__(self, clients: Mapping[str, MongoClient[dict[str, Any]]]) -> None:
        self.products = {shard: clients[shard]["products_db"]["products"] for shard in ("rsA", "rsB")}
        self.claims: Collection[dict[str, Any]] = clients["rsU"]["prodctl_meta"]["sku_claims"]

    def holders(self, sku: str) -> list[UUID]:
        """The products that have an SKU, one as often as it is stored with it."""
        shown = {"sku": sku, "move.state": {"$nin": ["pending", "moved"]}}
        return [d["_id"] for c in self.products.values() for d in c.find(shown)]

    def having(self, product_id: UUID) -> list[str]:
        """The shards that have a product."""
        shown = {"_id": product_id, "move.state": {"$ne": "moved"}}
        return [shard for shard, collection in self.products.items() if collection.count_documents(shown)]

    def later(self, sku: str) -> None:
        """As if the writes that claimed an SKU had begun a minute ago."""
        self.claims.update_one({"_id": sku}, {"$set": {"at": datetime.now(UTC) - timedelta(minutes=1)}})


@dataclass(frozen=True)
class SkuRace:
    """Writes that want one SKU, which a product had and gave up."""

    sku: str
    edited: UUID
    renamed: UUID
    deleted: UUID

    @classmethod
    def prepare(cls, catalog: Catalog, sku: str) -> SkuRace:
        """Make the products that are to be written."""
        former = catalog.create(draft(f"Ajo {sku}", sku=sku), BY)
        catalog.edit(former.id, patch(sku=None), BY, 1)
        edited, renamed = (catalog.create(draft(f"{name} {sku}"), BY).id for name in ("Bollo", "Cacao"))
        deleted = catalog.create(draft(f"Tomate {sku}", sku=sku), BY).id
        catalog.delete(deleted, BY, 1)
        return cls(sku, edited, renamed, deleted)

    def writers(self, catalog: Catalog) -> list[Callable[[], UUID | ProdError]]:
        """Each gives the product that has the SKU by it, or its error."""

        def imported() -> UUID | ProdError:
            (outcome,) = upsert(catalog, [new_item({"name": f"Uva {self.sku}", "price": "1", "sku": self.sku})], BY)
            return _product_of(outcome)

        return [
            lambda: catalog.create(draft(f"Arroz {self.sku}", sku=self.sku), BY).id,
            lambda: catalog.create(draft(f"Zumo {self.sku}", sku=self.sku), BY).id,
            lambda: catalog.edit(self.edited, patch(sku=self.sku), BY, 1).id,
            lambda: catalog.edit(self.renamed, patch(name=f"Zz {self.sku}", sku=self.sku), BY, 1).id,
            lambda: catalog.restore(self.deleted, BY, 2).id,
            imported,
        ]


def _product_of(outcome: ItemOutcome) -> UUID | ProdError:
    if outcome.error is not None:
        return outcome.error
    if outcome.product_id is None:
        raise AssertionError(f"{outcome.status} of no product")
    return outcome.product_id


def race_for_skus(catalog: Catalog, raw: Raw, times: int) -> list[str]:
    """So many races of four, each for an SKU of its own; what was wrong."""
    wrong = []
    for i in range(times):
        race = SkuRace.prepare(catalog, f"R-{uuid4().hex[:8]}")
        writers = race.writers(catalog)
        results = at_once(*(writers[(i + k) % len(writers)] for k in range(4)))
        won = [result for result in results if isinstance(result, UUID)]
        refused = [result for result in results if isinstance(result, SkuTaken)]
        if len(won) != 1 or len(refused) != 3 or raw.holders(race.sku) != won:
            wrong.append(f"{race.sku}: {results}, stored in {raw.holders(race.sku)}")
    return wrong


class SteppingClaims:
    """A store of claims that calls ``step`` after each step of a write that takes one."""

    def __init__(self, store: ClaimStore, step: Callable[[str], None]) -> None:
        self._store = store
        self._step = step

    def claim(self, wanted: Mapping[str, UUID], write: UUID) -> dict[str, Claim]:
        """See the port."""
        against = self._store.claim(wanted, write)
        self._step("claimed")
        return against

    def done(self, skus: Sequence[str], write: UUID) -> None:
        """See the port; the product is written before it."""
        self._step("written")
        self._store.done(skus, write)
        self._step("done")

    def free(self, claims: Sequence[Claim]) -> None:
        """See the port."""
        self._store.free(claims)
        self._step("freed")

    def read(self, skus: Sequence[str]) -> dict[str, Claim]:
        """See the port."""
        return self._store.read(skus)

    def after(self, sku: str, limit: int) -> list[Claim]:
        """See the port."""
        return self._store.after(sku, limit)


def stepping(catalog: Catalog, step: Callable[[str], None]) -> Catalog:
    """The same catalogue, which calls ``step`` after each step of a claim."""
    if catalog.claims.store is None:
        raise AssertionError("this catalogue claims nothing")
    stores = {shard: catalog.store(shard) for shard in catalog.shard_map.shards}
    return Catalog(catalog.shard_map, stores, SteppingClaims(catalog.claims.store, step))


class Killing:
    """Races for an SKU in which somebody dies after a step of the first of the four writes."""

    def __init__(self, cluster: LocalCluster, settings: Settings, catalog: Catalog, raw: Raw) -> None:
        self._cluster = cluster
        self._settings = settings
        self._catalog = catalog
        self._raw = raw
        self._chance = random.Random(0)  # noqa: S311  to be repeatable
        self.fallen: Counter[tuple[str, str]] = Counter()

    def races(self, step: str, victim: str, times: int) -> list[str]:
        """So many in which somebody died; what was wrong. A writer that is refused at once dies of nothing."""
        wrong: list[str] = []
        for _ in range(_TRIES * times):
            if self.fallen[step, victim] == times:
                return wrong
            wrong += self.race(step, victim)
        return [*wrong, f"{step}, {victim}: only {self.fallen[step, victim]} died"]

    def race(self, step: str, victim: str) -> list[str]:
        """One of them; what was wrong."""
        with budget(_SECONDS):
            race = SkuRace.prepare(self._catalog, f"K-{uuid4().hex[:8]}")
        chosen = self._chance.sample(range(6), 4)
        if victim == "process":
            results = self._in_a_process_that_dies(race, step, chosen)
        else:
            results = self._while_a_primary_dies(race, step, victim, chosen)
        return [f"{step}, {victim}, writers {chosen}: {text}" for text in self._judge(race, results)]

    def _in_a_process_that_dies(self, race: SkuRace, step: str, chosen: Sequence[int]) -> list[Any]:
        addresses = {name.upper(): getattr(self._settings, name).get_secret_value() for name in _ADDRESSES.values()}
        kept = {name: value for name, value in os.environ.items() if name not in addresses}
        writers = race.writers(self._catalog)
        begun = Event()

        def follow(write: Action) -> Action:
            return lambda: begun.wait() and write()

        with dying_writer(race, step, chosen[0], addresses | kept, begun.set) as go:
            results = at_once(go, *(follow(writers[i]) for i in chosen[1:]))
        self.fallen[step, "process"] += results[0] == -signal.SIGKILL
        return results[1:]

    def _while_a_primary_dies(self, race: SkuRace, step: str, victim: str, chosen: Sequence[int]) -> list[Any]:
        lock = Lock()
        killed: list[str] = []

        def kill(name: str) -> None:
            with lock:
                if name == step and not killed:
                    killed.append(primary(self._cluster, victim))
                    self._cluster.members.kill(killed[0])

        writers = race.writers(stepping(self._catalog, kill))  # whoever gets the SKU gets to each step
        try:
            return at_once(*(writers[i] for i in chosen))
        finally:
            self.fallen[step, victim] += bool(killed)
            self._cluster.up()

    def _judge(self, race: SkuRace, results: Sequence[Any]) -> Iterator[str]:
        with budget(_SECONDS):
            self._catalog.moves.sweep(timedelta(0))
            holders = self._raw.holders(race.sku)
            won = [result for result in results if isinstance(result, UUID)]
            strange = [r for r in results if not isinstance(r, UUID | Conflict | Unavailable | OutcomeUnknown)]
            if strange:
                yield f"answered with {strange}"
            if len(holders) > 1:
                yield f"stored in {holders}"
            if won and won != holders:
                yield f"given to {won}, and stored in {holders}"
            self._raw.later(race.sku)  # what died is not at work any more
            with suppress(SkuTaken):
                self._catalog.create(draft(f"Sal {race.sku}", sku=race.sku), BY)
            if len(self._raw.holders(race.sku)) != 1:
                yield f"asked for once more it is in {self._raw.holders(race.sku)}, before in {holders}"


@contextmanager
def dying_writer(
    race: SkuRace, step: str, writer: int, environment: Mapping[str, str], begun: Callable[[], None]
) -> Iterator[Callable[[], int]]:
    """A process that writes when it is called, and dies after a step; its exit status.

    ``begun`` is called when the others may follow: it is so far ahead of them that it gets to its step.
    """
    words = (step, writer, race.sku, race.edited, race.renamed, race.deleted)
    command = [sys.executable, "-m", "campaigns.races", "--die-after", *map(str, words)]
    with subprocess.Popen(  # noqa: S603  this very program
        command, env=environment, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        if child.stdout is None or child.stdin is None or not child.stdout.readline():
            raise RuntimeError("the process does not start")

        def go() -> int:
            child.stdin.write(b"\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
            for _ in range(_AHEAD[step]):
                child.stdout.readline()  # type: ignore[union-attr]
            begun()
            return child.wait(_SECONDS)

        yield go


def die_after(step: str, writer: int, race: SkuRace) -> None:
    """Write in this process once there is a line to read; it kills itself after a step."""

    def die(name: str) -> None:
        print(name, flush=True)
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_catalog(load_settings()) as catalog:
        write = race.writers(stepping(catalog, die))[writer]
        print("ready", flush=True)
        sys.stdin.readline()
        with suppress(ProdError):
            write()


def race_for_ids(catalog: Catalog, raw: Raw, times: int) -> list[str]:
    """Two creates, and two batches, of names of two shards under one id."""
    wrong = []
    for i in range(times):
        first, second = uuid4(), uuid4()

        def create(name: str, product_id: UUID = first) -> UUID:
            return catalog.create(draft(name), BY, product_id).id

        def store(name: str, product_id: UUID = second) -> UUID | ProdError:
            return _product_of(upsert(catalog, [new_item({"name": name, "price": "1"}, product_id)], BY)[0])

        word = f"{i} {uuid4().hex[:8]}"
        results = at_once(lambda: create(f"Arroz {word}"), lambda: create(f"Zumo {word}"))  # noqa: B023  runs at once
        if results.count(first) != 1 or len(raw.having(first)) != 1:
            wrong.append(f"{first}: {results}, in {raw.having(first)}")
        results = at_once(lambda: store(f"Ajo {word}"), lambda: store(f"Uva {word}"))  # noqa: B023
        if len(raw.having(second)) != results.count(second) or results.count(second) > 1:
            wrong.append(f"{second}: {results}, in {raw.having(second)}")
    return wrong


def race_for_keys(catalog: Catalog, raw: Raw, times: int) -> list[str]:
    """Two creates of names of two shards under one Idempotency-Key: one is made, and the other is told so."""
    wrong = []
    for i in range(times):
        key = uuid4().hex
        results = at_once(
            *(
                lambda name=name, key=key: create_once(catalog, draft(f"{name} {key}"), BY, key)
                for name in ("Arroz", "Zumo")
            )
        )
        made = [result for result in results if isinstance(result, Product)]
        if len(made) != 1 or len(raw.having(made[0].id)) != 1 or catalog.get(made[0].id) != made[0]:
            wrong.append(f"key {i}: {results}")
    return wrong


def race_lists(catalog: Catalog, times: int) -> list[str]:
    """Lists in name order, a product a page, while one is renamed to and fro under three names in two shards.

    Each list has products of its own: a place that a product left is kept for half an hour, and every list looks at it.
    """
    return [wrong for turn in range(times) for wrong in _race_list(catalog, descending=bool(turn % 2))]


def _race_list(catalog: Catalog, *, descending: bool) -> Iterator[str]:
    word = f"w{uuid4().hex[:8]}"
    here, there = (f"Ana {word}",), (f"1 uno {word}", f"Yema {word}")
    moved, *stay = (catalog.create(draft(f"{name} {word}"), BY) for name in ("Ana", "0", "Alba", "Mero", "Zumo"))
    ended = Event()

    def rename() -> int:
        product = moved
        while not ended.is_set():
            name = random.choice(here if product.name in there else there)  # noqa: S311  not a secret
            product = catalog.edit(product.id, patch(name=name), BY, product.version)
        return product.version

    def read() -> Counter[UUID]:
        try:
            return Counter(_listed(catalog, word, descending=descending))
        finally:
            ended.set()

    version, found = at_once(rename, read)
    if found != Counter(product.id for product in (moved, *stay)) or isinstance(version, ProdError):
        yield f"{word}: listed {found}, renamed {version}"


def _listed(catalog: Catalog, word: str, *, descending: bool) -> list[UUID]:
    query = Query(words=search_words(word), sort=Sort("name", descending))
    found: list[UUID] = []
    cursor = None
    while True:
        page = catalog.rows(query, cursor=cursor, limit=1, fields=("id",))
        page.require_all()
        found += [values["id"] for values in page.items]
        if (cursor := page.next_cursor) is None:
            return found


def race_repeats(catalog: Catalog, times: int) -> list[str]:
    """A batch that is repeated while somebody edits what it made: what was acknowledged stays."""
    wrong = []
    for i in range(times):
        name = f"{'AZ'[i % 2]}{uuid4().hex[:8]}"
        items = [new_item({"name": name, "price": "1.00", "stock": 10}, uuid4())]
        made = _product_of(upsert(catalog, items, BY)[0])
        if not isinstance(made, UUID):
            wrong.append(repr(made))
            continue
        edit, *repeats = at_once(
            lambda: catalog.edit(made, patch(stock=3, price="1.20"), BY, 1),  # noqa: B023  runs at once
            *[lambda: _product_of(upsert(catalog, items, BY)[0])] * 3,  # noqa: B023
        )
        if edit != catalog.get(made) or repeats != [made] * 3:
            wrong.append(f"{made}: {edit}, {repeats}, now {catalog.get(made)}")
    return wrong


@contextmanager
def opened(cluster: LocalCluster) -> Iterator[Raw]:
    """The sets, as their root."""
    uris = cluster.addresses("root")
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(
                MongoClient[dict[str, Any]](
                    uris[setting].get_secret_value(), uuidRepresentation="standard", readConcernLevel="majority"
                )
            )
            for name, setting in _ADDRESSES.items()
        }
        yield Raw(clients)


def main() -> int:
    """Run and judge."""
    parser = options(__doc__)
    parser.add_argument("--skus", type=int, default=500, help="races for an SKU in which nobody dies")
    parser.add_argument("--others", type=int, default=100, help="of each other race")
    parser.add_argument("--kills", type=int, default=5, help="of each victim after each step")
    parser.add_argument("--die-after", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.die_after:
        step, writer, sku, *ids = given.die_after
        die_after(step, int(writer), SkuRace(sku, *map(UUID, ids)))
        return 0
    rows: list[tuple[object, ...]] = []
    wrong: list[str] = []

    def note(what: str, times: int, race: Callable[[], list[str]]) -> None:
        began = time.monotonic()
        found = race()
        wrong.extend(found)
        rows.append((what, times, len(found), f"{time.monotonic() - began:.0f} s"))
        print(*rows[-1], flush=True)

    directory = Path(tempfile.mkdtemp(prefix="races-")) / "cluster"
    with (
        own_cluster(directory) as (cluster, settings),
        open_catalog(settings) as catalog,
        opened(cluster) as raw,
    ):
        note("four for one SKU", given.skus, lambda: race_for_skus(catalog, raw, given.skus))
        note(
            "two for one id, each alone and in a batch", given.others, lambda: race_for_ids(catalog, raw, given.others)
        )
        note("two for one Idempotency-Key", given.others, lambda: race_for_keys(catalog, raw, given.others))
        note("a list and renames under three names", given.others, lambda: race_lists(catalog, given.others))
        note("a batch repeated and an edit", given.others, lambda: race_repeats(catalog, given.others))
        killing = Killing(cluster, settings, catalog, raw)
        for step in STEPS:
            for victim in VICTIMS:
                what = f"four for one SKU, {victim} killed when {step}"
                note(what, given.kills, lambda s=step, v=victim: killing.races(s, v, given.kills))  # type: ignore[misc]
    print_table("Races.", ("race", "times", "wrong", "took"), rows)
    for text in wrong[:20]:
        print(f"WRONG: {text}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
