"""What in a history breaks a promise, each anomaly with what leads up to it. Pure, and knows nothing of the code."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from campaigns.consistency.history import WRITES, Ending, Operation

FIELDS = ("name", "stock", "price", "description", "sku")
_LONGEST_PAGE = 40

Product = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One broken promise, and the operations that show it."""

    kind: str
    product: str
    text: str
    evidence: tuple[Operation, ...]

    def page(self) -> str:
        """The anomaly with its history, on one page."""
        lines = [f"{self.kind}: product {self.product}", f"  {self.text}", ""]
        lines += [f"  {_line(each)}" for each in sorted(self.evidence, key=lambda o: o.began)[-_LONGEST_PAGE:]]
        return "\n".join(lines)


_ENYE = "n\N{COMBINING TILDE}"


def fold(name: str) -> str:
    """A name as products are ordered and routed by: no accents but that of ñ, which follows n."""
    letters = unicodedata.normalize("NFD", name.casefold()).replace(_ENYE, "n\uffff")
    return "".join(c for c in letters if not unicodedata.combining(c))


def home(name: str) -> str:
    """The shard that a name belongs to."""
    return "rsA" if "a" <= fold(name)[:1] < "n" else "rsB"


def judge(history: Sequence[Operation], ending: Ending, budget: float) -> list[Anomaly]:
    """Everything that is wrong; ``budget`` in seconds is what any answer may take."""
    from campaigns.consistency.lists import judge_lists

    resolved, found = resolve(history, ending)
    products: dict[str, list[Operation]] = defaultdict(list)
    for each in resolved:
        if each.product:
            products[each.product].append(each)
    found += [a for key, own in products.items() for a in _of_product(key, own, ending)]
    found += _doubled(ending.products, products)
    found += judge_lists([each for each in resolved if each.do == "list" and each.outcome == "ok"], products)
    for each in resolved:
        if each.status == 500:
            found.append(Anomaly("internal error", each.product, "answered with 500", (each,)))
        if each.longest > budget:
            text = f"answered after {each.longest:.1f} s, the budget is {budget:g} s"
            found.append(Anomaly("too slow", each.product, text, (each,)))
    return found


def resolve(history: Iterable[Operation], ending: Ending) -> tuple[list[Operation], list[Anomaly]]:
    """The history in which unknown writes that did not happen have failed; and what the products' own histories deny.

    A write happened when the product's history names its request at the version that it makes.
    """
    resolved, found = [], []
    for each in history:
        if each.do in WRITES and each.outcome != "fail":
            changes = ending.histories.get(each.product, ())
            makers = {change["version"]: change.get("request_id", "") for change in changes}
            happened = makers.get(each.wanted["version"]) == each.request
            if each.outcome == "ok" and not happened:
                text = f"its history says nothing of the acknowledged version {each.wanted['version']}"
                found.append(Anomaly("not in the history", each.product, text, (each,)))
            elif each.outcome == "info" and not happened:
                resolved.append(replace(each, outcome="fail"))
                continue
        resolved.append(each)
    return resolved, found


def unknown(history: Iterable[Operation]) -> list[Operation]:
    """The writes of which the answer did not say what became of them."""
    return [each for each in history if each.do in WRITES and each.outcome == "info"]


def _of_product(key: str, own: Sequence[Operation], ending: Ending) -> Iterator[Anomaly]:
    writes = [each for each in own if each.do in WRITES]
    done = [each for each in writes if each.outcome == "ok"]
    known = {each.wanted["version"]: each for each in writes if each.outcome != "fail"}

    def anomaly(kind: str, text: str, *also: Operation) -> Anomaly:
        return Anomaly(kind, key, text, (*(each for each in also if each not in writes), *writes))

    for version, count in Counter(each.wanted["version"] for each in done).items():
        if count > 1:
            yield anomaly("lost update", f"version {version} was acknowledged {count} times")
    last = max(done, key=lambda each: int(each.wanted["version"]), default=None)
    yield from _at_the_end(anomaly, last, known, ending.products.get(key))
    for each in own:
        if each.outcome != "ok" or each.is_stale:
            continue
        if each.do == "read":
            yield from _of_read(anomaly, each, own, known)
        elif each.do == "find":
            yield from _of_find(anomaly, each, own, known)
    yield from _appeared_late(anomaly, own)


_Anomalies = Callable[..., Anomaly]


def _at_the_end(
    anomaly: _Anomalies, last: Operation | None, known: Mapping[int, Operation], final: Product | None
) -> Iterator[Anomaly]:
    if last is None:
        if final is not None:
            yield from wrong(anomaly, final, known)
        return
    version = last.wanted["version"]
    later = [each for v, each in known.items() if v > version]
    if final is None:
        if last.do != "delete" and not any(each.do == "delete" for each in later):
            yield anomaly("lost", f"acknowledged up to version {version}, and gone")
    elif last.do == "delete" and final["version"] <= version:
        yield anomaly("came back", f"its deletion as version {version} was acknowledged")
    elif final["version"] < version:
        yield anomaly("lost", f"acknowledged up to version {version}, and now at {final['version']}")
    else:
        yield from wrong(anomaly, final, known)


def _of_read(
    anomaly: _Anomalies, read: Operation, own: Sequence[Operation], known: Mapping[int, Operation]
) -> Iterator[Anomaly]:
    least = known_before(own, read.began)
    if read.seen is None:
        if is_there(own, read):
            yield anomaly("stale read", f"version {least} was known before, and it was not found", read, *own)
        return
    if read.seen["version"] < least:
        text = f"version {least} was known before, and version {read.seen['version']} was read"
        yield anomaly("stale read", text, read, *own)
    yield from wrong(anomaly, read.seen, known, read)


