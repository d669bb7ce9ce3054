"""The catalogue of this worker process: opened when first needed, so after forking, and kept until the end."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from flask import current_app

from prodcore.app.wiring import open_catalog
from prodcore.catalog import Catalog
from prodcore.settings import Settings
from webapp.live.sweeper import Sweeper


class CatalogProvider:
    """Opens the catalogue once. While rsU and a shard are both silent nothing can be routed: it then tries again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._resources = ExitStack()
        self._catalog: Catalog | None = None

    def get(self) -> Catalog:
        """The catalogue. Raises Unavailable while no trusted shard map can be read."""
        if self._catalog is None:
            with self._lock:
                if self._catalog is None:
                    catalog = self._resources.enter_context(open_catalog(self._settings))
                    self._resources.callback(Sweeper(catalog).close)
                    self._catalog = catalog
        return self._catalog

    def close(self) -> None:
        """Close the connections."""
        self._resources.close()
        self._catalog = None


def current_catalog() -> Catalog:
    """The catalogue of the running app. Raises Unavailable while nothing can be routed."""
    provider: CatalogProvider = current_app.extensions["catalog"]
    return provider.get()
