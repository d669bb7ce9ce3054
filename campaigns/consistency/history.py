"""What clients asked and what they were told: operations with their times, and as EDN for other checkers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

Outcome = Literal["ok", "fail", "info"]
"""``fail`` did certainly not happen; ``info`` may have happened."""

WRITES = ("create", "edit", "delete", "restore")


@dataclass(frozen=True, slots=True)
class Operation:
    """One request, or one that was repeated until it was answered: what it wanted and what came of it.

    Times in seconds of one clock. ``do``: one of ``WRITES`` with ``wanted``, the fields written (``version`` is the
    version it makes); ``read`` with ``seen``, the product or None; ``find``, a read by the name in ``wanted``, of the
    product that had it; ``list`` with ``order`` and ``listed``, the products' fields in order.
    """

    client: int
    do: Literal["create", "edit", "delete", "restore", "read", "find", "list"]
    began: float
    ended: float
    outcome: Outcome
    status: int
    product: str = ""
    wanted: Mapping[str, Any] = field(default_factory=dict)
    seen: Mapping[str, Any] | None = None
    order: str = ""
    listed: tuple[Mapping[str, Any], ...] = ()
    is_stale: bool = False
    """The answer said that it may be out of date, or is not whole."""
    request: str = ""
    """The X-Request-ID, by which a product's history names the write."""
    longest: float = 0.0
    """Seconds: of its requests the one that was answered last."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What is there once all is well again, by id."""

    products: Mapping[str, Mapping[str, Any]]
    histories: Mapping[str, Sequence[Mapping[str, Any]]]
    """The changes of each product that was ever written to: ``version`` and ``request_id``."""


def save(history: Iterable[Operation], path: Path) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(asdict(each)) + "\n" for each in history), "utf-8")


def load(path: Path) -> list[Operation]:
    """What ``save`` wrote."""
    lines = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return [Operation(**{**line, "listed": tuple(line["listed"])}) for line in lines]


def save_ending(ending: Ending, path: Path) -> None:
    """One JSON object."""
    path.write_text(json.dumps(asdict(ending)), "utf-8")


def load_ending(path: Path) -> Ending:
    """What ``save_ending`` wrote."""
    return Ending(**json.loads(path.read_text("utf-8")))


def as_register(history: Iterable[Operation]) -> Iterator[str]:
    """The stock of each product as a register, for Knossos and porcupine: EDN, an event a line."""
    asked = []
    for each in history:
        key = json.dumps(each.product)
        if each.do in ("read", "find") and each.seen is not None and not each.is_stale:
            asked.append(_Asked(each, "read", f"[{key} nil]", f"[{key} {each.seen['stock']}]"))
        elif each.do in WRITES and "stock" in each.wanted:
            value = f"[{key} {each.wanted['stock']}]"
            asked.append(_Asked(each, "write", value, value))
    return _events(asked)


def as_list_append(history: Iterable[Operation]) -> Iterator[str]:
    """The words of each product's description as a list that is appended to, for Elle: EDN, an event a line."""
    asked = []
    for each in history:
        key = json.dumps(each.product)
        if each.do in ("read", "find") and each.seen is not None and not each.is_stale:
            words = " ".join(json.dumps(word) for word in each.seen["description"].split())
            asked.append(_Asked(each, "txn", f"[[:r {key} nil]]", f"[[:r {key} [{words}]]]"))
        elif each.do == "edit" and each.wanted.get("appended"):
            value = f"[[:append {key} {json.dumps(each.wanted['appended'])}]]"
            asked.append(_Asked(each, "txn", value, value))
    return _events(asked)


class _Asked(NamedTuple):
    operation: Operation
    f: str
    value: str
    answer: str


def _events(asked: list[_Asked]) -> Iterator[str]:
    """When each was asked for and when answered, in order, by processes as those checkers know them.

    A process asks one thing at a time, where a client's batch asks for many products at once; and one whose operation
    may have happened asks nothing any more.
    """
    events: list[tuple[float, int, str]] = []
    free: list[tuple[float, int]] = []
    """When each process had its last answer; the earliest first."""
    processes = count()
    for each in sorted(asked, key=lambda one: one.operation.began):
        operation = each.operation
        is_free = bool(free) and free[0][0] <= operation.began
        process = heappop(free)[1] if is_free else next(processes)
        if operation.outcome != "info":
            heappush(free, (operation.ended, process))
        for at, order, kind, value in (
            (operation.began, 1, "invoke", each.value),
            (operation.ended, 0, operation.outcome, each.answer),
        ):
            line = f"{{:process {process}, :type :{kind}, :f :{each.f}, :value {value}, :time {int(at * 1e9)}}}"
            events.append((at, order, line))
    yield from (line for _at, _order, line in sorted(events))