def _of_find(
    anomaly: _Anomalies, find: Operation, own: Sequence[Operation], known: Mapping[int, Operation]
) -> Iterator[Anomaly]:
    if find.seen is not None:
        yield from _of_read(anomaly, find, own, known)
        return
    named = [each for each in own if each.do in WRITES and each.outcome != "fail" and "name" in each.wanted]
    since = [each for each in named if each.wanted["name"] == find.wanted["name"] and each.ended < find.began]
    version = max((each.wanted["version"] for each in since if each.outcome == "ok"), default=0)
    others = [each for each in named if each.wanted["version"] > version and each.began < find.ended]
    if version and not others and is_there(own, find):
        yield anomaly("stale read", f"it is called {find.wanted['name']!r}, and was not found by that", find, *own)


def _appeared_late(anomaly: _Anomalies, own: Sequence[Operation]) -> Iterator[Anomaly]:
    """A rename into another shard whose outcome a read had decided."""
    for each in own:
        if each.outcome != "info" or each.status != 504 or each.wanted.get("stays", True):
            continue
        for read in own:
            if read.do != "read" or read.began < each.ended or read.outcome != "ok" or read.is_stale:
                continue
            if read.seen and read.seen["version"] < each.wanted["version"]:
                text = f"version {each.wanted['version']} came to be after a read without it, after a 504"
                yield anomaly("appeared late", text, each, read)
                return


def wrong(anomaly: _Anomalies, seen: Product, known: Mapping[int, Operation], *also: Operation) -> Iterator[Anomaly]:
    """What a product shows that nobody wrote, or in a shard that is not its own."""
    if "shard" in seen and seen["shard"] != home(seen["name"]):
        yield anomaly("misplaced", f"{seen['name']!r} is in {seen['shard']}", *also)
    wrote = known.get(seen["version"])
    if wrote is None:
        yield anomaly("unexplained", f"version {seen['version']} is there, and nobody was told that it may be", *also)
        return
    for name in FIELDS:
        if name in wrote.wanted and name in seen and wrote.wanted[name] != seen[name]:
            text = f"version {seen['version']} has {name} {seen[name]!r}, and {wrote.wanted[name]!r} was written"
            yield anomaly("wrong", text, *also)


def known_before(own: Iterable[Operation], moment: float) -> int:
    """The latest version of a product that somebody had been told of before."""
    before = (each for each in own if each.ended < moment and each.outcome == "ok" and not each.is_stale)
    return max((_version(each) for each in before), default=0)


def is_there(own: Sequence[Operation], during: Operation) -> bool:
    """Whether a product certainly existed all the time of an operation."""
    least = known_before([each for each in own if each.do != "delete"], during.began)
    deletions = [each for each in own if each.do == "delete" and each.outcome != "fail" and each.began < during.ended]
    return least > 0 and all(each.wanted["version"] < least for each in deletions)


def is_gone(own: Sequence[Operation], during: Operation) -> bool:
    """Whether a product certainly did not exist at any time of an operation."""
    deleted = max((e.wanted["version"] for e in own if _is_done(e, "delete") and e.ended < during.began), default=0)
    back = [e for e in own if e.do == "restore" and e.outcome != "fail" and e.began < during.ended]
    return deleted > 0 and all(each.wanted["version"] < deleted for each in back)


def _is_done(each: Operation, do: str) -> bool:
    return each.do == do and each.outcome == "ok"


def _version(each: Operation) -> int:
    if each.do in WRITES:
        return int(each.wanted["version"])
    return int(each.seen["version"]) if each.seen else 0


def _doubled(final: Mapping[str, Product], products: Mapping[str, Sequence[Operation]]) -> Iterator[Anomaly]:
    for name in ("name", "sku"):
        for value, count in Counter(p[name] for p in final.values() if p[name] is not None).items():
            if count > 1:
                yield Anomaly("doubled", "", f"{count} products have the {name} {value!r}", ())
    held = defaultdict(list)
    for key, own in products.items():
        for sku, since, until, write in _skus(own):
            held[sku].append((since, until, key, write))
    for sku, spans in held.items():
        for (_since, until, first, one), (since, _until, second, other) in pairwise(sorted(spans, key=lambda s: s[:3])):
            if since < until and first != second:
                yield Anomaly("doubled", second, f"it got the SKU {sku!r} while {first} had it", (one, other))


def _skus(own: Sequence[Operation]) -> Iterator[tuple[str, float, float, Operation]]:
    """Which SKU a product had for certain, from when to when, and what gave it."""
    writes = sorted((e for e in own if e.do in WRITES and e.outcome != "fail"), key=lambda e: int(e.wanted["version"]))
    changing = [each for each in writes if "sku" in each.wanted or each.do == "delete"]
    for i, each in enumerate(changing):
        until = changing[i + 1].began if i + 1 < len(changing) else math.inf
        sku = each.wanted.get("sku")
        if sku is not None and each.outcome == "ok" and each.ended < until:
            yield sku, each.ended, until, each


def _line(each: Operation) -> str:
    what = dict(each.wanted) if each.wanted else (dict(each.seen) if each.seen else each.order)
    shown = {k: v for k, v in what.items() if k in (*FIELDS, "version")} if isinstance(what, dict) else what
    return (
        f"{each.began:9.3f}–{each.ended:9.3f}  client {each.client}  {each.do:7} {each.outcome:4} {each.status} {shown}"
    )


def summary(anomalies: Iterable[Anomaly]) -> dict[str, int]:
    """How many of each kind."""
    return dict(Counter(anomaly.kind for anomaly in anomalies))
