"""Mend what ``verify`` finds where there is one right way, and say so where there is none.

Mended: copies of the map and the rules that follow from them, indexes, what is derived, unfinished moves and what they
left, products in the wrong shard.
Never decided here: which of two twins is right, and what a damaged product should be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from prodcore.deadline import budget
from prodcore.errors import Conflict, NotFound, StaleShardMap, VersionConflict
from prodcore.sharding.trust import MapStore, OwnedRangesStore
from prodcore.sharding.verify import CheckedShard, Finding, Kind, Mover, Stored

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of a finding."""

    finding: Finding
    done: bool
    """False for what is left as it was."""
    text: str

    def as_dict(self) -> dict[str, Any]:
        """As it is shown."""
        return {**self.finding.as_dict(), "done": self.done, "result": self.text}


class Repairer:
    """Mends findings in these shards; with ``dry_run`` it only says what it would do."""

    def __init__(
        self,
        shards: Mapping[str, CheckedShard],
        maps: MapStore,
        owned: Mapping[str, OwnedRangesStore],
        mover: Mover,
        *,
        dry_run: bool = False,
    ) -> None:
        self._shards = shards
        self._maps = maps
        self._owned = owned
        self._mover = mover
        self._dry_run = dry_run
        self._ways: dict[Kind, Callable[[Finding], str]] = {
            "map": self._copy,
            "rule": self._copy,
            "index": self._index,
            "derived": self._derived,
            "misplaced": self._misplaced,
            "sku_claim": self._claim,
            "unfinished_move": self._move,
            "leftover": self._move,
        }

    def mend(self, found: Iterable[Finding]) -> Iterator[Mended]:
        """Mend one finding after the other. Raises Unavailable and OutcomeUnknown: repeat it then."""
        for finding in found:
            if not finding.mendable:
                yield Mended(finding, False, "left as it is")
            elif self._dry_run:
                yield Mended(finding, False, "would be repaired")
            else:
                yield self._mended(finding)

    def _mended(self, finding: Finding) -> Mended:
        own = finding.kind == "index"  # making one has a time of its own, and a large catalogue needs it
        try:
            with nullcontext() if own else budget(_SECONDS):
                return Mended(finding, True, self._ways[finding.kind](finding))
        except (Conflict, NotFound) as refused:
            return Mended(finding, False, refused.message)

    def _copy(self, finding: Finding) -> str:
        current = self._maps.load()
        if current is None:
            raise NotFound("the shard map no longer exists")
        copy, ranges = self._owned[finding.shard].load(), current.owned_by(finding.shard)
        if copy and copy[0] == current.version and copy[1] != ranges:  # the copy of a version never changes
            current = replace(current, version=current.version + 1)
            if not self._maps.swap(current.version - 1, current):
                raise VersionConflict("another client changed the shard map meanwhile")
        for shard, store in self._owned.items():
            store.save(current.version, current.owned_by(shard))
        return f"now a copy of version {current.version}"

    def _index(self, finding: Finding) -> str:
        self._shards[finding.shard].mend_index(finding.index)
        return "made"

    def _derived(self, finding: Finding) -> str:
        shard = self._shards[finding.shard]
        try:
            renewed = shard.renew(_document(finding))
        except StaleShardMap:  # nobody looks for such a name here: it gets its keys where they belong
            moved = self._misplaced(finding)
            shard.renew(_document(finding))  # the old location that it leaves
            return f"recomputed, and {moved}"
        return "recomputed" if renewed else "changed meanwhile, which recomputed it"

    def _misplaced(self, finding: Finding) -> str:
        return f"moved to {self._mover.bring_home(_document(finding).id, finding.shard)}"

    def _claim(self, finding: Finding) -> str:
        self._mover.claim_sku(_document(finding).id)
        return "claimed"

    def _move(self, finding: Finding) -> str:
        if move := _document(finding).move:
            self._mover.finish(move)
        return "finished" if finding.kind == "unfinished_move" else "removed"


def _document(finding: Finding) -> Stored:
    if finding.product is None:
        raise AssertionError("a finding of this kind is about a document")
    return finding.product
