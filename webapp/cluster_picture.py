"""The state of the cluster, asked for once for everybody who looks at the same moment."""

from __future__ import annotations

import threading
import time
from typing import cast

from flask import current_app

from prodcore.bootstrap_cluster import open_inspectors
from prodcore.cluster.services import HttpServiceProbe
from prodcore.cluster.status import ClusterStatus, inspect_cluster
from prodcore.settings import Settings

_FRESH_SECONDS = 0.7


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


def current_status() -> ClusterStatus:
    """The cluster's state in the running app."""
    return cast("ClusterPicture", current_app.extensions["cluster_picture"]).get()
