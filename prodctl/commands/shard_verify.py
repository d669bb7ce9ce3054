"""``prodctl shard verify`` and ``repair``: is every product where it belongs, once, and stored as it should be?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import click

from prodcore.errors import EXIT_OK
from prodctl.terminal.output import columns, output_option, row_writer, success

if TYPE_CHECKING:
    from prodcore.app.shards import Shards

T = TypeVar("T")

_COLUMNS = columns("Kind", "Shard", "Product", "Name", "Finding", "Way out+")
_REPAIR_COLUMNS = columns("Kind", "Shard", "Product+", "Name", "Finding", "Result")

_SHOWN_AT_ONCE = 100

EXIT_FOUND = 6
"""As of ``cluster lint``: it was looked, and not all is well."""


@click.command()
@output_option
def verify(output: str) -> int:
    """Look at every product of every shard, and list whatever is not as it should be.

    \b
    map              the shard map and the shards' copies of it disagree
    index            an index is missing or is another one
    invalid          a document that is no product as the product model has it
    derived          keys or terms are not those of the product
    misplaced        its name belongs to another shard
    same_id, same_name, same_sku
                     two products have what only one may have
    unfinished_move  a rename that began more than a minute ago and was not finished
    leftover         a document that only kept a place and should have gone

    It changes nothing and may run at any time: what is being moved or edited meanwhile is no finding. Memory does not
    grow with the catalogue. Exit status 0 all is well, 6 something was found, or a shard does not answer.

    \b
    Examples:
      prodctl shard verify
      prodctl shard verify -o json | jq -r '.items[].product'
    """
    writer = row_writer(_COLUMNS, output, "shard_verify", "Nothing is wrong.")
    kinds: Counter[str] = Counter()
    with _opened() as (shards, looked):
        for findings in _batched(shards.findings(looked.note)):
            kinds.update(finding.kind for finding in findings)
            writer.add([finding.as_dict() for finding in findings])
    writer.finish({"documents": looked.documents, "found": dict(kinds)})
    found = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    success(f"{looked.documents:,} documents looked at, found: {found or 'nothing'}", output)
    return EXIT_FOUND if kinds else EXIT_OK


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@output_option
def repair(output: str, dry_run: bool) -> int:
    """Look at everything as verify does, and mend what has one right way to be mended.

    Copies of the map are written, indexes made, keys and terms computed anew, moves finished, what undone moves left
    is removed, and a product in the wrong shard is moved to the one that its name belongs to, with an entry in its
    history. It may run while others work, and be repeated.

    Never decided here: which of two products with one name, SKU or id is right, and what a damaged product should be.
    Such findings are listed and left. Exit status 0 nothing is left, 6 something is.

    \b
    Examples:
      prodctl shard repair --dry-run
      prodctl shard repair
      prodctl shard repair -o json | jq '.items[] | select(.done | not)'
    """
    writer = row_writer(_REPAIR_COLUMNS, output, "shard_repair", "Nothing is wrong.")
    done: Counter[bool] = Counter()
    with _opened() as (shards, looked):
        for mended in _batched(shards.mend(shards.findings(looked.note), dry_run=dry_run)):
            done.update(one.done for one in mended)
            writer.add([one.as_dict() for one in mended])
    facts = {"documents": looked.documents, "mended": done[True], "left": done[False]}
    writer.finish({**facts, "dry_run": dry_run})
    success("{documents:,} documents looked at, {mended:,} findings mended, {left:,} left".format(**facts), output)
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
    from prodctl.terminal.progress import row_progress

    looked = _Looked()
    with open_shards(load_settings()) as shards, row_progress(lambda: looked.documents, shards.count()) as tell:
        looked.tell = tell
        yield shards, looked


def _batched(found: Iterable[T]) -> Iterator[list[T]]:
    """Some at a time: a table takes its widths from the first of them."""
    there = iter(found)
    return iter(lambda: list(islice(there, _SHOWN_AT_ONCE)), [])
