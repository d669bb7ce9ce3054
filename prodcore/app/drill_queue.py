"""The composition root of drills that are ordered in one process and carried out in another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prodcore.app.cluster import set_addresses
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.mongo.admin.drill_board import MongoDrillBoard


@contextmanager
def open_board(settings: Settings) -> Iterator[MongoDrillBoard]:
    """Where drills are ordered, and where how they go is written; closes its connections at the end."""
    from prodcore.app.wiring import open_replica_set
    from prodcore.mongo.admin.drill_board import MongoDrillBoard
    from prodcore.mongo.client.replica_set import SetAddress

    sets = [SetAddress(uri).name for uri in set_addresses(settings).values()]
    board = MongoDrillBoard(open_replica_set(settings, "db3_url"), sets)
    try:
        yield board
    finally:
        board.close()
