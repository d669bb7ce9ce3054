"""Finishes what renames left unfinished when their process died, and takes over a split of the shard map."""

from __future__ import annotations

import threading

import structlog

from prodcore.catalog import Catalog
from prodcore.deadline import budget

EVERY_SECONDS = 5.0
_SWEEP_SECONDS = 30.0

_log = structlog.get_logger("sweeper")


class Sweeper:
    """A thread that looks every few seconds, for as long as the catalogue is open."""

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
