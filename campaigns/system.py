"""A system of its own for a campaign: the cluster of ``prodctl local``, its services, a guard, and ``prodctl``."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests

from prodcore.app.wiring import open_inspectors, prepare_cluster
from prodcore.local import GUARD, LocalCluster, LocalPlan, drill_runner, find_free_ports, services_for
from prodcore.settings import Settings, load_settings

SETS = ("rsA", "rsB", "rsU")
ADMIN, PASSWORD = "campaign", secrets.token_urlsafe(18)
_SECONDS = 60.0
_SCOPES = "products:read,products:write"


@dataclass(frozen=True)
class System:
    """Runs in ``state_dir``, where ``prodctl`` finds it."""

    cluster: LocalCluster
    state_dir: Path

    @property
    def operator(self) -> Settings:
        """The settings of somebody who drills on this machine."""
        return load_settings(**self.cluster.addresses("operator"), state_dir=self.state_dir)

    @property
    def url(self) -> str:
        """The REST API."""
        return f"http://127.0.0.1:{self.cluster.plan.ports.web}/api/v1"

    def prodctl(
        self,
        *arguments: str,
        stdin: str = "",
        ok: Sequence[int] = (0,),
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run it, and show what it says. Raises RuntimeError for another exit status than those in ``ok``."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PRODCTL_", "DB"))}
        done = subprocess.run(  # noqa: S603  our own program
            [sys.executable, "-m", "prodctl", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=kept | {"PRODCTL_STATE_DIR": str(self.state_dir)} | dict(environment or {}),
            check=False,
        )
        if done.returncode not in ok:
            raise RuntimeError(f"prodctl {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
        return done

    def drill(self, *arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        """``prodctl failover-test``; its report, whatever its verdict."""
        done = self.prodctl("failover-test", *arguments, "-o", "json", ok=(0, 8, 9), environment=environment)
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def terms(self) -> dict[str, int]:
        """The election term of each set: it grows by one with each election."""
        return {
            inspector.name: max(member.term or 0 for member in inspector.inspect().members)
            for inspector in open_inspectors(self.operator)
        }

    def guard_counts(self) -> dict[str, int]:
        """What the active guards have seen and done, over all sets."""
        done = self.prodctl("cluster", "status", "-o", "json", ok=(0, 6))
        counts: dict[str, int] = {}
        for guard in json.loads(done.stdout)["guards"]:
            for of_set in guard["counts"].values():
                for what, count in of_set.items():
                    counts[what] = counts.get(what, 0) + count
        return counts

    def log_in(self) -> str:
        """Make the first admin, and log in on this machine; an access token."""
        body = {"code": self.cluster.setup_code(), "username": ADMIN, "password": PASSWORD}
        while (answer := requests.post(f"{self.url}/setup", json=body, timeout=_SECONDS)).status_code in (503, 504):
            continue  # a machine that is busy; the code admits one, however often it is shown
        if answer.status_code != HTTPStatus.CONFLICT:  # it was made by an attempt whose answer was late
            answer.raise_for_status()
        self.prodctl("login", "-u", ADMIN, "--password-stdin", stdin=f"{PASSWORD}\n")
        done = self.prodctl(
            "token", "create", "--name", "campaign", "--scope", _SCOPES, "-o", "json", stdin=f"{PASSWORD}\n"
        )
        return str(json.loads(done.stdout)["token"])


@contextmanager
def system(
    *,
    guard: bool,
    services: bool = False,
    election_timeout_ms: int = 1_000,
    mongod: Callable[[LocalPlan], Path] | None = None,
) -> Iterator[System]:
    """A new one, removed at the end; ``mongod`` gives what its members run."""
    with tempfile.TemporaryDirectory(prefix="failover-") as directory:
        ports = find_free_ports()
        programs = services_for(ports, workers=2, threads=8) if services else ()
        place = Path(directory) / "local"
        daemons = (*((drill_runner(place),) if services else ()), *((GUARD,) if guard else ()))
        plan = LocalPlan(place, ports, programs, daemons, election_timeout_ms)
        cluster = LocalCluster(plan, mongod(plan) if mongod else None)
        try:
            cluster.up(when_writable=lambda: prepare_cluster(load_settings(**cluster.addresses("root"))))
            yield System(cluster, Path(directory))
        finally:
            cluster.destroy()


def options(about: str | None) -> argparse.ArgumentParser:
    """A parser that shows the module's docstring as it is."""
    return argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)


def print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table; what is no word stands at the right."""
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [f"{title} {os.cpu_count()} processors; load average at the end {load}.", ""]
    lines += [_row(heads), _row(["---", *["--:"] * (len(heads) - 1)]), *(_row(row) for row in rows)]
    print("\n".join(["", *lines, ""]), flush=True)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
