"""The life of a deployment's containers: made, started, stopped for a while, removed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from prodcore.deadline import run_parallel
from prodcore.deploy.container import Container
from prodcore.deploy.layout import Host, Layout
from prodcore.deploy.plan import IncusPlan, InstancePlan, settings_of
from prodcore.deploy.spec import DATA, NIC, PROXY, volume_spec
from prodcore.errors import IncusRefused
from prodcore.incus import Incus
from prodcore.installation import Progress

BOOT_SECONDS = 90
_MAKE_SECONDS = 600.0
_WAIT_SECONDS = 300
_STOP_SECONDS = 120
_STATE_SECONDS = 180.0


class IncusSteps:
    """The steps of one apply."""

    def __init__(self, layout: Layout, incus: Incus, progress: Progress) -> None:
        self._layout = layout
        self._incus = incus
        self._progress = progress

    def wait_for_others(self) -> None:
        """Wait for what an apply that was killed had asked Incus to do with our containers: it does it all the same."""
        ours = {f"/1.0/instances/{host.name}" for host in self._layout.hosts}
        running = (self._incus.query("GET", "/1.0/operations?recursion=1") or {}).get("running", ())
        for one in running:
            if one["class"] == "task" and ours & set((one["resources"] or {}).get("instances", ())):
                self._progress("incus", f"is still running: {one['description'].lower()}")
                path = f"/1.0/operations/{one['id']}/wait?timeout={_WAIT_SECONDS}"
                with suppress(IncusRefused):  # it has just ended
                    self._incus.query("GET", path, timeout_seconds=_WAIT_SECONDS + 10)

    def make_surroundings(self, plan: IncusPlan) -> None:
        """The bridge, the profile, and the data volumes."""
        bridge = f"/1.0/networks/{self._layout.deployment.incus.bridge}"
        profile = f"/1.0/profiles/{self._layout.deployment.name}"
        for method, path, body, what in (
            ("POST", "/1.0/networks", plan.create_network, bridge),
            ("PUT", bridge, plan.put_network, bridge),
            ("POST", "/1.0/profiles", plan.create_profile, profile),
            ("PUT", profile, plan.put_profile, profile),
        ):
            if body is not None:
                self._incus.query(method, path, body)
                self._progress("incus", f"has {what.removeprefix('/1.0/')}")
        for volume in plan.volumes:
            path = f"/1.0/storage-pools/{volume.pool}/volumes/custom"
            self._incus.query("POST", path, volume_spec(self._layout, volume))
            self._progress("incus", f"has the volume {volume.name} in {volume.pool}")

    def make_instance(self, plan: InstancePlan) -> None:
        """One container, as it is wanted and running, with its address. Raises Unavailable."""
        name = plan.host.name
        if plan.create:
            self._progress(name, f"is being made of {self._layout.deployment.incus.image}")
            self._create(plan)
            self._progress(name, "is made")
        elif plan.put is not None:
            self._incus.query("PUT", f"/1.0/instances/{name}", plan.put, timeout_seconds=_MAKE_SECONDS)
            self._progress(name, "has its devices")
        if plan.start:
            body = {"action": "start"}
            self._incus.query("PUT", f"/1.0/instances/{name}/state", body, timeout_seconds=_MAKE_SECONDS)
        if plan.start or plan.put:
            request = {"seconds": BOOT_SECONDS, "address": plan.host.address}
            Container(self._incus, name).ask("boot", request, seconds=BOOT_SECONDS * 2)
            self._progress(name, f"runs at {plan.host.address}")

    def _create(self, plan: InstancePlan) -> None:
        """By ``incus init``: it knows the images of other servers, whose addresses the API would need."""
        name, spec = plan.host.name, plan.spec
        where = [f"--target={plan.host.target}"] if plan.host.target else []
        profiles = [f"--profile={profile}" for profile in spec["profiles"]]
        body = json.dumps({"config": spec["config"], "devices": spec["devices"]}).encode()  # JSON is YAML, too
        image = self._layout.deployment.incus.image
        self._incus.run(
            "init", *profiles, *where, "--", image, self._incus.at(name), input=body, timeout_seconds=_MAKE_SECONDS
        )

    def remove_volume(self, pool: str, name: str) -> None:
        """Delete one data volume."""
        self._incus.query("DELETE", f"/1.0/storage-pools/{pool}/volumes/custom/{name}", timeout_seconds=_MAKE_SECONDS)
        self._progress("incus", f"no longer has the volume {name}")

    def remove(self, name: str) -> None:
        """Stop and delete one container."""
        self._incus.run("delete", "--force", "--", self._incus.at(name), timeout_seconds=_MAKE_SECONDS)
        self._progress(name, "is removed")


class Lifecycle:
    """Stops and starts the containers of one deployment."""

    def __init__(self, incus: Incus, progress: Progress) -> None:
        self._incus = incus
        self._progress = progress

    @contextmanager
    def stopped(self, hosts: Sequence[Host]) -> Iterator[None]:
        """Shut them down in order; inside the block they are stopped, after it they run."""
        try:
            run_parallel(self._stop, hosts)
            yield
        finally:
            run_parallel(self._start, hosts)

    @contextmanager
    def without_devices(self, host: Host) -> Iterator[None]:
        """Inside the block a stopped container has no network card, no proxy and no data volume.

        Incus imports no container whose address is not in the bridge's subnet, so what is to move has none.
        """
        before = self._get(host)
        devices = {name: device for name, device in before["devices"].items() if name not in (NIC, PROXY, DATA)}
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

    def _put(self, host: Host, spec: dict[str, Any]) -> None:
        self._incus.query("PUT", f"/1.0/instances/{host.name}", settings_of(spec), timeout_seconds=_STATE_SECONDS)

    def _backups(self, host: Host) -> set[str]:
        return set(self._incus.query("GET", f"/1.0/instances/{host.name}/backups"))

    def _stop(self, host: Host) -> None:
        self._set_state(host, {"action": "stop", "timeout": _STOP_SECONDS})
        self._progress(host.name, "is stopped")

    def _start(self, host: Host) -> None:
        if self._get(host)["status"] == "Stopped":
            self._set_state(host, {"action": "start"})
        request = {"seconds": BOOT_SECONDS, "address": host.address}
        Container(self._incus, host.name).ask("boot", request, seconds=BOOT_SECONDS * 2)
        self._progress(host.name, f"runs at {host.address}")

    def _set_state(self, host: Host, body: dict[str, Any]) -> None:
        self._incus.query("PUT", f"/1.0/instances/{host.name}/state", body, timeout_seconds=_STATE_SECONDS)
