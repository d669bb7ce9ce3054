"""What is wrong in a list that was read while products were written. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from campaigns.consistency.history import WRITES, Operation
from campaigns.consistency.judge import Anomaly, fold, is_gone, is_there, known_before, wrong

_FIELD = {"price": "price", "stock": "stock", "updated": "updated_at"}
_CLOCKS_SECONDS = 5.0
"""What was renamed so shortly before a list began may stand at its former place in it."""

_History = Mapping[str, Sequence[Operation]]


def judge_lists(lists: Sequence[Operation], products: _History) -> Iterator[Anomaly]:
    """Each list by itself; ``products`` are the operations on each product."""
    begins = sorted((min(each.began for each in own), key) for key, own in products.items())
    alive: set[str] = set()
    for each in sorted(lists, key=lambda o: o.began):
        while begins and begins[0][0] < each.ended:
            alive.add(begins.pop(0)[1])
        alive -= {key for key in alive if _is_over(products[key], each)}
        if not each.is_stale:
            shown = Counter(product["id"] for product in each.listed)
            yield from _who_is_in_it(each, shown, alive, products)
            yield from _what_is_in_it(each, products)
            yield from _order(each, products)


def _is_over(own: Sequence[Operation], during: Operation) -> bool:
    """Whether nothing was asked of a product since it was deleted."""
    return is_gone(own, during) and max(each.began for each in own) < during.began


def _who_is_in_it(each: Operation, shown: Mapping[str, int], alive: set[str], products: _History) -> Iterator[Anomaly]:
    """Whoever existed all the time is in it exactly once, whoever never did is not."""
    for key in alive | (shown.keys() & products.keys()):
        own = products[key]
        times = shown.get(key, 0)
        evidence = (each, *(o for o in own if o.do in WRITES))
        if times != 1 and any(_may_jump(o, each) for o in own):
            continue
        if times > 1:
            yield Anomaly("listed twice", key, f"{times} times in a list by {each.order}", evidence)
        if not times and is_there(own, each):
            yield Anomaly("not listed", key, f"missing in a list by {each.order}", evidence)
        if times and is_gone(own, each):
            yield Anomaly("listed after its end", key, f"in a list by {each.order}", evidence)
    for key in shown.keys() - products.keys():
        yield Anomaly("never made", key, f"in a list by {each.order}", (each,))


def _what_is_in_it(each: Operation, products: _History) -> Iterator[Anomaly]:
    """As it was written, and not older than what somebody had been told of before."""
    for product in each.listed:
        own = products.get(product["id"])
        if own is None:
            continue
        least = known_before(own, each.began)
        writes = {o.wanted["version"]: o for o in own if o.do in WRITES and o.outcome != "fail"}
        anomaly = partial(_anomaly, product["id"], tuple(o for o in own if o.do in WRITES))
        if product["version"] < least and not is_gone(own, each):
            text = f"version {least} was known before, and a list by {each.order} shows {product['version']}"
            yield anomaly("stale list", text, each)
        yield from wrong(anomaly, product, writes, each)


def _anomaly(key: str, writes: tuple[Operation, ...], kind: str, text: str, *also: Operation) -> Anomaly:
    return Anomaly(kind, key, text, (*also, *writes))


def _order(each: Operation, products: _History) -> Iterator[Anomaly]:
    """Those that nobody wrote meanwhile, or shortly before, stand in their order."""
    by, is_reversed = each.order.removeprefix("-"), each.order.startswith("-")
    calm = [product for product in each.listed if not any(_is_near(o, each) for o in products.get(product["id"], ()))]
    for first, second in pairwise(calm):
        one, other = _value(first, by), _value(second, by)
        if (one < other) if is_reversed else (one > other):
            text = f"a list by {each.order} shows {one!r} before {other!r}"
            evidence = (each, *(o for p in (first, second) for o in products[p["id"]] if o.do in WRITES))
            yield Anomaly("out of order", second["id"], text, evidence)


def _value(product: Mapping[str, Any], by: str) -> Any:
    if by == "name":
        return fold(product["name"])
    value = product[_FIELD[by]]
    return float(value) if by == "price" else value


def _is_near(write: Operation, listing: Operation) -> bool:
    if write.do not in WRITES or write.outcome == "fail" or write.began > listing.ended:
        return False
    return write.outcome == "info" or write.ended > listing.began - _CLOCKS_SECONDS


def _may_jump(write: Operation, listing: Operation) -> bool:
    """Whether a write at work changes a product's place in a list in a way that lists do not promise to follow."""
    if write.do not in ("edit", "restore") or write.outcome == "fail" or write.began > listing.ended:
        return False
    if write.outcome == "ok" and write.ended < listing.began:
        return False
    by = listing.order.removeprefix("-")
    if by == "name":
        return bool(write.do == "edit" and "name" in write.wanted and write.wanted.get("stays", False))
    return by == "updated" or by in write.wanted
