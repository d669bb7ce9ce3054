"""``prodctl shard``: which shard a name belongs to, what each shard holds, and whether all is as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prodcore.errors import EXIT_FOUND, EXIT_OK
from prodctl.commands.shard_ranges import abort, drain, merge, move, pause, rebalance, resume, split, status
from prodctl.terminal.arguments import FILE, Large, Whole, complete_products
from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import (
    columns,
    counted,
    interrupted,
    message,
    output_option,
    print_item,
    print_rows,
    row_writer,
    success,
)
from prodctl.terminal.rows import duration, size

if TYPE_CHECKING:
    from prodcore.app.shards import Shards
    from prodcore.routing import ShardMap


_COLUMNS = columns(
    "Shard", "Ranges~", "Products>", "Share>", "Size>", "Reads/s=reads_per_second>", "Writes/s=writes_per_second>"
)
_MOVING = columns("Moving~")
_RANGE_COLUMNS = columns("Range~", "Shard", "Products>", "Share>")
_FIRST_COLUMNS = columns("First", "Shard", "Products>", "Share>")
_BARS = columns("=bar")
_BAR = 40
"""So many characters wide is the longest bar of a histogram."""
_FINDING_COLUMNS = columns("Kind", "Shard", "Product!", "Name~", "Finding~", "Way out+")
_REPAIR_COLUMNS = columns("Kind", "Shard", "Product+", "Name~", "Finding~", "Result~")

_SHOWN_AT_ONCE = 100

T = TypeVar("T")


@click.group(cls=NounGroup)
def shard() -> None:
    """Find, measure, verify and repair shards; move ranges between them.

    These commands go straight to the members (DB1_URL, DB2_URL, DB3_URL) and need no webapp; simulate needs nothing.
    """


for command in (split, merge, move, rebalance, drain, status, pause, resume, abort):
    shard.add_command(command)


@shard.command("list")
@output_option
def list_shards(output: str) -> None:
    """List the shards: ranges, size, load, and what is being moved.

    Sizes are estimated from 500 documents of each shard, not compressed. Reads and writes per second are the operations
    on products that the shard's primary answered within one second, for all clients: one request to webapp can be
    several, and those of a move are included. A range that is being moved is listed with both its shards; "prodctl
    shard status" shows its progress. Exit status 6 when a shard does not answer; its numbers are then missing.

    \b
    Examples:
      prodctl shard list
      prodctl shard list -o json
      prodctl shard list -o json | jq '.items[] | {shard, requests_per_second}'
    """
    from prodcore.app.shards import request_rates
    from prodcore.app.wiring import open_catalog
    from prodcore.deadline import budget
    from prodcore.errors import ShardUnavailable
    from prodcore.settings import load_settings

    settings = load_settings()
    rates = request_rates(settings)
    with budget(settings.request_budget_seconds), open_catalog(settings) as catalog:
        counts, shard_map = catalog.counts(), catalog.shard_map
        sizes, _unreachable = catalog.ask_all(lambda store: store.size())
    total = sum(c.products or 0 for c in counts)
    rows = [
        {
            "shard": c.shard,
            "ranges": list(c.ranges),
            "products": c.products,
            "approximate": c.approximate,
            "bytes": sizes.get(c.shard),
            "size": size(sizes.get(c.shard)),
            "share": round(c.products / total, 4) if total and c.products is not None else None,
            "reads_per_second": (rate := rates.get(c.shard)) and rate.reads,
            "writes_per_second": rate and rate.writes,
            "requests_per_second": rate and round(rate.reads + rate.writes, 1),
            "moving": [f"{r} {r.other} → {r.shard}" for r in shard_map.held_by(c.shard) if r.other],
        }
        for c in counts
    ]
    shown = [*_COLUMNS, *(_MOVING if shard_map.moving else ())]
    print_rows(_as_shares(rows, output), shown, output, kind="shards", extra={"map_version": shard_map.version})
    if rough := [c.shard for c in counts if c.approximate]:
        message(f"{', '.join(rough)}: approximate, as products were written or moved while they were counted")
    if silent := [c.shard for c in counts if c.products is None]:
        raise ShardUnavailable(f"no answer from {', '.join(silent)}", hint="prodctl cluster status")


def _as_estimates(rows: list[dict[str, Any]], output: str) -> list[dict[str, Any]]:
    """What is estimated, marked for people."""
    if output in ("table", "wide"):
        rows = [r | {"products": f"≈ {r['products']:,}"} if r["approximate"] and r["products"] else r for r in rows]
    return _as_shares(rows, output)


def _as_shares(rows: list[dict[str, Any]], output: str) -> list[dict[str, Any]]:
    """Shares as people read them; in the other formats they are numbers."""
    if output not in ("table", "wide"):
        return [{name: value for name, value in row.items() if name not in ("size", "bar")} for row in rows]
    return [row | {"share": None if row["share"] is None else f"{row['share']:.0%}"} for row in rows]


@shard.command()
@click.option("--histogram", is_flag=True, help="By first letter, with bars, instead of by range.")
@output_option
def stats(histogram: bool, output: str) -> None:
    """How the products are distributed: by range, or by first letter.

    The products of a shard with one range are counted. Everything else is estimated from 500 random names of each shard
    and marked: "≈" in tables, "approximate" in the other formats. Letters without products are shown as well, since a
    range can be split there ("prodctl shard split"). Exit status 6 when a shard does not answer; it is then missing.

    \b
    Examples:
      prodctl shard stats
      prodctl shard stats --histogram
      prodctl shard stats -o json | jq '.items | max_by(.products)'
    """
    from prodcore.app.wiring import open_catalog
    from prodcore.deadline import budget
    from prodcore.errors import ShardUnavailable
    from prodcore.settings import load_settings

    settings = load_settings()
    with budget(settings.request_budget_seconds), open_catalog(settings) as catalog:
        counts, found, shard_map = catalog.counts(), catalog.spread(), catalog.shard_map
    silent = [c.shard for c in counts if c.products is None]
    counted_whole = {c.shard for c in counts if len(c.ranges) == 1 and not c.approximate} if not histogram else set()
    parts = found.letters if histogram else found.ranges
    most, total = max(p.products for p in parts), sum(p.products for p in parts) or 1.0
    rows = [
        {
            "first" if histogram else "range": part.name,
            "shard": part.shard,
            "products": None if part.shard in silent else round(part.products),
            "approximate": part.shard not in counted_whole,
            "share": None if part.shard in silent else round(part.products / total, 4),
            "bar": "█" * round(_BAR * part.products / (most or 1.0)),
        }
        for part in parts
    ]
    shown = _RANGE_COLUMNS
    if histogram:
        shown = (*_FIRST_COLUMNS, *(_BARS if output in ("table", "wide") else ()))
    print_rows(_as_estimates(rows, output), shown, output, kind="shard_stats", extra={"map_version": shard_map.version})
    if silent:
        raise ShardUnavailable(f"no answer from {', '.join(silent)}", hint="prodctl cluster status")


@shard.command()
@click.argument("name", shell_complete=complete_products)
@output_option
def where(name: str, output: str) -> None:
    """Which shard and replica set a product NAME belongs to, and why.

    The answer comes from the stored shard map (rsU, or the shards' own copies while rsU is not responding). If no map
    can be read, the exit status is 6.

    \b
    Examples:
      prodctl shard where "Ñandú"
      prodctl shard where 7up -o json
    """
    from prodcore.app.wiring import open_catalog
    from prodcore.deadline import budget
    from prodcore.routing import show_key
    from prodcore.settings import load_settings

    settings = load_settings()
    with budget(settings.request_budget_seconds), open_catalog(settings) as catalog:
        route, version = catalog.where(name), catalog.shard_map.version
    answer = {
        "name": route.name,
        "key": show_key(route.key),
        "shard": route.shard,
        "replica_set": route.shard,
        "range": str(route.range),
        "map_version": version,
        "reason": route.reason,
    }
    print_item(answer, output, kind="route")


@shard.command()
@output_option
def verify(output: str) -> int:
    """Check every product of every shard, and list everything that is wrong.

    \b
    map              the shard map and the shards' copies of it disagree
    rule             a shard would accept names that it does not own
    index            an index is missing or differs
    invalid          a document that is not a valid product
    derived          keys or search terms do not match the product
    misplaced        its name belongs to another shard
    same_id, same_name, same_sku
                     two products have what must be unique
    unfinished_move  a rename over a minute old that is not finished
    leftover         an old location that should have expired

    It changes nothing and can run at any time: moves and edits in progress are not reported. Memory does not grow with
    the catalogue. Exit status 0 when nothing is wrong, 6 when something was found or a shard does not answer.

    \b
    Examples:
      prodctl shard verify
      prodctl shard verify -o json | jq -r '.items[].product'
    """
    writer = row_writer(_FINDING_COLUMNS, output, "shard_verify", "Nothing is wrong.")
    kinds: Counter[str] = Counter()
    with _opened() as (shards, looked):
        for findings in _batched(shards.findings(looked.note)):
            kinds.update(finding.kind for finding in findings)
            writer.add([finding.as_dict() for finding in findings])
    writer.finish({"documents": looked.documents, "found": dict(kinds)})
    found = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    success(f"{counted(looked.documents, 'document')} looked at, found: {found or 'nothing'}", output)
    return EXIT_FOUND if kinds else EXIT_OK


@shard.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@output_option
def repair(output: str, dry_run: bool) -> int:
    """Check everything as verify does, and repair what can be repaired in only one way.

    It rewrites copies of the map and the rules by which each shard refuses the products of others, creates indexes,
    recomputes keys and search terms, finishes moves, removes what undone moves left, and moves products to the shard
    that owns their names, with an entry in their history. It can run while others work, and be repeated.

    It never decides which of two products with one name, SKU or id is right, or what a damaged product should be: such
    findings are listed and left. Exit status 0 when nothing is left, 6 when something is.

    \b
    Examples:
      prodctl shard repair --dry-run
      prodctl shard repair
      prodctl shard repair -o json | jq '.items[] | select(.done | not)'
    """
    writer = row_writer(_REPAIR_COLUMNS, output, "shard_repair", "Nothing is wrong.")
    done: Counter[bool] = Counter()
    with (
        interrupted("Each repair is complete by itself. Run the same command again for the rest."),
        _opened() as (shards, looked),
    ):
        for mended in _batched(shards.mend(shards.findings(looked.note), dry_run=dry_run)):
            done.update(one.done for one in mended)
            writer.add([one.as_dict() for one in mended])
    facts = {"documents": looked.documents, "mended": done[True], "left": done[False]}
    writer.finish({**facts, "dry_run": dry_run})
    looked_at, repaired = counted(looked.documents, "document"), counted(done[True], "finding")
    success(f"{looked_at} looked at, {repaired} repaired, {done[False]:,} left", output)
    return EXIT_FOUND if done[False] else EXIT_OK


@dataclass
class _Looked:
    """How far the look has come."""

    tell: Callable[[int], None] = lambda _count: None
    documents: int = 0

    def note(self, documents: int) -> None:
        self.documents = documents
        self.tell(documents)


@contextmanager
def _opened() -> Iterator[tuple[Shards, _Looked]]:
    """The shards, and a look through them that shows how far it is."""
    from prodcore.app.shards import open_shards
    from prodcore.settings import load_settings
    from prodctl.terminal.prompt import row_progress

    looked = _Looked()
    with open_shards(load_settings()) as shards, row_progress(lambda: looked.documents, shards.count()) as tell:
        looked.tell = tell
        yield shards, looked


def _batched(found: Iterable[T]) -> Iterator[list[T]]:
    """Some at a time: a table takes its widths from the first of them."""
    there = iter(found)
    return iter(lambda: list(islice(there, _SHOWN_AT_ONCE)), [])


@shard.command()
@click.option("--products", type=Large(1, 10**15), required=True, help="How many there are to be; 1e9 is a billion.")
@click.option("--shards", type=Whole(1, 10_000), required=True, help="Over how many shards.")
@click.option("--names", "file", type=FILE, required=True, help="Names to draw from, one a line; - reads stdin.")
@click.option(
    "--ranges", type=Whole(1, 1_000_000), help="Ranges of the map, given to shards in turn.  [default: one each]"
)
@click.option("--rate", type=Whole(1, 10**9), help="Products that a move carries a second.  [default: 430]")
@output_option
def simulate(output: str, products: int, shards: int, file: str, ranges: int | None, rate: int | None) -> None:
    """Calculate how far more products and shards would behave; no cluster is needed, and nothing is stored.

    Product names are assumed to be distributed as in the file. It prints the balance of the shards, the size of the
    stored map, the cost of finding the shard of a name (on this machine) and of each shard's check of a new name, and
    how long products would move: from the two shards of a new installation to these, and when one more is added. One
    range moves at a time. The default rate is the 430 products a second that were measured on two busy cores
    (docs/engineering/performance.md); "prodctl shard status" shows your own rate.

    \b
    Examples:
      prodctl product list --all -o json | jq -r '.items[].name' > names
      prodctl shard simulate --products 1e9 --shards 64 --names names
      prodctl shard simulate --products 1e9 --shards 9 --ranges 9999 --names n.txt
      prodctl shard simulate --products 2e7 --shards 3 --names n.txt --rate 4000
    """
    from prodcore.catalog.distribution import simulate as simulated
    from prodcore.errors import InvalidInput, Problem
    from prodcore.routing import fold

    if ranges is not None and ranges < shards:
        refusal = f"{ranges:,} are fewer than the {counted(shards, 'shard')}"
        raise InvalidInput(problems=[Problem("ranges", "too_few_ranges", refusal)], hint="each shard owns one or more")
    names = _read_names(file)
    keys = sorted(map(fold, names))
    found = simulated(keys, shards, ranges or shards)
    pace = rate or MEASURED_RATE
    facts: dict[str, Any] = {
        "products": products,
        "shards": shards,
        "ranges": len(found.shard_map.ranges),
        "names": len(keys),
        "least_products": round(min(found.shares) * products),
        "mean_products": round(products / shards),
        "most_products": round(max(found.shares) * products),
        "map_bytes": found.map_bytes,
        "comparisons": found.comparisons,
        "route_microseconds": _route_microseconds(found.shard_map, names),
        "rule_conditions": found.conditions,
        "begin_products": round(found.moved_to_begin * products),
        "begin_hours": _hours(found.moved_to_begin * products, shards - 2, pace),
        "grow_products": round(found.moved_to_grow * products),
        "grow_hours": _hours(found.moved_to_grow * products, shards, pace),
        "rate": pace,
        "rate_source": "given" if rate else "measured: docs/engineering/performance.md",
    }
    print_item(_as_sentences(facts) if output in ("table", "wide") else facts, output, kind="shard_simulation")


MEASURED_RATE = 430
"""Products a second, on two busy cores: docs/engineering/performance.md."""

_ROUTED = 20_000


def _read_names(file: str) -> list[str]:
    """The lines of a file that can be routed. Raises InvalidInput."""
    from prodcore.errors import InvalidInput, Problem
    from prodcore.routing import fold

    try:
        with click.open_file(file, encoding="utf-8") as lines:
            names = [line.strip() for line in lines if fold(line)]
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidInput(
            problems=[Problem("names", "unreadable", f"{file} cannot be read: {why}")], hint="give one name a line"
        ) from None
    if not names:
        raise InvalidInput(
            problems=[Problem("names", "no_names", f"{file} holds no name")],
            hint="prodctl product list --all -o json | jq -r '.items[].name'",
        )
    return names


def _route_microseconds(shard_map: ShardMap, names: Sequence[str]) -> float:
    """What it takes here to fold a name and to find its shard."""
    from time import perf_counter

    from prodcore.routing import fold

    some = (list(names) * (1 + _ROUTED // len(names)))[:_ROUTED]
    fold.cache_clear()
    began = perf_counter()
    for name in some:
        shard_map.shard_for(fold(name))
    return round((perf_counter() - began) / len(some) * 1e6, 2)


def _hours(products: float, moves: int, rate: int) -> float:
    from prodcore.sharding.mover import READERS_KNOW_SECONDS

    return round((products / rate + max(0, moves) * READERS_KNOW_SECONDS) / 3600, 2)


def _as_sentences(facts: dict[str, Any]) -> dict[str, str]:
    """What people read of a simulation."""
    mean = facts["mean_products"] or 1

    def moved(what: str) -> str:
        took = duration(facts[f"{what}_hours"] * 3600)
        return f"{counted(facts[f'{what}_products'], 'product')} move, in {took}"

    of_mean = [f"{facts[f'{which}_products'] / mean:.1%}" for which in ("least", "most")]
    return {
        "products": f"{facts['products']:,} with the names of {facts['names']:,}",
        "shards": f"{facts['shards']:,}, {facts['mean_products']:,} products each on average",
        "balance": f"{of_mean[0]} to {of_mean[1]} of that: {facts['least_products']:,} to {facts['most_products']:,}",
        "map": f"{counted(facts['ranges'], 'range')}, {size(facts['map_bytes'])}",
        "routing": f"{counted(facts['comparisons'], 'comparison')}, {facts['route_microseconds']} µs a name here",
        "rule": f"a shard compares a new name with {counted(facts['rule_conditions'], 'range')}, at most",
        "from two shards": moved("begin"),
        "one shard more": moved("grow"),
        "rate": f"{facts['rate']:,} products a second ({facts['rate_source']})",
    }
