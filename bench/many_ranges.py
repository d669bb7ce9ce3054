#!/usr/bin/env python3
"""What does a map of ten thousand ranges cost a request, beside one of ten?

Neighbours have different owners, the worst case: nothing can be joined. Each step is measured in both maps in turn, so
that whatever else the machine does slows both; the quickest of the rounds counts. Needs no cluster:

    bench/many_ranges.py

Exit status 1 when a step costs more than 5 × as much in the large map, where the logarithm alone makes 4.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable
from itertools import islice

from prodcore.catalog.distribution import simulate
from prodcore.routing import LAST, ShardMap, covers

FEW, MANY, SHARDS = 10, 10_000, 2
LIMIT = 5.0
ROUNDS, TIMES = 20, 200
KEYS = sorted(f"{number * 7_919 % 1_000_000:06} aceite" for number in range(100_000))
PAGE = KEYS[::2_000]

Step = Callable[[ShardMap], object]
STEPS: dict[str, Step] = {
    "the shard of a name": lambda shard_map: shard_map.shard_for("500000 aceite"),
    "the range of a name": lambda shard_map: shard_map.range_for("500000 aceite"),
    "the first ranges of a page": lambda shard_map: list(islice(shard_map.ranges_from("500000 aceite"), 3)),
    "the same, backwards": lambda shard_map: list(islice(shard_map.ranges_from(LAST, backwards=True), 3)),
    "the shards that a list by price asks": lambda shard_map: [shard_map.held_by(name) for name in shard_map.shards],
    "which of 50 documents a shard owns": lambda shard_map: [covers(shard_map.held_by("rs2"), key) for key in PAGE],
    "whether a range moves": lambda shard_map: shard_map.moving,
}


def main() -> int:
    """Print a table; 1 where a step grows too much."""
    maps = [simulate(KEYS, SHARDS, ranges).shard_map for ranges in (FEW, MANY)]
    worst = 0.0
    print(f"| | {FEW} ranges, µs | {MANY:,} ranges, µs | ratio |\n|---|--:|--:|--:|")
    for name, step in STEPS.items():
        rounds = [[timeit.timeit(lambda m=m, s=step: s(m), number=TIMES) for m in maps] for _ in range(ROUNDS)]
        few, many = (min(times) / TIMES * 1e6 for times in zip(*rounds, strict=True))
        worst = max(worst, many / few)
        print(f"| {name} | {few:.2f} | {many:.2f} | {many / few:.2f} |")
    print(f"\nThe stored map: {' and '.join(f'{simulate(KEYS, SHARDS, n).map_bytes:,} bytes' for n in (FEW, MANY))}.")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
