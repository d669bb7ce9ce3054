"""What clients asked and what they were told: operations with their times, and as EDN for other checkers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

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
    events = []
    for each in history:
        if each.do in ("read", "find") and each.seen is not None and not each.is_stale:
            value = f"[{json.dumps(each.product)} {each.seen['stock']}]"
            events += _events(each, "read", f"[{json.dumps(each.product)} nil]", value)
        elif each.do in WRITES and "stock" in each.wanted:
            value = f"[{json.dumps(each.product)} {each.wanted['stock']}]"
            events += _events(each, "write", value, value)
    yield from _in_order(events)


def as_list_append(history: Iterable[Operation]) -> Iterator[str]:
    """The words of each product's description as a list that is appended to, for Elle: EDN, an event a line."""
    events = []
    for each in history:
        key = json.dumps(each.product)
        if each.do in ("read", "find") and each.seen is not None and not each.is_stale:
            words = " ".join(json.dumps(word) for word in each.seen["description"].split())
            events += _events(each, "txn", f"[[:r {key} nil]]", f"[[:r {key} [{words}]]]")
        elif each.do == "edit" and each.wanted.get("appended"):
            value = f"[[:append {key} {json.dumps(each.wanted['appended'])}]]"
            events += _events(each, "txn", value, value)
    yield from _in_order(events)


_Event = tuple[float, int, str]


def _events(each: Operation, f: str, asked: str, answered: str) -> list[_Event]:
    """When it was asked for and when answered; of a process the answer stands before its next question."""

    def event(at: float, kind: str, value: str) -> str:
        return f"{{:process {each.client}, :type :{kind}, :f :{f}, :value {value}, :time {int(at * 1e9)}}}"

    return [
        (each.began, 1, event(each.began, "invoke", asked)),
        (each.ended, 0, event(each.ended, each.outcome, answered)),
    ]


def _in_order(events: list[_Event]) -> Iterator[str]:
    yield from (line for _at, _kind, line in sorted(events))
