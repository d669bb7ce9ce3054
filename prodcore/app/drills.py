"""The composition root of drills."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from prodcore.app.wiring import PRODUCTS, configured_set, open_catalog, open_inspectors, open_replica_set, open_switch
from prodcore.errors import Unavailable
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.catalog import Catalog
    from prodcore.drill.engine import Parts
    from prodcore.drill.load import Place, Traffic
    from prodcore.processes.control import MemberControl

    ProductTraffic = Callable[[Place, Place | None], Traffic]
    """Makes the load's way to products with names of these places."""


@contextmanager
def open_drill(
    settings: Settings,
    control: MemberControl,
    *,
    unsafe: bool = False,
    product_traffic: ProductTraffic | None = None,
) -> Iterator[Parts]:
    """Everything that a drill needs, with an id of its own; closes the connections at the end.

    ``unsafe`` is for the control run: records of its own everywhere, acknowledged by one member. The load takes
    ``product_traffic`` to the products, or else the catalogue itself.
    """
    from prodcore.drill.engine import Parts
    from prodcore.drill.journal import DrillJournal
    from prodcore.mongo.admin.drill_set import DRILL_RECORDS, MongoDrillSet
    from prodcore.mongo.admin.guarded_set import MongoGuards

    run = f"drill{secrets.token_hex(4)}"
    *shards, users = open_inspectors(settings)
    places = {s.name: (PRODUCTS[0], DRILL_RECORDS[1]) if unsafe else PRODUCTS for s in shards}
    places[users.name] = DRILL_RECORDS
    with ExitStack() as stack:
        switch = stack.enter_context(open_switch(settings))
        load = _Load(settings, run, places, product_traffic, stack, unsafe=unsafe)
        yield Parts(
            run,
            {s.name: MongoDrillSet(s, places[s.name]) for s in (*shards, users)},
            frozenset(name for name, place in places.items() if place == PRODUCTS),
            load.open,
            control,
            DrillJournal(settings.state_dir / "drill"),
            settings.request_budget_seconds,
            MongoGuards(switch),
            load.settle,
        )


class _Load:
    """The load's ways to the sets, opened when they are needed."""

    def __init__(
        self,
        settings: Settings,
        run: str,
        places: dict[str, tuple[str, str]],
        product_traffic: ProductTraffic | None,
        stack: ExitStack,
        *,
        unsafe: bool,
    ) -> None:
        self._settings = settings
        self._run = run
        self._places = places
        self._product_traffic = product_traffic
        self._stack = stack
        self._unsafe = unsafe

    def open(self, name: str) -> Traffic:
        """The way to a set: to products, or to records of the drill's own."""
        return self._open_products(name) if self._places[name] == PRODUCTS else self._open_records(name)

    def settle(self) -> None:
        """Finish every move between shards that is unfinished."""
        from datetime import timedelta

        from prodcore.deadline import budget

        with budget(self._settings.request_budget_seconds):
            left = self._catalog.moves.sweep(timedelta(0))
        if left:
            raise Unavailable(f"{left} renames from one shard to another could not be finished")

    @cached_property
    def _catalog(self) -> Catalog:

        return self._stack.enter_context(open_catalog(self._settings, count_retries=True))

    def _open_products(self, name: str) -> Traffic:
        from prodcore.drill.load import CatalogTraffic, places_of

        home, elsewhere = places_of(self._catalog.shard_map, name, self._run)
        if self._product_traffic:
            return self._product_traffic(home, elsewhere)
        return CatalogTraffic(self._catalog, home, elsewhere)

    def _open_records(self, name: str) -> Traffic:
        from prodcore.mongo.admin.drill_set import MongoRecordTraffic

        setting = configured_set(self._settings, name).setting
        replica_set = open_replica_set(self._settings, setting, count_retries=True)
        traffic = MongoRecordTraffic(replica_set, self._run, self._places[name])
        if self._unsafe:
            traffic.forget_majority()
        return traffic
