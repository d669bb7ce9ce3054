"""One deployment: what ``prodctl deploy`` works with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from prodcore.deploy.apply import Applied, Apply
from prodcore.deploy.concurrency import each
from prodcore.deploy.config import Deployment
from prodcore.deploy.container import Container
from prodcore.deploy.incus_steps import IncusSteps
from prodcore.deploy.incus_wish import MARK
from prodcore.deploy.layout import Layout
from prodcore.deploy.observe import look, setup_url
from prodcore.deploy.operator_side import OperatorSide
from prodcore.deploy.plan import Plan, make_plan
from prodcore.deploy.render import render_hosts
from prodcore.deploy.restore import NOTE
from prodcore.deploy.seen import Seen
from prodcore.deploy.spec import HostWish
from prodcore.errors import IncusRefused
from prodcore.incus.client import Incus
from prodcore.installation.env_file import render_env
from prodcore.installation.lock import locked
from prodcore.installation.progress import Progress, silence
from prodcore.installation.secret import KEYFILE, SECRETS_FILE, SETUP_FILES
from prodcore.installation.sets import REPLICA_SETS, USERS_SET, set_urls, variable
from prodcore.support.secure_files import write_private

_OK = 200
_READY_SECONDS = 120


class DeployedSystem:
    """The containers of the description in ``file``, and its secrets under ``state_dir``.

    Nothing is looked at or made before a method asks for it.
    """

    def __init__(self, deployment: Deployment, state_dir: Path, file: Path) -> None:
        self.deployment = deployment
        self.file = file.absolute()
        self.layout = Layout(deployment)
        self.incus = Incus(deployment.incus.remote, deployment.incus.project)
        self.directory = state_dir / "deploy" / deployment.name

    @cached_property
    def operator(self) -> OperatorSide:
        """Secrets, wheelhouse, mongod. Raises ConfigError for what is not there."""
        return OperatorSide(self.deployment, self.directory)

    @property
    def release(self) -> str:
        """The id of the release that is wanted."""
        return self.operator.inputs().release

    @property
    def wishes(self) -> Mapping[str, HostWish]:
        """What each container shall hold."""
        return render_hosts(self.layout, self.operator.inputs())

    @property
    def set_requests(self) -> dict[str, dict[str, Any]]:
        """What a container must know to look at, or work on, each set; holds secrets."""
        operator, members = self.operator, self.layout.set_members
        urls = set_urls(members, operator.secrets, "operator")
        secrets = asdict(replace(operator.secrets, session="", service=""))
        return {
            name: {
                "set": {
                    "name": name,
                    "members": members[name],
                    "election_timeout_ms": self.layout.election_timeout_ms,
                    "keyfile": operator.keyfile,
                    "secrets": secrets,
                },
                "urls": urls,
                "preparation": name == USERS_SET,
            }
            for name in REPLICA_SETS
        }

    def look(self) -> Seen:
        """Everything as it is."""
        return look(self.layout, self.incus, self.wishes, self.set_requests)

    def compare(self, *, settle: bool = True) -> tuple[Seen, Plan]:
        """What is there, and what is to be done. With ``settle`` the first admin's code is made or forgotten."""
        seen = self.look()
        if settle:
            is_new = self.layout.auth.name not in seen.instances
            self.operator.settle_setup_code(self.waits_for_admin(seen), is_new=is_new)
        return seen, make_plan(self.layout, self.wishes, self.operator.secrets_mark, seen)

    def waits_for_admin(self, seen: Seen) -> bool | None:
        """Whether nobody is admin yet; None when webapp does not say."""
        status, body = seen.inside(self.layout.web.name).get(setup_url(self.layout))
        try:
            return bool(json.loads(body)["open"]) if status == _OK else None
        except (ValueError, KeyError, TypeError):
            return None

    def apply(self, progress: Progress = silence) -> Applied:
        """Make it so. Raises Conflict while another prodctl does, or when something of somebody else is in the way."""
        self.operator.begin()
        with locked(self.directory):
            applied = Apply(self, progress).run()
            self._write_operator_env()
        return applied

    def wait_ready(self) -> None:
        """Return when both services say that they are ready. Raises Unavailable."""

        def ready(name: str) -> None:
            request = {"urls": list(self.wishes[name].ready), "seconds": _READY_SECONDS}
            Container(self.incus, name).ask("ready", request, seconds=_READY_SECONDS + 30)

        each(ready, (self.layout.auth.name, self.layout.web.name))

    @property
    def operator_env(self) -> Path:
        """The settings of people's prodctl."""
        return self.directory / "operator.env"

    def owned_instances(self) -> list[str]:
        """Every container that carries our mark, whatever the description says today."""
        return sorted(
            one["name"]
            for one in self.incus.query("GET", "/1.0/instances?recursion=1")
            if one["config"].get(MARK) == self.deployment.name
        )

    def destroy(self, progress: Progress = silence) -> None:
        """Remove all that carries our mark, and the secrets with it."""
        if self.directory.exists():
            with locked(self.directory):
                self._destroy(progress)
        else:
            self._destroy(progress)

    def _destroy(self, progress: Progress) -> None:
        steps = IncusSteps(self.layout, self.incus, progress)
        steps.wait_for_others()
        each(steps.remove, self.owned_instances())
        for kind in ("profiles", "networks"):
            for one in self.incus.query("GET", f"/1.0/{kind}?recursion=1"):
                if one["config"].get(MARK) == self.deployment.name:
                    try:
                        self.incus.query("DELETE", f"/1.0/{kind}/{one['name']}")
                        progress("incus", f"has no {kind[:-1]} {one['name']} any more")
                    except IncusRefused as refusal:
                        progress("incus", f"keeps the {kind[:-1]} {one['name']}: {refusal.message}")
        for name in ("operator.env", NOTE, SECRETS_FILE, KEYFILE, *SETUP_FILES, "lock"):
            (self.directory / name).unlink(missing_ok=True)
        if self.directory.exists() and not any(self.directory.iterdir()):
            self.directory.rmdir()

    def _write_operator_env(self) -> None:
        web, auth = self.deployment.web, self.deployment.auth
        urls = set_urls(self.layout.set_members, self.operator.secrets, "operator")
        values = {
            "PRODCTL_URL": f"http://{web.address}:{web.port}",
            "AUTH_SERVER_URL": f"http://{auth.address}:{auth.port}",
            **{variable(name): url for name, url in urls.items()},
            "PRODCTL_DEPLOYMENT": str(self.file),
        }
        write_private(self.operator_env, render_env(values))
