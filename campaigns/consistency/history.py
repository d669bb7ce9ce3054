"""What clients asked and what they were told: operations with their times, and as EDN for other checkers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["ok", "fail", "info"]
"""``fail`` did certainly not happen; ``info`` may have happened."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One request: what it wanted and what came of it. Times in seconds of one clock.

    ``do``: ``create``, ``edit``, ``delete`` with ``wanted``, the fields written (``version`` is the version it makes);
    ``read`` with ``seen``, the product or None; ``list`` with ``order`` and ``listed``, the products' fields in order.
    """

    client: int
    do: Literal["create", "edit", "delete", "read", "list"]
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


def save(history: Iterable[Operation], path: Path) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(asdict(each)) + "\n" for each in history), "utf-8")


def load(path: Path) -> list[Operation]:
    """What ``save`` wrote."""
    lines = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return [Operation(**{**line, "listed": tuple(line["listed"])}) for line in lines]


def as_register(history: Iterable[Operation]) -> Iterator[str]:
    """The stock of each product as a register, for Knossos and porcupine: EDN, an event a line."""
    events = []
    for each in history:
        if each.do == "read" and each.seen is not None and not each.is_stale:
            value = f"[{json.dumps(each.product)} {each.seen['stock']}]"
            events += _events(each, "read", f"[{json.dumps(each.product)} nil]", value)
        elif each.do in ("create", "edit") and "stock" in each.wanted:
            value = f"[{json.dumps(each.product)} {each.wanted['stock']}]"
            events += _events(each, "write", value, value)
    yield from (line for _at, line in sorted(events))


def as_list_append(history: Iterable[Operation]) -> Iterator[str]:
    """The words of each product's description as a list that is appended to, for Elle: EDN, an event a line."""
    events = []
    for each in history:
        key = json.dumps(each.product)
        if each.do == "read" and each.seen is not None and not each.is_stale:
            words = " ".join(json.dumps(word) for word in each.seen["description"].split())
            events += _events(each, "txn", f"[[:r {key} nil]]", f"[[:r {key} [{words}]]]")
        elif each.do == "edit" and each.wanted.get("appended"):
            value = f"[[:append {key} {json.dumps(each.wanted['appended'])}]]"
            events += _events(each, "txn", value, value)
    yield from (line for _at, line in sorted(events))


def _events(each: Operation, f: str, asked: str, answered: str) -> list[tuple[float, str]]:
    def event(at: float, kind: str, value: str) -> tuple[float, str]:
        return at, f"{{:process {each.client}, :type :{kind}, :f :{f}, :value {value}, :time {int(at * 1e9)}}}"

    return [event(each.began, "invoke", asked), event(each.ended, each.outcome, answered)]
