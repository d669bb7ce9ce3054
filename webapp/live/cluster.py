"""What this worker process knows of the cluster: asked for again and again while somebody looks, once for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import current_app

from prodcore.app.cluster import look_at
from prodcore.app.wiring import open_inspectors
from prodcore.catalog import ShardCount
from prodcore.catalog.distribution import Spread
from prodcore.deadline import budget
from prodcore.errors import ProdError
from prodcore.replicaset.cluster import ClusterStatus
from prodcore.replicaset.services import HttpServiceProbe
from prodcore.settings import Settings
from webapp.live.catalog import CatalogProvider
from webapp.live.watched import Watched

if TYPE_CHECKING:
    from prodcore.mongo.admin.inspection import MongoSetInspector

_STATUS_SECONDS = 0.5
_COUNTS_SECONDS = 2.0
_SPREAD_SECONDS = 15.0
_COUNT_SECONDS = 1.0
_AUTHSVC_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the shards hold."""

    counts: tuple[ShardCount, ...] = ()

    def of(self, shard: str) -> ShardCount | None:
        """One shard's part; None for a set that holds no products."""
        return next((c for c in self.counts if c.shard == shard), None)

    @property
    def most(self) -> int:
        """The largest part, at least 1."""
        return max((c.products or 0 for c in self.counts), default=0) or 1


class ClusterPicture:
    """The members' state, what the shards hold, and where the products lie."""

    def __init__(self, settings: Settings, catalog: CatalogProvider) -> None:
        self._settings = settings
        self._catalog = catalog
        self._sets: list[MongoSetInspector] = []
        self.status = Watched(self._look, _STATUS_SECONDS, self._rest)
        self.holdings = Watched(self._count, _COUNTS_SECONDS)
        self.spread = Watched(self._draw, _SPREAD_SECONDS)

    def _look(self) -> ClusterStatus:
        if not self._sets:
            self._sets = open_inspectors(self._settings, keep=True)
        url = self._settings.auth_server_url
        return look_at(self._sets, [HttpServiceProbe("authsvc", url, timeout_seconds=_AUTHSVC_SECONDS)])

    def _rest(self) -> None:
        for each in self._sets:
            each.close()

    def _count(self) -> Holdings:
        """Counts where they can be had quickly: the page is for the times when something is wrong."""
        try:
            with budget(_COUNT_SECONDS):
                return Holdings(tuple(self._catalog.get().counts()))
        except ProdError:
            return Holdings()

    def _draw(self) -> Spread | None:
        try:
            with budget(_COUNT_SECONDS):
                return self._catalog.get().spread()
        except ProdError:
            return None


def current_picture() -> ClusterPicture:
    """The picture of the running app."""
    return cast("ClusterPicture", current_app.extensions["cluster_picture"])


def current_status() -> ClusterStatus:
    """The members' state in the running app. Raises ConfigError."""
    return current_picture().status.get()
