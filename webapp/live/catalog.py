"""The catalogue of this worker process: opened when first needed, so after forking, and kept until the end."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import structlog
from flask import current_app

from prodcore.app.wiring import open_catalog
from prodcore.catalog import Catalog
from prodcore.deadline import budget
from prodcore.settings import Settings

EVERY_SECONDS = 5.0
_SWEEP_SECONDS = 30.0

_log = structlog.get_logger("sweeper")


class Sweeper:
    """A thread that looks every few seconds, for as long as the catalogue is open.

    It finishes the renames whose process died, and takes over a split of the shard map.
    """

    def __init__(self, catalog: Catalog, every_seconds: float = EVERY_SECONDS) -> None:
        self._catalog = catalog
        self._every_seconds = every_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, and wait for a sweep that has begun."""
        self._ended.set()
        self._thread.join(_SWEEP_SECONDS)

    def _run(self) -> None:
        while not self._ended.wait(self._every_seconds):
            try:
                with budget(_SWEEP_SECONDS):
                    self._catalog.moves.sweep()
                    self._catalog.follow_map()
            except Exception:  # noqa: BLE001  whatever it is, the next sweep is to come
                _log.exception("sweep_failed")


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
