"""Containers that stand still for a while, and run again afterwards, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from prodcore.deploy.concurrency import each
from prodcore.deploy.container import Container
from prodcore.deploy.incus_plan import settings_of
from prodcore.deploy.incus_steps import BOOT_SECONDS
from prodcore.deploy.incus_wish import NIC, PROXY
from prodcore.deploy.layout import Host
from prodcore.errors import IncusRefused
from prodcore.incus.client import Incus
from prodcore.installation.progress import Progress

_STOP_SECONDS = 120
_STATE_SECONDS = 180.0


class Power:
    """Stops and starts the containers of one deployment."""

    def __init__(self, incus: Incus, progress: Progress) -> None:
        self._incus = incus
        self._progress = progress

    @contextmanager
    def stopped(self, hosts: Sequence[Host]) -> Iterator[None]:
        """Shut them down in good order; inside the block they stand still, after it they run."""
        try:
            each(self._stop, hosts)
            yield
        finally:
            each(self._start, hosts)

    @contextmanager
    def without_network(self, host: Host) -> Iterator[None]:
        """Inside the block a container that stands still has no network card and no proxy.

        Incus imports no container whose address is not in the bridge's subnet, so what is to move has none.
        """
        before = self._get(host)
        devices = {name: device for name, device in before["devices"].items() if name not in (NIC, PROXY)}
        backups = self._backups(host)
        self._put(host, before | {"devices": devices})
        try:
            yield
        finally:
            for left in self._backups(host) - backups:  # of an export that was cut short
                with suppress(IncusRefused):
                    self._incus.query("DELETE", left)
            self._put(host, self._get(host) | {"devices": before["devices"]})

    def _get(self, host: Host) -> dict[str, Any]:
        found: dict[str, Any] = self._incus.query("GET", f"/1.0/instances/{host.name}")
        return found

    def _put(self, host: Host, wish: dict[str, Any]) -> None:
        self._incus.query("PUT", f"/1.0/instances/{host.name}", settings_of(wish), timeout_seconds=_STATE_SECONDS)

    def _backups(self, host: Host) -> set[str]:
        return set(self._incus.query("GET", f"/1.0/instances/{host.name}/backups"))

    def _stop(self, host: Host) -> None:
        self._set_state(host, {"action": "stop", "timeout": _STOP_SECONDS})
        self._progress(host.name, "stands still")

    def _start(self, host: Host) -> None:
        if self._get(host)["status"] == "Stopped":
            self._set_state(host, {"action": "start"})
        request = {"seconds": BOOT_SECONDS, "address": host.address}
        Container(self._incus, host.name).ask("boot", request, seconds=BOOT_SECONDS * 2)
        self._progress(host.name, f"runs at {host.address}")

    def _set_state(self, host: Host, body: dict[str, Any]) -> None:
        self._incus.query("PUT", f"/1.0/instances/{host.name}/state", body, timeout_seconds=_STATE_SECONDS)
