"""Moving a product to the shard of its new name: no transaction spans two replica sets, so it is written down.

The steps, each one write of one document:

1. *intend*: the source's document says what is to become of it; nobody else can write it now.
2. *receive*: the target holds the product under its new name, not to be seen yet.
3. *commit*: the source says that it has moved. This alone decides: before it the product is the source's, after it the
   target's, whoever dies.
4. *publish*: the target's document is simply the product.
5. *retire*: the source's keeps the old location for lists that have begun, and goes after a while.

Whoever meets an unfinished move can finish it from what the documents tell; steps that were done already do nothing.

Where a range moves, its products go by the same steps, some hundred at a time and as they are (``carry``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from prodcore.catalog.stores import ByShard, MoveStore, Traces
from prodcore.catalog.write_errors import id_was_used
from prodcore.errors import OutcomeUnknown, ProdError, ProductExists, StaleShardMap, Unavailable
from prodcore.product.model import Product
from prodcore.product.move import Move, Times

LIST_LIFE = timedelta(minutes=15)
"""A list that began longer ago begins anew where products moved meanwhile."""

MOST_MOVES = 10
"""So often a product can move on while somebody looks for it."""

_PLACE_LIFE = LIST_LIFE + timedelta(minutes=5)
"""How long the old location is kept: longer, by as much as clocks may differ."""

_GRACE = timedelta(seconds=5)
"""A younger move is left to whoever began it."""


def no_step(_name: str) -> None:
    """What happens between the steps: nothing. Drills put faults there."""


class Moves:
    """The moves between the shards whose stores are given."""

    def __init__(
        self,
        stores: Mapping[str, MoveStore],
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], UUID],
        step: Callable[[str], None] = no_step,
    ) -> None:
        self.stores = ByShard(stores)
        self._clock = clock
        self._new_id = new_id
        self._step = step

    def move(self, product: Product, source: str, target: str) -> Product:
        """Bring ``product``, the next version of what the source holds, to the target.

        Raises VersionConflict, BeingMoved, ProductNotFound, ProductExists; StaleShardMap and Unavailable when it was
        left as it was.
        """
        move = Move(self._new_id(), product.id, "intended", source, target, self._clock())
        self.stores[source].intend(product, move)
        self._step("intended")
        decided = self._decide(move)
        if decided is None:
            raise Unavailable("the rename was undone by another client, which could not finish it", shard=target)
        with suppress(Unavailable, OutcomeUnknown):  # it is decided: readers see it, and the next completes it
            self._complete(move, {product.id: decided})
        return replace(product, shard=target)

    def carry(self, product_ids: Sequence[UUID], source: str, target: str) -> dict[UUID, ProdError]:
        """Bring products as they are, live or deleted, from the source to the target; why not, for those that stay.

        What somebody else moves just now is left to them. Raises Unavailable or OutcomeUnknown: ``sweep`` finishes it.
        """
        move = Move(self._new_id(), product_ids[0], "leaving", source, target, self._clock())
        traces = self.stores[source].leave(move, product_ids)
        self._step("intended")
        return self._finish_all(move, traces)

    def _finish_all(self, move: Move, traces: dict[UUID, Traces]) -> dict[UUID, ProdError]:
        """Finish a move of many products, from what their documents told; why not, for those whose move is undone.

        What they told may be old: the target knows what it has had before, and the source decides nothing twice.
        """
        source, target, until = self.stores[move.source], self.stores[move.target], self._clock() + _PLACE_LIFE
        leaving = {i: t.parcel for i, t in traces.items() if t.state_of(move) in ("intended", "leaving")}
        refused = target.receive(list(leaving.values()), until) if leaving else {}
        unsure = set(leaving)
        if taken := [i for i in leaving if i not in refused]:
            self._step("received")
            if (at := source.commit(move, taken)) is not None:
                moved = replace(move, state="moved")
                traces |= {i: Traces(replace(moved, product_id=i), (), at, None) for i in taken}
                unsure -= set(taken)
            self._step("committed")
        for product_id in refused:
            source.undo(replace(move, product_id=product_id))
        if unsure:
            traces |= source.traces(list(unsure))
        self._complete(move, traces)
        for product_id in (i for i, t in traces.items() if t.state_of(move) is None):
            self._discard(replace(move, product_id=product_id))
        return refused

    def finish_many(self, moves: Iterable[Move]) -> None:
        """``finish`` each; those of one range's move at once. What cannot be finished does not keep the others back.

        Raises Unavailable or OutcomeUnknown at the end.
        """
        failed: ProdError | None = None
        for move, product_ids in grouped(moves):
            try:
                if len(product_ids) > 1:
                    self._finish_all(move, self.stores[move.source].traces(product_ids))
                else:
                    self.finish(move)
            except (Unavailable, OutcomeUnknown) as error:
                failed = error
        if failed:
            raise failed

    def finish(self, move: Move) -> None:
        """Finish a move, or undo it where it cannot be done.

        Raises Unavailable or OutcomeUnknown while a shard that is needed does not answer.
        """
        if move.state == "entering":
            with suppress(ProductExists):
                self.enter(move)
            return
        try:
            decided = self._decide(move)
        except (ProductExists, StaleShardMap):
            return
        if decided is not None:
            self._complete(move, {move.product_id: decided})

    def enter(self, move: Move) -> None:
        """Let a new product stay whose id somebody else gave, unless another shard has one with that id.

        Of two that enter at once the one in the first shard by name stays, whoever of them looks first. A shard that
        does not answer is not asked. Raises ProductExists; OutcomeUnknown when the product's own shard is gone.
        """
        own = self.stores[move.source]
        try:
            for shard, other in self.stores.items():
                if shard != move.source and self._is_taken(other, move.product_id, weaker=shard > move.source):
                    own.reject(move.product_id)
            if not own.admit(move.product_id):
                raise id_was_used(move.product_id)
        except Unavailable:
            raise _may_have_happened("the create", move) from None

    def _is_taken(self, other: MoveStore, product_id: UUID, *, weaker: bool) -> bool:
        try:
            held = other.holds(product_id)
            if held == "entering" and weaker:
                other.reject(product_id)
                held = other.holds(product_id)
        except Unavailable:
            return False
        return held != "nothing"

    def decided(self, move: Move, product_ids: Sequence[UUID]) -> set[UUID]:
        """Which of the products are the target's already; their moves are finished then.

        Raises Unavailable or OutcomeUnknown.
        """
        traces = self.stores[move.source].traces(product_ids)
        self._complete(move, traces)
        return {i for i, t in traces.items() if t.state_of(move) in ("moved", "done")}

    def sweep(self, grace: timedelta = _GRACE) -> int:
        """Finish what was left unfinished; the number of moves that still are because a shard does not answer."""
        left: set[UUID] = set()
        for store in self.stores.values():
            try:
                unfinished = store.unfinished(self._clock() - grace)
            except Unavailable:
                continue
            for move, product_ids in grouped(unfinished):
                try:
                    self.finish_many(replace(move, product_id=product_id) for product_id in product_ids)
                except (Unavailable, OutcomeUnknown):
                    left.add(move.id)
        return len(left)

    def known_times(self) -> dict[str, int]:
        """A moment ago, by shard: costs nothing."""
        return {shard: store.known_time() for shard, store in self.stores.items()}

    def times(self) -> dict[str, int]:
        """Now, by shard; a moment ago for a shard that does not answer."""
        return {shard: _time(store) for shard, store in self.stores.items()}

    def _decide(self, move: Move) -> Traces | None:
        """Bring a move to its decision: what the source tells then, None where it was undone.

        Raises ProductExists, StaleShardMap and Unavailable when it was undone for that, OutcomeUnknown when the source
        became unreachable.
        """
        source, target = self.stores[move.source], self.stores[move.target]
        refusal: ProdError | None = None
        try:
            while True:
                traces = source.traces([move.product_id])[move.product_id]
                if (state := traces.state_of(move)) not in ("intended", "leaving"):
                    break
                if refusal is None:
                    refusal = _refusal(target, traces, self._clock() + _PLACE_LIFE)
                if refusal is None:
                    self._step("received")
                    source.commit(move, [move.product_id])
                    self._step("committed")
                else:
                    source.undo(move)
        except Unavailable:
            raise _may_have_happened("the rename", move) from None
        if state is not None:
            return traces
        self._discard(move)
        if refusal:
            raise refusal
        return None

    def _complete(self, move: Move, traces: Mapping[UUID, Traces]) -> None:
        """Publish and retire those of the products that are decided and not done."""
        if moved := [i for i, told in traces.items() if told.state_of(move) == "moved"]:
            self.stores[move.target].publish(move, moved, max(traces[i].at for i in moved))
            self._step("published")
            self.stores[move.source].retire(move, moved, self._clock() + _PLACE_LIFE)

    def _discard(self, move: Move) -> None:
        with suppress(Unavailable, OutcomeUnknown):  # nobody sees it, and the sweep removes it
            self.stores[move.target].discard(move)


def _refusal(target: MoveStore, traces: Traces, until: datetime) -> ProdError | None:
    """Why the target does not hold the product now; None when it does."""
    try:
        return next(iter(target.receive([traces.parcel], until).values()), None)
    except (Unavailable, OutcomeUnknown) as error:
        shard = error.details.get("shard", "the target")
        return Unavailable(f"{shard} does not accept the product: nothing was changed", shard=shard)


def grouped(moves: Iterable[Move]) -> Iterator[tuple[Move, list[UUID]]]:
    """The products of each move: of one range's many have the same."""
    groups: dict[tuple[UUID, str, str], tuple[Move, dict[UUID, None]]] = {}
    for move in moves:
        groups.setdefault((move.id, move.source, move.target), (move, {}))[1][move.product_id] = None
    for move, product_ids in groups.values():
        yield move, list(product_ids)


def _may_have_happened(what: str, move: Move) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{move.source} stopped answering: {what} may still happen",
        hint="Check whether it happened before you repeat it",
        shard=move.source,
        product_id=str(move.product_id),
    )


def _time(store: MoveStore) -> int:
    try:
        return store.time()
    except Unavailable:
        return store.known_time()


def is_current(times: Times, now: Times) -> bool:
    """Whether a list that began at ``times`` can still tell what moved since."""
    seconds = LIST_LIFE.total_seconds()
    return all((now[shard] >> 32) - (times.get(shard, 0) >> 32) <= seconds for shard in now)
