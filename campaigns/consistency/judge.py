"""What in a history breaks a promise, each anomaly with what leads up to it. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from campaigns.consistency.history import Operation

FIELDS = ("name", "stock", "description", "sku")
_VALUE = {"price": "price", "stock": "stock", "updated": "updated_at"}
_LONGEST_PAGE = 40


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


def judge(history: Sequence[Operation], final: Mapping[str, Mapping[str, Any]], budget: float) -> list[Anomaly]:
    """Everything that is wrong; ``final`` is what is there once all is well again, by id; ``budget`` in seconds."""
    products: dict[str, list[Operation]] = defaultdict(list)
    for each in history:
        if each.product:
            products[each.product].append(each)
    found = [anomaly for key, own in products.items() for anomaly in _of_product(key, own, final.get(key))]
    found += _doubled(final)
    found += [a for each in history if each.do == "list" and each.outcome == "ok" for a in _of_list(each, products)]
    for each in history:
        if each.status == 500:
            found.append(Anomaly("internal error", each.product, "answered with 500", (each,)))
        if each.ended - each.began > budget:
            text = f"answered after {each.ended - each.began:.1f} s, the budget is {budget:g} s"
            found.append(Anomaly("too slow", each.product, text, (each,)))
    return found


def _of_product(key: str, own: Sequence[Operation], final: Mapping[str, Any] | None) -> Iterator[Anomaly]:
    writes = [each for each in own if each.do in ("create", "edit", "delete")]
    done = [each for each in writes if each.outcome == "ok"]
    known = {each.wanted["version"]: each for each in writes if each.outcome != "fail"}

    def anomaly(kind: str, text: str, *also: Operation) -> Anomaly:
        return Anomaly(kind, key, text, (*(each for each in also if each not in writes), *writes))

    for version, count in Counter(each.wanted["version"] for each in done).items():
        if count > 1:
            yield anomaly("lost update", f"version {version} was acknowledged {count} times")
    last = max(done, key=lambda each: each.wanted["version"], default=None)
    if last is not None:
        yield from _at_the_end(anomaly, last, known, final)
    for each in own:
        if each.do == "read" and each.outcome == "ok" and not each.is_stale:
            yield from _of_read(anomaly, each, own, known)


def _at_the_end(
    anomaly: Any, last: Operation, known: Mapping[int, Operation], final: Mapping[str, Any] | None
) -> Iterator[Anomaly]:
    version = last.wanted["version"]
    later = [each for v, each in known.items() if v > version]
    if final is None:
        if last.do != "delete" and not any(each.do == "delete" for each in later):
            yield anomaly("lost", f"acknowledged up to version {version}, and gone")
    elif last.do == "delete":
        yield anomaly("came back", f"its deletion as version {version} was acknowledged")
    elif final["version"] < version:
        yield anomaly("lost", f"acknowledged up to version {version}, and now at {final['version']}")
    else:
        yield from _wrong(anomaly, final, known)


def _of_read(
    anomaly: Any, read: Operation, own: Sequence[Operation], known: Mapping[int, Operation]
) -> Iterator[Anomaly]:
    before = [each for each in own if each.ended < read.began and each.outcome == "ok" and not each.is_stale]
    least = max((_version(each) for each in before), default=0)
    removed = any(each.do == "delete" and each.outcome != "fail" and each.began < read.ended for each in own)
    if read.seen is None:
        if least and not removed:
            yield anomaly("stale read", f"version {least} was known before, and it was not found", read, *before)
        return
    if read.seen["version"] < least:
        text = f"version {least} was known before, and version {read.seen['version']} was read"
        yield anomaly("stale read", text, read, *before)
    yield from _wrong(anomaly, read.seen, known, read)


def _wrong(
    anomaly: Any, seen: Mapping[str, Any], known: Mapping[int, Operation], *also: Operation
) -> Iterator[Anomaly]:
    wrote = known.get(seen["version"])
    if wrote is None:
        yield anomaly("unexplained", f"version {seen['version']} is there, and nobody was told that it may be", *also)
        return
    for name in FIELDS:
        if name in wrote.wanted and wrote.wanted[name] != seen[name]:
            text = f"version {seen['version']} has {name} {seen[name]!r}, and {wrote.wanted[name]!r} was written"
            yield anomaly("wrong", text, *also)


def _version(each: Operation) -> int:
    if each.do == "read":
        return int(each.seen["version"]) if each.seen else 0
    return int(each.wanted["version"])


def _doubled(final: Mapping[str, Mapping[str, Any]]) -> Iterator[Anomaly]:
    for name in ("name", "sku"):
        for value, count in Counter(p[name] for p in final.values() if p[name] is not None).items():
            if count > 1:
                yield Anomaly("doubled", "", f"{count} products have the {name} {value!r}", ())


def _of_list(each: Operation, products: Mapping[str, Sequence[Operation]]) -> Iterator[Anomaly]:
    """Whoever existed all the time is in it exactly once, whoever never did is not."""
    if each.is_stale:
        return
    shown = Counter(product["id"] for product in each.listed)
    for key, own in products.items():
        during = [o for o in own if o.do in ("edit", "delete") and o.outcome != "fail" and o.began < each.ended]
        created = [o for o in own if o.do == "create" and o.outcome == "ok" and o.ended < each.began]
        gone = [o for o in during if o.do == "delete"]
        at_work = [o for o in during if o.outcome == "info" or o.ended > each.began]
        evidence = (each, *created, *during)
        if shown[key] > 1 and not any(_may_jump(o, each.order) for o in at_work):
            yield Anomaly("listed twice", key, f"{shown[key]} times in a list by {each.order}", evidence)
        if created and not gone and not shown[key] and not any(_may_jump(o, each.order) for o in at_work):
            yield Anomaly("not listed", key, f"missing in a list by {each.order}", evidence)
        if shown[key] and any(o.outcome == "ok" and o.ended < each.began for o in gone):
            yield Anomaly("listed after its end", key, f"in a list by {each.order}", evidence)
    for key in shown.keys() - products.keys():
        yield Anomaly("never made", key, f"in a list by {each.order}", (each,))


def _may_jump(edit: Operation, order: str) -> bool:
    """Whether an edit changes a product's place in a list in a way that lists do not promise to follow."""
    by = order.removeprefix("-")
    if by == "name":
        return "name" in edit.wanted and edit.wanted.get("stays", False)
    return by == "updated" or by in edit.wanted


def _line(each: Operation) -> str:
    what = dict(each.wanted) if each.wanted else (dict(each.seen) if each.seen else each.order)
    shown = {k: v for k, v in what.items() if k in (*FIELDS, "version")} if isinstance(what, dict) else what
    return (
        f"{each.began:9.3f}–{each.ended:9.3f}  client {each.client}  {each.do:6} {each.outcome:4} {each.status} {shown}"
    )


def summary(anomalies: Iterable[Anomaly]) -> dict[str, int]:
    """How many of each kind."""
    return dict(Counter(anomaly.kind for anomaly in anomalies))
