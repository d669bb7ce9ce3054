"""The cluster as it is at this moment: what is wrong, the shards, their ranges and members."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import cast

from flask import Blueprint, current_app, render_template

from prodcore.bootstrap_cluster import open_inspectors
from prodcore.catalog.catalog import ShardCount
from prodcore.cluster.services import HttpServiceProbe
from prodcore.cluster.status import ClusterStatus, inspect_cluster
from prodcore.deadline import budget
from prodcore.errors import ProdError
from prodcore.settings import Settings
from webapp.catalog_provider import current_catalog
from webapp.pages.errors import is_partial

blueprint = Blueprint("cluster", __name__)

_FRESH_SECONDS = 0.7
_COUNT_SECONDS = 1.0


class ClusterPicture:
    """The cluster's state, asked for once for everybody who looks at the same moment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._taken_at = float("-inf")
        self._status: ClusterStatus | None = None

    def get(self) -> ClusterStatus:
        """The state, less than a second old. Raises ConfigError."""
        with self._lock:
            if self._status is None or time.monotonic() - self._taken_at > _FRESH_SECONDS:
                sets = open_inspectors(self._settings)
                authsvc = HttpServiceProbe("authsvc", self._settings.auth_server_url)
                self._status = inspect_cluster(sets, [authsvc], map_set=sets[-1].name)
                self._taken_at = time.monotonic()
            return self._status


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


@blueprint.get("/cluster")
def overview() -> str:
    """The page; a script asks for its inner part every second."""
    picture = cast("ClusterPicture", current_app.extensions["cluster_picture"])
    template = "cluster/state.html" if is_partial() else "cluster/page.html"
    return render_template(template, status=picture.get(), holdings=_holdings())


def _holdings() -> Holdings:
    """Counts where they can be had quickly: the page is for the times when something is wrong."""
    try:
        with budget(_COUNT_SECONDS):
            return Holdings(tuple(current_catalog().counts()))
    except ProdError:
        return Holdings()
