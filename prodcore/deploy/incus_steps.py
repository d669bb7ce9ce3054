"""Making, changing and starting what belongs to Incus itself."""

from __future__ import annotations

import json
from contextlib import suppress

from prodcore.deploy.container import Container
from prodcore.deploy.incus_plan import IncusPlan, InstancePlan
from prodcore.deploy.layout import Layout
from prodcore.errors import IncusRefused
from prodcore.incus.client import Incus
from prodcore.installation.progress import Progress

_MAKE_SECONDS = 600.0
BOOT_SECONDS = 90
_WAIT_SECONDS = 300


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
                self._progress("incus", f"is still at work: {one['description'].lower()}")
                path = f"/1.0/operations/{one['id']}/wait?timeout={_WAIT_SECONDS}"
                with suppress(IncusRefused):  # it has just ended
                    self._incus.query("GET", path, timeout_seconds=_WAIT_SECONDS + 10)

    def make_surroundings(self, plan: IncusPlan) -> None:
        """The bridge and the profile."""
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

    def make_instance(self, plan: InstancePlan) -> None:
        """One container, as it is wanted and running, with its address. Raises Unavailable."""
        name = plan.host.name
        if plan.create:
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
        """By ``incus init``: it knows the images of other servers, which the API would have to be told about."""
        name, wish = plan.host.name, plan.wish
        where = [f"--target={plan.host.target}"] if plan.host.target else []
        profiles = [f"--profile={profile}" for profile in wish["profiles"]]
        body = json.dumps({"config": wish["config"], "devices": wish["devices"]}).encode()  # JSON is YAML, too
        image = self._layout.deployment.incus.image
        self._incus.run(
            "init", *profiles, *where, "--", image, self._incus.at(name), input=body, timeout_seconds=_MAKE_SECONDS
        )

    def remove(self, name: str) -> None:
        """Stop and delete one container."""
        self._incus.run("delete", "--force", "--", self._incus.at(name), timeout_seconds=_MAKE_SECONDS)
        self._progress(name, "is removed")
