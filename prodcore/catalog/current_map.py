"""The shard map that a process works with, and until when it may answer by it.

Writes need no such limit: each shard refuses the names that it does not own. A read by an old map would miss what
another shard has been given since. So whoever gives a range to a second shard first says so in the stored map and in
the copy of the shard that has the range, and waits for longer than ``GOOD_SECONDS``. A process that has not looked
for so long looks before it answers; where the users' set is unreachable, at the copies of the shards that it has read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from prodcore.errors import StaleShardMap, Unavailable
from prodcore.routing import ShardMap, name_key
from prodcore.support.request_notes import stale_sets

GOOD_SECONDS = 10.0
"""How long a process answers by its map after it has looked whether there is a newer one."""


class CurrentMap:
    """The map of one process. ``known`` are the shards that it has an address of.

    ``stored`` reads the stored map, ``oldest`` by shard the oldest version by which that may be read: both raise
    Unavailable. Without them the map never changes. ``as_of`` is when the map was read, by ``clock``.
    """

    def __init__(
        self,
        shard_map: ShardMap,
        known: Iterable[str],
        stored: Callable[[], ShardMap | None] = lambda: None,
        oldest: Mapping[str, Callable[[], int]] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        as_of: float | None = None,
    ) -> None:
        self.value = shard_map
        self._known = frozenset(known)
        self._stored = stored
        self._oldest = oldest or {}
        self._clock = clock
        self._looked = dict.fromkeys(self._oldest, clock() if as_of is None else as_of)

    def follow(self) -> None:
        """Take over the stored map where it is newer. Raises Unavailable where it cannot be read or not be used."""
        began = self._clock()
        new = self._stored()
        if new and new.version > self.value.version:
            if unknown := set(new.shards) - self._known:
                shards = ", ".join(sorted(unknown))
                raise StaleShardMap(
                    f"this process was started before {shards} was added: it cannot use the current shard map",
                    hint="Restart it; a service also reloads its settings on SIGHUP",
                    shard=shards,
                )
            self.value = new
        self._looked.update(dict.fromkeys(self._looked, began))

    def is_good(self, used: ShardMap, shards: Iterable[str]) -> bool:
        """Whether what was read of these shards by ``used`` may be answered; else it is to be read again.

        A shard that is unreachable was not read, and one that was read without its majority is said to be out of date.
        Raises Unavailable where the map is out of date and no newer one is to be had.
        """
        if self.value.version != used.version:
            return False
        late = [s for s in shards if s in self._looked and self._clock() - self._looked[s] > GOOD_SECONDS]
        if not late:
            return True
        with suppress(Unavailable):
            self.follow()
            return self.value.version == used.version
        for shard in set(late) - set(stale_sets()):
            began = self._clock()
            try:
                oldest = self._oldest[shard]()
            except Unavailable:
                continue
            if oldest > used.version:
                self.follow()
                return False
            self._looked[shard] = began
        return True

    def renew(self, used: ShardMap, refused: StaleShardMap) -> None:
        """Take over what may be written by, as a shard has refused what was written by ``used``.

        That is the stored map; where it is no newer and the range moves, its other shard owns it by now. Raises
        ``refused`` where there is neither.
        """
        if self.value is not used:
            return  # another thread was quicker
        with suppress(Unavailable):
            self.follow()
        if self.value is not used:
            return
        key = name_key(refused.details["name"])
        part = used.range_for(key)
        if part.shard != refused.details["shard"]:
            return  # it was written by an older map
        if not part.other:
            raise refused
        self.value = used.given_to_other(key)
